"""Configure tasks as content: a goal, a given setting, the controls that may move, and what is checked.

tasks/families/1-fit.yaml   one file per family, with its tasks
tasks/controls.yaml         what each control costs, and why it acts as it does
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from lora_lab.memory.gpus import GPUS
from lora_lab.parameters.shapes import load_catalogue
from lora_lab.tasks.measures import DEFAULTS, MEASURES, Setting
from lora_lab.views import memory_form
from study.content.declared import read_declared, read_declared_list
from study.content.yaml_reader import ContentError, Fields, Level, Problem, note_repeated_ids, read_folder

FAMILIES_FOLDER = Path(__file__).with_name("families")
CONTROL_NOTES_FILE = Path(__file__).with_name("controls.yaml")

Test = Literal["at_most", "at_least", "equals", "near"]
TESTS: tuple[Test, ...] = get_args(Test)
TargetKind = Literal["value", "given", "given_less", "best", "like", "rows", "gpu"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)

Cost = Literal["nothing", "time", "data", "exactness", "expression"]
COSTS: tuple[Cost, ...] = get_args(Cost)
"""What a change takes from a run, cheapest first."""

CHOICES: Mapping[str, memory_form.Choices] = memory_form.CHOICES | {
    "gpu": tuple((str(size), f"{size} GB") for size in GPUS),
    "stage": (
        ("0", "nothing split"),
        ("1", "ZeRO 1: optimizer state split"),
        ("2", "ZeRO 2: gradients split too"),
        ("3", "ZeRO 3, FSDP: weights split too"),
    ),
}
"""Fields that are chosen from a list, besides the model."""

LEAST_CASES = 3

WANTED = "wanted"
"""What a case may hold beside fields of the setting."""


def _read_setting(entry: Fields, name: str) -> dict[str, str]:
    return _as_setting(entry, entry.raw(name) or {})


def _read_given(entry: Fields, name: str) -> Setting:
    given = dict(DEFAULTS) | _read_setting(entry, name)
    if given["model"] not in load_catalogue():
        entry.note(f"the catalogue has no {given['model']!r}")
    return given


def _read_cases(entry: Fields, name: str) -> tuple[Mapping[str, str], ...]:
    cases = entry.raw(name) or ()
    if len(cases) < LEAST_CASES:
        entry.note(f"needs at least {LEAST_CASES} `{name}` for another one, got {len(cases)}")
    return ({}, *(_as_setting(entry, case, besides=WANTED) for case in cases))


def _read_wanted(entry: Fields, _name: str) -> tuple[Mapping[str, str], ...]:
    cases = [case for case in entry.raw("cases") or () if isinstance(case, Mapping)]
    return ({}, *(_as_setting(entry, case.get(WANTED, {})) for case in cases))


def _read_sentences(entry: Fields, name: str) -> Mapping[str, str]:
    return dict(entry.raw(name) or {})


def _as_setting(entry: Fields, raw: Any, *, besides: str = "") -> dict[str, str]:
    """Read a setting; `besides` is a field that another reader reads."""
    if not isinstance(raw, Mapping):
        entry.note(f"a setting is a mapping, got {raw!r}"[:200])
        return {}
    given = {name: value for name, value in raw.items() if name != besides}
    if unknown := sorted(set(given) - set(DEFAULTS)):
        entry.note(f"a setting has no {', '.join(unknown)}")
    # YAML reads a bare yes and no as true and false.
    words = {True: "yes", False: "no"}
    return {name: words[value] if isinstance(value, bool) else str(value) for name, value in given.items()}


@dataclass(frozen=True, kw_only=True)
class ControlNote:
    """What is known of one control, in every task."""

    field: str
    label: str
    cost: Cost
    why: str
    """One sentence on what it does to the numbers."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """A field that the learner may change."""

    field: str
    choices: memory_form.Choices = ()
    """Values with labels; empty for a whole number."""

    low: int = 0
    high: int = 0


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is checked: a measure, or the number or the cost of the changes, against a target.

    A target of kind `value` is the number itself; `given` is the measure at the given setting times the
    number; `given_less` that minus the number; `best` the number times the best that a search over the
    controls finds under the other conditions; `like` the measure at the given setting with `like` changed;
    `rows` the number times the field `rows`; `gpu` the memory of the setting's card.
    """

    measure: str
    """A name in MEASURES, or `changed` or `cost`."""

    test: Test
    kind: TargetKind
    number: float = 1.0
    like: Mapping[str, str] | None = None
    percent: float = 0.0
    """How far `near` reaches."""


@dataclass(frozen=True, kw_only=True)
class WrongSetting:
    misconception: str
    like: Annotated[Setting, _read_setting]
    """Values of controls that show it; `given` for a control that is left as it was."""

    def fits(self, setting: Setting, given: Setting) -> bool:
        return all(
            setting[name] == (given[name] if value == "given" else value) for name, value in self.like.items()
        )


