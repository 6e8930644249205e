"""The charts of an X-ray: singular values of an update, maps of all matrices, two maps of an overlap."""

from collections.abc import Callable, Sequence
from itertools import product
from operator import attrgetter
from statistics import median

from lora_lab.charts.heat_map import Tile, TileMap
from lora_lab.xray.result import SHARE, Module, Overlap, Side, Xray, compute_expected_overlap, format_each
from study.base.units import as_two_digits
from study.plots.columns import Columns
from study.plots.plot import Cell, Plot

FLAT_TILE = 22.0
NUMBERS_SHOWN = 16
"""With more columns than this, only the tallest has its number."""

SIDE_WORDS: dict[Side, str] = {
    "A": "A's directions (as in the paper)",
    "B": "B's directions",
    "inputs": "the update's input directions",
    "outputs": "the update's output directions",
}
CARRIED = f"{100 * SHARE:.0f} %"


def shorten_kind(kind: str) -> str:
    """Return `q` for `self_attn.q_proj`, short enough for a column."""
    return kind.rsplit(".", 1)[-1].removesuffix("_proj") or kind


def name_place(module: Module) -> str:
    """Name a matrix's place: `q_proj in layer 3`."""
    own = module.kind.rsplit(".", 1)[-1]
    return f"{own} in layer {module.layer}" if module.layer.isdigit() else own


# ---- singular values


def plot_spectrum(module: Module, conditions: str) -> Plot:
    """Plot the singular values of one update."""
    carried, rows = 0.0, []
    total = module.norm**2
    for number, value in enumerate(module.values, start=1):
        carried += value * value
        rows.append((number, value, 100 * carried / total if total else 0.0))
    return Plot(
        name="xray-values",
        title=_format_spectrum_title(module),
        subtitle=conditions,
        header=("number", "singular value", "carried so far (% of the squared norm)"),
        rows=tuple(rows),
        alt=(
            f"Columns: {len(module.values)} singular values of the update of {name_place(module)}, from "
            f"{module.values[0]:.3g} to {module.values[-1]:.3g}. {_format_spectrum_title(module)}."
        ),
        drawing=Columns(
            labels=tuple(str(number) for number in range(1, len(module.values) + 1)),
            values=module.values,
            numbers=tuple(
                as_two_digits(value) if len(module.values) <= NUMBERS_SHOWN or number == 0 else ""
                for number, value in enumerate(module.values)
            ),
            x_label="number of the singular value",
            y_label="singular value of s·B·A",
            footnote=(
                "Computed from the saved factors, exactly. "
                f"Stable rank ‖ΔW‖² / σ₁²: {module.stable_rank:.2f}."
            ),
        ),
    )


def _format_spectrum_title(module: Module) -> str:
    if module.is_zero:
        return f"The update of {name_place(module)} is zero: B is still what it was at the start"
    share = _name_share(str(module.used), module.rank)
    return f"{share} of the update of {name_place(module)}, by its squared norm"


# ---- maps of layers and modules


def draw_used_map(xray: Xray, conditions: str) -> Plot:
    """Plot how many directions carry 90 %, matrix by matrix."""
    found = [module.used for module in xray.moved]
    title = "All updates are zero: nothing was learnt yet"
    if found:
        span = str(min(found)) if min(found) == max(found) else f"{min(found)} to {max(found)}"
        share = f"{_name_share(span, xray.rank)} of an update"
        title = f"Over {_count_matrices(len(found))}, {share}; the median is {xray.median_used:g}"
    return _plot_map(
        xray,
        name="xray-used",
        title=title,
        conditions=conditions,
        shown=f"directions for {CARRIED}",
        value=lambda module: None if module.is_zero else float(module.used),
        words="{:.0f}".format,
        footnote=f"Computed. Of {xray.rank} directions at most; lighter is fewer.",
    )


def draw_norm_map(xray: Xray, conditions: str) -> Plot:
    """Plot ||dW|| / ||W||, matrix by matrix."""
    found = [module.relative_percent for module in xray.modules]
    largest = max(xray.modules, key=attrgetter("relative_percent"))
    title = "No weight has changed: all updates are zero"
    if largest.relative_percent:
        title = (
            f"An update has {as_two_digits(median(found))} % of its weight's norm at the median; the largest "
            f"is {as_two_digits(largest.relative_percent)} %, of {name_place(largest)}"
        )
    return _plot_map(
        xray,
        name="xray-norms",
        title=title,
        conditions=conditions,
        shown="‖ΔW‖ / ‖W‖, %",
        value=attrgetter("relative_percent"),
        words=as_two_digits,
        footnote=(
            "Computed, in Frobenius's norm; W as the run's bits keep it. Lighter is less."
            + (" DoRA's magnitudes are included." if any(m.whole for m in xray.modules) else "")
        ),
    )


def draw_factor_map(xray: Xray, conditions: str) -> Plot:
    """Plot amplification, matrix by matrix."""
    found = [factor for module in xray.modules if (factor := module.amplification)]
    title = "No directions are amplified: all updates are zero"
    if found:
        low, middle, high = (as_two_digits(measure(found)) for measure in (min, median, max))
        title = (
            f"At the median an update adds {middle} times what W has in its directions; from {low} to {high} "
            f"over {_count_matrices(len(found))}"
        )
    return _plot_map(
        xray,
        name="xray-factors",
        title=title,
        conditions=conditions,
        shown="‖ΔW‖ / ‖UᵀWV‖",
        value=attrgetter("amplification"),
        words=as_two_digits,
        footnote="Computed: U and V are the update's output and input directions. Lighter is less.",
    )


