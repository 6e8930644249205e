"""People's marks beside the grader's: the learner's word and ticks, the teacher's mark, and agreement."""

import pytest

from quizzes.explain.judgements import TEACHER_VERDICTS
from quizzes.pages.explain import ExplainPage
from tests.quizzes.explain.explaining import QUERY, TEXT, Cards, act, explained, finish, idea, newest, polled
from tests.quizzes.rule_grader import RuleGrader
from tests.visits import build_event, opened, words


def test_the_learners_word_stands_beside_the_graders_and_settles_nothing_alone(page: ExplainPage) -> None:
    html = explained(page)
    assert html.count('data-act="claim"') == 4
    assert "I disagree" in idea(html, 4)
    html = act(page, html, "claim", nth=3)  # of the missing one
    assert "counts neither way until a teacher decides" in idea(html, 4)
    assert 'aria-pressed="true"' in html
    attempt = newest(page)
    assert attempt.verdicts is not None
    assert "less-training-memory" not in attempt.verdicts
    assert [each.by for each in attempt.of("less-training-memory")] == ["grader", "learner"]
    html = act(page, html, "claim", nth=3)
    assert 'aria-pressed="true"' not in html
    assert (newest(page).verdicts or {})["less-training-memory"] == "missing"


def test_where_the_grader_is_unsure_the_learners_word_counts(page: ExplainPage) -> None:
    html = explained(page)
    assert "I did say this" in idea(html, 3)
    reply = page.act(build_event(html, "claim", nth=2), opened("b1"))
    assert reply["focus"] == "#idea-3"
    html = reply["html"]
    assert "2 of 4 concepts" in words(html)
    assert "your own judgement counts here" in idea(html, 3)


@pytest.mark.parametrize(("nth", "verdict"), [(0, "missing"), (1, "covered")])
def test_who_disagrees_says_the_opposite_and_it_counts_neither_way(
    page: ExplainPage, nth: int, verdict: str
) -> None:
    html = act(page, explained(page), "claim", nth=nth)
    concept = page.exercise.prompts["explain-lora"].concepts[nth].id
    last = newest(page).newest(concept, "learner")
    assert last is not None
    assert last.verdict == verdict
    assert newest(page).counted(concept) is None
    assert "counts neither way until a teacher decides" in idea(html, nth + 1)


def test_a_teachers_mark_has_a_reason_decides_and_can_be_undone(page: ExplainPage) -> None:
    html = explained(page)
    mark = {"concept": ["less-training-memory"], "verdict": ["covered"], "reason": [""]}
    with pytest.raises(Exception, match="needs a reason"):
        act(page, html, "override", fields=mark)
    html = act(page, html, "override", fields={**mark, "reason": ["Said aloud in class."]})
    assert "Covered" in idea(html, 4)
    assert "Said aloud in class. (grader: missing)" in idea(html, 4)
    assert "2 of 4 concepts" in words(html)
    undone = act(page, html, "take-back")
    assert "1 of 4 concepts" in words(undone)
    assert "(taken back)" in words(undone)
    stale = page.act(build_event(html, "take-back"), opened("b1"))
    assert "already been removed" in stale["error"]
    assert "unsure" not in TEACHER_VERDICTS


def test_without_the_models_files_the_learner_ticks_and_can_ask_again(
    page: ExplainPage, grader: RuleGrader, cards: Cards
) -> None:
    grader.has_files = False
    rubric = explained(page)
    assert "The grader's model is not here. Connect once, then try again." in words(rubric)
    assert "The grader's model is not here." in words(page.load(opened("b1", QUERY)))
    html = act(page, rubric, "judge", fields={"concept": ["frozen-base"]})
    assert "1 of 4 concepts" in words(html)
    assert cards.asked == [("lora-update", "counting-parameters", "trainable-state")]
    grader.has_files = True
    html = polled(page, act(page, html, "retry"))
    assert "Contradicted" in idea(html, 2)
    assert "The grader's model is not here." not in words(html)


def test_who_would_not_wait_ticks_and_finds_the_graders_word_later(
    page: ExplainPage, grader: RuleGrader
) -> None:
    with grader.busy:
        reading = act(page, page.load(opened("b1", QUERY)), "submit", fields={"answer": [TEXT]})
        assert "Reading your answer" in words(reading)
        rubric = act(page, reading, "self")
        html = act(page, rubric, "judge", fields={"concept": ["frozen-base"]})
        assert "1 of 4 concepts" in words(html)
    finish(page.exercise.room)
    assert "Contradicted" in idea(page.load(opened("b1", f"{QUERY}&attempt=1")), 2)


def test_ticks_have_a_way_back_to_the_text(page: ExplainPage, grader: RuleGrader) -> None:
    grader.has_files = False
    box = act(page, explained(page), "edit")
    assert "We say frozen" in box
    assert "<textarea" in page.load(opened("b1", QUERY))


def test_agreement_is_shown_from_twenty_concepts_on_that_were_ticked_unseen(
    page: ExplainPage, grader: RuleGrader
) -> None:
    html = explained(page)
    for nth in (0, 1, 3):
        html = act(page, html, "claim", nth=nth)  # a disagreement with a verdict that was seen
    assert "once 20 concepts have been marked" in words(html)
    assert "there are 0 so far" in words(html)
    for _ in range(7):
        with grader.busy:
            reading = act(page, page.load(opened("b1", QUERY)), "submit", fields={"answer": [TEXT]})
            html = act(page, act(page, reading, "self"), "judge", fields={"concept": ["frozen-base"]})
        finish(page.exercise.room)
        html = page.load(opened("b1", f"{QUERY}&attempt={newest(page).id}"))
    assert "Over 21 concepts" in words(html)
    assert "agreed with the grader on 21 (Cohen's kappa 1.00" in words(html)
