"""The Quiz page: choose a mode, answer, read the feedback, see what to review and what comes back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from quizzes.pages.writing import ADDRESS, QuestionDone, QuestionWriting
from quizzes.session.modes import EXAM_PACES, MODES, RULES, Mode
from quizzes.session.operations import draw_seed
from quizzes.session.presenter import QuizExercise
from quizzes.session.quiz_options import QuizChoice, build_address, ends_at, find_rules, read_choice
from quizzes.session.session import SEEDS, USUAL_LENGTH, Position, group_by_concept
from study.base.errors import LearnerError, StaleError
from study.base.html import NO_HTML
from study.base.import_limits import ID_CHARACTERS
from study.content.yaml_reader import LEVELS
from study.learner.progress import find_most_frequent
from study.ports.context import Context, Visit
from study.ports.review import Fragment
from study.store.json_columns import LONGEST_QUIZ, SLOWEST_PACE
from study.store.logs.quizzes import QuizRecord
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

LENGTHS = (5, 10, 20)
CALLS_OUT = (300, 60, 10)  # seconds left at which a screen reader announces the time


@dataclass(frozen=True, kw_only=True)
class QuizPage:
    """The event handlers of the Quiz page.

    The URL has the choice and the seed, so it can be shared; the log has the answers. Opening a URL continues
    the newest quiz that was drawn by it, or offers to start one. The page's own URL has the form to choose a
    quiz; above it stands a link to the last quiz, if that is still open or its time ran out. The URL of one
    question, without a seed, opens a quiz of it that is not answered yet.
    """

    place = frame.IslandPlace(elem_id="quiz", title="Quiz", path="/quiz")

    context: Context
    exercise: QuizExercise
    writing: QuestionWriting

    def load(self, request: gr.Request) -> Markup:
        """Render what the URL names: a quiz, the form to choose one, or the form for a new question."""
        return self._show_address(frame.open_visit(self.context, request)).get("html", NO_HTML)

    def _show_address(self, visit: Visit) -> Reply:
        if visit.query.get("write"):
            return {"html": self.writing.render_form(visit)}
        choice = _parse_choice(visit.query)
        if choice is None:
            return self._open_question(visit) or {"html": self._render_chooser(visit), "focus": "#main"}
        record = self.exercise.operations.find_newest(visit.profile.id, choice)
        if record is None:
            return {"html": self._render_chooser(visit, shared=choice), "focus": "#main"}
        return self._go_on(visit, record, choice)

    def _open_question(self, visit: Visit) -> Reply | None:
        """Ask the one question that the URL names; None without one that is in the bank."""
        named = visit.query.get("question", "")
        if named not in self.exercise.operations.bank.by_id:
            return None
        choice, record = self.exercise.operations.open_question(
            visit.profile.id, named, seed=draw_seed(self.context.rng), now=visit.now
        )
        return {**self._go_on(visit, record, choice), "url": build_address(choice)}

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self.context, request, event)
        match event.get("act"):
            case "here":
                return self._show_address(visit)
            case "start":
                return self._ask_before_leaving(visit, event, self._read_choice(event))
            case "again":
                return self._ask_before_leaving(visit, event, _find_named(visit))
            case "answer" | "give-up":
                return self._answer(visit, event)
            case "hint":
                hint = self.exercise.hint(visit, event)
                return {"parts": {"hint": hint}, "say": "Hint shown.", "focus": "#hint"}
            case "next":
                return self._show_next(visit)
            case "poll":
                return self._tick(visit, event)
            case "draft":
                self.writing.draft.save(visit, event)
                return {}
            case "write":
                return self._write(visit)
            case "save-question":
                return self._save_question(visit, event)
            case "take-back":
                self.writing.take_back(visit, event)
                return self._write(visit, said="Taken back. Its text is in the form.")
        raise form_event.build_unknown_act_error(event)

    def _write(self, visit: Visit, *, said: str = "") -> Reply:
        return {
            "html": self.writing.render_form(visit),
            "url": ADDRESS,
            "focus": "#question-stem",
            "say": said,
        }

    def _save_question(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        typed = self.writing.draft.read_form(event)
        if problems := self.writing.writer.find_problems(typed):
            return {"error": " ".join(problems.values()), "beside": f"#question-{next(iter(problems))}"}
        done = self.writing.write(visit, typed)
        html = self._render_chooser(visit, done=done)
        return {"html": html, "url": "/quiz", "say": "The question is saved.", "focus": "#done"}

    def _answer(self, visit: Visit, event: dict[str, Any]) -> Reply:
        give = self.exercise.give_up if event.get("act") == "give-up" else self.exercise.answer
        try:
            fragment = give(visit, event)
        except StaleError as stale:
            return {**self._show_next(visit), "error": str(stale)}
        record = self.exercise.operations.read_record(
            visit.profile.id, form_event.read_text(event, "session")
        )
        return (
            self._wrap(visit, fragment, record)
            if find_rules(record).feedback_at_once
            else self._show_next(visit)
        )

    def _show_next(self, visit: Visit) -> Reply:
        choice = _find_named(visit)
        record = self.exercise.operations.find_newest(visit.profile.id, choice)
        return self._go_on(visit, record, choice) if record else {"goto": build_address(choice)}

    def _tick(self, visit: Visit, event: Mapping[str, Any]) -> Reply:
        """Render the clock, or the summary once time has run out."""
        choice = _find_named(visit)
        record = self.exercise.operations.find_newest(visit.profile.id, choice)
        limit = ends_at(record) if record else None
        if record is None or limit is None:
            return {}
        if visit.now >= limit:
            return {**self._go_on(visit, record, choice), "say": "Time is up. Here is how it went."}
        left = (limit - visit.now).total_seconds()
        before = form_event.read_number(form_event.read_text(event, "left"), default=0, low=0, high=86_400)
        passed = any(before > mark >= left for mark in CALLS_OUT)
        return {
            "parts": {"clock": _format_clock(left)},
            "say": f"{_format_time(left)} left." if passed else "",
        }

    def _read_choice(self, event: Mapping[str, Any]) -> QuizChoice:
        mode = _read_mode(form_event.read_field(event, "mode"))
        pace, seed = form_event.read_field(event, "pace"), form_event.read_field(event, "seed")
        length = form_event.read_number(
            form_event.read_field(event, "length"), default=USUAL_LENGTH, low=1, high=LONGEST_QUIZ
        )
        return QuizChoice(
            mode=mode,
            topic=form_event.read_field(event, "topic"),
            level=form_event.read_field(event, "level") if mode != "check" else "",
            concept=form_event.read_field(event, "concept"),
            length=RULES[mode].length or length,
            seconds_each=_read_pace(pace) if mode == "exam" else None,
            seed=form_event.read_number(seed, default=draw_seed(self.context.rng), low=0, high=SEEDS - 1),
        )

    def _ask_before_leaving(self, visit: Visit, event: Mapping[str, Any], choice: QuizChoice) -> Reply:
        """Start a quiz; where an exam is open, ask first, because only the last quiz is offered again."""
        last = self.exercise.operations.find_last_chosen(visit.profile.id)
        is_exam = last is not None and last[0].mode == "exam"
        asks = is_exam and not event.get("anyway") and not choice.question
        left = self.exercise.open_quiz(visit) if asks else None
        if left is None:
            return self._start(visit, choice)
        html = render("quizzes/quiz/leave_exam.html", exam=left)
        return {"html": html, "step": build_address(choice), "focus": "#main"}

    def _start(self, visit: Visit, choice: QuizChoice) -> Reply:
        record = self.exercise.operations.start(visit.profile.id, choice, now=visit.now)
        return {**self._go_on(visit, record, choice), "step": build_address(choice)}

    def _go_on(self, visit: Visit, record: QuizRecord, choice: QuizChoice) -> Reply:
        position = self.exercise.operations.compute_position(record, now=visit.now)
        if position.question is None:
            return self._show_summary(visit, record, choice, position)
        return self._wrap(visit, self.exercise.render_question(visit, record, position), record)

    def _wrap(self, visit: Visit, fragment: Fragment, record: QuizRecord) -> Reply:
        limit = ends_at(record)
        clock = _format_clock((limit - visit.now).total_seconds()) if limit and visit.now < limit else ""
        choice = read_choice(record)
        return {
            "html": render(
                "quizzes/quiz/quiz.html",
                fragment=fragment.html,
                clock=clock,
                address=build_address(choice) if choice else "",
            ),
            "say": fragment.say,
            "focus": fragment.focus,
        }

    def _show_summary(
        self, visit: Visit, record: QuizRecord, choice: QuizChoice, position: Position
    ) -> Reply:
        operations = self.exercise.operations
        bank, answered = operations.bank, position.answered
        missed = [bank.by_id[answer.question_id] for answer in answered.values() if not answer.correct]
        limit = ends_at(record)
        html = render(
            "quizzes/quiz/summary.html",
            position=position,
            points=f"{position.points:.2f}".rstrip("0").rstrip("."),
            time_over=limit is not None and visit.now >= limit and len(answered) < position.total,
            not_reached=position.total - len(answered),
            badge=operations.has_badge(record, now=visit.now),
            scores=group_by_concept(bank, answered.values()),
            missed=missed,
            comes_back=self.exercise.list_return_days(visit),
            weakest=find_most_frequent(question.concepts for question in missed),
            explained=[] if choice.rules.feedback_at_once else self._explain_questions(record, position),
            choice=choice,
            address=build_address(choice),
            concepts=self.context.concepts,
        )
        return {
            "html": html,
            "say": f"Quiz done: {position.right} of {position.total} right.",
            "focus": "#main",
        }

    def _explain_questions(self, record: QuizRecord, position: Position) -> list[tuple[int, str, Markup]]:
        """Render every question of a quiz with its right answer: number, mark, and HTML of each."""
        bank = self.exercise.operations.bank
        asked = [bank.by_id[question_id] for question_id in record.question_ids if question_id in bank.by_id]
        shown = []
        for number, question in enumerate(asked, start=1):
            given = position.answered.get(question.id)
            mark = "–" if given is None else "✓" if given.correct else "✗"
            shown.append((number, mark, self.exercise.render_explained(record, question, given)))
        return shown

    def _render_chooser(
        self, visit: Visit, *, shared: QuizChoice | None = None, done: QuestionDone | None = None
    ) -> Markup:
        operations, profile_id = self.exercise.operations, visit.profile.id
        named, asked = visit.query.get("concept", ""), visit.query.get("question", "")
        concept = named if named in self.context.concepts.by_id else ""
        return render(
            "quizzes/quiz/choose.html",
            done=done,
            may_write=visit.is_owner,
            write=ADDRESS,
            modes=RULES,
            asked_mode=_read_mode(visit.query.get("mode", "")),
            topic_groups=operations.bank.group_topics(),
            levels=LEVELS,
            lengths=LENGTHS,
            usual=USUAL_LENGTH,
            paces=EXAM_PACES,
            bank=operations.bank,
            shared=shared,
            concept=concept,
            concept_name=self.context.concepts.name(concept) if concept else "",
            unknown_concept="" if concept else named[:120],
            unknown_question=bool(asked) and asked not in operations.bank.by_id and not shared,
            asked_topic=visit.query.get("topic", ""),
            open_quiz=self.exercise.open_quiz(visit),
            timed_out=self.exercise.find_timed_out(visit),
            returning=len(operations.list_due(profile_id, now=visit.now)),
            badges=operations.count_badges(profile_id, now=visit.now),
            shared_count=len(operations.choose_questions(profile_id, shared, now=visit.now)) if shared else 0,
        )


def _find_named(visit: Visit) -> QuizChoice:
    choice = _parse_choice(visit.query)
    if choice is None:
        raise LearnerError("There is no quiz at this address.", do_next="Start one from the Quiz page.")
    return choice


def _parse_choice(query: Mapping[str, str]) -> QuizChoice | None:
    """Parse the quiz that a URL names; a URL without a seed names none."""
    if not query.get("seed", "").isdecimal():
        return None
    mode = _read_mode(query.get("mode", ""))
    return QuizChoice(
        mode=mode,
        topic=query.get("topic", "")[:120],
        level=query.get("level", "")[:120],
        concept=query.get("concept", "")[:120],
        question=query.get("question", "")[:ID_CHARACTERS],
        length=form_event.read_number(query.get("n", ""), default=USUAL_LENGTH, low=1, high=LONGEST_QUIZ),
        seconds_each=_read_pace(query.get("pace", "")) if mode == "exam" else None,
        seed=form_event.read_number(query["seed"], default=0, low=0, high=SEEDS - 1),
    )


def _read_mode(written: str) -> Mode:
    return next((mode for mode in MODES if mode == written), "practice")


def _read_pace(written: str) -> int:
    return form_event.read_number(written, default=RULES["exam"].seconds_each, low=0, high=SLOWEST_PACE)


def _format_clock(seconds: float) -> Markup:
    return render("quizzes/quiz/clock.html", seconds=int(seconds), left=_format_time(seconds))


def _format_time(seconds: float) -> str:
    """Format minutes until the last one, then seconds, because a figure that always changes distracts."""
    if seconds > 60:
        return f"{math.ceil(seconds / 60)} minutes"
    return f"{math.ceil(seconds)} second{'' if math.ceil(seconds) == 1 else 's'}"
