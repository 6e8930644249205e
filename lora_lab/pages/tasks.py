"""Tasks: `/tasks` lists them, `/tasks?id=fit-longest-context&seed=2` is one, judged by the lab."""

from collections import defaultdict
from dataclasses import dataclass, replace
from math import log2
from typing import Any

import gradio as gr
from markupsafe import Markup, escape

from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import render_problem
from lora_lab.settings.run_form import build_address
from lora_lab.tasks import judge
from lora_lab.tasks.building import LONGEST_CODE, BuildTask, read_builds
from lora_lab.tasks.content import COSTS, Condition, ConfigureTask, read_control_notes, read_families
from lora_lab.tasks.judge import CheckedCondition, Drawn, SettingJudgement
from lora_lab.tasks.measures import MEASURES, Setting
from lora_lab.tasks.reading import RunTask, read_run_tasks
from lora_lab.tasks.run_charts import render_charts
from lora_lab.tasks.service import (
    TASKS,
    WORDS,
    Task,
    TaskService,
    build_task_address,
    describe_card,
    find_next_task,
    find_task,
    format_goal,
    list_fixed,
)
from lora_lab.views import memory_form
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.content.yaml_reader import LEVELS
from study.ports.context import Context, Visit
from study.ports.ports import Ports
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

COST_WORDS = {
    "nothing": "nothing",
    "time": "time",
    "data": "context",
    "exactness": "exactness of the weights",
    "expression": "what the adapter can express",
}
TEST_WORDS = {"at_most": "at most", "at_least": "at least", "equals": "exactly", "near": "about"}


