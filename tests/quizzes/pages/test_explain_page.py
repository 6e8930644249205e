"""The Explain page as functions: a draft is kept, an explanation is stored, then judged, then compared."""

import pytest

from quizzes.explain.presenter import explain_exercise
from quizzes.pages.explain import ExplainPage
from study.ports.context import Context
from study.store.logs.explains import draft_key
from tests.quizzes.explain.explaining import Cards
from tests.visits import build_event, opened, words

QUERY = "prompt=explain-lora"
TEXT = "The base stays frozen & <only> two small matrices learn."


@pytest.fixture
def page(context: Context) -> ExplainPage:
    return ExplainPage(context=context, exercise=explain_exercise(context, ask_for_cards=Cards()))


def submit(page: ExplainPage, text: str = TEXT) -> str:
    html = page.load(opened("b1", QUERY))
    return page.act(build_event(html, "submit", fields={"answer": [text]}), opened("b1"))["html"]


def test_all_prompts_are_listed_with_how_they_went(page: ExplainPage) -> None:
    html = words(page.load(opened("b1")))
    for prompt in page.exercise.prompts.values():
        assert prompt.text in html
    assert html.count("not begun") == len(page.exercise.prompts)


def test_an_explanation_without_a_verdict_is_listed_as_handed_in(page: ExplainPage) -> None:
    submit(page)
    html = words(page.load(opened("b1")))
    assert html.count("handed in, no verdict yet") == 1
    assert html.count("not begun") == len(page.exercise.prompts) - 1


def test_a_draft_is_there_after_a_reload_and_is_not_drawn_anew(page: ExplainPage) -> None:
    event = {"act": "draft", "prompt": "explain-lora", "value": TEXT}
    assert page.act(event, opened("b1")) == {}
    assert "&amp; &lt;only&gt; two small" in page.load(opened("b1", QUERY))
    assert TEXT not in words(page.load(opened("b2", QUERY)))


def test_the_hint_comes_when_it_is_asked_for(page: ExplainPage) -> None:
    html = page.load(opened("b1", QUERY))
    prompt = page.exercise.prompts["explain-lora"]
    assert prompt.hint not in words(html)
    assert prompt.hint in words(page.act(build_event(html, "hint"), opened("b1"))["html"])


def test_the_concepts_and_the_model_answer_come_after_the_text(page: ExplainPage) -> None:
    prompt = page.exercise.prompts["explain-lora"]
    before = words(page.load(opened("b1", QUERY)))
    assert prompt.concepts[0].label not in before
    rubric = submit(page)
    assert prompt.concepts[0].label in words(rubric)
    assert prompt.model_answer not in words(rubric)
    ticked = {"concept": ["frozen-base", "low-rank-update", "few-trainable-params"]}
    reply = page.act(build_event(rubric, "judge", fields=ticked), opened("b1"))
    assert reply["say"].startswith("3 of 4 concepts. Base weights stay frozen: said;")
    assert prompt.model_answer in words(reply["html"])


def test_ticks_are_stored_as_the_learners_verdicts(page: ExplainPage) -> None:
    page.act(build_event(submit(page), "judge", fields={"concept": ["frozen-base"]}), opened("b1"))
    [profile] = page.context.store.profiles.all()
    [attempt] = page.context.store.explains.attempts(profile.id)
    assert attempt.text == TEXT
    assert attempt.verdicts is not None
    assert sorted(attempt.verdicts.values()) == ["covered", "missing", "missing", "missing"]


def test_a_reload_between_text_and_ticks_loses_nothing(page: ExplainPage) -> None:
    submit(page)
    reloaded = page.load(opened("b1", QUERY))
    assert build_event(reloaded, "judge")["attempt"] == "1"
    assert TEXT in words(reloaded)


def test_earlier_explanations_can_be_read_again(page: ExplainPage) -> None:
    page.act(build_event(submit(page), "judge", fields={"concept": ["frozen-base"]}), opened("b1"))
    html = words(page.load(opened("b1", QUERY)))
    assert "Your earlier explanations (1)" in html
    assert "today · 1 of 4 concepts" in html
    assert "✓ said: Base weights stay frozen; ○ not said: Low-rank update" in html
    assert page.exercise.prompts["explain-lora"].model_answer in html
    assert "best 1 of 4 concepts" in words(page.load(opened("b1")))


def test_a_form_that_is_sent_again_is_one_explanation(page: ExplainPage) -> None:
    """Its answer was lost on the way, or another window has sent the same draft."""
    form = build_event(page.load(opened("b1", QUERY)), "submit", fields={"answer": [TEXT]})
    first = page.act(form, opened("b1"))["html"]
    page.act({"act": "draft", "prompt": "explain-lora", "value": TEXT}, opened("b1"))  # kept meanwhile
    assert page.act(form, opened("b1"))["html"] == first
    store = page.context.store
    [profile] = store.profiles.all()
    assert len(store.explains.attempts(profile.id)) == 1
    assert store.drafts.read(profile.id, draft_key("explain-lora")) == ""
    again = build_event(first, "edit")
    box = page.act(again, opened("b1"))["html"]
    page.act(build_event(box, "submit", fields={"answer": [TEXT]}), opened("b1"))  # on purpose
    assert len(store.explains.attempts(profile.id)) == 2


def test_an_empty_box_is_asked_for_words(page: ExplainPage) -> None:
    with pytest.raises(Exception, match="Write a sentence or two"):
        submit(page, "   ")


def test_someone_elses_explanation_cannot_be_judged(page: ExplainPage) -> None:
    rubric = submit(page)
    with pytest.raises(Exception, match="not in this profile"):
        page.act(build_event(rubric, "judge", fields={"concept": []}), opened("b2"))


def test_an_unknown_prompt_says_so(page: ExplainPage) -> None:
    with pytest.raises(Exception, match="There is no prompt 'explain-nothing'"):
        page.load(opened("b1", "prompt=explain-nothing"))