@dataclass(frozen=True, kw_only=True)
class ConfigureTask:
    """A task whose grader is the lab."""

    id: str
    family: str
    name: str
    level: Level
    concepts: tuple[str, ...]
    goal: str
    """The goal in words, with {fields} of the given setting and {target}."""

    given: Annotated[Setting, _read_given]
    cases: Annotated[tuple[Setting, ...], _read_cases]
    """What "another one" changes in the given setting; the first case is the task as written."""

    wanted: Annotated[tuple[Setting, ...], _read_wanted]
    """For each case what it changes in the `like` of the conditions; empty where it keeps them."""

    controls: tuple[Control, ...]
    conditions: tuple[Condition, ...]
    shown: tuple[str, ...]
    """Measures whose numbers follow the controls."""

    printed: bool
    """Whether the goal shows the line that PEFT prints for the wanted setting."""

    control_notes: Annotated[Mapping[str, str], _read_sentences]
    """What a control does in this task, where the sentence for every task says too little."""

    keep: str
    hint: str
    source: str
    slips: tuple[WrongSetting, ...] = ()

    def note_problems(self, fields: Fields) -> None:
        """Note measures that don't exist, and sentences and slips about what isn't a control."""
        for name in self.shown:
            if name not in MEASURES:
                fields.note(f"`shown`: no measure {name!r}")
        likes = [condition.like or {} for condition in self.conditions]
        named = [self.control_notes, *(slip.like for slip in self.slips), *likes, *self.wanted]
        for field in (field for each in named for field in each):
            if field not in self.fields:
                fields.note(f"{field!r} isn't a control of this task")
        if any(self.wanted) and not any(likes):
            fields.note(f"a case has `{WANTED}`, but no condition has `like`")

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(control.field for control in self.controls)


@dataclass(frozen=True, kw_only=True)
class Family:
    id: str
    name: str
    about: str
    tasks: tuple[ConfigureTask, ...]


@cache
def map_tasks_by_id() -> Mapping[str, ConfigureTask]:
    return {task.id: task for family in read_families() for task in family.tasks}


@cache
def read_families(folder: Path = FAMILIES_FOLDER) -> tuple[Family, ...]:
    """Read all families in the order of their file names. Raises ContentError with every problem."""
    problems: list[Problem] = []
    notes = read_control_notes()
    families: list[Family] = []
    read: list[tuple[str, Fields]] = []
    for family, file in read_folder(folder, kind="family", problems=problems):
        entries = file.children("tasks", kind="task")
        tasks = tuple(_read_task(entry, family, notes) for entry in entries)
        read += [(task.id, entry) for task, entry in zip(tasks, entries, strict=True)]
        families.append(read_declared(file, Family, id=family, tasks=tasks))
    note_repeated_ids(read)
    if problems:
        raise ContentError(problems)
    return tuple(families)


@cache
def read_control_notes() -> Mapping[str, ControlNote]:
    """Read what is known of each control. Raises ContentError with every problem."""
    return {note.field: note for note in read_declared_list(CONTROL_NOTES_FILE, ControlNote, kind="control")}


def _read_task(entry: Fields, family: str, notes: Mapping[str, ControlNote]) -> ConfigureTask:
    controls = tuple(_read_control(child, notes) for child in entry.children("controls", kind="control"))
    conditions = tuple(_read_condition(child) for child in entry.children("check", kind="check"))
    return read_declared(entry, ConfigureTask, family=family, controls=controls, conditions=conditions)


def _read_control(entry: Fields, notes: Mapping[str, ControlNote]) -> Control:
    field = entry.text("field")
    if field not in notes:
        entry.note(f"controls.yaml has no {field!r}")
    if entry.has("from"):
        made = Control(field=field, low=entry.raw("from"), high=entry.raw("to"))
    else:
        among = entry.texts("among", default=())
        known = CHOICES.get(field, tuple((name, name) for name in among))
        among = among or tuple(value for value, _ in known)
        if unknown := [value for value in among if value not in dict(known)]:
            entry.note(f"{field} has no {', '.join(unknown)}")
        made = Control(field=field, choices=tuple((value, label) for value, label in known if value in among))
    entry.close()
    return made


def _read_condition(entry: Fields) -> Condition:
    measure = entry.text("measure")
    if measure not in (*MEASURES, "changed", "cost"):
        entry.note(f"no measure {measure!r}")
    test: Test = next((name for name in TESTS if entry.has(name)), "equals")
    raw = entry.raw(test)
    kind: TargetKind = "value"
    number: Any = raw
    like = None
    if isinstance(raw, Mapping):
        kind = next((name for name in TARGET_KINDS if name in raw), "value")
        number = 1.0 if kind == "like" else raw.get(kind)
        like = _as_setting(entry, raw.get(kind)) if kind == "like" else None
    elif raw == "gpu":
        kind, number = "gpu", 1.0
    elif measure == "cost":
        number = COSTS.index(raw) if raw in COSTS else None
    if not isinstance(number, int | float):
        entry.note(f"`{test}` isn't a target: {raw!r}")
        number = 0
    made = Condition(
        measure=measure,
        test=test,
        kind=kind,
        number=float(number),
        like=like,
        percent=float(entry.raw("percent") or 0),
    )
    entry.close()
    return made
