"""Prompts of one's own: warned about, graded like the others, changed and withdrawn."""

import pytest

from quizzes.pages.explain import ExplainPage
from tests.quizzes.explain.explaining import act, finish, idea, newest
from tests.quizzes.rule_grader import RuleGrader
from tests.visits import build_event, opened, words

LINES = ["apple: fruit", "brick: houses", "cloud: weather", "daisy: flowers"]


def own(page: ExplainPage, lines: list[str], *, prompt_id: str = "") -> str:
    """The id of a saved prompt."""
    fields = {"id": [prompt_id], "text": ["Explain $5 <things>."], "hint": [""], "concept": lines}
    goto = page.act({"act": "own-save", "fields": fields}, opened("b1"))["goto"]
    return goto.split("prompt=")[1].split("&")[0]


def test_an_own_prompt_warns_is_graded_like_the_others_and_belongs_to_its_writer(page: ExplainPage) -> None:
    form = words(page.load(opened("b1", "own=new")))
    assert "answers to prompts that it had not learnt from" in form
    prompt_id = own(page, LINES)
    assert "Explain $5 <things>." in words(page.load(opened("b1")))
    box = page.load(opened("b1", f"prompt={prompt_id}&saved=yes"))
    assert "Try it on an answer now." in words(box)
    html = act(page, box, "submit", fields={"answer": ["We say apple. We do not brick."]})
    finish(page.exercise.room)
    html = page.load(opened("b1", f"prompt={prompt_id}&attempt=1"))
    assert "Covered" in idea(html, 1)
    assert "Contradicted" in idea(html, 2)
    assert "answers to prompts that it had not learnt from" in words(html)
    with pytest.raises(Exception, match="This prompt was removed, or it belongs to another profile"):
        page.load(opened("b2", f"prompt={prompt_id}"))


def test_changing_a_concept_reads_again_what_it_touches_and_nothing_else(
    page: ExplainPage, grader: RuleGrader
) -> None:
    prompt_id = own(page, LINES)
    box = page.load(opened("b1", f"prompt={prompt_id}"))
    act(page, box, "submit", fields={"answer": ["We say apple. We say bread."]})
    finish(page.exercise.room)
    own(page, [LINES[0], "bread: food", *LINES[2:]], prompt_id=prompt_id)
    finish(page.exercise.room)
    attempt = newest(page)
    assert (attempt.verdicts or {})["concept-2"] == "covered"
    assert [len(attempt.of(f"concept-{number}")) for number in (1, 2, 3, 4)] == [1, 2, 1, 1]
    own(page, [LINES[0], "bread: food", *LINES[2:]], prompt_id=prompt_id)
    assert len(grader.read) == 2


def test_a_mark_on_an_earlier_wording_no_longer_counts(page: ExplainPage) -> None:
    prompt_id = own(page, LINES)
    act(page, page.load(opened("b1", f"prompt={prompt_id}")), "submit", fields={"answer": ["We say apple."]})
    finish(page.exercise.room)
    html = page.load(opened("b1", f"prompt={prompt_id}&attempt=1"))
    mark = {"concept": ["concept-2"], "verdict": ["covered"], "reason": ["Meant."]}
    act(page, html, "override", fields=mark)
    assert (newest(page).verdicts or {})["concept-2"] == "covered"
    own(page, [LINES[0], "bread: food", *LINES[2:]], prompt_id=prompt_id)
    finish(page.exercise.room)
    assert (newest(page).verdicts or {})["concept-2"] == "missing"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (LINES[:3], "3 of 4 concepts are written"),
        ([*LINES[:3], " "], "3 of 4 concepts are written"),
        ([*LINES[:3], LINES[0].upper()], "Two concepts are the same"),
        ([*LINES[:3], "x" * 400], "has 400 characters"),
    ],
)
def test_an_own_prompt_that_cannot_be_graded_is_refused_in_words(
    page: ExplainPage, lines: list[str], why: str
) -> None:
    with pytest.raises(Exception, match=why):
        own(page, lines)


def test_the_form_says_how_many_concepts_are_needed(page: ExplainPage) -> None:
    assert "Write all 4 concepts" in words(page.load(opened("b1", "own=new")))


def test_a_withdrawn_prompt_is_off_the_list(page: ExplainPage) -> None:
    prompt_id = own(page, LINES)
    form = page.load(opened("b1", f"own={prompt_id}"))
    page.act(build_event(form, "own-withdraw"), opened("b1"))
    assert "Explain $5" not in words(page.load(opened("b1")))
