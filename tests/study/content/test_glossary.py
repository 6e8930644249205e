"""Words of the glossary: short, sourced, and used once for one thing."""

from study.content.concepts import load_concepts
from study.content.glossary import read_glossary


def test_no_word_is_listed_twice_or_is_a_concept() -> None:
    names = [name.lower() for entry in read_glossary() for name in (entry.term, *entry.also)]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
    concepts = load_concepts().by_id.values()
    assert not set(names) & {name.lower() for concept in concepts for name in (concept.name, *concept.terms)}


def test_every_meaning_is_one_sentence_with_a_source() -> None:
    for entry in read_glossary():
        assert entry.source, entry.term
        assert entry.means.endswith("."), entry.term
        assert ". " not in entry.means, entry.term