def _name_share(used: str, rank: int) -> str:
    """Name how many directions make up most of an update; `used` is a number or a range."""
    directions = "1 direction" if rank == 1 else f"{rank} directions"
    return f"{used} of {directions} {'carries' if used == '1' else 'carry'} {CARRIED}"


def _count_matrices(count: int) -> str:
    return "1 matrix" if count == 1 else f"{count} matrices"


def _plot_map(
    xray: Xray,
    *,
    name: str,
    title: str,
    conditions: str,
    shown: str,
    value: Callable[[Module], float | None],
    words: Callable[[float], str],
    footnote: str,
) -> Plot:
    """Plot a heat map with layers down and matrices across."""
    known = [(module, at) for module in xray.modules if (at := value(module)) is not None]
    values = [at for _, at in known]
    highest = max(values, default=None)

    def build_tile(module: Module | None) -> Tile:
        at = value(module) if module else None
        if module is None or at is None:
            return Tile(value=None, words=("–" if module is None else "0",))
        return Tile(
            value=at, words=(words(at),), marked=at == highest and values.count(at) == 1 < len(values)
        )

    rows: list[tuple[Cell, ...]] = [
        (module.layer, module.kind, "" if (at := value(module)) is None else at) for module in xray.modules
    ]
    return Plot(
        name=name,
        title=title,
        subtitle=conditions,
        header=("layer", "matrix", shown),
        rows=tuple(rows),
        alt=f"Heat map of {shown} over layers and matrices. {title}. {_describe_by_kind(xray, known, words)}",
        drawing=TileMap(
            columns=tuple(shorten_kind(kind) for kind in xray.kinds),
            rows=xray.layers,
            tiles=tuple(
                tuple(build_tile(xray.at(layer, kind)) for kind in xray.kinds) for layer in xray.layers
            ),
            x_label="matrix",
            y_label="layer",
            shown=shown,
            footnote=footnote,
            tile_height=FLAT_TILE,
        ),
    )


def _describe_by_kind(
    xray: Xray, known: Sequence[tuple[Module, float]], words: Callable[[float], str]
) -> str:
    """Describe medians by matrix, few enough numbers for a screen reader."""
    by_kind = {kind: [at for module, at in known if module.kind == kind] for kind in xray.kinds}
    told = ", ".join(
        f"{shorten_kind(kind)} {words(median(found))}" for kind, found in by_kind.items() if found
    )
    return f"Medians: {told}." if told else ""


# ---- overlap


def draw_overlap_maps(module: Module, overlap: Overlap, conditions: str) -> tuple[Plot, Plot]:
    """Plot phi(i, j) of the two runs, and of a drawn pair of random subspaces, on one scale."""
    title = "There are no directions to compare on this side: an update is zero"
    if overlap.ends:
        first, second = overlap.ends
        title = (
            f"{name_place(module)}: the strongest directions overlap by "
            f"{as_two_digits(100 * overlap.at(1, 1))} %, {overlap.sizes} by "
            f"{as_two_digits(100 * overlap.at(first, second))} %"
        )
    ours = _draw_overlap_map(
        overlap.phi, overlap, name="xray-overlap", title=title,
        conditions=f"{SIDE_WORDS[overlap.side]}; {conditions}",
        footnote="Computed. 0 means no overlap, 100 is one subspace inside the other.",
    )  # fmt: skip
    first, second = overlap.random_ends
    random = _draw_overlap_map(
        overlap.random, overlap, name="xray-random",
        title=(
            f"By chance, {format_each(first, second)} in {overlap.size:,} dimensions overlap by "
            f"{as_two_digits(100 * overlap.at(first, second, random=True))} % in one drawn pair, "
            f"{as_two_digits(100 * compute_expected_overlap(first, second, overlap.size))} % on average"
        ),
        conditions="The random baseline: two Gaussian matrices, drawn once with seed 0",
        footnote=f"On average max(i, j) / d, here with d = {overlap.size:,}.",
    )  # fmt: skip
    return ours, random


def _draw_overlap_map(
    rows: Sequence[Sequence[float | None]],
    overlap: Overlap,
    *,
    name: str,
    title: str,
    conditions: str,
    footnote: str,
) -> Plot:
    firsts, seconds = overlap.firsts, overlap.seconds
    shown = "φ(i, j), %"
    listed = [
        (i, j, 100 * phi, 100 * compute_expected_overlap(i, j, overlap.size))
        for i, row in zip(firsts, rows, strict=True)
        for j, phi in zip(seconds, row, strict=True)
        if phi is not None
    ]
    corners = product((firsts[0], firsts[-1]), (seconds[0], seconds[-1]))
    told = {(i, j): phi for i, j, phi, _ in listed}
    words = "; ".join(f"{i} and {j}: {told[i, j]:.1f} %" for i, j in dict.fromkeys(corners) if (i, j) in told)
    return Plot(
        name=name,
        title=title,
        subtitle=conditions,
        header=("i, directions of this run", "j, directions of the second", shown, "by chance on average, %"),
        rows=tuple(listed),
        alt=f"Heat map of the overlap of the first i and j directions. {title}. At its corners {words}.",
        drawing=TileMap(
            columns=tuple(str(j) for j in seconds),
            rows=tuple(str(i) for i in firsts),
            tiles=tuple(
                tuple(Tile(value=phi, words=("–" if phi is None else f"{100 * phi:.0f}",)) for phi in row)
                for row in rows
            ),
            x_label="j, directions of the second run" if name == "xray-overlap" else "j, random directions",
            y_label="i, directions of this run" if name == "xray-overlap" else "i, random directions",
            shown=shown,
            footnote=footnote,
            tile_height=FLAT_TILE + 6,
            span=(0.0, 1.0),
        ),
    )
