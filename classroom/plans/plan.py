"""Reading a lesson plan: every activity with all its texts, every problem of the file at once."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from classroom.activities.activity import KINDS, Activity, Guessed, ShownFigure
from classroom.activities.comparison import list_options
from classroom.activities.crowd_grid import CrowdGrid, RunGrid
from classroom.activities.number import LIMITS
from classroom.plans.fields import (
    read_minutes,
    read_number_guess,
    read_poll,
    read_position,
    read_settings,
    read_typed,
)
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap, load_concepts, note_unknown_concepts
from study.content.evidence import read_evidence
from study.content.yaml_reader import (
    ContentError,
    Fields,
    LocatedMapping,
    Problem,
    parse_content,
    read_folder,
)
from study.figures.controls import SliderControl, list_controls, parse_settings
from study.figures.figure import Figures
from study.ports.classes import (
    ClassGrader,
    ClassGrids,
    ClassPrompt,
    ClassQuestion,
    ClassRuns,
    FindClassQuestion,
    FindClassTwins,
    SearchClassQuestions,
)
from study.text.markup import to_html

PLANS_DIR = Path(__file__).parent

OWN = "own-"
"""Begins the id of a teacher's own plan, so that it never is that of a shipped one."""

OWN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
"""The name of a teacher's plan's file, without `.yaml`."""

MOST_ACTIVITIES, LONGEST_TITLE, LONGEST_TEXT = 40, 80, 2000
LARGEST_OWN_BYTES = 100_000
MOST_QUIZ_QUESTIONS = 12
"""A phone holds the forms of all of them."""

