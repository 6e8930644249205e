"""Read the run: recorded runs with a fault, what may be taken for it, and how it is repaired.

tasks/runs.yaml     one entry per run
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lora_lab.spec import RunSpec, spec_from
from lora_lab.tasks.recordings import FOLDER, HEALTHY, Recording, read_recording
from study.base.errors import LearnerError
from study.content.yaml_reader import (
    LEVELS,
    ContentError,
    Fields,
    Level,
    Problem,
    note_repeated_ids,
    read_list,
)

RUNS_FILE = Path(__file__).with_name("runs.yaml")


@dataclass(frozen=True, kw_only=True)
class FaultOption:
    """One thing that could be wrong with a run."""

    id: str
    text: str
    right: bool
    feedback: str
    """May name facts of the run, and of the healthy one as {healthy_…}."""

    misconception: str
    """Empty for the right option."""


@dataclass(frozen=True, kw_only=True)
class RecordedEvidence:
    """What the recording must show for the fault to be readable: a fact within limits.

    With `than_healthy`, the limits apply to the fact minus that of the healthy run.
    """

    fact: str
    at_least: float | None
    at_most: float | None
    than_healthy: bool

    def holds(self, run: Recording, healthy: Recording) -> bool:
        """Return whether the recording shows it."""
        value = run.facts[self.fact] - (healthy.facts[self.fact] if self.than_healthy else 0)
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


@dataclass(frozen=True, kw_only=True)
class RunTask:
    """A recorded run whose fault is to be found."""

    id: str
    name: str
    """What is seen, not what is wrong."""

    level: Level
    concepts: tuple[str, ...]
    story: str
    recording: str
    compared: str
    """The recording that is drawn beside it."""

    options: tuple[FaultOption, ...]
    repair: str
    """How to repair it in the lab."""

    lab: Mapping[str, object]
    """The setting that the link to the lab fills in."""

    evidence: tuple[RecordedEvidence, ...]
    keep: str

    @property
    def run(self) -> Recording:
        """The recorded run."""
        return read_recording(self.recording)

    @property
    def healthy(self) -> Recording:
        """The run drawn beside it."""
        return read_recording(self.compared)

    @property
    def spec(self) -> RunSpec:
        """The setting that the repair starts from."""
        return spec_from(self.lab)

    def option(self, option_id: str) -> FaultOption:
        """Return an option. Raises LearnerError when there is no such one."""
        found = next((each for each in self.options if each.id == option_id), None)
        if found is None:
            raise LearnerError("Nothing is chosen yet.", do_next="Choose what is wrong with the run.")
        return found

    def fill(self, text: str) -> str:
        """Fill a text with the facts of both runs."""
        healthy = {f"healthy_{name}": value for name, value in self.healthy.fact_words.items()}
        return text.format_map(self.run.fact_words | healthy)


@cache
def read_run_tasks() -> Mapping[str, RunTask]:
    """Read all runs by id, in order. Raises ContentError with every problem."""
    return load_run_tasks(RUNS_FILE)


def load_run_tasks(path: Path) -> Mapping[str, RunTask]:
    """Read and check a file of runs. Raises ContentError with every problem."""
    problems: list[Problem] = []
    read = [(_read_task(fields), fields) for fields in read_list(path, kind="run", problems=problems)]
    note_repeated_ids((task.id, fields) for task, fields in read)
    for task, fields in read if not problems else ():
        try:
            for text in (task.story, task.repair, task.keep, *(each.feedback for each in task.options)):
                task.fill(text)
        except (KeyError, ValueError) as error:
            fields.note(f"a text names {error}, which isn't a fact of a run")
    if problems:
        raise ContentError(problems)
    return {task.id: task for task, _ in read}


def _read_task(fields: Fields) -> RunTask:
    options = tuple(_read_option(each) for each in fields.children("options", kind="option"))
    task = RunTask(
        id=fields.text("id"),
        name=fields.text("name"),
        level=fields.choice("level", LEVELS),
        concepts=fields.texts("concepts"),
        story=fields.text("story"),
        recording=fields.text("recording"),
        compared=fields.text("compared", default=HEALTHY),
        options=options,
        repair=fields.text("repair"),
        lab=fields.raw("lab") or {},
        evidence=tuple(_read_evidence(each) for each in fields.children("evidence", kind="evidence")),
        keep=fields.text("keep"),
    )
    for recording in (task.recording, task.compared):
        if not (FOLDER / f"{recording}.json").exists():
            fields.note(f"there is no recording {recording!r}")
    if sum(option.right for option in options) != 1 or not 3 <= len(options) <= 6:
        fields.note("needs 3 to 6 options, one of them right")
    if not task.evidence:
        fields.note("needs evidence that the recording shows the fault")
    try:
        spec_from(task.lab)
    except LearnerError as error:
        fields.note(f"`lab`: {error}")
    fields.close()
    return task


def _read_option(fields: Fields) -> FaultOption:
    right = fields.flag("right")
    option = FaultOption(
        id=fields.text("id"),
        text=fields.text("text"),
        right=right,
        feedback=fields.text("feedback"),
        misconception=fields.text("misconception", default=""),
    )
    if right == bool(option.misconception):
        fields.note("every option but the right one names its misconception")
    fields.close()
    return option


def _read_evidence(fields: Fields) -> RecordedEvidence:
    low, high = fields.raw("at_least"), fields.raw("at_most")
    found = RecordedEvidence(
        fact=fields.text("fact"), at_least=low, at_most=high, than_healthy=fields.flag("than_healthy")
    )
    if low is None and high is None:
        fields.note("needs `at_least` or `at_most`")
    fields.close()
    return found
