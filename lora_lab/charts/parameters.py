"""Plot 1: how many parameters LoRA trains, by rank, for each set of target matrices."""

from dataclasses import replace

from lora_lab.charts.captions import shorten_model_name
from lora_lab.charts.lines import RankLines, TargetLine
from lora_lab.parameters.counts import Count, count_parameters
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import TARGET_LABELS, TARGET_SETS, RunSpec
from study.base.errors import LearnerError
from study.base.units import as_count, as_percent
from study.plots.plot import Plot

DRAWN_RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FORMULA = "rank\u00a0×\u00a0(d_in\u00a0+\u00a0d_out)"  # no line break inside it
DORA_FORMULA = f"{FORMULA}\u00a0+\u00a0d_out"
LINE_LABELS: dict[str, str] = {"q+v": "q + v", "attention": "attention", "all-linear": "all linear"}
TYPED_LABEL = "the typed names"


def plot_parameters_by_rank(shape: ModelShape, spec: RunSpec) -> Plot:
    """Plot exact counts for ranks 1 to 256. Raises LearnerError when the model lacks the chosen matrices."""
    chosen = _count(shape, spec)
    ranks = tuple(sorted({*DRAWN_RANKS, spec.rank}))
    by_set = _count_by_set(shape, ranks, spec)
    trainable, percent = as_count(chosen.trainable), as_percent(chosen.percent)
    return Plot(
        name="parameters-by-rank",
        title=(
            f"Rank {spec.rank} on {TARGET_LABELS[spec.targets]} trains {trainable} parameters, "
            f"{percent} of all"
        ),
        subtitle=(
            f"{shorten_model_name(shape.name)}, {as_count(shape.total_parameters)} parameters. Computed: "
            f"{DORA_FORMULA if spec.variant == 'dora' else FORMULA}, summed over the adapted matrices"
        ),
        header=(
            "rank",
            *(f"{TARGET_LABELS[targets]} (parameters)" for targets in by_set),
            f"{TARGET_LABELS[spec.targets]} (% of model and adapters)",
        ),
        rows=tuple(
            (rank, *(line[i] for line in by_set.values()), _count(shape, replace(spec, rank=rank)).percent)
            for i, rank in enumerate(ranks)
        ),
        alt=_write_alt(spec, by_set, ranks, percent),
        drawing=RankLines(
            ranks=ranks,
            lines=_build_lines(by_set, spec.targets),
            rank=spec.rank,
            answer=(trainable, f"at rank {spec.rank}, {percent}"),
            y_label="trainable parameters",
        ),
    )


def _count_by_set(shape: ModelShape, ranks: tuple[int, ...], spec: RunSpec) -> dict[str, tuple[int, ...]]:
    """Count trainable parameters per rank for the chosen target set and every set that the model has."""
    found: dict[str, tuple[int, ...]] = {}
    for targets in dict.fromkeys((*TARGET_SETS, spec.targets)):
        try:
            found[targets] = tuple(
                _count(shape, replace(spec, rank=rank, targets=targets)).trainable for rank in ranks
            )
        except LearnerError:
            if targets == spec.targets:
                raise
    return found


def _count(shape: ModelShape, spec: RunSpec) -> Count:
    return count_parameters(shape, rank=spec.rank, targets=spec.targets, variant=spec.variant)


def _build_lines(by_set: dict[str, tuple[int, ...]], chosen: str) -> tuple[TargetLine, ...]:
    """Build one line per distinct count; target sets that select the same matrices share it."""
    labels: dict[tuple[int, ...], list[str]] = {}
    for targets, line in by_set.items():
        labels.setdefault(line, []).append(LINE_LABELS.get(targets, TYPED_LABEL))
    return tuple(
        TargetLine(label=" = ".join(names), counts=line, chosen=line == by_set[chosen])
        for line, names in labels.items()
    )


def _write_alt(
    spec: RunSpec, by_set: dict[str, tuple[int, ...]], ranks: tuple[int, ...], percent: str
) -> str:
    here = ranks.index(spec.rank)
    others = [
        f"{TARGET_LABELS[targets]} {as_count(line[here])}"
        for targets, line in by_set.items()
        if targets != spec.targets
    ]
    compared = f"; {', '.join(others)}" if others else ""
    chosen = f"{TARGET_LABELS[spec.targets]} {as_count(by_set[spec.targets][here])} ({percent})"
    besides = " besides the magnitudes" if spec.variant == "dora" else ""
    return (
        "Computed lines of trainable parameters by rank, 1 to 256, on logarithmic axes: twice the rank, "
        f"twice the parameters{besides}. At rank {spec.rank}: {chosen}{compared}."
    )
