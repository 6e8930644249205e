"""The Quiz page as functions: choose, answer, feedback, summary, and an address that anyone can open."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

import lora_lab.quantities  # noqa: F401 - feedback shows the numbers it was checked against
from quizzes.kinds.question import Question
from quizzes.pages.quiz import QuizPage
from quizzes.session.session import find_position
from study.base.checks import list_quantities
from study.base.settings import ROOT
from study.ports.context import Context
from study.store.logs.quizzes import QuizAnswer, QuizRecord
from study.text.markup import to_html
from study.web import frame
from study.web.frame import Reply
from tests.quizzes.answering import right_fields, wrong_fields, wrong_response
from tests.quizzes.pages.quizzing import build_quiz
from tests.visits import build_event, opened, primary, query_of, words


@pytest.fixture
def page(context: Context) -> QuizPage:
    return build_quiz(context)


def start(page: QuizPage, **chosen: str) -> Reply:
    form = {name: [value] for name, value in {"length": "5", "seed": "7", **chosen}.items()}
    return page.act({"act": "start", "fields": form}, opened("b1"))


def question_in(page: QuizPage, html: str) -> Question:
    return page.exercise.operations.bank.by_id[build_event(html, "answer")["question"]]


def answer(page: QuizPage, html: str, query: str, *, correct: bool, seed: int = 7) -> Reply:
    """Give the right answer; or a wrong one, and then look at the solution instead of trying again."""
    fields = (right_fields if correct else wrong_fields)(question_in(page, html), seed=seed)
    reply = page.act(build_event(html, "answer", query=query, fields=fields), opened("b1"))
    if correct or "error" in reply:
        return reply
    return page.act(build_event(reply["html"], "give-up", query=query), opened("b1"))


def onward(page: QuizPage, query: str) -> Reply:
    return page.act({"act": "next", "query": query}, opened("b1"))


def test_the_address_of_a_quiz_holds_its_choice_and_seed(page: QuizPage) -> None:
    started = start(page, topic="qlora")
    assert started["step"] == "/quiz?topic=qlora&n=5&seed=7"
    assert question_in(page, started["html"]).topic == "qlora"


def test_topics_are_listed_by_subject_and_by_kind_of_question(page: QuizPage) -> None:
    html = page.load(opened("b1"))
    subjects, kinds = re.findall(r'<optgroup label="By [^"]+">(.*?)</optgroup>', html)
    assert "LoRA (" in words(subjects)
    assert "Quantization (" in words(subjects)
    for title in ("Match, order, find the error", "Choose and reason", "Arithmetic with drawn numbers"):
        assert title in words(kinds)
        assert title not in words(subjects)


def test_back_leads_from_a_quiz_to_the_form_and_forward_to_its_open_question(page: QuizPage) -> None:
    started = start(page, topic="lora")
    query = query_of(started["step"])
    answer(page, started["html"], query, correct=True)
    back = page.act({"act": "here", "query": ""}, opened("b1"))["html"]
    assert "Go on with your quiz : 1 of 5 answered." in words(back)
    forward = page.act({"act": "here", "query": query}, opened("b1"))["html"]
    assert "Question 2 of 5" in words(forward)
    assert all('data-back="here"' in html for html in (started["html"], back, forward))


def test_sureness_has_the_same_words_in_a_quiz_as_on_a_phone_of_a_class(page: QuizPage) -> None:
    phone = (ROOT / "classroom" / "templates" / "student" / "student_now.html").read_text()
    asked = re.findall(r'value="(\w+)"> ([\w ]+) <kbd>', start(page, topic="lora")["html"])
    assert asked == re.findall(r'name="confidence" value="(\w+)">([\w ]+)</button>', phone)
    assert asked == [("guess", "A guess"), ("think", "I think so"), ("sure", "Sure")]


def test_the_right_option_is_not_marked_before_the_answer(page: QuizPage) -> None:
    html = start(page, topic="lora")["html"]
    question = question_in(page, html)
    assert "right" not in words(html)
    for option in question.options:
        assert option.feedback not in words(html)


def test_a_wrong_answer_explains_the_chosen_and_the_right_option(page: QuizPage) -> None:
    started = start(page, topic="lora")
    question = question_in(page, started["html"])
    reply = answer(page, started["html"], query_of(started["step"]), correct=False)
    shown = words(reply["html"])
    assert "✗ Your answer, not right" in shown
    assert "✓ The right answer" in shown
    assert question.keep in shown or "$" in question.keep or "`" in question.keep
    assert "is right:" in reply["say"] or "The right answer is" in reply["say"]
    assert reply["focus"] == "#next"


def test_a_miss_makes_cards_due_and_a_right_answer_does_not(page: QuizPage) -> None:
    started = start(page)
    query = query_of(started["step"])
    answer(page, started["html"], query, correct=True)
    [profile] = page.context.store.profiles.all()
    assert page.context.store.cards.requests(profile.id) == {}
    html = onward(page, query)["html"]
    missed = question_in(page, html)
    answer(page, html, query, correct=False)
    requests = page.context.store.cards.requests(profile.id).values()
    assert {request.because for request in requests} == {missed.id}


def test_a_reload_goes_on_at_the_same_question(page: QuizPage) -> None:
    started = start(page)
    query = query_of(started["step"])
    answer(page, started["html"], query, correct=True)
    second = onward(page, query)["html"]
    reloaded = page.load(opened("b1", query[1:]))
    assert build_event(reloaded, "answer")["question"] == build_event(second, "answer")["question"]
    assert "Question 2 of 5" in words(reloaded)


def test_the_summary_says_what_to_review(page: QuizPage) -> None:
    started = start(page)
    html, query, asked = started["html"], query_of(started["step"]), []
    for number in range(5):
        asked.append(question_in(page, html))
        answer(page, html, query, correct=number > 0)
        html = onward(page, query)["html"]
    assert "4 of 5 right." in words(html)
    assert f'href="/cards?concept={asked[0].concepts[0]}"' in html
    assert "Seed 7" in words(html)
    assert words(page.load(opened("b1", query[1:]))) == words(html)


def test_a_quiz_ends_with_what_was_missed_and_one_next_step(page: QuizPage) -> None:
    started = start(page)
    html, query = started["html"], query_of(started["step"])
    missed = question_in(page, html)
    for number in range(5):
        answer(page, html, query, correct=number > 0)
        html = onward(page, query)["html"]
    assert f"Missed {words(to_html(missed.stem))}" in words(html)
    assert "Cards about what you missed are ready now." in words(html)
    assert primary(html) == ["Review the cards that are due"]
    assert f"Read about {page.context.concepts.name(missed.concepts[0])}" in words(html)


def test_a_summary_opened_again_later_says_when_a_question_comes_back_from_that_day_on(
    page: QuizPage, now: datetime
) -> None:
    started = start(page, length="1")
    html, query = started["html"], query_of(started["step"])
    sure = wrong_fields(question_in(page, html), seed=7) | {"confidence": ["sure"]}
    tried = page.act(build_event(html, "answer", query=query, fields=sure), opened("b1"))["html"]
    page.act(build_event(tried, "give-up", query=query), opened("b1"))
    for days, said in enumerate(("tomorrow", "today", "today")):
        later = replace(page.context, clock=partial(now.__add__, timedelta(days=days)))
        html = replace(page, context=later).load(opened("b1", query[1:]))
        assert f"Comes back in this quiz {said}: you were sure." in words(html)


def test_an_exam_ends_with_each_question_once_and_its_right_answer_in_sight(page: QuizPage) -> None:
    started = start(page, mode="exam")
    html, query, asked = started["html"], query_of(started["step"]), []
    for number in range(5):
        question = question_in(page, html)
        asked.append(question)
        fields = (right_fields if number % 2 else wrong_fields)(question, seed=7)
        html = page.act(build_event(html, "answer", query=query, fields=fields), opened("b1"))["html"]
    assert primary(html) == ["Review the cards that are due"]
    assert "Missed question 1 , question 3 , question 5" in words(html)
    sheets = re.findall(
        r'<li class="sheet answered question".*?(?=<li class="sheet answered|</section>)', html, re.S
    )
    open_parts = [re.sub(r"<details>.*?</details>", "", sheet, flags=re.S) for sheet in sheets]
    for question, sheet in zip(asked, open_parts, strict=True):
        assert html.count(str(to_html(question.stem))) == 1, question.id
        assert str(to_html(question.stem)) in sheet
        for part in question.task.grade(question.task.answer).parts:
            if part.state == "right" and question.kind == "single":
                assert str(to_html(part.text)) in sheet, question.id


def test_a_question_that_an_exam_had_no_time_for_is_shown_with_its_answer(
    page: QuizPage, now: datetime
) -> None:
    started = start(page, mode="exam", pace="60")
    question = question_in(page, started["html"])
    page = replace(page, context=replace(page.context, clock=lambda: now + timedelta(minutes=10)))
    html = page.load(opened("b1", query_of(started["step"])[1:]))
    assert "Time ran out; 5 questions were not answered." in words(html)
    assert html.count("Not answered.") == 5
    assert str(to_html(question.stem)) in html


def test_only_the_exam_asks_for_its_time(page: QuizPage) -> None:
    html = page.load(opened("b1"))
    exam = next(part for part in html.split('<div class="mode">') if 'value="exam"' in part)
    assert 'name="pace"' in exam
    assert html.count('name="pace"') == 1


def test_a_shared_address_offers_the_same_questions_to_someone_else(page: QuizPage) -> None:
    started = start(page)
    query = query_of(started["step"])
    offered = page.load(opened("b2", query[1:]))
    assert "This link opens a quiz of 5 questions (seed 7)." in words(offered)
    theirs = page.act({"act": "again", "query": query}, opened("b2"))
    assert question_in(page, theirs["html"]) == question_in(page, started["html"])


def test_an_address_that_no_question_fits_says_so(page: QuizPage) -> None:
    html = page.load(opened("b1", "topic=no-such-topic&n=5&seed=7"))
    assert "The quiz of this link has no questions." in words(html)
    assert "Start this quiz" not in words(html)


def test_an_unfinished_quiz_is_offered_again(page: QuizPage) -> None:
    started = start(page)
    answer(page, started["html"], query_of(started["step"]), correct=True)
    html = page.load(opened("b1"))
    assert "Go on with your quiz" in words(html)
    assert "1 of 5 answered" in words(html)


def test_checking_without_a_choice_says_what_to_do(page: QuizPage) -> None:
    html = start(page, topic="lora")["html"]
    with pytest.raises(Exception, match="No answer is chosen yet"):
        page.act(build_event(html, "answer", fields={}), opened("b1"))


def test_a_second_answer_from_another_window_counts_for_nothing(page: QuizPage) -> None:
    started = start(page)
    query = query_of(started["step"])
    answer(page, started["html"], query, correct=False)
    again = answer(page, started["html"], query, correct=True)
    assert "Your first answer counts" in again["error"]
    assert "Question 2 of 5" in words(again["html"])


def test_a_question_that_was_removed_meanwhile_gives_the_next_one_and_says_so(page: QuizPage) -> None:
    started = start(page)
    event = build_event(started["html"], "answer", query=query_of(started["step"]), question="removed")
    reply = page.act(event, opened("b1"))
    assert reply["error"] == "That question is no longer in the bank. Go on with the next one."
    assert "Question 1 of 5" in words(reply["html"])


def test_no_question_of_any_kind_shows_its_answer_before_it_is_given(
    page: QuizPage, context: Context, now: datetime
) -> None:
    bank = page.exercise.operations.bank
    visit = frame.open_visit(context, opened("b1"))
    for question in bank.build_pool(seed=1):
        record = QuizRecord(id="s", seed=1, question_ids=(question.id,), choice={}, started_at=now)
        html = page.exercise.render_question(visit, record, find_position(bank, record, [])).html
        shown = words(html)
        grade = question.task.grade(question.task.answer)
        assert 'value="right"' not in html
        assert question.keep not in html
        assert ("A calculator is fine." in shown) is (question.kind == "numeric"), question.id
        for part in grade.parts:
            assert not part.feedback or part.feedback not in shown, question.id
            assert not part.misconception or part.misconception not in shown, question.id
        if question.kind in ("numeric", "short-text", "cloze"):
            for part in grade.parts:
                assert f'value="{part.text}"' not in html, question.id


def test_every_answer_of_any_kind_is_explained_with_where_it_is_known_from(
    page: QuizPage, context: Context, now: datetime
) -> None:
    bank = page.exercise.operations.bank
    for question in bank.build_pool(seed=1):
        record = QuizRecord(id="s", seed=1, question_ids=(question.id,), choice={}, started_at=now)
        given = QuizAnswer(
            question_id=question.id,
            option="",
            correct=False,
            answered_at=now,
            duration_ms=1,
            response=wrong_response(question),
        )
        shown = words(page.exercise.render_explained(record, question, given))
        assert "✗" in shown, question.id
        assert "✓" in shown or question.kind in ("multiple", "ordering"), question.id
        assert "Source: " in shown or "Checked, computed here: " in shown, question.id
        assert ("Worked out" in shown) is bool(question.steps), question.id
        assert not re.search(rf"\b({'|'.join(list_quantities())})\(", shown), question.id


def test_checks_with_the_same_number_are_listed_once(page: QuizPage, now: datetime) -> None:
    question = page.exercise.operations.bank.by_id["kept-scale@1022"]
    assert len(question.evidence.checks) == 2
    record = QuizRecord(id="q", seed=1, question_ids=(question.id,), choice={}, started_at=now)
    html = page.exercise.render_explained(record, question, None)
    assert words(html).count("Checked, computed here: 2") == 1
    assert html.count('<details class="source computed">') == 1


def test_many_checked_numbers_are_one_line_that_keeps_what_comes_next_in_view(
    page: QuizPage, now: datetime
) -> None:
    bank = page.exercise.operations.bank
    question = max(bank.by_id.values(), key=lambda each: len(each.evidence.checks))
    record = QuizRecord(id="q", seed=1, question_ids=(question.id,), choice={}, started_at=now)
    html = page.exercise.render_explained(record, question, None)
    assert len(question.evidence.checks) > 5
    assert html.count('<details class="source computed">') == 1
    assert re.search(r"Checked, computed here: \d+ numbers", words(html))


def test_a_concept_that_is_not_here_is_said_to_be_unknown(page: QuizPage) -> None:
    shown = words(page.load(opened("b1", query="concept=nope")))
    assert "The concept “nope” isn't here. A quiz asks about any concept instead." in shown
    assert "Questions about nope" not in shown
    known = words(page.load(opened("b1", query="concept=lora-rank")))
    assert f"Questions about {page.context.concepts.name('lora-rank')}" in known
    assert "isn't here" not in known
