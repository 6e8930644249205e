"""The guided path: its order, what is next, and where a concept's page leads on to."""

from study.content.concepts import ConceptMap, load_concepts
from study.learner.path import choose_next_concept, follow_path, read_path_ids, say_place


def test_the_path_names_eight_to_ten_concepts_in_an_order_that_the_map_allows() -> None:
    concepts = load_concepts()
    assert 8 <= len(read_path_ids()) <= 10
    for place, concept_id in enumerate(read_path_ids()):
        later = set(read_path_ids()[place + 1 :])
        assert not later & set(_all_before(concepts, concept_id))


def test_off_the_path_it_is_said_what_a_concept_builds_on() -> None:
    concepts = load_concepts()
    assert say_place(concepts, concepts.by_id[read_path_ids()[0]]) == "step 1 of the path"
    beyond = next(c for c in concepts.by_id.values() if c.prerequisites and c.id not in read_path_ids())
    assert say_place(concepts, beyond).startswith(f"builds on {concepts.name(beyond.prerequisites[0])}")


def _all_before(concepts: ConceptMap, concept_id: str) -> set[str]:
    direct = set(concepts.by_id[concept_id].prerequisites)
    return direct.union(*(_all_before(concepts, before) for before in direct))


def test_the_first_step_that_is_not_done_is_next() -> None:
    first, second, third = read_path_ids()[:3]
    states = {step.concept.id: step.state for step in follow_path(load_concepts(), {first, third})}
    assert (states[first], states[second], states[third]) == ("done", "next", "done")
    assert {step.state for step in follow_path(load_concepts(), set(read_path_ids()))} == {"done"}


def test_a_concept_leads_on_to_the_path_and_then_to_what_builds_on_it() -> None:
    concepts, ids = load_concepts(), read_path_ids()
    after = choose_next_concept(concepts, set(), after=ids[0])
    assert after is not None
    assert after.id == ids[1]
    beyond = choose_next_concept(concepts, set(ids), after="lora-update")
    assert beyond is not None
    assert "lora-update" in beyond.prerequisites
    assert choose_next_concept(concepts, set(concepts.by_id)) is None


def test_a_newcomer_begins_with_the_path_and_off_it_what_is_ready_comes_first() -> None:
    concepts = load_concepts()
    first = choose_next_concept(concepts, set())
    assert first is not None
    assert first.id == read_path_ids()[0]
    beyond = choose_next_concept(concepts, set(read_path_ids()))
    assert beyond is not None
    assert set(beyond.prerequisites) <= set(read_path_ids())
