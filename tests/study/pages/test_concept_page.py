"""A concept's page and the map as functions: modes, what is remembered of them, and where they lead."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - lessons show numbers that are computed
from lora_lab.engine.local import LocalEngine
from lora_lab.figures import FIGURES
from lora_lab.lab import Lab
from lora_lab.projects.service import ProjectService
from lora_lab.tasks.service import TaskService
from lora_lab.views.lesson_link import build_lab_link
from quizzes.explain.presenter import explain_exercise
from quizzes.session.challenge import build_challenge_link
from quizzes.session.operations import QuizOperations
from quizzes.session.quiz_options import QuizChoice
from study.base.errors import LearnerError
from study.learner.study_modes import STUDY_MODES, count_done, find_last_mode
from study.lessons.lesson import Lessons
from study.lessons.lesson_text import collect_terms
from study.pages.concept import ConceptPage
from study.pages.learn import LearnPage
from study.pages.review import ReviewPage
from study.ports.context import Context
from study.ports.learn import MisconceptionLink
from study.ports.ports import Ports
from study.ports.subjects import Subjects
from study.store import Store
from study.text.markup import to_html
from tests.exercises import build_card_exercise, build_quiz_exercise
from tests.study.lesson_files import CONCEPT, write_lesson
from tests.visits import build_event, opened, words

ADDRESS = f"id={CONCEPT}"


@dataclass
class Reader:
    """Ana's browser on the page."""

    page: ConceptPage
    operations: QuizOperations
    query: str = ADDRESS

    def opens(self, more: str = "", concept: str = CONCEPT) -> str:
        self.query = f"id={concept}{more}"
        return self.page.load(opened("browser-of-ana", self.query))

    def sends(self, act: str, mode: str, **values: Any) -> dict[str, Any]:
        event = {"act": act, "concept": CONCEPT, "mode": mode, "query": f"?{self.query}"} | values
        return dict(self.page.act(event, opened("browser-of-ana", self.query)))


@pytest.fixture
def subjects(context: Context) -> Subjects:
    cards = build_card_exercise(context)
    quiz = build_quiz_exercise(context, ask_for_cards=cards.ask_for)
    explain = explain_exercise(context, ask_for_cards=cards.ask_for)
    return Subjects(of_card=cards.subjects, of_question=quiz.subjects, of_prompt=explain.subjects)


@pytest.fixture
def ana_reads(context: Context, subjects: Subjects, tmp_path: Path, ana: str) -> Reader:
    write_lesson(tmp_path)
    cards = build_card_exercise(context)
    quiz = build_quiz_exercise(context, ask_for_cards=cards.ask_for)
    operations = quiz.operations
    explain = explain_exercise(context, ask_for_cards=cards.ask_for)
    lab = Lab(context.settings, LocalEngine(context.settings, warm=False))
    ports = Ports(subjects=subjects, figures=FIGURES, tasks_about=TaskService(store=context.store).list_links)
    ports.lab_link = build_lab_link
    ports.challenge_link = partial(build_challenge_link, operations, context.rng)
    ports.project_link = ProjectService(store=context.store, lab=lab).build_link
    page = ConceptPage(
        context=context,
        ports=ports,
        lessons=Lessons(concepts=context.concepts, check_preset=build_lab_link, folder=tmp_path),
        terms=collect_terms(context.concepts),
        review=ReviewPage(context=context, cards=cards, quiz=quiz, explain=explain),
    )
    return Reader(page, operations)


def test_a_concept_opens_with_its_place_on_the_map_and_nine_modes(ana_reads: Reader) -> None:
    html = ana_reads.opens()
    said = words(html)
    assert "Builds on LoRA update" in said
    assert "Leads to Counting trainable parameters , Alpha and scaling" in said
    assert html.count('data-act="mode" data-concept="lora-rank" data-mode=') == len(STUDY_MODES) == 9
    d_in, d_out = words(to_html("d_in")), words(to_html("d_out"))
    assert (
        f"A pair holds 65,536 computed here: r · ( {d_in} + {d_out} ) for each matrix; with {d_in} 4096"
        in said
    )
    assert "Where it breaks Numbers are no water." in said
    assert re.search(r'href="/concept\?id=qlora"[^>]*>QLoRA</a>', html)
    assert 'href="/concept?id=lora-update">LoRA update</a>' in html
    assert "Sources of these texts: arXiv:2106.09685 section 4.1; PEFT docs." in said


def test_the_review_has_one_duration_in_its_tile_its_heading_and_beside_its_button(ana_reads: Reader) -> None:
    said = words(ana_reads.opens("&mode=review"))
    tile, heading, button = re.findall(r"(?:Review |about )(\d+) min", said)
    assert tile == heading == button


