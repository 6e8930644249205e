"""Explain with a grader: verdicts and evidence, what becomes due, a question back, a second try."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from quizzes.explain.concept_status import list_statuses, mark_evidence
from quizzes.explain.presenter import ANSWER_LIMIT
from quizzes.grader.limits import MeasuredAccuracy, describe_limits, describe_trust
from quizzes.grader.prompts import load_prompts
from quizzes.pages.explain import ExplainPage
from study.content.concepts import load_concepts
from study.ports.context import Context
from study.store.logs.explains import ExplainAttempt, Judgement
from study.text.markup import to_html
from study.web import frame
from tests.quizzes.explain.explaining import (
    QUERY,
    TEXT,
    Cards,
    act,
    end_thread,
    explained,
    finish,
    idea,
    newest,
    polled,
)
from tests.quizzes.rule_grader import RuleGrader
from tests.visits import build_event, opened, words

NOW = datetime(2026, 3, 4, tzinfo=UTC)


def test_while_an_answer_is_read_the_page_says_so_and_then_shows_each_verdict(
    page: ExplainPage, grader: RuleGrader
) -> None:
    box = page.load(opened("b1", QUERY))
    reply = page.act(build_event(box, "submit", fields={"answer": [TEXT]}), opened("b1"))
    assert reply["url"] == "/explain?prompt=explain-lora&attempt=1"
    html = polled(page, reply["html"])
    assert "1 of 4 concepts" in words(html)
    assert "Covered Your answer says this." in idea(html, 1)
    assert "Contradicted LoRA does not replace or shrink the weight matrix" in idea(html, 2)
    assert "Unsure Compared with all parameters of the model" in idea(html, 3)
    assert "Missing Say what this saves while training, and why." in idea(html, 4)
    assert 'href="/concept?id=trainable-state"' in html
    assert f"An example answer {page.exercise.prompts['explain-lora'].model_answer}" in words(html)
    assert grader.read == [TEXT]
    assert words(page.load(opened("b1", f"{QUERY}&attempt=1"))) == words(html)
    assert grader.read == [TEXT]


def test_the_evidence_is_marked_in_the_learners_own_escaped_words(page: ExplainPage) -> None:
    html = explained(page)
    assert "<mark>We say frozen &amp; &lt;b&gt;bold&lt;/b&gt;.<sup" in html
    assert '<mark class="against">We do not product.<sup' in html
    assert "<b>bold" not in html


def test_what_is_missing_or_contradicted_becomes_due_cards_once(page: ExplainPage, cards: Cards) -> None:
    html = explained(page)
    assert cards.asked == [("lora-update", "trainable-state")]
    assert "Cards about what is missing or wrong are ready now" in words(html)
    polled(page, act(page, html, "clarify", fields={"reply": ["We say few."]}))
    assert len(cards.asked) == 1


@pytest.mark.parametrize(
    "text", ["asdf jkl qwer uiop zxcv", "Les poids du modèle restent gelés pendant tout."]
)
def test_a_text_that_the_grader_cannot_read_counts_neither_way(
    page: ExplainPage, cards: Cards, text: str
) -> None:
    html = explained(page, text)
    assert "This does not read as English sentences. It counts neither for nor against you" in words(html)
    assert "Unsure The grader can't read this; your own judgement counts here." in idea(html, 1)
    assert 'data-submit="clarify"' not in html
    attempt = newest(page)
    assert attempt.text == text
    assert set((attempt.verdicts or {}).values()) == {"unsure"}
    [profile] = page.context.store.profiles.all()
    assert page.context.store.explains.counted(profile.id) == []
    assert cards.asked == []
    act(page, html, "claim")
    assert [one.verdict for one in page.context.store.explains.counted(profile.id)] == ["covered"]


def test_english_that_says_nothing_still_counts_as_missing(page: ExplainPage) -> None:
    explained(page, "I have no idea what this is for.")
    assert set((newest(page).verdicts or {}).values()) == {"missing"}


def test_what_a_contradiction_leaves_of_other_words_is_not_marked_as_their_proof() -> None:
    said = "asdf qwer lorem ipsum the parameters grow flowers and small ranks suffice."
    cut, whole = said.index("ipsum"), len(said)
    attempt = ExplainAttempt(
        id=1,
        prompt_id="explain-rank",
        text=said,
        submitted_at=NOW,
        judgements=(
            judged(1, "parameters-grow-linearly", "contradicted", (cut, whole)),
            judged(2, "small-rank-often-enough", "covered", (0, whole)),
        ),
    )
    prompt = load_prompts(load_concepts())["explain-rank"]
    pieces = mark_evidence(attempt, list_statuses(prompt, attempt, before=None, advices={}))
    assert [(piece.text, piece.numbers, piece.against) for piece in pieces] == [
        (said[:cut], (), False),
        (said[cut:], (2,), True),
    ]


def judged(at: int, concept: str, verdict: str, span: tuple[int, int]) -> Judgement:
    return Judgement(id=at, concept_id=concept, verdict=verdict, by="grader", at=NOW, evidence=(span,))


def test_unsure_asks_one_question_and_the_reply_is_read_with_the_text(
    page: ExplainPage, grader: RuleGrader
) -> None:
    html = polled(page, act(page, explained(page), "clarify", fields={"reply": ["We say few."]}))
    assert grader.read[-1] == f"{TEXT}\n\nWe say few."
    assert "2 of 4 concepts" in words(html)
    assert "<mark>We say few.<sup" in html
    assert 'data-submit="clarify"' not in html


def test_a_reply_that_comes_while_another_one_is_read_is_read_next(
    page: ExplainPage, grader: RuleGrader
) -> None:
    two_windows = explained(page, "We say frozen. Some few things. Some memory things.")
    with grader.busy:
        reading = act(page, two_windows, "clarify", fields={"reply": ["We say few."]})
        act(page, two_windows, "clarify", nth=1, fields={"reply": ["We say memory."]})
    html = polled(page, polled(page, reading))
    assert grader.read[-1].endswith("We say few.\n\nWe say memory.")
    assert "3 of 4 concepts" in words(html)


def test_a_reply_that_is_still_unclear_is_not_asked_about_again(page: ExplainPage) -> None:
    html = polled(page, act(page, explained(page), "clarify", fields={"reply": ["The few ones."]}))
    assert "The grader still can't tell" in idea(html, 3)
    with pytest.raises(Exception, match="already answered this one"):
        act(page, explained(page), "clarify", fields={"reply": [" again"]}, attempt="1")


def test_one_line_says_how_far_to_trust_the_grader_and_the_rest_is_folded(page: ExplainPage) -> None:
    html = explained(page)
    folded = html[html.index('<details class="trust">') :]
    line = html[: html.index('<details class="trust">')].rpartition('<p class="soft small">')[2]
    assert words(line) == words(describe_trust(page.exercise.measured))
    assert len(describe_trust(page.exercise.measured).split(" ")) <= 25
    limits = words(describe_limits(page.exercise.measured))
    assert limits in words(folded)
    assert limits not in words(line)


def test_while_an_answer_is_read_there_is_something_to_read(page: ExplainPage, grader: RuleGrader) -> None:
    with grader.busy:
        reading = act(page, page.load(opened("b1", QUERY)), "submit", fields={"answer": [TEXT]})
        assert "Meanwhile: what a full answer says" in words(reading)
        for concept in page.exercise.prompts["explain-lora"].concepts:
            assert words(str(to_html(concept.definition))) in words(reading)


@pytest.mark.parametrize("query", ["", QUERY, "own=new"])
def test_the_grader_begins_to_load_when_the_page_opens(
    page: ExplainPage, grader: RuleGrader, query: str
) -> None:
    page.load(opened("b1", query))
    end_thread(page.exercise.room)
    assert grader.prepared == 1


def test_a_second_try_shows_what_is_new_and_what_got_lost(page: ExplainPage) -> None:
    html = act(page, explained(page), "edit")
    assert "We say frozen &amp;" in html.split("<textarea")[1]
    html = polled(page, act(page, html, "submit", fields={"answer": ["We say product. We say memory."]}))
    read = words(html)
    assert "New since your last try: Low-rank update, Less training memory." in read
    assert "Said last time, not now: Base weights stay frozen." in read
    assert "Your earlier explanations (1)" in read


def test_a_text_over_the_limit_is_refused_whole_and_a_megabyte_as_well(
    page: ExplainPage, grader: RuleGrader
) -> None:
    for length in (ANSWER_LIMIT + 1, 1_000_000):
        with pytest.raises(Exception, match=f"has {length:,} characters; {ANSWER_LIMIT:,} are the limit"):
            explained(page, "x" * length)
    event = {"act": "draft", "prompt": "explain-lora", "value": "x" * 1_000_000}
    with pytest.raises(Exception, match="This text has 1,000,000 characters"):
        page.act(event, opened("b1"))
    assert grader.read == []


def test_sentences_that_were_not_read_are_mentioned(page: ExplainPage) -> None:
    many = " ".join(f"Boat {number} is white." for number in range(30))
    assert "the last ones were left out" in words(explained(page, f"{many} We say frozen."))
    assert "the last ones were left out" not in words(explained(page, "We say frozen."))


def test_a_reply_to_a_long_text_is_read_and_what_was_not_read_is_not_called_missing(
    page: ExplainPage, cards: Cards
) -> None:
    many = " ".join(f"Boat {number} is white." for number in range(30))
    html = explained(page, f"We say frozen. {many} We say few.")
    assert {one.concept_id: one.verdict for one in newest(page).judgements} == {
        "frozen-base": "covered",
        "low-rank-update": "unsure",
        "few-trainable-params": "unsure",
        "less-training-memory": "unsure",
    }
    assert cards.asked == []
    html = polled(page, act(page, html, "clarify", nth=1, fields={"reply": ["We say few."]}))
    assert "Covered" in idea(html, 3)
    assert "<mark>We say few.<sup" in html


def test_what_does_not_read_as_english_is_said_to_be_so(page: ExplainPage) -> None:
    html = explained(page, "Die Gewichte bleiben eingefroren und nur kleine Matrizen lernen dazu.")
    assert "This does not read as English sentences." in words(html)
    assert "does not read as English" not in words(explained(page, "It is about the price of the boats."))


def test_the_page_says_what_a_verdict_is_worth_and_that_nothing_leaves(page: ExplainPage) -> None:
    measured = MeasuredAccuracy(answers=518, precision=0.8, recall=0.7, false_accepted=0.1, unsure=0.12)
    page = replace(page, exercise=replace(page.exercise, measured=measured))
    html = words(explained(page))
    assert words(describe_trust(measured)) in html
    assert "It is never the only mark" in html
    assert "did not leave it" in html
    assert words(describe_limits(measured)) in html
    assert "mistook 10 % of false statements for right" in html


def test_in_the_five_minute_review_an_explanation_is_read_like_anywhere(
    page: ExplainPage, context: Context
) -> None:
    visit = frame.open_visit(context, opened("b1"))
    run = context.store.five_minute_reviews.start(
        visit.profile.id, cards=0, seed=1, question_ids=(), prompt_id="explain-lora", started_at=visit.now
    )
    exercise = page.exercise
    box = exercise.show(visit, run)
    piece = exercise.act(build_event(box.html, "submit", fields={"answer": [TEXT]}), visit, run)
    assert piece is not None
    finish(exercise.room)
    piece = exercise.act({"act": "poll", "attempt": piece.key}, visit, run)
    assert piece is not None
    assert "Go on Enter" in words(piece.html)
    assert "Contradicted" in idea(piece.html, 2)
    assert exercise.count_steps(visit, run).finished
    ending = exercise.describe_ending(visit, run)
    assert ending.summary == "1 of 4 concepts explained."
    wrong = ending.missed[0]
    assert (str(wrong.name), wrong.returns) == (
        "Low-rank update",
        "explained wrongly; cards about it are ready now",
    )
    event_of_ours = build_event(piece.html, "claim")
    assert event_of_ours["act"] in exercise.acts
    assert exercise.act(event_of_ours, visit, run) is not None
    assert exercise.act({"act": "draft", "prompt": "explain-lora", "value": "x"}, visit, run) is None
