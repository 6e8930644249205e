"""Reading a lesson plan: every activity with all its texts, every problem of the file at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classroom.activities.activity import KINDS, Activity, Asked, Guessed, ShownFigure
from classroom.activities.crowd_grid import CrowdGrid
from classroom.activities.wall import Wanted
from classroom.plans.fields import (
    asked_of,
    read_minutes,
    read_number_guess,
    read_poll,
    read_position,
    read_settings,
)
from study.base.errors import LearnerError
from study.content.yaml_reader import ContentError, Fields, Problem, read_mapping
from study.figures.controls import SliderControl, controls_of, settings_from
from study.figures.figure import Figures
from study.ports.classes import ClassGrader, ClassGrids, ClassRuns, FindClassQuestion
from study.text.markup import to_html

PLANS_DIR = Path(__file__).parent
QUANTITIES = ("percent-trainable", "peak-memory", "final-loss")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One lesson plan."""

    id: str
    title: str
    about: str
    minutes: int
    activities: tuple[Activity, ...]


@dataclass(frozen=True, kw_only=True)
class Plans:
    """The plans that are shipped, read with the questions and runs of the app."""

    find_question: FindClassQuestion
    runs: ClassRuns
    grids: ClassGrids
    grader: ClassGrader
    figures: Figures
    folder: Path = PLANS_DIR

    def all(self) -> list[Plan]:
        """Read every plan, the shortest first. Raises ContentError with all problems of all files."""
        problems: list[Problem] = []
        plans = [self._read(path, problems) for path in sorted(self.folder.glob("*.yaml"))]
        if problems:
            raise ContentError(problems)
        return sorted((plan for plan in plans if plan), key=lambda plan: (plan.minutes, plan.id))

    def find(self, plan_id: str) -> Plan:
        """Raises LearnerError when there is no such plan."""
        for plan in self.all():
            if plan.id == plan_id:
                return plan
        raise LearnerError(f"There is no lesson plan {plan_id!r}.", do_next="Choose one at /class.")

    def _read(self, path: Path, problems: list[Problem]) -> Plan | None:
        file = read_mapping(path, kind="plan", problems=problems)
        if file is None:
            return None
        plan = Plan(
            id=path.stem,
            title=file.text("title"),
            about=file.text("about"),
            minutes=read_minutes(file, "minutes"),
            activities=tuple(self._activity(each) for each in file.children("activities", kind="activity")),
        )
        if not plan.activities:
            file.note("needs at least one activity")
        file.close()
        return plan

    def _activity(self, fields: Fields) -> Activity:
        kind = fields.choice("kind", KINDS)
        minutes = read_minutes(fields, "minutes") if fields.has("minutes") else 0
        values: dict[str, Any] = {}
        match kind:
            case "talk":
                values = {"html": to_html(fields.text("text"))}
            case "question":
                values = {"asked": self._question(fields, "question")}
                if fields.has("twin"):
                    values["twin"] = self._question(fields, "twin")
            case "poll":
                values = {"asked": read_poll(fields)}
            case "number":
                values = {"guessed": read_number_guess(fields)}
            case "predict":
                values = {"guessed": self._prediction(fields)}
            case "grid":
                values = {"crowd": self._grid(fields)}
            case "figure":
                values = self._figure(fields)
            case "text":
                values = {"wanted": Wanted(id="", html=to_html(fields.text("ask")))}
            case "wall":
                values = {"wanted": self._wall(fields)}
        activity = Activity(kind=kind, title=fields.text("title"), minutes=minutes, **values)
        fields.close()
        return activity

    def _question(self, fields: Fields, name: str) -> Asked | None:
        question_id = fields.text(name)
        found = self.find_question(question_id)
        if found is None:
            fields.note(f"{question_id!r} isn't a question with one right option")
            return None
        return asked_of(found)

    def _prediction(self, fields: Fields) -> Guessed:
        quantity = fields.choice("quantity", QUANTITIES)
        setting = dict(read_settings(fields, "run"))
        problem = self.runs.problem(setting, quantity)
        if problem:
            fields.note(problem)
        text = fields.text("ask")
        return Guessed(
            html=to_html(text),
            text=text,
            unit=fields.text("unit"),
            quantity=quantity,
            setting=setting,
            described="" if problem else self.runs.describe(setting),
        )

    def _grid(self, fields: Fields) -> CrowdGrid | None:
        text = fields.text("ask")
        setting, axes = dict(read_settings(fields, "run")), dict(read_settings(fields, "axes"))
        try:
            found = self.grids.plan(setting, axes)
        except LearnerError as error:
            fields.note(str(error))
            return None
        names = ("row_name", "rows", "column_name", "columns", "seeds", "described")
        shown = {name: getattr(found, name) for name in names}
        return CrowdGrid(html=to_html(text), text=text, setting=setting, axes=axes, **shown)

    def _figure(self, fields: Fields) -> dict[str, Any]:
        """A figure alone, or with a question about the position of one of its sliders."""
        figure_id = fields.text("figure")
        figure = self.figures.get(figure_id)
        settings = {name: str(value) for name, value in dict(fields.raw("set") or {}).items()}
        if figure is None:
            fields.note(f"{figure_id!r} isn't a live figure")
            return {}
        slider = fields.text("slider", default="")
        controls = dict(controls_of(figure.settings))
        try:
            settings_from(figure.settings, settings)
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

    def _wall(self, fields: Fields) -> Wanted | None:
        prompt_id = fields.text("prompt")
        found = self.grader.prompt(prompt_id)
        if found is None:
            fields.note(f"{prompt_id!r} isn't an explain prompt")
            return None
        return Wanted(
            id=found.id,
            html=found.html,
            text=found.text,
            concepts=found.concepts,
            about=found.about,
        )
