"""What learners and maintainers read stays free of the phrases that made it read like a translation."""

from pathlib import Path

import pytest

from tests.docs.plain_english import ALLOWED, NOT_IN_COMMENTS, PATTERNS, comments, findings, texts

BAD = {
    "negated noun, 'is no X'": "A large norm is no sign of a good update.",
    "negated pronoun, 'is none'": "A race at one learning rate is none.",
    "causal ', as'": "It takes fewer bits, as its code is shorter.",
    "'a' for 'per'": "NF4 needs 4.5 bits a weight.",
    "'takes' for 'needs'": "A trained number takes 16 bytes.",
    "'takes ... for' as a mistake": "It takes bits for bytes.",
    "'has' for a size": "The adapter has 83.9 MB.",
    "'a thousand million'": "A GB is a thousand million bytes.",
    "'in place of' for 'instead of'": "A and B in place of W.",
    "absolute ', X left out'": "How many MB is its file, header left out?",
    "'goes on' for 'continues'": "Fine-tuning goes on training a model.",
    "'an own'": "Each setting shows an own error.",
    "'Who does' for 'anyone who does'": 'Who asks for "4-bit" trains something else.',
    "'how many X has' for 'does ... have'": "How many optimizer steps has an epoch?",
    "'what becomes of', 'come of', 'speaks for'": "What speaks for NF4 here?",
    "'gather' for 'accumulate'": "Gathering gradients makes fewer steps.",
    "'size' for 'magnitude'": "The constant is a size.",
    "'missed by' for 'off by'": "These weights are missed by 10 %.",
    "idioms of another language": "Alpha and learning rate pull the same rope.",
}
GOOD = (
    "A large norm doesn't mean a good update. There is no difference, and it is no longer a number.",
    "It needs fewer bits, because its code is shorter, as far as we know, as in the paper.",
    "NF4 needs 4.5 bits per weight, which is many bits a model can use. A trained number needs 16 bytes.",
    "A GB is a billion bytes. Use A and B instead of W; the two could not be told apart.",
    "How many MB does its file have, without the header? Who decides which pages move?",
    "It takes 3 seconds for the first token, and time for a step. The GPU has 24 GB of memory.",
)


WORSE = (
    ("'takes' for 'needs'", "Llama 3.1 8B takes [[weight_bytes model=llama-3.1-8b bits=16|GB]] at 16 bits."),
    ("'a' for 'per'", "one of [[quantization_levels bits=4]] levels a weight"),
    ("'takes' for 'needs'", "8-bit states take a quarter of 32-bit ones. The two averages need less."),
    ("'takes' for 'needs'", "The two averages take the same room again."),
    ("'takes ... for' as a mistake", "norms-are-large: takes a norm for a matrix"),
    ("'takes ... for' as a mistake", "Don't take it for the memory of a training run."),
    ("'takes ... for' as a mistake", "You took bits for bytes."),
    ("'has' for a size", "The adapter above has [[adapter_bytes bits=16|MB]] in 16 bits."),
    ("'has' for a size", "One model has 13,476,831,232 bytes."),
)


WORST = (
    "while on small sets very low ranks do", "To this come", "trains something else", "learning rate is none",
    "the more so the larger n", "only that tells learning from memorizing", "goes on training a model",
    "into its order", "What shape has", "optimizer steps has an epoch", "header left out",
    "copies are no real",
    "What speaks for", "pull the same rope", "many a little instead of few", "the usual start is not made",
    "no fair judge", "a 32-bit constant a block", "attention aside", "is there for nothing else",
    "What becomes of the number", "The constant is a size", "largest size, whatever the sign",
    "Whoever chooses this", "are missed by", "The title adds",
)  # fmt: skip
"""Phrases of the sentences that a reader found worst."""


@pytest.fixture(scope="module")
def everything() -> list[tuple[str, str]]:
    return list(texts())


def test_the_worst_sentences_are_gone(everything: list[tuple[str, str]]) -> None:
    joined = " ".join(text for _, text in everything)
    assert [phrase for phrase in WORST if phrase in joined] == []


def test_no_text_has_a_phrase_of_the_list(everything: list[tuple[str, str]]) -> None:
    assert [str(finding) for finding in findings(everything)] == []


def test_no_comment_or_docstring_has_a_phrase_of_the_list() -> None:
    assert [str(finding) for finding in findings(comments(), leave_out=NOT_IN_COMMENTS)] == []


def test_docstrings_and_comments_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "app.py").write_text(
        '"""Starts the\napp.\n\nMore."""\nSIZE = 8  # of a row,\n# in bytes\n', "utf-8"
    )
    (tmp_path / "study" / "x.py").write_text('KEY = "a text"\n"""None while unknown."""\n', "utf-8")
    assert list(comments(tmp_path)) == [
        ("app.py", "Starts the app."), ("app.py", "More."), ("app.py", "of a row, in bytes"),
        ("study/x.py", "8 while unknown."),
    ]  # fmt: skip


def test_every_kind_of_text_is_read(everything: list[tuple[str, str]]) -> None:
    read = {where.rpartition("/")[0] for where, _ in everything}
    assert {
        "study/lessons", "study/content", "flashcards/decks", "quizzes/questions", "quizzes/explain",
        "quizzes/families/texts", "quizzes/bank", "lora_lab/figures", "lora_lab/projects", "docs/guide",
        "docs", "docs/decisions", "deploy",
    } <= read  # fmt: skip
    files = {where for where, _ in everything}
    assert {"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/load.py"} <= files


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_finds_its_phrase(name: str) -> None:
    assert PATTERNS[name].search(BAD[name])


@pytest.mark.parametrize(("name", "text"), WORSE)
def test_a_pattern_finds_its_phrase_in_other_words(name: str, text: str) -> None:
    assert PATTERNS[name].search(text)


@pytest.mark.parametrize("text", GOOD)
def test_plain_sentences_pass(text: str) -> None:
    assert [name for name, pattern in PATTERNS.items() if pattern.search(text)] == []


def test_the_allow_list_is_short_and_used(everything: list[tuple[str, str]]) -> None:
    assert len(ALLOWED) <= 10
    assert [phrase for phrase in ALLOWED if not any(phrase in text for _, text in everything)] == []