def test_a_mode_that_was_read_is_ticked_and_leads_to_the_next(
    ana_reads: Reader, store: Store, ana: str
) -> None:
    html = ana_reads.opens()
    reply = ana_reads.sends(**build_event(html, "done"))
    assert reply["step"] == "/concept?id=lora-rank&mode=why"
    assert reply["focus"] == "#mode"
    assert reply["say"] == "Why: what it is for, about 3 minutes."
    assert "Learn 4 min ✓ read Why 3 min opened" in words(reply["html"])
    assert "The problem Too many numbers." in words(reply["html"])
    assert find_last_mode(store.lessons.marks(ana, CONCEPT)) == "why"
    assert "Why what it is for" in words(ana_reads.opens())
    assert count_done(store.lessons.marks(ana)) == {CONCEPT: 1}


def test_try_has_an_experiment_for_each_misconception_of_its_concept(ana_reads: Reader) -> None:
    named = MisconceptionLink(
        id="x",
        name="mix up rank and bits",
        address="/concept",
        experiment="Set the rank to 16.",
        experiment_address="/lab?rank=16&bits=nf4",
    )
    assert "What is often mistaken here" not in words(ana_reads.opens("&mode=try"))
    ana_reads.page.ports.misconceptions_about = lambda concept: [named] if concept == CONCEPT else []
    html = ana_reads.opens("&mode=try")
    assert "Do you mix up rank and bits? See for yourself Set the rank to 16. Open it" in words(html)
    assert '<a href="/lab?rank=16&amp;bits=nf4">Open it</a>' in html


def test_try_is_done_by_a_run_and_not_by_a_press(
    ana_reads: Reader, store: Store, ana: str, now: datetime
) -> None:
    html = ana_reads.opens("&mode=try")
    assert 'data-act="done"' not in html
    assert "Next: Project, a guided experiment" in words(html)
    assert "This part is done when you have started a run there." in words(html)
    assert "✓ done" not in words(ana_reads.opens("&mode=project"))
    store.lessons.mark(ana, CONCEPT, "try", "done", at=now)
    html = ana_reads.opens("&mode=try")
    assert "✓ done" in words(html)
    assert "This mode is done when" not in words(html)


def test_back_shows_the_mode_that_the_address_names(ana_reads: Reader) -> None:
    html = ana_reads.opens()
    assert 'data-address="/concept?id=lora-rank&amp;mode=learn"' in html
    assert "data-address" not in ana_reads.opens("&mode=why")
    reply = ana_reads.sends("here", "")
    assert "The problem Too many numbers." in words(reply["html"])
    assert "step" not in reply
    assert 'data-title="Rank r of an adapter: Why"' in reply["html"]


def test_opening_a_mode_twice_in_a_row_is_one_mark(ana_reads: Reader, store: Store, ana: str) -> None:
    for _ in range(3):
        ana_reads.opens("&mode=deep")
    assert [mark.mode for mark in store.lessons.marks(ana)] == ["deep"]


def test_where_reading_stopped_is_kept_for_each_mode(ana_reads: Reader) -> None:
    assert "Go on from there" not in words(ana_reads.opens())
    assert ana_reads.sends("place", "learn", place="3") == {}
    assert 'href="#place-3">Go on from there' in ana_reads.opens("&mode=learn")
    assert "Go on from there" not in words(ana_reads.opens("&mode=why"))
    ana_reads.sends("place", "learn", place="1")
    assert "Go on from there" not in words(ana_reads.opens("&mode=learn"))


def test_each_mode_shows_its_part(ana_reads: Reader) -> None:
    deep = ana_reads.opens("&mode=deep")
    assert "<math" in deep
    assert "Shapes" not in words(deep)  # what stands below a formula may be bytes as well
    assert 'class="shapes small"' in deep
    assert 'data-figure="lora-to-scale"' in ana_reads.opens("&mode=visualize&rank=16")
    assert "Pitfall One seed." in words(ana_reads.opens("&mode=metrics"))
    lab = ana_reads.opens("&mode=try")
    assert 'href="/lab?model=tiny-random&amp;rank=4' in lab
    assert "python -m lora_lab train --model tiny-random --rank 4 --steps 5" in words(lab)
    project = ana_reads.opens("&mode=project")
    assert 'href="/projects?id=does-rank-matter"' in project
    assert "How much does r = 1 lose?" in words(project)
    review = ana_reads.opens("&mode=review")
    assert 'href="/cards?concept=lora-rank"' in review
    assert 'href="/quiz?concept=lora-rank"' in review
    assert 'href="/explain?prompt=' in review


def test_a_figure_that_is_not_there_is_said_so(ana_reads: Reader) -> None:
    ana_reads.page.ports.figures = {}
    assert "This figure is not there: lora-to-scale ." in words(ana_reads.opens("&mode=visualize"))


