"""A count worked out line by line, as a person would check it with a calculator."""

from lora_lab.parameters.adapter_config import Adaptation, AdapterSetting, Match


def work_count(adaptation: Adaptation, setting: AdapterSetting, *, rank: int) -> tuple[str, ...]:
    """Format one line per kind of matrix, saved module and biases, then their sum."""
    lines = [_of_match(match, setting, rank) for match in adaptation.matches]
    numbers = [match.each.at(rank) * len(match.names) for match in adaptation.matches]
    for module in adaptation.saved:
        lines.append(f"{module.name}, trained whole: {module.parameters:,}")
        numbers.append(module.parameters)
    if adaptation.biases:
        lines.append(f"biases of the model itself: {adaptation.biases:,}")
        numbers.append(adaptation.biases)
    if len(numbers) > 1:
        lines.append(f"trainable: {' + '.join(f'{number:,}' for number in numbers)} = {sum(numbers):,}")
    return tuple(lines)


def _of_match(match: Match, setting: AdapterSetting, rank: int) -> str:
    times = len(match.names)
    each = _count_each(match, setting, rank)
    return f"{_build_label(match)}: {times} × {each} = {times * match.each.at(rank):,}"


def _build_label(match: Match) -> str:
    """Return the path inside a layer, which distinguishes `attn.c_proj` from `mlp.c_proj`."""
    path = match.group.path.rsplit("*.", 1)[-1]
    if match.group.tensors:
        return f"{path}.{match.names[0].rsplit('.', 1)[-1]}"
    return path


def _count_each(match: Match, setting: AdapterSetting, rank: int) -> str:
    group = match.group
    rank = match.own_rank or rank
    if group.tensors or group.kernel > 1:
        return f"{rank} × {match.each.slope or match.each.fixed // rank:,}"
    match setting.variant:
        case "vera":
            return f"({rank} + {group.d_out:,})"
        case "ia3":
            return f"{match.each.fixed:,}"
        case "adalora":
            return f"{rank} × ({group.d_in:,} + {group.d_out:,} + 1)"
    product = f"{rank} × ({group.d_in:,} + {group.d_out:,})"
    return f"[{product} + {group.d_out:,}]" if setting.trains_output_vector else product
