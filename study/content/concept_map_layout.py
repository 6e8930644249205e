"""Graph layout of the concept map: areas are columns, and a concept is next to or below its prerequisites."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from study.content.concepts import Concept, ConceptMap

CELL = 100.0
"""Column width and row height, in units of the drawing."""

NODE_WIDTH, NODE_HEIGHT = 80.0, 72.0  # the rest of a cell is left to edges
MARGIN_X, MARGIN_Y = (CELL - NODE_WIDTH) / 2, (CELL - NODE_HEIGHT) / 2
LANE = 5.0  # between two long edges in one gap
SIDESTEP = MARGIN_X * 0.9  # how far an edge inside a column bends around the nodes between its ends


@dataclass(frozen=True, kw_only=True)
class ConceptNode:
    concept: Concept
    column: int
    row: int


Pair = tuple[ConceptNode, ConceptNode]
"""A prerequisite, and the concept that builds on it."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A line from a prerequisite to the concept that builds on it."""

    before: str
    after: str
    path: str
    """SVG path data."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    columns: tuple[tuple[str, tuple[ConceptNode, ...]], ...]
    """Area names with their concepts, in study order."""

    edges: tuple[Edge, ...]
    rows: int


def lay_out_graph(concepts: ConceptMap) -> Graph:
    """Lay out the map of these concepts."""
    areas = concepts.group_by_area()
    rows = max((len(found) for _, found in areas), default=0)
    placed: dict[str, ConceptNode] = {}
    for column, (_, found) in enumerate(areas):
        for node in _place_column(found, column, rows, placed):
            placed[node.concept.id] = node
    pairs = [(placed[before], node) for node in placed.values() for before in node.concept.prerequisites]
    lanes = _assign_lanes(pairs)
    return Graph(
        columns=tuple((name, tuple(placed[concept.id] for concept in found)) for name, found in areas),
        edges=tuple(
            Edge(before=before.concept.id, after=after.concept.id, path=_draw_path(before, after, lanes))
            for before, after in pairs
        ),
        rows=rows,
    )


def list_dependents(concepts: ConceptMap, concept_id: str) -> list[Concept]:
    return [concept for concept in concepts.by_id.values() if concept_id in concept.prerequisites]


def _place_column(
    found: list[Concept], column: int, rows: int, placed: Mapping[str, ConceptNode]
) -> list[ConceptNode]:
    """Place one area's concepts in study order, each next to its prerequisites as far as rows are free."""
    nodes: list[ConceptNode] = []
    for index, concept in enumerate(found):
        above = nodes[-1].row + 1 if nodes else 0
        wanted = [placed[before].row for before in concept.prerequisites if before in placed]
        lowest = rows - (len(found) - index)  # each later concept needs a row of its own
        row = min(max(above, round(mean(wanted)) if wanted else above), lowest)
        nodes.append(ConceptNode(concept=concept, column=column, row=row))
    return nodes


def _assign_lanes(pairs: list[Pair]) -> dict[Pair, float]:
    """Assign the height at which a long edge crosses the columns between its ends: in a gap between rows."""
    gaps: dict[int, list[Pair]] = {}
    for before, after in pairs:
        if abs(after.column - before.column) > 1:
            # Gap n is above row n. An edge from below stays below until its end.
            gap = after.row + 1 if before.row > after.row else after.row
            gaps.setdefault(gap, []).append((before, after))
    return {
        pair: gap * CELL + (index - (len(group) - 1) / 2) * LANE
        for gap, group in gaps.items()
        for index, pair in enumerate(group)
    }


def _draw_path(before: ConceptNode, after: ConceptNode, lanes: Mapping[Pair, float]) -> str:
    if before.column == after.column:
        return _draw_inside(before, after)
    side = 1 if before.column < after.column else -1
    x1 = (before.column + 0.5) * CELL + side * NODE_WIDTH / 2
    x2 = (after.column + 0.5) * CELL - side * NODE_WIDTH / 2
    y1, y2 = _find_middle(before), _find_middle(after)
    turn = side * MARGIN_X
    out, home = x1 + turn, x2 - turn
    lane = lanes.get((before, after))
    if lane is None:
        return f"M{x1:g} {y1:g}C{x1 + 2 * turn:g} {y1:g} {x2 - 2 * turn:g} {y2:g} {x2:g} {y2:g}"
    return (
        f"M{x1:g} {y1:g}C{out:g} {y1:g} {out:g} {lane:g} {out + turn:g} {lane:g}"
        f"H{home - turn:g}C{home:g} {lane:g} {home:g} {y2:g} {x2:g} {y2:g}"
    )


def _draw_inside(before: ConceptNode, after: ConceptNode) -> str:
    x = (before.column + 0.5) * CELL
    if after.row == before.row + 1:
        return f"M{x:g} {before.row * CELL + CELL - MARGIN_Y:g}V{after.row * CELL + MARGIN_Y:g}"
    side = before.column * CELL + MARGIN_X
    y1, y2 = _find_middle(before), _find_middle(after)
    out = side - SIDESTEP * min(1.0, 0.5 + 0.15 * (after.row - before.row))
    return f"M{side:g} {y1:g}C{out:g} {y1:g} {out:g} {y2:g} {side:g} {y2:g}"


def _find_middle(node: ConceptNode) -> float:
    return (node.row + 0.5) * CELL
