"""Read the run: recorded runs with a fault, what may be taken for it, and how it is repaired.

tasks/runs.yaml     one entry per run
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from lora_lab.spec import RunSpec, parse_spec
from lora_lab.tasks.recordings import FOLDER, HEALTHY, Recording, read_recording
from study.base.errors import LearnerError
from study.content.declared import read_declared_list
from study.content.yaml_reader import Fields, Level

RUNS_FILE = Path(__file__).with_name("runs.yaml")


def _read_setting(fields: Fields, name: str) -> dict[str, object]:
    setting = fields.raw(name) or {}
    try:
        parse_spec(setting)
    except LearnerError as error:
        fields.note(f"`{name}`: {error}")
    return dict(setting)


@dataclass(frozen=True, kw_only=True)
class FaultOption:
    """One thing that could be wrong with a run."""

    id: str
    text: str
    right: bool
    feedback: str
    """May name facts of the run, and of the healthy one as {healthy_…}."""

    misconception: str = ""
    """Empty for the right option, and where choosing a wrong one shows none."""

    def note_problems(self, fields: Fields) -> None:
        """Note a right option with a misconception."""
        if self.right and self.misconception:
            fields.note("the right option names a misconception")


@dataclass(frozen=True, kw_only=True)
class RecordedEvidence:
    """What the recording must show for the fault to be readable: a fact within limits.

    With `than_healthy`, the limits apply to the fact minus that of the healthy run.
    """

    fact: str
    at_least: Annotated[float | None, Fields.raw] = None
    at_most: Annotated[float | None, Fields.raw] = None
    than_healthy: bool

    def note_problems(self, fields: Fields) -> None:
        """Note evidence without a limit."""
        if self.at_least is None and self.at_most is None:
            fields.note("needs `at_least` or `at_most`")

    def holds(self, run: Recording, healthy: Recording) -> bool:
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
    compared: str = HEALTHY
    """The recording that is drawn beside it."""

    options: tuple[FaultOption, ...]
    repair: str
    """How to repair it in the lab."""

    lab: Annotated[Mapping[str, object], _read_setting]
    """The setting that the link to the lab fills in."""

    evidence: tuple[RecordedEvidence, ...]
    keep: str

    def note_problems(self, fields: Fields) -> None:
        """Note recordings that are missing, a number of options that is wrong, and a lack of evidence."""
        missing = [name for name in (self.recording, self.compared) if not (FOLDER / f"{name}.json").exists()]
        for name in missing:
            fields.note(f"there is no recording {name!r}")
        if sum(option.right for option in self.options) != 1 or not 3 <= len(self.options) <= 6:
            fields.note("needs 3 to 6 options, one of them right")
        if not self.evidence:
            fields.note("needs evidence that the recording shows the fault")
        if missing:
            return
        try:
            for text in (self.story, self.repair, self.keep, *(each.feedback for each in self.options)):
                self.fill(text)
        except (KeyError, ValueError) as error:
            fields.note(f"a text names {error}, which isn't a fact of a run")

    @property
    def run(self) -> Recording:
        return read_recording(self.recording)

    @property
    def healthy(self) -> Recording:
        """The run drawn beside it."""
        return read_recording(self.compared)

    @property
    def spec(self) -> RunSpec:
        """The setting that the repair starts from."""
        return parse_spec(self.lab)

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
def read_run_tasks(path: Path = RUNS_FILE) -> Mapping[str, RunTask]:
    """Read all runs by id, in order. Raises ContentError with every problem."""
    return {task.id: task for task in read_declared_list(path, RunTask, kind="run")}
