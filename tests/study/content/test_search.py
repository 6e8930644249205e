"""What a search lists, and what it lists first."""

import pytest

from study.content.search import BEST, BEST_COUNT, FOUND_PER_KIND, SearchEntry, search


def titles(words: str, *entries: str) -> list[str]:
    found = search([SearchEntry(kind="Models", title=title, address="/") for title in entries], words)
    return [entry.title for _, listed in found for entry in listed]


def first(words: str, *entries: SearchEntry) -> SearchEntry:
    return search(entries, words)[0][1][0]


def test_the_shorter_title_comes_first_and_the_middle_of_a_word_does_not_count() -> None:
    assert titles("rank", "Why a high rank?", "Shrank", "Rank r") == ["Rank r", "Why a high rank?"]


def test_a_title_that_begins_with_the_word_comes_before_a_shorter_one_that_holds_it() -> None:
    listed = titles("rank", "Low-rank factors", "Rank r of an adapter")
    assert listed == ["Rank r of an adapter", "Low-rank factors"]


def test_what_begins_no_word_is_looked_for_inside_words() -> None:
    assert titles("llama", "tinyllama-1.1b", "gpt2") == ["tinyllama-1.1b"]


def test_a_short_word_is_not_looked_for_inside_words_but_may_begin_one() -> None:
    assert titles("zzzz qqq", "hqq8") == []
    assert titles("hqq memory", "hqq8") == ["hqq8"]


def test_the_end_of_another_number_is_no_match() -> None:
    small = (
        "qwen1.5-1.8b (1.84B)",
        "phi-2 (2.78B)",
        "deepseek-1.5b (1.78B)",
        "gemma-2b (3.08B)",
        "yi (6.8B)",
    )
    assert titles("8b", *small, "llama-3.1-8b (8.03B)") == ["llama-3.1-8b (8.03B)"]


def test_half_of_the_words_is_too_little_beside_all_of_them() -> None:
    assert titles("llama 70b", "llama-3.1-8b", "llama-3.1-70b") == ["llama-3.1-70b"]
    assert titles("   ", "llama-3.1-8b") == []


@pytest.mark.parametrize("typed", ["merge", "merges", "merged", "merging"])
@pytest.mark.parametrize("written", ["Merge it", "It merges", "Merged", "Merging an adapter"])
def test_every_form_of_a_word_finds_every_other(typed: str, written: str) -> None:
    assert titles(f"{typed} now", written) == [written]


@pytest.mark.parametrize("typed", ["do", "doub", "doubl", "double", "double q", "double quantiza"])
def test_a_word_that_is_still_being_typed_finds_already(typed: str) -> None:
    assert titles(typed, "Double quantization", "Frozen base") == ["Double quantization"]


def test_words_of_a_question_that_say_nothing_are_left_out() -> None:
    assert titles("what is the rank of a", "What is it for?", "Rank r") == ["Rank r"]
    assert titles("what’s rank", "What’s it for?", "Rank r") == ["Rank r"]
    assert titles("the", "The path", "Rank r") == ["The path"]


def test_a_rare_word_counts_more_than_a_common_one() -> None:
    common = [SearchEntry(kind="Cards", title=f"Adapter {number}", address="/") for number in range(9)]
    rare = SearchEntry(kind="Cards", title="NaN", address="/")
    assert first("adapter nan", *common, rare) == rare


def test_the_title_counts_more_than_the_text() -> None:
    title = SearchEntry(kind="Cards", title="Paged optimizers", address="/")
    text = SearchEntry(kind="Cards", title="Memory", address="/", text="paged optimizers")
    assert first("paged optimizers", text, title) == title


def test_the_best_of_all_kinds_come_before_the_kinds_and_are_listed_once() -> None:
    entries = [SearchEntry(kind=kind, title=f"Rank {kind}", address="/") for kind in ("Words", "Cards")]
    few = [SearchEntry(kind="Cards", title=f"A rank of {number} pairs", address="/") for number in range(9)]
    assert [kind for kind, _ in search([*entries, *few], "rank")] == ["Words", "Cards"]
    found = search([*entries, *few], "rank pairs")
    assert [(kind, len(listed)) for kind, listed in found] == [(BEST, BEST_COUNT), ("Cards", FOUND_PER_KIND)]
    assert len({entry.title for _, listed in found for entry in listed}) == BEST_COUNT + FOUND_PER_KIND
