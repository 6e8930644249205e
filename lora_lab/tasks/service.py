"""Service for tasks: what a learner has solved, and the links that lead to a task."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from lora_lab.memory.gpus import CUDA_OVERHEAD_BYTES, GPUS
from lora_lab.settings.urls import with_query
from lora_lab.tasks import judge
from lora_lab.tasks.building import BuildJudgement, BuildTask, judge_code, read_builds
from lora_lab.tasks.content import ConfigureTask, map_tasks_by_id, read_control_notes
from lora_lab.tasks.judge import Drawn, SettingJudgement
from lora_lab.tasks.measures import MEASURES, Setting
from lora_lab.tasks.reading import RunTask, read_run_tasks
from lora_lab.views import memory_form
from study.base.errors import LearnerError
from study.base.units import as_bytes
from study.content.search import SearchEntry
from study.ports.context import Visit
from study.ports.learn import TaskLink, TasksDone
from study.store import Store
from study.store.logs.tasks import TaskAttempt

TASKS = "/tasks"
Task = ConfigureTask | RunTask | BuildTask
TaskStatus = Literal["new", "tried", "solved"]
FIXED = (
    "framework", "method", "bits", "rank", "targets", "batch", "seq_len",
    "checkpointing", "optimizer", "attention", "loss",
)  # fmt: skip
"""Fields that decide the memory of a step."""

WORDS: Mapping[TaskStatus, str] = {"new": "not begun", "tried": "tried", "solved": "✓ solved"}


def build_task_address(task_id: str, *, seed: int = 0) -> str:
    return with_query(TASKS, {"id": task_id, "seed": str(seed or "")})


@dataclass(frozen=True, kw_only=True)
class TaskService:
    store: Store

    def list_statuses(self, visit: Visit) -> dict[str, TaskStatus]:
        found: dict[str, TaskStatus] = {}
        for attempt in self.store.tasks.attempts(visit.profile.id):
            if attempt.correct or found.get(attempt.task_id) != "solved":
                found[attempt.task_id] = "solved" if attempt.correct else "tried"
        return found

    def check(self, visit: Visit, drawn: Drawn, setting: Setting) -> SettingJudgement:
        """Judge a setting and log the attempt. Raises LearnerError when the lab can't compute it."""
        found = judge.judge(drawn, setting)
        self._write(visit, drawn.task.id, drawn.seed, _select_chosen(drawn, setting), correct=found.right)
        return found

    def is_judged(self, visit: Visit, drawn: Drawn, setting: Setting) -> bool:
        """Return whether the newest attempt is this setting, whose judgement then still holds."""
        newest = next(iter(self.store.tasks.attempts(visit.profile.id)[-1:]), None)
        asked = (drawn.task.id, drawn.seed, _select_chosen(drawn, setting))
        return newest is not None and (newest.task_id, newest.seed, newest.response) == asked

    def answer(self, visit: Visit, task: RunTask, option_id: str) -> bool:
        """Log what a learner takes for the fault of a run; return whether it is."""
        option = task.option(option_id)
        self._write(visit, task.id, 0, {"option": option.id}, correct=option.right)
        return option.right

    def check_code(self, visit: Visit, task: BuildTask, code: str) -> BuildJudgement:
        """Judge code and log the attempt. Raises LearnerError when it can't be parsed."""
        found = judge_code(task, code)
        self._write(visit, task.id, 0, {"code": code}, correct=found.right)
        return found

    def _write(
        self, visit: Visit, task_id: str, seed: int, response: Mapping[str, Any], *, correct: bool
    ) -> None:
        attempt = TaskAttempt(task_id=task_id, seed=seed, response=response, correct=correct, at=visit.now)
        self.store.tasks.write(visit.profile.id, attempt)

    def list_links(self, visit: Visit, concept_id: str) -> Sequence[TaskLink]:
        """List the tasks about a concept, those whose main concept it is first."""
        statuses = self.list_statuses(visit)
        about = [task for task in _list_tasks() if concept_id in task.concepts]
        return [
            TaskLink(
                name=task.name,
                address=build_task_address(task.id),
                status=WORDS[statuses.get(task.id, "new")],
            )
            for task in sorted(about, key=lambda task: task.concepts.index(concept_id))
        ]

    def count_done(self, visit: Visit) -> TasksDone:
        solved = {task for task, status in self.list_statuses(visit).items() if status == "solved"}
        settings, runs, builds = map_tasks_by_id(), read_run_tasks(), read_builds()
        return TasksDone(
            settings=len(settings),
            settings_solved=len(solved & set(settings)),
            runs=len(runs),
            runs_solved=len(solved & set(runs)),
            builds=len(builds),
            builds_solved=len(solved & set(builds)),
        )

    def list_misses(self, visit: Visit) -> list[tuple[TaskAttempt, str]]:
        """List wrong attempts whose misconception is known, with it, oldest first."""
        attempts = self.store.tasks.attempts(visit.profile.id)
        found = ((attempt, _find_misconception(attempt)) for attempt in attempts if not attempt.correct)
        return [(attempt, misconception) for attempt, misconception in found if misconception]


