"""Explain with a grader: verdicts and evidence, people's marks beside them, a question back, a second try."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from quizzes.explain.concept_status import list_statuses, mark_evidence
from quizzes.explain.judgements import TEACHER_VERDICTS
from quizzes.explain.presenter import ANSWER_LIMIT, explain_exercise
from quizzes.grader.limits import MeasuredAccuracy, limits_sentence, trust_sentence
from quizzes.grader.prompts import load_prompts
from quizzes.pages.explain import ExplainPage
from study.content.concepts import load_concepts
from study.ports.context import Context, Visit
from study.store.logs.explains import ExplainAttempt, Judgement
from study.text.markup import to_html
from study.web import frame
from tests.quizzes.rule_grader import RuleGrader
from tests.visits import build_event, opened, words

QUERY = "prompt=explain-lora"
NOW = datetime(2026, 3, 4, tzinfo=UTC)
# Of the four concepts: covered, contradicted, unsure (the key word and no claim), missing.
TEXT = "We say frozen & <b>bold</b>. We do not product. Some few things."


class Cards:
    """What was asked for, as flashcards would."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        assert because.startswith(("explain-", "own-"))
        self.asked.append(concepts)
        return len(concepts)


@pytest.fixture
def grader() -> RuleGrader:
    return RuleGrader()


@pytest.fixture
def cards() -> Cards:
    return Cards()


@pytest.fixture
def page(context: Context, grader: RuleGrader, cards: Cards) -> ExplainPage:
    exercise = explain_exercise(context, ask_for_cards=cards, grader=grader)
    return ExplainPage(context=context, exercise=exercise)


def act(page: ExplainPage, html: str, name: str, *, nth: int = 0, **changed: object) -> str:
    return page.act(build_event(html, name, nth=nth, **changed), opened("b1")).get("html", "")


def polled(page: ExplainPage, html: str) -> str:
    """What is shown once the grader's thread is through."""
    page.exercise.room.finish()
    if 'data-poll="' not in html:
        return html
    event = {
        "act": "poll",
        "prompt": "explain-lora",
        "attempt": html.split('data-attempt="')[1].split('"')[0],
    }
    return page.act(event, opened("b1"))["html"]


def explained(page: ExplainPage, text: str = TEXT) -> str:
    box = page.load(opened("b1", QUERY))
    return polled(page, act(page, box, "submit", fields={"answer": [text]}))


def newest(page: ExplainPage) -> ExplainAttempt:
    [profile] = page.context.store.profiles.all()
    return page.context.store.explains.attempts(profile.id)[0]


def idea(html: str, number: int) -> str:
    """What a person reads beside one concept."""
    return words(html.split(f'id="idea-{number}"')[1].split("</li>")[0].partition(">")[2])


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
    assert page.exercise.prompts["explain-lora"].model_answer in words(html)
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
    assert "Cards about what is missing or wrong are due now" in words(html)
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


def test_a_reply_that_is_still_unclear_is_not_asked_about_again(page: ExplainPage) -> None:
    html = polled(page, act(page, explained(page), "clarify", fields={"reply": ["The few ones."]}))
    assert "The grader still can't tell" in idea(html, 3)
    with pytest.raises(Exception, match="answered this one already"):
        act(page, explained(page), "clarify", fields={"reply": [" again"]}, attempt="1")


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


def test_one_line_says_how_far_to_trust_the_grader_and_the_rest_is_folded(page: ExplainPage) -> None:
    html = explained(page)
    folded = html[html.index('<details class="trust">') :]
    line = html[: html.index('<details class="trust">')].rpartition('<p class="soft small">')[2]
    assert words(line) == trust_sentence(page.exercise.measured)
    assert len(words(line).split()) <= 25
    assert limits_sentence(page.exercise.measured) in words(folded)
    assert limits_sentence(page.exercise.measured) not in words(line)


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
    page.exercise.room.close(wait=True)
    assert grader.prepared == 1


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
    assert "already removed" in stale["error"]
    assert "unsure" not in TEACHER_VERDICTS


def test_a_second_try_shows_what_is_new_and_what_got_lost(page: ExplainPage) -> None:
    html = act(page, explained(page), "edit")
    assert "We say frozen &amp;" in html.split("<textarea")[1]
    html = polled(page, act(page, html, "submit", fields={"answer": ["We say product. We say memory."]}))
    read = words(html)
    assert "New since your last try: Low-rank update, Less training memory." in read
    assert "Said last time, not now: Base weights stay frozen." in read
    assert "Your earlier explanations (1)" in read


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
    page.exercise.room.finish()
    assert "Contradicted" in idea(page.load(opened("b1", f"{QUERY}&attempt=1")), 2)


