"""What stands behind the Explain page: highlights, agreement, the reading queue, advice for every concept."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quizzes.explain.advice import load_advice
from quizzes.explain.agreement import compute_kappa
from quizzes.explain.concept_status import reads_as_english, split_segments
from quizzes.explain.grading_queue import BROKEN, NO_GRADER, GradingQueue, Keep
from quizzes.grader.grading import Grading
from quizzes.grader.labelled_answers import NOISE, LabelledAnswer, load_answers
from quizzes.grader.limits import describe_limits, read_measured, write_measured
from quizzes.grader.metrics import JudgedAnswer
from quizzes.grader.prompts import Prompt, load_prompts
from study.base.model_files import Report
from study.content.concepts import ConceptMap
from study.store.logs.explains import ExplainAttempt
from tests.quizzes.explain.explaining import end_thread, finish
from tests.quizzes.toy_grader import TOY

SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple), max_size=4)


@settings(max_examples=40)
@given(st.text(max_size=30), st.dictionaries(st.integers(1, 4), SPANS, max_size=4))
def test_highlighting_keeps_every_character_in_its_place(
    text: str, evidence: dict[int, list[tuple[int, int]]]
) -> None:
    pieces = split_segments(text, evidence)
    assert "".join(piece.text for piece in pieces) == text
    at = 0
    for piece in pieces:
        for number, spans in evidence.items():
            inside = any(start <= at < min(end, len(text)) for start, end in spans)
            assert (number in piece.numbers) == inside
        at += len(piece.text)


def test_no_words_are_marked_as_right_and_as_wrong() -> None:
    text = "It is small and it is never trained."
    pieces = split_segments(text, {1: [(0, 36)], 2: [(16, 35)]}, against={2})
    assert [(piece.text, piece.numbers, piece.against) for piece in pieces] == [
        ("It is small and ", (1,), False),
        ("it is never trained", (2,), True),
        (".", (1,), False),
    ]


def test_kappa_is_what_cohen_computed() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: observed .70, by chance .50 (the usual textbook table).
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert compute_kappa(pairs) == pytest.approx(0.4)
    assert compute_kappa([(True, True)] * 30) is None
    assert compute_kappa([]) is None


def test_every_concept_of_every_prompt_has_its_own_advice(concepts: ConceptMap) -> None:
    prompts = load_prompts(concepts)
    advice = load_advice(prompts, concepts)
    assert len(advice) == 4 * len(prompts)
    for kind in ("missing", "contradicted", "clarify"):
        texts = [getattr(one, kind) for one in advice.values()]
        assert len(set(texts)) == len(texts)
        assert all(text.endswith(("?",) if kind == "clarify" else (".", "?")) for text in texts)


def test_all_model_answers_read_as_english(concepts: ConceptMap) -> None:
    assert all(reads_as_english(prompt.model_answer) for prompt in load_prompts(concepts).values())
    assert not reads_as_english("Les poids du modèle restent gelés pendant tout l'entraînement.")
    assert not reads_as_english("Los pesos originales quedan congelados mientras aprende el adaptador.")


def test_the_share_of_english_words_separates_as_well_as_its_comment_says(concepts: ConceptMap) -> None:
    answers = load_answers(load_prompts(concepts))

    def count_refused(wanted: Callable[[str], bool]) -> tuple[int, int]:
        texts = [answer.text for answer in answers if wanted(answer.kind)]
        return sum(not reads_as_english(text) for text in texts), len(texts)

    assert count_refused(lambda kind: kind == "other-language") == (236, 249)
    assert count_refused(lambda kind: kind == "gibberish") == (57, 74)
    refused, english = count_refused(lambda kind: kind not in NOISE | {"other-language"})
    assert round(100 * refused / english) == 3


def test_what_was_measured_is_kept_with_the_weights_and_said_in_one_sentence(tmp_path: Path) -> None:
    assert read_measured(tmp_path) is None
    assert describe_limits(None) == "How often this grader is right has not been measured."
    answer = LabelledAnswer(
        prompt_id="p",
        kind="mixed",
        voice="v",
        pair="",
        verdicts=("covered", "covered", "contradicted", "missing"),
        text="t",
    )
    judged = [JudgedAnswer(answer=answer, verdicts=("covered", "unsure", "covered", "missing"))]
    measured = write_measured(judged, tmp_path)
    assert read_measured(tmp_path) == measured
    assert describe_limits(measured) == (
        "The grader was measured on 1 answer that it had not seen. Of the concepts that it called covered, "
        "50\N{NO-BREAK SPACE}% really were. It found 50\N{NO-BREAK SPACE}% of those that were said, mistook "
        "100\N{NO-BREAK SPACE}% of false statements for right ones, and could not tell in "
        "25\N{NO-BREAK SPACE}% of cases."
    )


ATTEMPT = ExplainAttempt(
    id=1, prompt_id="toy", text="We say apple.", submitted_at=datetime(2026, 3, 4, tzinfo=UTC)
)


class BrokenGrader:
    """A bug in the grader."""

    has_files = True

    def prepare(self, report: Report) -> None:
        """Nothing to load."""

    def grade(
        self, prompt: Prompt, answer: str, *, report: Report, find_words: bool, added_at: int | None
    ) -> Grading:
        raise KeyError("scores")


def keep(grading: Grading) -> None:
    raise AssertionError("nothing was read")


def test_a_bug_in_the_grader_is_logged_and_leaves_the_learner_a_way_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = GradingQueue(BrokenGrader())
    queue.read(ATTEMPT, TOY, keep, learner="ana")
    finish(queue)
    assert queue.find_trouble(1) == BROKEN
    assert "KeyError" in caplog.text
    queue.close()


def test_a_queue_without_a_grader_reads_nothing_and_says_so() -> None:
    queue = GradingQueue(None)
    queue.read(ATTEMPT, TOY, keep, learner="ana")
    assert not queue.open
    assert queue.find_trouble(1) == NO_GRADER
    queue.close()


class PatientGrader(BrokenGrader):
    """Grades nothing before it may."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def grade(
        self, prompt: Prompt, answer: str, *, report: Report, find_words: bool, added_at: int | None
    ) -> Grading:
        self.may.wait(20)
        return Grading(concepts=())


def test_learners_take_turns_and_every_answer_is_graded() -> None:
    graded: list[int] = []
    grader = PatientGrader()
    queue = GradingQueue(grader)

    def note_as(number: int) -> Keep:
        return lambda _: graded.append(number)

    for learner, first, count in (("ana", 0, 300), ("ben", 1000, 1), ("cem", 2000, 2)):
        for number in range(first, first + count):
            attempt = replace(ATTEMPT, id=number)
            queue.read(attempt, TOY, note_as(number), learner=learner)
    grader.may.set()
    finish(queue)
    assert max(map(graded.index, (1000, 2000))) <= 3  # behind what was being graded, and one of each other
    assert graded.index(2001) <= 5
    assert sorted(graded) == [*range(300), 1000, 2000, 2001]
    end_thread(queue)
    assert queue._waiting == {}


def test_closing_lets_nobody_wait_for_what_is_not_graded() -> None:
    grader = PatientGrader()
    queue = GradingQueue(grader)
    for number in range(3):
        queue.read(replace(ATTEMPT, id=number), TOY, lambda _: None, learner="ana")
    queue.close()
    grader.may.set()
    finish(queue)
