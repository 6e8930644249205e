"""What the plots of a grid share: their arms, the conditions, and the names of settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lora_lab.charts.captions import model_name
from lora_lab.grids.results import GridSetting, GridVariant, at_best_rate, list_rates
from lora_lab.spec import TARGET_LABELS


@dataclass(frozen=True, kw_only=True)
class GridPlane:
    """Settings of a grid that are plotted together: one rank x bit width plane, or all of them."""

    arms: tuple[GridSetting, ...]
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


def view_plane(arms: Sequence[GridSetting]) -> GridPlane:
    """Take each setting at its best rate, and count the cells behind them."""
    cells = [cell for arm in arms for cell in arm.cells]
    return GridPlane(
        arms=tuple(at_best_rate(arms)),
        conditions=grid_conditions(arms),
        measured=sum(cell.measured for cell in cells),
        total=len(cells),
        going=not all(cell.ended for cell in cells),
    )


def name_of(setting: GridVariant) -> str:
    """Return `r=8, nf4-dq`."""
    return f"r={setting.rank}, {setting.bits}"


def build_namer(arms: Sequence[GridSetting]) -> Callable[[GridVariant], str]:
    """Return a function that names a setting: `r8 nf4-dq`, plus whatever else the grid varies."""
    also = [field for field in ("targets", "variant") if len({getattr(a.setting, field) for a in arms}) > 1]

    def words(setting: GridVariant) -> str:
        more = (str(getattr(setting, field)) for field in also)
        return " ".join([f"r{setting.rank} {setting.bits}", *more])

    return words


def grid_conditions(arms: Sequence[GridSetting]) -> str:
    """Return what all cells share, the number of seeds, and where the grid was measured."""
    cells = [cell for arm in arms for cell in arm.cells]
    spec = cells[0].spec
    seeds = len({cell.spec.seed for cell in cells})
    parts = [
        model_name(spec.model),
        *_find_shared(arms),
        f"{spec.steps} steps of batch {spec.batch}",
        _format_rates(list_rates(arms)),
        "1 seed" if seeds == 1 else f"{seeds} seeds",
    ]
    devices = sorted({f"{cell.device}, {cell.compute}" for cell in cells if cell.device})
    where = f"; measured on {'; '.join(devices)}" if devices else ""
    measured = sum(cell.measured for cell in cells)
    so_far = f"; {measured} of {len(cells)} cells measured" if measured < len(cells) else ""
    return f"{', '.join(parts)}{where}{so_far}"


def _find_shared(arms: Sequence[GridSetting]) -> list[str]:
    """Return target set and variant, where the grid has only one and it is not the default."""
    targets = {arm.setting.targets for arm in arms}
    variants = {arm.setting.variant for arm in arms}
    words = [TARGET_LABELS[each] for each in targets] if len(targets) == 1 else []
    return words + ([*variants] if len(variants) == 1 and "lora" not in variants else [])


def _format_rates(tried: Sequence[float]) -> str:
    if len(tried) == 1:
        return f"learning rate {tried[0]:g}"
    return f"each at the best of {len(tried)} learning rates"