FEWEST_SEEDS = 3
"""Of runs that are compared."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    id: str
    title: str
    about: str
    minutes: int
    activities: tuple[Activity, ...]
    entries: tuple[Mapping[str, Any], ...] = ()
    """The activities as its file has them, from which another plan is made."""

    @property
    def is_own(self) -> bool:
        """Whether the teacher made it in this app."""
        return self.id.startswith(OWN)

    @property
    def version(self) -> str:
        """Names this content, for optimistic locking: a window that shows an older one replaces nothing."""
        content = json.dumps([self.title, self.about, self.minutes, *self.entries])
        return sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The plans that are shipped and the teacher's own, read with the questions and runs of the app."""

    find_question: FindClassQuestion
    runs: ClassRuns
    grids: ClassGrids
    grader: ClassGrader
    figures: Figures
    own_folder: Path
    search_questions: SearchClassQuestions = lambda _: ()
    find_twins: FindClassTwins = lambda _: ()
    folder: Path = PLANS_DIR
    concepts: ConceptMap = field(default_factory=load_concepts)

    def list_all(self, broken: list[Problem] | None = None) -> list[Plan]:
        """List every plan that can be read, the teacher's own first, then the shortest first.

        Problems of own files go to `broken`. Raises ContentError with all problems of the shipped ones.
        """
        problems: list[Problem] = []
        plans = [
            self._read(file, plan_id, is_own=False)
            for plan_id, file in read_folder(self.folder, kind="plan", problems=problems)
        ]
        if problems:
            raise ContentError(problems)
        return [
            *self.list_own([] if broken is None else broken),
            *sorted(plans, key=lambda plan: (plan.minutes, plan.id)),
        ]

    def list_own(self, problems: list[Problem]) -> list[Plan]:
        """List the teacher's own plans by title, and note problems; a file with one is left out."""
        read = [self._read_own_file(path, problems) for path in sorted(self.own_folder.glob("*.yaml"))]
        return sorted((plan for plan in read if plan), key=lambda plan: (plan.title, plan.id))

    def find(self, plan_id: str) -> Plan:
        """Raises LearnerError when there is no such plan."""
        for plan in self.list_all():
            if plan.id == plan_id:
                return plan
        raise LearnerError(f"There is no lesson plan {plan_id!r}.", do_next="Choose one at /class.")

    def read_own(self, name: str, content: bytes, problems: list[Problem]) -> Plan | None:
        """Read the content of a teacher's plan's file; None after noting every problem."""
        found: list[Problem] = []
        plan = None
        if len(content) > LARGEST_OWN_BYTES:
            found.append(Problem(file=name, item="plan", text=f"has more than {LARGEST_OWN_BYTES:,} bytes"))
        elif isinstance(placed := parse_content(name, content, found), LocatedMapping):
            file = Fields(placed, file=name, kind="plan", problems=found)
            plan = self._read(file, OWN + Path(name).stem, is_own=True)
        elif not found:
            found.append(Problem(file=name, item="plan", text="the file must hold one mapping"))
        problems += found
        return None if found else plan

    def read_entry(self, entry: Mapping[str, Any]) -> Activity:
        """Read one activity as a plan's file has it. Raises LearnerError with every problem."""
        plan = {"title": OWN, "about": OWN, "minutes": 1, "activities": [entry]}
        problems: list[Problem] = []
        read = self.read_own("", yaml.safe_dump(plan, allow_unicode=True).encode(), problems)
        if read is None:
            told = " ".join(tell_problem(problem.text) for problem in problems)
            raise LearnerError(told, do_next="Change that, then press again.")
        return read.activities[0]

    def _read_own_file(self, path: Path, problems: list[Problem]) -> Plan | None:
        if not OWN_NAME.fullmatch(path.stem):
            text = "needs a name of small letters, digits and hyphens"
            problems.append(Problem(file=path.name, item="file", text=text))
            return None
        try:
            with path.open("rb") as file:
                content = file.read(LARGEST_OWN_BYTES + 1)
        except OSError as error:
            problems.append(Problem(file=path.name, item="file", text=f"cannot be read ({error.strerror})"))
            return None
        return self.read_own(path.name, content, problems)

    def _read(self, file: Fields, plan_id: str, *, is_own: bool) -> Plan:
        written = file.peek("activities")
        entries = file.children("activities", kind="activity")
        activities = []
        for number, entry in enumerate(entries, start=1):
            entry.item = f"activity {number}"
            activities.append(self._read_activity(entry, is_own=is_own))
        plan = Plan(
            id=plan_id,
            title=_read_short(file, "title", LONGEST_TITLE),
            about=_read_short(file, "about", LONGEST_TEXT),
            minutes=read_minutes(file, "minutes"),
            activities=tuple(activities),
            entries=tuple(written) if entries else (),
        )
        if not 1 <= len(entries) <= MOST_ACTIVITIES:
            file.note(f"needs 1 to {MOST_ACTIVITIES} activities, got {len(entries)}")
        file.close()
        return plan

    def _read_activity(self, fields: Fields, *, is_own: bool) -> Activity:
        kind = fields.choice("kind", KINDS)
        minutes = read_minutes(fields, "minutes") if fields.has("minutes") else 0
        values: dict[str, Any] = {}
        match kind:
            case "talk":
                values = {"html": to_html(fields.text("text"))}
            case "question":
                typed = is_own and fields.has("ask")
                asked = read_typed(fields, "question") if typed else self._read_question(fields, "question")
                values = {"asked": asked}
                if fields.has("twin"):
                    values["twin"] = self._read_question(fields, "twin")
            case "quiz":
                values = self._read_quiz(fields)
            case "poll":
                values = {"asked": read_poll(fields)}
            case "number":
                typed = is_own and fields.has("value")
                values = {"guessed": read_typed(fields, "number") if typed else read_number_guess(fields)}
            case "predict":
                values = {"guessed": self._read_prediction(fields, is_own=is_own)}
            case "compare":
                values = self._read_comparison(fields, is_own=is_own)
            case "grid":
                values = self._read_grid(fields)
            case "figure":
                values = self._read_figure(fields)
            case "text":
                text = fields.text("ask")
                values = {"wanted": ClassPrompt(id="", html=to_html(text), text=text)}
            case "wall":
                values = {"wanted": self._read_wall(fields)}
        title = _read_short(fields, "title", LONGEST_TITLE)
        activity = Activity(kind=kind, title=title, minutes=minutes, **values)
        fields.close()
        return activity

    def _read_question(self, fields: Fields, name: str) -> ClassQuestion | None:
        return self._find(fields, fields.text(name))

    def _find(self, fields: Fields, question_id: str) -> ClassQuestion | None:
        found = self.find_question(question_id)
        if found is None:
            fields.note(f"{question_id!r} isn't a question of the app")
        return found

    def _read_quiz(self, fields: Fields) -> dict[str, Any]:
        ids = fields.texts("questions")
        if not 2 <= len(ids) <= MOST_QUIZ_QUESTIONS:
            fields.note(f"a quiz needs 2 to {MOST_QUIZ_QUESTIONS} questions, got {len(ids)}")
        if len(set(ids)) != len(ids):
            fields.note("a quiz asks each question once")
        found = [self._find(fields, question_id) for question_id in ids]
        text = f"{len(ids)} questions, which each student answers at their own pace."
        return {"questions": tuple(each for each in found if each), "html": to_html(text)}

    def _read_prediction(self, fields: Fields, *, is_own: bool) -> Guessed:
        quantity = fields.choice("quantity", tuple(LIMITS))
        setting = dict(read_settings(fields, "run"))
        problem = self.runs.describe_problem(setting, quantity)
        if problem:
            fields.note(problem)
        text, why = fields.text("ask"), fields.text("why", default="")
        concept = fields.text("concept", default="")
        note_unknown_concepts(fields, filter(None, [concept]), self.concepts)
        return Guessed(
            html=to_html(text),
            text=text,
            unit=fields.text("unit"),
            quantity=quantity,
            setting=setting,
            described="" if problem else self.runs.describe(setting),
            why=to_html(why),
            why_text=why,
            concept=concept,
            concept_name=self.concepts.name(concept),
            source=read_evidence(fields, printed=why, computed=is_own or not why).source,
        )

    def _read_comparison(self, fields: Fields, *, is_own: bool) -> dict[str, Any]:
        """Read a question which rank ends lowest: an option is a rank, or that the seeds can't tell."""
        text, why = fields.text("ask"), fields.text("why", default="")
        concepts = tuple(filter(None, [fields.text("concept", default="")]))
        note_unknown_concepts(fields, concepts, self.concepts)
        read_evidence(fields, printed=why, computed=is_own or not why)
        cells = self._read_cells(fields)
        if not cells:
            return {}
        compared = RunGrid(**cells)
        if len(compared.rows) > 1:
            fields.note("a comparison varies `ranks` and `seeds` only")
        if compared.seeds < FEWEST_SEEDS:
            fields.note(f"a comparison needs {FEWEST_SEEDS} seeds or more: fewer tell nothing")
        asked = ClassQuestion(
            id="compare", html=to_html(text), text=text, options=list_options(compared),
            keep=to_html(why), keep_text=why, concepts=concepts,
        )  # fmt: skip
        return {"asked": asked, "compared": compared}

    def _read_grid(self, fields: Fields) -> dict[str, Any]:
        text = fields.text("ask")
        cells = self._read_cells(fields)
        if cells and len(cells["rows"]) < 2:
            fields.note("a grid of the class needs `bits` or `learning_rates` besides ranks")
        return {"crowd": CrowdGrid(html=to_html(text), text=text, **cells)} if cells else {}

    def _read_cells(self, fields: Fields) -> dict[str, Any]:
        """Read the fields of a RunGrid; empty after noting why the lab can't train it."""
        setting, axes = dict(read_settings(fields, "run")), dict(read_settings(fields, "axes"))
        try:
            return {"setting": setting, "axes": axes, **asdict(self.grids.plan(setting, axes))}
        except LearnerError as error:
            fields.note(str(error))
            return {}

    def _read_figure(self, fields: Fields) -> dict[str, Any]:
        """Read a figure alone, or with a question about the position of one of its sliders."""
        figure_id = fields.text("figure")
        figure = self.figures.get(figure_id)
        chosen = read_settings(fields, "set") if fields.has("set") else {}
        settings = {str(name): str(value) for name, value in chosen.items()}
        if figure is None:
            fields.note(f"{figure_id!r} isn't a live figure")
            return {}
        slider = fields.text("slider", default="")
        controls = dict(list_controls(figure.settings))
        try:
            parse_settings(figure.settings, settings)
        except LearnerError as error:
            fields.note(str(error))
        if slider and getattr(controls.get(slider), "kind", "") != "slider":
            fields.note(f"{figure_id} has no slider {slider!r}")
        shown = ShownFigure(id=figure_id, settings=settings, slider=slider)
        if not slider:
            return {"figure": shown}
        guessed = read_position(fields)
        control = controls.get(slider)
        if isinstance(control, SliderControl) and control.stops and guessed.value not in control.stops:
            fields.note(f"the slider {slider!r} does not stop at {guessed.value:g}")
        return {"figure": shown, "guessed": guessed}

    def _read_wall(self, fields: Fields) -> ClassPrompt | None:
        prompt_id = fields.text("prompt")
        found = self.grader.prompt(prompt_id)
        if found is None:
            fields.note(f"{prompt_id!r} isn't an explain prompt")
        return found


def _read_short(fields: Fields, name: str, longest: int) -> str:
    text = fields.text(name)
    if len(text) > longest:
        fields.note(f"`{name}` may have {longest} characters, got {len(text)}")
    return text


def tell_problem(text: str) -> str:
    """A problem as a sentence on a page, without the file and line, which the teacher never sees."""
    quoted = re.sub("`([^`]*)`", r"“\1”", text)
    return quoted[:1].upper() + quoted[1:].rstrip(".") + "."