def _select_chosen(drawn: Drawn, setting: Setting) -> dict[str, Any]:
    return {name: setting[name] for name in drawn.task.fields}


def _find_misconception(attempt: TaskAttempt) -> str:
    """Find what a logged attempt shows; empty for a task or an option that is gone."""
    run = read_run_tasks().get(attempt.task_id)
    if run is not None:
        option = next((each for each in run.options if each.id == attempt.response.get("option")), None)
        return option.misconception if option else ""
    built = read_builds().get(attempt.task_id)
    if built is not None:
        with suppress(LearnerError):
            return judge_code(built, str(attempt.response.get("code", ""))).misconception
        return ""
    task = map_tasks_by_id().get(attempt.task_id)
    if task is None:
        return ""
    given = judge.draw_given(task, attempt.seed)
    chosen = {name: str(value) for name, value in attempt.response.items()}
    return judge.find_slip(task, {**given, **chosen}, given)


def find_next_task(task_id: str, solved: Iterable[str]) -> Task | None:
    """Find the first unsolved task after this one, in the order of the list, or before it."""
    tasks = _list_tasks()
    at = next((place for place, task in enumerate(tasks) if task.id == task_id), -1)
    done = {*solved, task_id}
    return next((task for task in [*tasks[at + 1 :], *tasks[: at + 1]] if task.id not in done), None)


def _list_tasks() -> list[Task]:
    return [*map_tasks_by_id().values(), *read_run_tasks().values(), *read_builds().values()]


def format_goal(drawn: Drawn) -> str:
    """Return the goal in words, with this drawing's numbers."""
    labels = {control.field: dict(control.choices) for control in drawn.task.controls}
    values: dict[str, str] = {
        name: labels.get(name, {}).get(value, value) for name, value in drawn.given.items() if name != "gpu"
    }
    values |= {name: f"{int(value):,}" for name, value in values.items() if value.isdecimal()}
    for condition, target in drawn.targeted:
        if condition.kind == "best":
            values["target"] = MEASURES[condition.measure].show(target)
    return drawn.task.goal.format_map(values | {"gpu": drawn.given["gpu"]})


def list_fixed(drawn: Drawn) -> list[str]:
    """List the fixed settings that decide a task's memory, such as `Framework: trl's SFTTrainer`."""
    given, controls = drawn.given, drawn.task.fields
    if "needed_bytes" not in drawn.task.shown:
        return []
    names = [name for name in FIXED if name not in controls]
    if given["method"] == "full":
        names = [name for name in names if name not in ("rank", "targets")]
    said = [f"{read_control_notes()[name].label}: {_format_label(name, given[name])}" for name in names]
    return [*said, f"{as_bytes(CUDA_OVERHEAD_BYTES)} of the memory is for CUDA's context and libraries"]


def describe_card(drawn: Drawn) -> str:
    """Say why a card holds another number of GB than its name; empty where no card is the limit."""
    if all(condition.kind != "gpu" for condition in drawn.task.conditions):
        return ""
    if "gpu" in drawn.task.fields:
        return (
            "A GPU is named by its GiB, which are 7 % more in GB. “The GPU holds” says how many GB of it "
            "PyTorch sees: these, less what the driver keeps."
        )
    gpu = GPUS[int(drawn.given["gpu"])]
    return (
        f"PyTorch sees {as_bytes(gpu.total_bytes)} of a {gpu.gb} GB GPU: {gpu.gb} GiB = "
        f"{as_bytes(gpu.nominal_bytes)}, less what the driver keeps."
    )


def _format_label(name: str, value: str) -> str:
    return dict(memory_form.CHOICES[name])[value] if name in memory_form.CHOICES else f"{int(value):,}"


def find_task(task_id: str) -> Task:
    """Return a task by its id. Raises LearnerError when it is unknown."""
    found = next((task for task in _list_tasks() if task.id == task_id), None)
    if found is None:
        raise LearnerError(f"There is no task {task_id[:60]!r}.", do_next="Choose one from the list.")
    return found


def list_entries() -> list[SearchEntry]:
    return [
        SearchEntry(
            kind="Tasks", title=task.name, address=build_task_address(task.id), text=" ".join(task.concepts)
        )
        for task in _list_tasks()
    ]
