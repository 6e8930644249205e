"""The concept map as a drawing: every concept in a cell of its own, every line from before to after."""

import re
from itertools import pairwise

import pytest

from study.content.concept_map_layout import CELL, MARGIN_Y, Graph, lay_out_graph, list_dependents
from study.content.concepts import ConceptMap


@pytest.fixture(scope="module")
def graph(concepts: ConceptMap) -> Graph:
    return lay_out_graph(concepts)


def test_every_concept_has_a_cell_of_its_own_in_the_column_of_its_area(
    graph: Graph, concepts: ConceptMap
) -> None:
    nodes = [node for _, column in graph.columns for node in column]
    assert [name for name, _ in graph.columns] == [name for name, _ in concepts.group_by_area()]
    assert {node.concept.id for node in nodes} == set(concepts.by_id)
    assert len({(node.column, node.row) for node in nodes}) == len(nodes)
    assert all(0 <= node.row < graph.rows for node in nodes)


def test_a_column_is_in_the_order_of_study(graph: Graph) -> None:
    for _, column in graph.columns:
        assert all(above.row < below.row for above, below in pairwise(column))


def test_there_is_one_line_for_each_prerequisite(graph: Graph, concepts: ConceptMap) -> None:
    wanted = {(before, c.id) for c in concepts.by_id.values() for before in c.prerequisites}
    assert {(edge.before, edge.after) for edge in graph.edges} == wanted
    assert len(graph.edges) == len(wanted)


def test_a_long_line_crosses_other_columns_in_the_gaps_between_rows(graph: Graph) -> None:
    crossings = [float(y) for edge in graph.edges for y in re.findall(r"(-?[\d.]+)H", edge.path)]
    assert len(crossings) >= 10
    assert all(min(y % CELL, CELL - y % CELL) <= MARGIN_Y for y in crossings)
    assert len(set(crossings)) == len(crossings)


def test_what_comes_after_a_concept_is_what_names_it(concepts: ConceptMap) -> None:
    assert [c.id for c in list_dependents(concepts, "matrix-rank")] == [
        "low-rank-factorization",
        "intrinsic-dimension",
    ]