def test_the_challenge_is_done_when_its_quiz_is(ana_reads: Reader, ana: str, now: datetime) -> None:
    html = ana_reads.opens("&mode=challenge")
    assert "5 timed problems about this concept. 2 minutes each, 2 attempts, a hint; a badge" in words(html)
    assert 'href="/quiz?mode=challenge&amp;concept=lora-rank&amp;n=5&amp;seed=' in html
    choice = QuizChoice(mode="challenge", concept=CONCEPT, length=5, seed=7)
    operations = ana_reads.operations
    record = operations.start(ana, choice, now=now)
    for question_id in record.question_ids:
        right = operations.bank.by_id[question_id].task.answer
        operations.answer(record, question_id, right, shown_at=now, now=now)
    html = ana_reads.opens("&mode=challenge")
    assert "Your best so far: 5 of 5 right ✓ badge" in words(html)
    assert "Challenge 10 min ✓ done" in words(html)


def test_a_question_with_drawn_numbers_counts_as_answered(ana_reads: Reader, ana: str, now: datetime) -> None:
    operations = ana_reads.operations
    drawn = [
        question.id for question in operations.bank.build_pool(seed=7, concept=CONCEPT) if "@" in question.id
    ]
    quiz = operations.store.quizzes.start(
        ana, seed=7, question_ids=tuple(drawn[:2]), choice={}, started_at=now
    )
    for question_id in drawn[:2]:
        right = operations.bank.by_id[question_id].task.answer
        operations.answer(quiz, question_id, right, shown_at=now, now=now)
    assert re.search(
        r"\d+ questions 0 answered, and 2 with drawn numbers", words(ana_reads.opens("&mode=review"))
    )


def test_one_button_starts_a_review_that_asks_about_this_concept_alone(ana_reads: Reader, ana: str) -> None:
    html = ana_reads.opens("&mode=review")
    assert html.count('class="primary') == 1
    offered = re.search(r"Start: (\d+) card answers, (\d+) questions, one explanation", words(html))
    assert offered
    review, subjects = ana_reads.page.review, ana_reads.page.ports.subjects
    address = ana_reads.sends("review", "review")["goto"]
    query = address.partition("?")[2]
    run = ana_reads.page.context.store.five_minute_reviews.find(ana, query.removeprefix("run="))
    assert run
    quiz = ana_reads.operations.store.quizzes.session(ana, run.quiz_session_id)
    assert quiz
    assert [run.cards, len(quiz.question_ids)] == [int(number) for number in offered.groups()]
    bank = ana_reads.operations.bank
    assert all(CONCEPT in bank.by_id[question].concepts for question in quiz.question_ids)
    assert CONCEPT in subjects.of_prompt[run.prompt_id]
    shown = review.load(opened("browser-of-ana", query))
    card = re.search(r'data-card="([^"]+)"', shown)
    assert card
    assert CONCEPT in subjects.of_card[card[1]]
    assert "Review: Rank r of an adapter" in words(shown)


def test_a_concept_without_a_lesson_shows_what_there_is_to_review(ana_reads: Reader) -> None:
    html = ana_reads.opens(concept="nf4")
    assert "The lesson of this concept is not written yet." in words(html)
    assert 'href="/cards?concept=nf4"' in html


def test_an_address_without_a_concept_says_where_to_choose_one(ana_reads: Reader) -> None:
    with pytest.raises(LearnerError, match="no concept at this address"):
        ana_reads.page.load(opened("browser-of-ana"))
    with pytest.raises(LearnerError, match="no such study mode"):
        ana_reads.sends("mode", "sleep")


# ---- the map


@pytest.fixture
def learn(context: Context, subjects: Subjects) -> LearnPage:
    return LearnPage(context=context, subjects=subjects)


def test_the_map_shows_every_concept_with_its_lines_and_what_was_done(
    learn: LearnPage, ana_reads: Reader, context: Context
) -> None:
    ana_reads.sends("done", "learn")
    html = learn.load(opened("browser-of-ana"))
    for concept in context.concepts.by_id.values():
        assert f'href="/concept?id={concept.id}"' in html
        for before in concept.prerequisites:
            assert f'class="line from-{before} to-{concept.id}"' in html
    assert "1 study mode done" in words(html)
    assert "Last: Rank r of an adapter, Why" in words(html)


def test_the_search_finds_names_before_summaries_and_other_names(learn: LearnPage) -> None:
    found = [concept.id for concept in learn.find("rank")]
    assert found[:3] == ["matrix-rank", "low-rank-factorization", "lora-rank"]
    assert "svd-truncation" in found
    assert [concept.id for concept in learn.find("singular value decomposition")] == ["svd-truncation"]
    reply = learn.act({"act": "search", "fields": {"q": ["  nf4 "]}, "query": ""}, opened("b1"))
    assert reply["say"] == "1 concept found."
    assert 'href="/concept?id=nf4"' in reply["parts"]["found"]
    assert "Try a shorter word" in words(learn.load(opened("b1", "q=zebra")))