@dataclass(frozen=True, kw_only=True)
class TasksPage:
    place = frame.IslandPlace(elem_id="tasks", title="Tasks", path=TASKS, under="/practise", look="tasks")

    context: Context
    service: TaskService
    ports: Ports

    def load(self, request: gr.Request) -> Markup:
        """Render the list, or the task that the address names."""
        visit = frame.open_visit(self.context, request)
        if not visit.query.get("id"):
            return self._list(visit)
        task = find_task(visit.query["id"])
        if isinstance(task, RunTask):
            return self._run(visit, task)
        if isinstance(task, BuildTask):
            return self._build(visit, task)
        return self._configure(visit, self._draw(visit))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle a changed control, a checked setting, or what is chosen as a run's fault."""
        visit = frame.open_visit(self.context, request, event)
        task = find_task(visit.query.get("id", ""))
        act = event.get("act")
        if isinstance(task, RunTask) and act == "answer":
            return self._answer(visit, task, form_event.read_field(event, "option"))
        if isinstance(task, BuildTask) and act in ("draft", "code"):
            handle = self._save_draft if act == "draft" else self._check_build
            return handle(visit, task, event)
        if isinstance(task, ConfigureTask) and act in ("change", "check"):
            drawn = self._draw(visit)
            try:
                setting = judge.read_setting(drawn, form_fields.read_firsts(event, limit=60))
                respond = self._change if act == "change" else self._check
                return respond(visit, drawn, setting)
            except LearnerError as error:
                return {"parts": {"numbers": render_problem(error), "judgement": NO_HTML}}
        raise form_event.build_unknown_act_error(event)

    def _draw(self, visit: Visit) -> Drawn:
        seed = form_event.read_number(visit.query.get("seed", ""), default=0, low=0, high=10**6)
        return judge.draw(visit.query.get("id", ""), seed)

    # ---- configure

    def _change(self, visit: Visit, drawn: Drawn, setting: Setting) -> Reply:
        """Show the numbers. A change that was on its way while its setting was checked takes back nothing."""
        if self.service.is_judged(visit, drawn, setting):
            return {"parts": {"numbers": _render_numbers(drawn, setting, is_checked=True)}}
        return {"parts": {"numbers": _render_numbers(drawn, setting), "judgement": NO_HTML}}

    def _check(self, visit: Visit, drawn: Drawn, setting: Setting) -> Reply:
        found = self.service.check(visit, drawn, setting)
        return {
            "parts": {
                "numbers": _render_numbers(drawn, setting, is_checked=True),
                **self._render_setting_judgement(visit, drawn, setting, found),
            },
            "say": "Solved." if found.right else "Not yet. What each control did is below.",
            "focus": "#judgement",
        }

    def _format_status(self, visit: Visit, task: Task) -> Markup:
        return escape(WORDS[self.service.list_statuses(visit).get(task.id, "new")])

    def _render_judgement(
        self, visit: Visit, task: Task, template: str, misconception: str, **values: Any
    ) -> dict[str, Markup]:
        """Render an answer's judgement with the task that follows, and the task's new status."""
        statuses = self.service.list_statuses(visit)
        solved = [each for each, status in statuses.items() if status == "solved"]
        judgement = render(
            template,
            task=task,
            misconception=self.ports.misconception(misconception) if misconception else None,
            following=find_next_task(task.id, solved),
            address=build_task_address,
            **values,
        )
        return {"judgement": judgement, "status": self._format_status(visit, task)}

    def _render_setting_judgement(
        self, visit: Visit, drawn: Drawn, setting: Setting, found: SettingJudgement
    ) -> dict[str, Markup]:
        task = drawn.task
        return self._render_judgement(
            visit,
            task,
            "lora_lab/tasks/task_judgement.html",
            found.misconception,
            found=found,
            conditions=[_describe_check(each) for each in found.checked],
            control_effects=[
                (
                    read_control_notes()[control.field],
                    task.control_notes.get(control.field, read_control_notes()[control.field].why),
                    control,
                    [_describe_effect(*effect) for effect in control.effects],
                    ", ".join(
                        f"{label} {_describe_difference('needed_bytes', by)}" for label, by in control.parts
                    ),
                )
                for control in found.control_effects
            ],
            lab=memory_form.build_address(setting) if "needed_bytes" in task.shown else "",
            another=build_task_address(task.id, seed=judge.choose_next_seed(task, drawn.seed)),
        )

    def _configure(self, visit: Visit, drawn: Drawn) -> Markup:
        task = drawn.task
        return render(
            "lora_lab/tasks/task.html",
            task=task,
            drawn=drawn,
            family=next(family for family in read_families() if family.id == task.family),
            concepts=self.context.concepts,
            goal=format_goal(drawn),
            fixed=list_fixed(drawn),
            card=describe_card(drawn),
            status=self._format_status(visit, task),
            controls=[(control, read_control_notes()[control.field].label) for control in task.controls],
            highest=judge.limit_control,
            log2=log2,
            numbers=_render_numbers(drawn, drawn.given),
            another=build_task_address(task.id, seed=judge.choose_next_seed(task, drawn.seed)),
        )

    # ---- read the run

    def _run(self, visit: Visit, task: RunTask) -> Markup:
        return render(
            "lora_lab/tasks/task_run.html",
            task=task,
            story=task.fill(task.story),
            concepts=self.context.concepts,
            status=self._format_status(visit, task),
            charts=render_charts(task),
        )

    def _answer(self, visit: Visit, task: RunTask, option_id: str) -> Reply:
        option = task.option(option_id)
        right = self.service.answer(visit, task, option.id)
        parts = self._render_judgement(
            visit,
            task,
            "lora_lab/tasks/task_fault.html",
            option.misconception,
            option=option,
            feedback=task.fill(option.feedback),
            repair=task.fill(task.repair),
            keep=task.fill(task.keep),
            lab=build_address(task.spec),
        )
        say = "Right." if right else "That isn't it."
        return {"parts": parts, "say": f"{say} The reason is below.", "focus": "#judgement"}

    # ---- build it

    def _build(self, visit: Visit, task: BuildTask) -> Markup:
        code = self.context.store.drafts.read(visit.profile.id, _draft_key(task)) or task.start
        return render(
            "lora_lab/tasks/task_build.html",
            task=task,
            code=code,
            rows=max(task.solution.count("\n"), code.count("\n")) + 3,
            limit=LONGEST_CODE,
            draft_name=f"{visit.profile.id}:{_draft_key(task)}",
            concepts=self.context.concepts,
            status=self._format_status(visit, task),
        )

    def _save_draft(self, visit: Visit, task: BuildTask, event: dict[str, Any]) -> Reply:
        code = form_event.read_text(event, "value", limit=LONGEST_CODE)
        self.context.store.drafts.save(visit.profile.id, _draft_key(task), code, at=visit.now)
        return {}

    def _check_build(self, visit: Visit, task: BuildTask, event: dict[str, Any]) -> Reply:
        code = form_event.read_field(event, "code", limit=LONGEST_CODE)
        self.context.store.drafts.save(visit.profile.id, _draft_key(task), code, at=visit.now)
        try:
            found = self.service.check_code(visit, task, code)
        except LearnerError as error:
            return {"parts": {"judgement": render_problem(error)}, "focus": "#judgement"}
        parts = self._render_judgement(
            visit, task, "lora_lab/tasks/task_built.html", found.misconception, found=found
        )
        say = "Solved." if found.right else _count_missing(len(found.broken))
        return {"parts": parts, "say": say, "focus": "#judgement"}

    # ---- the list

    def _list(self, visit: Visit) -> Markup:
        return render(
            "lora_lab/tasks/tasks.html",
            families=[
                replace(each, tasks=tuple(sorted(each.tasks, key=_rank_level))) for each in read_families()
            ],
            runs=sorted(read_run_tasks().values(), key=_rank_level),
            builds=sorted(read_builds().values(), key=_rank_level),
            statuses=self.service.list_statuses(visit),
            words=WORDS,
            done=self.service.count_done(visit),
            address=build_task_address,
        )


