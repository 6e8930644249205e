"""Trainable parameters of LoRA, exactly, from shapes alone.

W (d_out, d_in) stays frozen; A (rank, d_in) and B (d_out, rank) are trained,
so each adapted matrix adds rank x (d_in + d_out) parameters.      arXiv:2106.09685 section 4.1
DoRA also trains one magnitude per output: + d_out.                    arXiv:2402.09353 section 4
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lora_lab.parameters.adapter_config import ALL_LINEAR, Adaptation, AdapterSetting
from lora_lab.parameters.legacy_module_names import adapt_shape
from lora_lab.parameters.shapes import Linear, ModelShape
from lora_lab.parameters.worked_count import work_count
from lora_lab.spec import Variant
from study.base.errors import LearnerError


@dataclass(frozen=True, kw_only=True)
class Count:
    """A parameter count as PEFT's `print_trainable_parameters` prints it."""

    trainable: int
    total: int
    """Base parameters plus adapters."""

    @property
    def percent(self) -> float:
        """Trainable share of the total, in percent."""
        return 100 * self.trainable / self.total


def lora_parameters_matrix(*, d_in: int, d_out: int, rank: int) -> int:
    """Count the parameters of one A and one B. Raises LearnerError when the rank is below 1."""
    if rank < 1:
        raise LearnerError(
            f"Rank must be at least 1, got {rank}.", do_next="Pick 1 to 256; 8 is a good first try."
        )
    return rank * (d_in + d_out)


def lora_parameters(linears: Iterable[Linear], *, rank: int, variant: Variant = "lora") -> int:
    """Count trainable parameters when each of `linears` gets an adapter of `rank`."""
    return sum(
        linear.count
        * (
            lora_parameters_matrix(d_in=linear.d_in, d_out=linear.d_out, rank=rank)
            + _count_magnitudes(linear, variant)
        )
        for linear in linears
    )


def _count_magnitudes(linear: Linear, variant: Variant) -> int:
    return linear.d_out if variant == "dora" else 0


def count_parameters(
    shape: ModelShape, *, rank: int, targets: str | Sequence[str] | None, variant: Variant = "lora"
) -> Count:
    """Count trainable and total parameters. Raises LearnerError on a target that the model lacks."""
    chosen = shape.select(targets)
    if shape.fused_experts:
        return count_adapter(shape, _build_setting(targets, variant), rank=rank)
    trainable = lora_parameters(chosen, rank=rank, variant=variant)
    return Count(trainable=trainable, total=shape.total_parameters + trainable)


def _build_setting(targets: str | Sequence[str] | None, variant: Variant) -> AdapterSetting:
    named = targets if targets is None or isinstance(targets, str) else tuple(targets)
    return AdapterSetting(targets=named, variant=variant)


def count_adapter(shape: ModelShape, setting: AdapterSetting, *, rank: int) -> Count:
    """Count trainable and total parameters of any variant as PEFT prints them, with saved heads and biases.

    Raises LearnerError where PEFT raises; UnsupportedCase on layers that are not counted.
    """
    lora_parameters_matrix(d_in=1, d_out=1, rank=rank)  # raises on an invalid rank
    adapted = build_adaptation(shape, setting)
    return Count(
        trainable=adapted.trainable.at(rank), total=shape.modules.base_parameters + adapted.added.at(rank)
    )


def build_adaptation(shape: ModelShape, setting: AdapterSetting) -> Adaptation:
    """Find what the configuration adapts, by module names or roles."""
    return adapt_shape(shape, _replace_roles(shape, setting))


def _replace_roles(shape: ModelShape, setting: AdapterSetting) -> AdapterSetting:
    """Replace roles (`q`, `mlp`'s matrices) and target sets by module names; names stay as they are."""
    targets = setting.targets
    if targets is None or targets == ALL_LINEAR or not shape.are_roles(targets):
        return setting
    return replace(setting, targets=tuple(shape.list_target_modules(targets)))


def format_short_formula(
    shape: ModelShape, *, rank: int, targets: str | Sequence[str] | None, variant: Variant = "lora"
) -> str:
    """Format the count with the widths already summed: `30 layers × 8 × 10,176`."""
    terms = []
    for times, alike in _group_alike(shape, shape.select(targets)):
        each = f"{rank} × {sum(linear.d_in + linear.d_out for linear in alike):,}"
        terms.append(f"{times} × {_with_magnitudes(each, alike, variant)}")
    return " + ".join(terms)


def _with_magnitudes(each: str, alike: Sequence[Linear], variant: Variant) -> str:
    magnitudes = sum(_count_magnitudes(linear, variant) for linear in alike)
    return f"({each} + {magnitudes:,})" if magnitudes else each


def _group_alike(shape: ModelShape, chosen: Sequence[Linear]) -> Iterator[tuple[str, list[Linear]]]:
    """Group matrices by how often they occur, which for most models is once per layer."""
    for times in sorted({linear.count for linear in chosen}, reverse=True):
        alike = [linear for linear in chosen if linear.count == times]
        yield f"{times} {'layers' if times == shape.layers else 'times'}", alike


def format_formula(
    shape: ModelShape, *, rank: int, targets: str | Sequence[str] | None, variant: Variant = "lora"
) -> str:
    """Format the count with this model's numbers: `30 layers x 8 x (576+576 + 576+192) = 460,800`."""
    chosen = shape.select(targets)
    if shape.fused_experts:
        setting = _build_setting(targets, variant)
        return "; ".join(work_count(build_adaptation(shape, setting), setting, rank=rank))
    terms = []
    for times, alike in _group_alike(shape, chosen):
        widths = " + ".join(f"({m.d_in:,} + {m.d_out:,})" for m in alike)
        each = _with_magnitudes(f"{rank} × [{widths}]", alike, variant)
        terms.append(f"{times} × {each}")
    return f"{' + '.join(terms)} = {lora_parameters(chosen, rank=rank, variant=variant):,}"
