"""The content rules: each finds a bad item, and the app's own content passes all of them."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from flashcards.__main__ import as_item as card_as_item
from flashcards.__main__ import lint_cards
from flashcards.decks.deck import load_decks
from quizzes.__main__ import as_item as question_as_item
from quizzes.__main__ import lint_questions
from quizzes.bank.bank import load_bank
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from study.lessons import content_lint
from study.lessons.content_lint import (
    LintedItem,
    LintedOption,
    LintFinding,
    Rule,
    compute_grade,
    lint,
    raise_findings,
)

CONCEPTS = load_concepts()
CARDS = load_decks(CONCEPTS).cards
QUESTIONS = load_bank(CONCEPTS).questions
GOOD = LintedItem(
    id="rank-what",
    concepts=("matrix-rank",),
    level="beginner",
    asks="What does the rank of a matrix count?",
    answers="Its independent rows.",
    explains=("A row that others add up to brings nothing new.",),
)


def options(*texts: str, right: int = 0) -> tuple[LintedOption, ...]:
    return tuple(
        LintedOption(text=text, correct=place == right, feedback=f"why {place}")
        for place, text in enumerate(texts)
    )


def texts(found: Iterable[LintFinding]) -> list[str]:
    return [finding.text for finding in found]


def test_the_apps_cards_keep_all_rules() -> None:
    assert lint_cards(CARDS, CONCEPTS) == []


def test_the_apps_questions_keep_all_rules() -> None:
    assert lint_questions(QUESTIONS, CONCEPTS) == []


@pytest.mark.parametrize("rule", content_lint.RULES, ids=lambda rule: rule.__name__)
def test_a_good_item_passes(rule: Rule) -> None:
    assert (
        list(
            rule([GOOD, replace(GOOD, id="other", asks="How is a product formed?", answers="Row by column.")])
        )
        == []
    )


LONG_WORDS = (
    "Parameter-efficient adaptation methodologies necessitate comprehensively understanding dimensionality "
    "considerations notwithstanding computational infrastructure heterogeneity."
)
ONE_FEEDBACK = tuple(LintedOption(text=text, correct=text == "1", feedback="so") for text in "12")


@pytest.mark.parametrize(
    ("rule", "bad", "finding"),
    [
        (content_lint.ids_are_plain, replace(GOOD, id="Rank_What"), "small letters"),
        (content_lint.ids_are_plain, replace(GOOD, id="-rank"), "small letters"),
        (content_lint.concepts_are_named, replace(GOOD, concepts=()), "names 0 concepts"),
        (content_lint.concepts_are_named, replace(GOOD, concepts=tuple("abcde")), "names 5 concepts"),
        (content_lint.nothing_is_banned, replace(GOOD, answers="All of  the above."), "all of the above"),
        (content_lint.nothing_is_banned, replace(GOOD, choices=options("None of the above")), "none of"),
        (content_lint.nothing_is_banned, replace(GOOD, explains=("Find your learning style.",)), "learning"),
        (content_lint.text_is_readable, replace(GOOD, answers=LONG_WORDS), "reads at grade"),
        (
            content_lint.options_have_their_own_feedback,
            replace(GOOD, choices=ONE_FEEDBACK),
            "share a feedback",
        ),
    ],
)
def test_a_bad_item_is_found(rule: Rule, bad: LintedItem, finding: str) -> None:
    other = replace(GOOD, id="fine")
    [found] = rule([other, bad])
    assert finding in found.text
    assert found.item == bad.id


@pytest.mark.parametrize(
    ("asks", "answers"),
    [
        (GOOD.asks, "Something else entirely, said at some length."),
        ("What does the rank of one matrix count?", GOOD.answers),
        ("And what does the rank of a matrix count?", "Its independent rows, or columns."),
    ],
)
def test_a_near_copy_is_found(asks: str, answers: str) -> None:
    copy = replace(GOOD, id="rank-again", asks=asks, answers=answers)
    [found] = content_lint.nothing_is_there_twice([GOOD, copy])
    assert found.item == "rank-again"
    assert found.text.endswith("like rank-what")


def test_parts_of_one_entry_may_be_alike() -> None:
    parts = [replace(GOOD, id="rank-what--c1"), replace(GOOD, id="rank-what--c2")]
    assert list(content_lint.nothing_is_there_twice(parts)) == []


def test_right_options_may_not_be_longer_or_shorter_on_average() -> None:
    long = replace(GOOD, choices=options("a long and careful answer", "short", "brief"))
    assert texts(content_lint.length_gives_nothing_away([long])) == [
        "right options are 5.00 times as long as wrong ones",
        "the right option is the longest in 1 of 1",
    ]
    short = replace(GOOD, choices=options("a", "long answer", "long answer"))
    assert texts(content_lint.length_gives_nothing_away([short])) == [
        "right options are 0.09 times as long as wrong ones"
    ]


def test_the_right_option_may_not_be_the_longest_too_often_even_by_a_letter() -> None:
    close = replace(GOOD, choices=options("thirteen !!!!", "twelve ! !!!", "twelve ! !!!"))
    even = replace(GOOD, choices=options("just as long", "just as long.", "just as lon"))
    assert texts(content_lint.length_gives_nothing_away([close, even])) == [
        "the right option is the longest in 1 of 2"
    ]
    assert list(content_lint.length_gives_nothing_away([close, even, even])) == []


def test_each_place_must_be_right_about_as_often() -> None:
    spread = [replace(GOOD, choices=options("a", "b", "c", "d", right=n % 4)) for n in range(40)]
    assert list(content_lint.places_are_spread(spread)) == []
    first = [replace(GOOD, choices=options("a", "b", "c", "d"))] * 20
    assert "place 1 of 4 is right in 30 of 60 questions" in texts(
        content_lint.places_are_spread(spread + first)
    )
    assert list(content_lint.places_are_spread(first[1:])) == []


def test_a_concept_needs_several_items_of_two_levels() -> None:
    beginner, advanced = GOOD, replace(GOOD, level="advanced")
    found = content_lint.check_coverage([beginner] * 3 + [advanced], ["matrix-rank", "nf4"], least=4)
    assert [str(finding) for finding in found] == [
        "nf4: has 0 items, needs 4",
        "nf4: has items of one level only",
    ]
    assert texts(content_lint.check_coverage([beginner] * 4, ["matrix-rank"], least=5)) == [
        "has 4 items, needs 5",
        "has items of one level only",
    ]


def test_all_findings_are_said_at_once() -> None:
    found = lint([replace(GOOD, id="Bad", answers="None of the above")], {"nf4": None}, least=1)
    with pytest.raises(LearnerError, match=r"Bad: an id is .*\nBad: says .*\nnf4: has 0 items, needs 1"):
        raise_findings(found)
    raise_findings([])


def test_a_question_is_read_with_its_one_right_option() -> None:
    item = question_as_item(QUESTIONS[0])
    assert item.right_place is not None
    [right] = [option for option in QUESTIONS[0].options if option.correct]
    assert item.choices[item.right_place].text == item.answers == right.text
    assert card_as_item(CARDS[0]).right_place is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # 6 words, 17 letters, 1 sentence: 4.71 * 17 / 6 + 0.5 * 6 - 21.43
        ("The cat sat on the mat.", -5.085),
        ("The cat sat. The cat sat.", 4.71 * 3 + 0.5 * 3 - 21.43),
        (
            "`prepare_model_for_kbit_training` sat on $\\frac{\\alpha}{r}$ mats.",
            4.71 * 11 / 5 + 0.5 * 5 - 21.43,
        ),
        ("", 0.0),
    ],
)
def test_reading_grade_is_the_published_formula_on_the_prose_alone(text: str, expected: float) -> None:
    assert compute_grade(text) == pytest.approx(expected)
