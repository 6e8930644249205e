"""A count worked out line by line, as a person would check it with a calculator."""

import math

from lora_lab.parameters.adapter_config import Adaptation, AdapterSetting, Match
from lora_lab.parameters.module_tree import find_path_in_layer


def work_count(adaptation: Adaptation, setting: AdapterSetting, *, rank: int) -> tuple[str, ...]:
    """Format one line per kind of matrix, saved module and biases, then their sum."""
    lines = [_format_match(match, setting, rank) for match in adaptation.matches]
    numbers = [match.each.at(rank) * len(match.names) for match in adaptation.matches]
    for module in adaptation.saved:
        lines.append(f"{module.name}, trained whole: {module.parameters:,}")
        numbers.append(module.parameters)
    for each in adaptation.rows:
        lines.append(f"{each.name}, rows of tokens: {each.rows:,} × {each.width:,} = {each.parameters:,}")
        numbers.append(each.parameters)
    if adaptation.biases:
        lines.append(f"biases of the model itself: {adaptation.biases:,}")
        numbers.append(adaptation.biases)
    if len(numbers) > 1:
        lines.append(f"trainable: {' + '.join(f'{number:,}' for number in numbers)} = {sum(numbers):,}")
    lines += [f"{name}: no parameter has this name, and PEFT passes over it" for name in adaptation.unmatched]
    return tuple(lines)


def _format_match(match: Match, setting: AdapterSetting, rank: int) -> str:
    times = len(match.names)
    each = _count_each(match, setting, rank)
    return f"{_build_label(match)}: {times} × {each} = {times * match.each.at(rank):,}"


def _build_label(match: Match) -> str:
    """Return the path inside a layer, which distinguishes `attn.c_proj` from `mlp.c_proj`."""
    path = find_path_in_layer(match.group.path)
    if match.group.tensors or match.parameter:
        return f"{path}.{match.names[0].rsplit('.', 1)[-1]}"
    return path


def _count_each(match: Match, setting: AdapterSetting, rank: int) -> str:
    group = match.group
    rank = match.own_rank or rank
    if match.parameter:
        return _count_parameter(match, rank)
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


def _count_parameter(match: Match, rank: int) -> str:
    """Format `16 × 32 experts × (2,880 + 5,760)`; `2 ×` before it where gate and up each have the rank."""
    *experts, one, other = match.parameter
    factors = [f"{rank}", *(f"{count:,} experts" for count in experts), f"({one:,} + {other:,})"]
    if match.own_rank is None and match.each.slope == 2 * math.prod(experts) * (one + other):
        factors.insert(0, "2")
    return " × ".join(factors)
