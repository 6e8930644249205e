"""What the plots of a grid share: their settings, the conditions, and the names of settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_lab.charts.captions import shorten_model_name
from lora_lab.grids.results import GridLevels, GridSetting, list_rates, select_best_rates
from lora_lab.spec import TARGET_LABELS
from study.plots.area import Span
from study.plots.axis import choose_ticks


@dataclass(frozen=True, kw_only=True)
class GridPlane:
    """Settings of a grid that are plotted together: one rank x bit width plane, or all of them."""

    settings: tuple[GridSetting, ...]
    """Each at its best learning rate."""

    conditions: str
    measured: int
    total: int
    """Cells at every learning rate."""

    going: bool
    """Whether some of them have not ended."""

    def qualify(self, claim: str) -> str:
        """Return a title; while cells are missing, with how many are behind it."""
        if not self.going:
            return claim
        claim = claim.removeprefix("So far ")
        return f"So far, {self.measured} of {self.total} cells: {claim[0].lower()}{claim[1:]}"


def view_plane(settings: Sequence[GridSetting]) -> GridPlane:
    """Take each setting at its best rate, and count the cells behind them."""
    cells = [cell for setting in settings for cell in setting.cells]
    return GridPlane(
        settings=tuple(select_best_rates(settings)),
        conditions=describe_grid_conditions(settings),
        measured=sum(cell.measured for cell in cells),
        total=len(cells),
        going=not all(cell.ended for cell in cells),
    )


def name_levels(levels: GridLevels) -> str:
    """Name levels: `r=8, nf4-dq`."""
    return f"r={levels.rank}, {levels.bits}"


def build_namer(settings: Sequence[GridSetting]) -> Callable[[GridLevels], str]:
    """Return a function that names a setting: `r=8 nf4-dq`, plus whatever else the grid varies."""
    also = [
        field for field in ("targets", "variant") if len({getattr(a.levels, field) for a in settings}) > 1
    ]

    def format_levels(levels: GridLevels) -> str:
        more = (str(getattr(levels, field)) for field in also)
        return " ".join([f"r={levels.rank} {levels.bits}", *more])

    return format_levels


def describe_grid_conditions(settings: Sequence[GridSetting]) -> str:
    """Return what all cells share, the number of seeds, and where the grid was trained."""
    cells = [cell for setting in settings for cell in setting.cells]
    spec = cells[0].spec
    seeds = len({cell.spec.seed for cell in cells})
    parts = [
        shorten_model_name(spec.model),
        *_find_shared(settings),
        f"{spec.steps} steps of batch {spec.batch}",
        _format_rates(list_rates(settings)),
        "1 seed" if seeds == 1 else f"{seeds} seeds",
    ]
    devices = sorted({f"{cell.device}, {cell.compute}" for cell in cells if cell.device})
    where = f"; trained on {'; '.join(devices)}" if devices else ""
    measured = sum(cell.measured for cell in cells)
    so_far = f"; {measured} of {len(cells)} cells measured" if measured < len(cells) else ""
    return f"{', '.join(parts)}{where}{so_far}"


def _find_shared(settings: Sequence[GridSetting]) -> list[str]:
    """Return target set and variant, where the grid has only one and it is not the default."""
    targets = {setting.levels.targets for setting in settings}
    variants = {setting.levels.variant for setting in settings}
    words = [TARGET_LABELS[each] for each in targets] if len(targets) == 1 else []
    return words + ([*variants] if len(variants) == 1 and "lora" not in variants else [])


def _format_rates(tried: Sequence[float]) -> str:
    if len(tried) == 1:
        return f"learning rate {tried[0]:g}"
    return f"each at the best of {len(tried)} learning rates"


# ---- the scale on which losses are drawn


def compute_loss_span(values: Sequence[float]) -> Span:
    """Return the range of the losses, with some room on both sides."""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def choose_loss_levels(span: Span) -> dict[float, str]:
    """Return round losses inside the range and their labels, with enough digits to distinguish them."""
    ticks = choose_ticks(*span, about=4)
    for digits in range(1, 7):
        labels = {tick: f"{tick:.{digits}f}" for tick in ticks}
        if all(abs(float(label) - tick) < 1e-9 for tick, label in labels.items()):
            break
    return labels