def test_ticks_have_a_way_back_to_the_text(page: ExplainPage, grader: RuleGrader) -> None:
    grader.has_files = False
    box = act(page, explained(page), "edit")
    assert "We say frozen" in box
    assert "<textarea" in page.load(opened("b1", QUERY))


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
        page.exercise.room.finish()
        html = page.load(opened("b1", f"{QUERY}&attempt={newest(page).id}"))
    assert "Over 21 concepts" in words(html)
    assert "agreed with the grader on 21 (Cohen's kappa 1.00" in words(html)


def test_the_page_says_what_a_verdict_is_worth_and_that_nothing_leaves(page: ExplainPage) -> None:
    measured = MeasuredAccuracy(answers=518, precision=0.8, recall=0.7, false_accepted=0.1, unsure=0.12)
    page = replace(page, exercise=replace(page.exercise, measured=measured))
    html = words(explained(page))
    assert trust_sentence(measured) in html
    assert "It is never the only mark" in html
    assert "did not leave it" in html
    assert limits_sentence(measured) in html
    assert "took 10% of false statements for right" in html


def test_in_the_five_minute_review_an_explanation_is_read_like_anywhere(
    page: ExplainPage, context: Context
) -> None:
    visit = frame.visit_of(context, opened("b1"))
    run = context.store.runs.start(
        visit.profile.id, cards=0, seed=1, question_ids=(), prompt_id="explain-lora", started_at=visit.now
    )
    exercise = page.exercise
    box = exercise.show(visit, run)
    piece = exercise.act(build_event(box.html, "submit", fields={"answer": [TEXT]}), visit, run)
    assert piece is not None
    exercise.room.finish()
    piece = exercise.act({"act": "poll", "attempt": piece.key}, visit, run)
    assert piece is not None
    assert "Go on Enter" in words(piece.html)
    assert "Contradicted" in idea(piece.html, 2)
    assert exercise.steps(visit, run).finished
    ending = exercise.describe_ending(visit, run)
    assert ending.summary == "1 of 4 concepts explained."
    wrong = ending.missed[0]
    assert (str(wrong.name), wrong.returns) == (
        "Low-rank update",
        "explained wrongly; cards about it are due now",
    )
    event_of_ours = build_event(piece.html, "claim")
    assert event_of_ours["act"] in exercise.acts
    assert exercise.act(event_of_ours, visit, run) is not None
    assert exercise.act({"act": "draft", "prompt": "explain-lora", "value": "x"}, visit, run) is None


# ---- prompts of one's own

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
    page.exercise.room.finish()
    html = page.load(opened("b1", f"prompt={prompt_id}&attempt=1"))
    assert "Covered" in idea(html, 1)
    assert "Contradicted" in idea(html, 2)
    assert "answers to prompts that it had not learnt from" in words(html)
    with pytest.raises(Exception, match="There is no prompt"):
        page.load(opened("b2", f"prompt={prompt_id}"))


def test_changing_a_concept_reads_again_what_it_touches_and_nothing_else(
    page: ExplainPage, grader: RuleGrader
) -> None:
    prompt_id = own(page, LINES)
    box = page.load(opened("b1", f"prompt={prompt_id}"))
    act(page, box, "submit", fields={"answer": ["We say apple. We say bread."]})
    page.exercise.room.finish()
    own(page, [LINES[0], "bread: food", *LINES[2:]], prompt_id=prompt_id)
    page.exercise.room.finish()
    attempt = newest(page)
    assert (attempt.verdicts or {})["concept-2"] == "covered"
    assert [len(attempt.of(f"concept-{number}")) for number in (1, 2, 3, 4)] == [1, 2, 1, 1]
    own(page, [LINES[0], "bread: food", *LINES[2:]], prompt_id=prompt_id)
    assert len(grader.read) == 2


def test_a_mark_on_an_earlier_wording_no_longer_counts(page: ExplainPage) -> None:
    prompt_id = own(page, LINES)
    act(page, page.load(opened("b1", f"prompt={prompt_id}")), "submit", fields={"answer": ["We say apple."]})
    page.exercise.room.finish()
    html = page.load(opened("b1", f"prompt={prompt_id}&attempt=1"))
    mark = {"concept": ["concept-2"], "verdict": ["covered"], "reason": ["Meant."]}
    act(page, html, "override", fields=mark)
    assert (newest(page).verdicts or {})["concept-2"] == "covered"
    own(page, [LINES[0], "bread: food", *LINES[2:]], prompt_id=prompt_id)
    page.exercise.room.finish()
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


def test_a_withdrawn_prompt_is_off_the_list(page: ExplainPage) -> None:
    prompt_id = own(page, LINES)
    form = page.load(opened("b1", f"own={prompt_id}"))
    page.act(build_event(form, "own-withdraw"), opened("b1"))
    assert "Explain $5" not in words(page.load(opened("b1")))