def _rank_level(task: Task) -> int:
    """Return where a task's level comes: the list of a family begins with what a beginner can do."""
    return LEVELS.index(task.level)


def _count_missing(number: int) -> str:
    return "Not yet: 1 thing is missing." if number == 1 else f"Not yet: {number} things are missing."


def _draft_key(task: BuildTask) -> str:
    return f"task-{task.id}"


def _render_numbers(drawn: Drawn, setting: Setting, *, is_checked: bool = False) -> Markup:
    """Render what the controls do to the measures: as given, now, and what is wanted.

    A best value that the goal does not name is the answer itself, so it shows after a check only.
    """
    wanted = defaultdict[str, list[str]](list)
    for condition, drawn_target in drawn.targeted:
        if condition.measure in MEASURES:
            target = judge.find_target(condition, drawn_target, setting)
            is_answer = condition.kind == "best" and "{target}" not in drawn.task.goal
            hidden = is_answer and not is_checked
            shown = "shown after the check" if hidden else _describe_target(condition, target)
            wanted[condition.measure].append(shown)
    rows = [
        (MEASURES[name].label, _compute(name, drawn.given), _compute(name, setting), ", ".join(wanted[name]))
        for name in drawn.task.shown
    ]
    return render("lora_lab/tasks/task_numbers.html", rows=rows)


def _compute(name: str, setting: Setting) -> str:
    try:
        return MEASURES[name].show(MEASURES[name].compute(setting))
    except LearnerError as error:
        return error.what


def _describe_target(condition: Condition, target: float) -> str:
    words = f"{TEST_WORDS[condition.test]} {MEASURES[condition.measure].show(target)}"
    return f"{words}, within {condition.percent:g} %" if condition.test == "near" else words


def _describe_check(checked: CheckedCondition) -> tuple[bool, str, str, str]:
    """Return whether it holds, the measure, its value and what is wanted."""
    condition, value, target = checked.condition, checked.value, checked.target
    words = TEST_WORDS[condition.test]
    if condition.measure == "changed":
        return checked.holds, "Changed controls", f"{value:.0f}", f"{words} {target:.0f}"
    if condition.measure == "cost":
        paid, allowed = (COST_WORDS[COSTS[int(cost)]] for cost in (value, target))
        return checked.holds, "The changes cost", paid, f"{words} {allowed}"
    measure = MEASURES[condition.measure]
    return checked.holds, measure.label, measure.show(value), _describe_target(condition, target)


def _describe_effect(name: str, before: float, after: float) -> str:
    """Say what a control did to one measure: `Memory at the peak of a step: 31.2 GB → 21.9 GB (−9.30 GB)`."""
    measure = MEASURES[name]
    difference = _describe_difference(name, after - before)
    return f"{measure.label}: {measure.show(before)} → {measure.show(after)} ({difference})"


def _describe_difference(name: str, difference: float) -> str:
    return f"{'+' if difference > 0 else '−'}{MEASURES[name].show(abs(difference))}"
