"""A concept's page: its place on the map and its nine study modes. `/concept?id=nf4&mode=why`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.base.errors import LearnerError
from study.content.concept_map_layout import list_dependents
from study.content.concepts import CONCEPT_PAGE, Concept, build_concept_address
from study.learner.mastery import compute_mastery
from study.learner.path import choose_next_concept, list_understood, say_place
from study.learner.study_modes import (
    STEPS,
    STUDY_MODES,
    TOLD,
    ModeState,
    StudyMode,
    find_last_mode,
    find_next_mode,
    list_minutes,
    list_states,
    parse_mode,
)
from study.lessons.lesson import Lesson, Lessons
from study.lessons.lesson_text import LessonText, Terms
from study.pages.review import ReviewPage, ReviewPlan
from study.ports.context import Context, Visit
from study.ports.ports import Ports
from study.store.logs.lessons import ModeMark
from study.text.computed_text import list_settings_named_in
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

PLACES = 100


@dataclass(frozen=True, kw_only=True)
class Materials:
    """The cards, questions and prompts about a concept, by id."""

    cards: tuple[str, ...]
    questions: tuple[str, ...]
    prompts: tuple[str, ...]
    drawn: tuple[str, ...]
    """The questions with drawn numbers that were answered; nobody can count all that could be drawn."""

    def is_reviewed(self, met: set[str]) -> bool:
        """Return whether every card was seen, and one question and one prompt, if any, was answered."""
        some = (part for part in ((*self.questions, *self.drawn), self.prompts) if part)
        return met.issuperset(self.cards) and all(met.intersection(part) for part in some)


@dataclass(frozen=True, kw_only=True)
class ConceptPage:
    place = frame.IslandPlace(
        elem_id="concept",
        title="Concept",
        path=CONCEPT_PAGE,
        under="/learn",
        look="concept",
        back=("/learn", "Learn"),
    )

    context: Context
    ports: Ports
    lessons: Lessons
    terms: Terms
    review: ReviewPage

    def load(self, request: gr.Request) -> Markup:
        """Render the mode in the URL, else the last opened one, else the explanation."""
        visit = frame.open_visit(self.context, request)
        concept = self._require_concept(visit.query.get("id", ""))
        return self._open(visit, concept, parse_mode(visit.query.get("mode", "")))[0]

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Open a mode, start its review, mark one as done, or store the reading place."""
        visit = frame.open_visit(self.context, request, event)
        if event.get("act") == "here":
            return self._back(visit)
        concept = self._require_concept(form_event.read_text(event, "concept"))
        mode = parse_mode(form_event.read_text(event, "mode"))
        if mode is None:
            raise LearnerError("There is no such study mode.", do_next="Choose one from the row of modes.")
        store, profile_id = self.context.store.lessons, visit.profile.id
        match event.get("act"):
            case "review":
                return {"goto": self.review.start(visit, concept.id)}
            case "mode":
                return self._go(visit, concept, mode)
            case "done":
                store.mark(profile_id, concept.id, mode, "done", at=visit.now)
                return self._go(visit, concept, self._choose_following_mode(visit, concept, mode))
            case "place":
                place = form_event.read_number(
                    form_event.read_text(event, "place"), default=1, low=1, high=PLACES
                )
                store.stop_at(profile_id, concept.id, mode, place, at=visit.now)
                return {}
        raise form_event.build_unknown_act_error(event)

    def _back(self, visit: Visit) -> Reply:
        """Handle Back or Forward of the browser: the URL says what to show."""
        concept = self._require_concept(visit.query.get("id", ""))
        html, shown = self._open(visit, concept, parse_mode(visit.query.get("mode", "")))
        return {"html": html, "say": _announce(shown), "focus": "#mode"}

    def _go(self, visit: Visit, concept: Concept, mode: StudyMode) -> Reply:
        html, shown = self._open(visit, concept, mode)
        step = build_concept_address(concept.id, mode)
        return {"html": html, "step": step, "say": _announce(shown), "focus": "#mode"}

    def _choose_following_mode(self, visit: Visit, concept: Concept, mode: StudyMode) -> StudyMode:
        lesson, marks = self.lessons.find(concept.id), self._read_marks(visit, concept)
        row = self._build_row(
            visit, concept, lesson, marks, review_minutes=0
        )  # what is next depends on no minutes
        following = find_next_mode(row, mode)
        return following.mode if following else mode

    def _open(self, visit: Visit, concept: Concept, asked: StudyMode | None) -> tuple[Markup, ModeState]:
        lesson = self.lessons.find(concept.id)
        marks = self._read_marks(visit, concept)
        mode = asked or find_last_mode(marks) or STUDY_MODES[0]
        if lesson is None and mode in TOLD | {"try", "project"}:
            mode = "review"
        if find_last_mode(marks) != mode:
            self.context.store.lessons.mark(visit.profile.id, concept.id, mode, "opened", at=visit.now)
            marks = self._read_marks(visit, concept)
        plan = self.review.plan(visit, concept.id)
        row = self._build_row(visit, concept, lesson, marks, review_minutes=plan.minutes)
        shown = next(state for state in row if state.mode == mode)
        known = compute_mastery(self.context.store, visit.profile.id, self.ports.subjects)
        done = list_understood(self.context.store.lessons.marks(visit.profile.id), known)
        following = choose_next_concept(self.context.concepts, done, after=concept.id)
        html = render(
            "study/concept/concept.html",
            concept=concept,
            concepts=self.context.concepts,
            after=list_dependents(self.context.concepts, concept.id),
            known=known.get(concept.id),
            mastery=known,
            row=row,
            steps=STEPS,
            next_concept=following,
            next_place=say_place(self.context.concepts, following) if following else "",
            shown=shown,
            following=find_next_mode(row, mode),
            lesson=lesson,
            told=mode in TOLD,
            address=build_concept_address,
            unaddressed=asked is None,
            text=LessonText(self.terms, concept.id),
            place=self.context.store.lessons.place(visit.profile.id, concept.id, mode),
            **self._build_values(visit, concept, lesson, mode, plan),
        )
        return html, shown

    def _build_values(
        self, visit: Visit, concept: Concept, lesson: Lesson | None, mode: StudyMode, plan: ReviewPlan
    ) -> dict[str, Any]:
        """Build the template values of a mode in addition to the lesson's texts."""
        inside: dict[str, Any] = {"figure": None, "link": None, "materials": None}
        inside |= {"tasks": (), "misconceptions": ()}
        if mode == "challenge":
            inside["link"] = self.ports.challenge_link(visit, concept.id)
        elif mode == "review":
            inside["met"] = self._read_met(visit)
            inside["materials"] = self._collect_materials(concept.id, inside["met"])
            inside["words"] = self.ports.subjects.asked
            inside["plan"] = plan
        elif lesson is not None and mode in ("learn", "visualize"):
            figure = self.ports.figures.get(lesson.visualize.figure)
            settings = {name: value for name, value in visit.query.items() if name not in ("id", "mode")}
            used = list_settings_named_in(lesson.learn.paragraphs) if mode == "learn" else None
            inside["figure"] = figure.render_fragment(settings, beside=used) if figure else None
        elif lesson is not None and mode == "try":
            inside["link"] = self.ports.lab_link(lesson.try_it.preset)
            inside["tasks"] = self.ports.tasks_about(visit, concept.id)
            inside["misconceptions"] = self.ports.misconceptions_about(concept.id)
        elif lesson is not None and mode == "project":
            inside["link"] = self.ports.project_link(visit, lesson.project.project)
        return inside

    def _build_row(
        self,
        visit: Visit,
        concept: Concept,
        lesson: Lesson | None,
        marks: list[ModeMark],
        *,
        review_minutes: int,
    ) -> list[ModeState]:
        met = self._read_met(visit)
        materials = self._collect_materials(concept.id, met)
        minutes = list_minutes(lesson, review=review_minutes)
        done: list[StudyMode] = []
        if self.ports.challenge_link(visit, concept.id).done:
            done.append("challenge")
        if materials.is_reviewed(met):
            done.append("review")
        if lesson is not None and self.ports.project_link(visit, lesson.project.project).done:
            done.append("project")
        return list_states(marks, minutes=minutes, shown_done=done)

    def _collect_materials(self, concept_id: str, met: set[str]) -> Materials:
        questions = self.ports.subjects.of_question
        return Materials(
            cards=_list_about(self.ports.subjects.of_card, concept_id),
            questions=_list_about(questions, concept_id),
            prompts=_list_about(self.ports.subjects.of_prompt, concept_id),
            drawn=tuple(
                each for each in sorted(met.difference(questions)) if concept_id in questions.get(each, ())
            ),
        )

    def _read_met(self, visit: Visit) -> set[str]:
        """Read the ids of every card, question and prompt that this learner has answered."""
        store, profile_id = self.context.store, visit.profile.id
        return (
            {review.card_id for review in store.cards.history(profile_id)}
            | {answer.question_id for answer in store.quizzes.history(profile_id)}
            | {attempt.prompt_id for attempt in store.explains.attempts(profile_id)}
        )

    def _read_marks(self, visit: Visit, concept: Concept) -> list[ModeMark]:
        return self.context.store.lessons.marks(visit.profile.id, concept.id)

    def _require_concept(self, concept_id: str) -> Concept:
        concept = self.context.concepts.by_id.get(concept_id)
        if concept is None:
            raise LearnerError(
                f"There is no concept {concept_id!r}."
                if concept_id
                else "There is no concept at this address.",
                do_next="Choose one on the Learn page.",
            )
        return concept


def _announce(shown: ModeState) -> str:
    return f"{shown.title}: {shown.about}, about {shown.minutes} minutes."


def _list_about(subjects: Mapping[str, tuple[str, ...]], concept_id: str) -> tuple[str, ...]:
    return tuple(item for item, concepts in subjects.items() if concept_id in concepts)
