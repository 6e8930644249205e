"""Words of the glossary: short, sourced, and used once for one thing."""

from study.content.concepts import load_concepts
from study.content.glossary import read_glossary


def test_no_word_is_listed_twice_or_is_a_concept() -> None:
    names = [name.lower() for entry in read_glossary() for name in (entry.term, *entry.also)]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
    concepts = load_concepts().by_id.values()
    assert not set(names) & {concept.name.lower() for concept in concepts}


def test_a_word_leads_to_the_concept_that_has_it_among_its_terms() -> None:
    explained = {term.lower(): each.id for each in load_concepts().by_id.values() for term in each.terms}
    for entry in read_glossary():
        assert {explained.get(name.lower(), "") for name in (entry.term, *entry.also)} == {entry.concept}


def test_every_meaning_is_one_sentence_with_a_source() -> None:
    for entry in read_glossary():
        assert entry.source, entry.term
        assert entry.means.endswith("."), entry.term
        assert ". " not in entry.means, entry.term
