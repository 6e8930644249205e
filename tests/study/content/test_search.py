"""What a search lists, and what it lists first."""

from study.content.search import SearchEntry, search


def titles(words: str, *entries: str) -> list[str]:
    found = search([SearchEntry(kind="Models", title=title, address="/") for title in entries], words)
    return [entry.title for _, listed in found for entry in listed]


def test_a_title_that_begins_with_the_words_comes_first_then_one_with_a_word_that_does() -> None:
    assert titles("rank", "Why a high rank?", "Shrank", "Rank r") == ["Rank r", "Why a high rank?", "Shrank"]


def test_the_end_of_another_number_is_the_worst_match() -> None:
    small = (
        "qwen1.5-1.8b (1.84B)",
        "phi-2 (2.78B)",
        "deepseek-1.5b (1.78B)",
        "gemma-2b (3.08B)",
        "yi (6.8B)",
    )
    assert titles("8b", *small, "llama-3.1-8b (8.03B)")[0] == "llama-3.1-8b (8.03B)"


def test_every_word_must_be_there() -> None:
    assert titles("llama 70b", "llama-3.1-8b", "llama-3.1-70b") == ["llama-3.1-70b"]
    assert titles("   ", "llama-3.1-8b") == []
