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


FIELD_WORDS = (
    "AWQ", "DPO", "FSDP", "GPTQ", "Hadamard transform", "NaN", "PCIe", "ZeRO", "attention", "autograd",
    "bandwidth", "calibration", "cross-entropy", "embedding", "key-value heads", "kernel", "logits", "MLP",
    "nats", "orthogonal", "outliers", "perplexity", "quantiles", "residual stream", "rotary", "router",
    "seed", "silu", "sliding window", "softmax", "standard error", "super-block", "tensor core", "tokens",
    "unified memory", "vocabulary", "zero point",
)  # fmt: skip
"""Words that lessons, cards and questions use and that a beginner can't know."""


def test_words_of_the_field_have_a_page_or_a_meaning() -> None:
    names = {name.lower() for entry in read_glossary() for name in (entry.term, *entry.also)}
    names |= {name.lower() for each in load_concepts().by_id.values() for name in (each.name, *each.terms)}
    assert [word for word in FIELD_WORDS if word.lower() not in names] == []


def test_every_meaning_is_one_sentence_with_a_source() -> None:
    for entry in read_glossary():
        assert entry.source, entry.term
        assert entry.means.endswith("."), entry.term
        assert ". " not in entry.means, entry.term
