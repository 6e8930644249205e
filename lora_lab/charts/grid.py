"""The plots of a grid: loss, memory and time on ranks x bit widths, loss against memory, loss by rank."""

from collections.abc import Iterable, Iterator, Sequence

from lora_lab.charts.grid_maps import MEASURES, draw_heat_map
from lora_lab.charts.grid_view import GridPlane, build_namer, view_plane
from lora_lab.charts.pareto_front import LossAgainstMemory, ParetoPoint, find_front
from lora_lab.charts.seeds import SeedLine, SeedLines
from lora_lab.grids.findings import choose_rank_headline, list_findings
from lora_lab.grids.results import GridSetting
from lora_lab.spec import BITS, Variant
from study.base.units import MB, as_bytes
from study.plots.plot import Cell, Plot

FRONT_HEADER = (
    "setting", "learning rate", "peak memory (MB)", "held-out loss (mean over seeds)", "seeds", "lowest",
    "highest", "on the front",
)  # fmt: skip
Plane = tuple[str, Variant]
"""A plane of ranks x bit widths: the target set and the variant, which it holds fixed."""


def list_planes(settings: Iterable[GridSetting]) -> list[Plane]:
    """Return every pair of target set and variant in a grid, in its order."""
    return list(dict.fromkeys((setting.levels.targets, setting.levels.variant) for setting in settings))


def choose_plane(settings: Iterable[GridSetting], number: int) -> Plane:
    """Return the plane with this number, else the first, because a typed address may contain any number."""
    found = list_planes(settings)
    return found[number] if 0 <= number < len(found) else found[0]


def draw_grid_plots(settings: Sequence[GridSetting], plane: Plane) -> Iterator[Plot]:
    """Yield the plots for which enough cells have finished; loss against memory covers all planes."""
    here = [setting for setting in settings if (setting.levels.targets, setting.levels.variant) == plane]
    view = view_plane(here)
    for measure in MEASURES:
        if measure.list_known(view):
            yield draw_heat_map(view, measure)
    whole = view_plane(settings)
    if any(_has_both(setting) for setting in whole.settings):
        yield _plot_loss_against_memory(whole)
    if len({setting.levels.rank for setting in view.settings if setting.losses}) > 1:
        yield _plot_loss_by_rank(view)


def _has_both(setting: GridSetting) -> bool:
    return bool(setting.losses and setting.peak_bytes)


def _plot_loss_against_memory(view: GridPlane) -> Plot:
    done = [setting for setting in view.settings if _has_both(setting)]
    words = build_namer(done)
    points = [ParetoPoint(label=words(a.levels), bytes=a.peak_bytes or 0, losses=a.losses) for a in done]
    front = find_front(points)
    said = "; ".join(f"{point.label} {as_bytes(point.bytes)}, loss {point.loss:.2f}" for point in front)
    return Plot(
        name="grid-front",
        title=view.qualify(_format_front_title(front, len(points))),
        subtitle=view.conditions,
        header=FRONT_HEADER,
        rows=tuple(
            (
                point.label,
                f"{setting.levels.learning_rate:g}",
                *_format_numbers(point),
                "yes" if point in front else "no",
            )
            for setting, point in zip(done, points, strict=True)
        ),
        alt=f"Held-out loss against peak memory of {len(points)} settings. On the front: {said}.",
        drawing=LossAgainstMemory(
            points=tuple(points),
            footnote=_format_front_footnote(done, front),
        ),
    )


def _format_front_footnote(done: Sequence[GridSetting], front: Sequence[ParetoPoint]) -> str:
    measured = all(setting.measured_peak_bytes for setting in done)
    what = "Measured" if measured else "Losses measured; peaks computed where cells were trained side by side"
    shown = (
        "The line is the front: no other setting beats its points in both."
        if len(front) > 1
        else "The blue point is the front alone: no other setting is lower in either."
    )
    return (
        f"{what}. Lower left is better. {shown} "
        "Upright strokes span the seeds: where they overlap, the order may be luck."
    )


def _format_numbers(point: ParetoPoint) -> tuple[Cell, ...]:
    return point.bytes / MB, point.loss, len(point.losses), min(point.losses), max(point.losses)


def _format_front_title(front: Sequence[ParetoPoint], settings: int) -> str:
    first, last = (
        f"{point.label} ({as_bytes(point.bytes)}, loss {point.loss:.2f})" for point in (front[0], front[-1])
    )
    if settings == 1:
        return first
    if len(front) == 1:
        return f"{first} has both the lowest loss and the smallest peak"
    return f"By their means, {len(front)} of {settings} settings are on the front, from {first} to {last}"


def _plot_loss_by_rank(view: GridPlane) -> Plot:
    done = sorted(
        (setting for setting in view.settings if setting.losses),
        key=lambda setting: (BITS.index(setting.levels.bits), setting.levels.rank),
    )
    lines = []
    for bits in BITS:
        row = [setting for setting in done if setting.levels.bits == bits]
        if row:
            ranks = tuple(setting.levels.rank for setting in row)
            losses = tuple(setting.losses for setting in row)
            lines.append(SeedLine(label=bits, ranks=ranks, losses=losses))
    return Plot(
        name="grid-ranks",
        title=view.qualify(choose_rank_headline(list_findings(view.settings))),
        subtitle=view.conditions,
        header=("weights stored as", "rank", "seed", "held-out loss"),
        rows=tuple(
            (setting.levels.bits, setting.levels.rank, cell.spec.seed, cell.loss_after)
            for setting in done
            for cell in setting.cells
            if cell.comparable and cell.loss_after is not None
        ),
        alt="Measured held-out loss by rank, mean and range of the seeds. "
        + "; ".join(f"{line.label}: {_list_line(line)}" for line in lines)
        + ".",
        drawing=SeedLines(
            lines=tuple(lines),
            footnote="Measured. Small dots are single seeds, bands their range, lines their mean.",
        ),
    )


def _list_line(line: SeedLine) -> str:
    return ", ".join(
        f"r={rank} {mean:.2f} ({min(group):.2f} to {max(group):.2f})"
        for rank, mean, group in zip(line.ranks, line.means, line.losses, strict=True)
    )
