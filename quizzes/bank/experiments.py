"""Experiments that refute misconceptions: what to set on a page of this app, and what one sees then.

- misconception: scale-ignores-rank
  do: "Set r to 8 and alpha to 16, then r to 16: alpha / r falls from 2 to 1."
  at: /figures?figure=scaling-over-ranks&alpha=16
  sees: {rank=8: [alpha / r 2], rank=16: [alpha / r 1]}

`sees` holds excerpts of what the page says, by the settings that are added to its address; a key that begins
with a slash is an address of its own. `sums` are equations such as `4.5 - 0.5 = 4` for numbers that no page
prints. The tests open every address, look for every excerpt, and want each number of `do` in one of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from quizzes.bank.misconceptions import load_misconceptions
from study.content.declared import read_declared
from study.content.yaml_reader import ContentError, Fields, Problem, read_list

EXPERIMENTS_DIR = Path(__file__).with_name("experiments")


def _read_seen(fields: Fields, name: str) -> dict[str, tuple[str, ...]]:
    """Read excerpts by setting; `rank=8` stands for itself, and an empty key adds nothing to the address."""
    given: Any = fields.raw(name)
    if not isinstance(given, dict) or not given or not all(isinstance(each, list) for each in given.values()):
        fields.note(f"`{name}` must hold lists of excerpts by setting, got {given!r}")
        return {"": ()}
    return {str(key): tuple(map(str, excerpts)) for key, excerpts in given.items()}


@dataclass(frozen=True, kw_only=True)
class Refutation:
    """What to do and what one sees, for one misconception."""

    misconception: str
    do: str
    at: str
    sees: Annotated[Mapping[str, tuple[str, ...]], _read_seen]
    sums: tuple[str, ...] = field(default=())

    def note_problems(self, fields: Fields) -> None:
        """Note an address that leads out of the app, and a setting without an excerpt."""
        if not self.at.startswith("/"):
            fields.note(f"`at` must begin with a slash, got {self.at!r}")
        for setting, excerpts in self.sees.items():
            if not excerpts:
                fields.note(f"nothing is seen at {setting!r}")

    @property
    def address(self) -> str:
        """The address to open: the first setting's."""
        return next(iter(self.excerpts))

    @property
    def excerpts(self) -> dict[str, tuple[str, ...]]:
        """What is seen, by full address, in order."""
        return {self._build_address(setting): seen for setting, seen in self.sees.items()}

    def _build_address(self, setting: str) -> str:
        if setting.startswith("/"):
            return setting
        return f"{self.at}{'&' if '?' in self.at else '?'}{setting}" if setting else self.at


@cache
def load_experiments(folder: Path = EXPERIMENTS_DIR) -> Mapping[str, Refutation]:
    """Read the experiments by the id of their misconception. Raises ContentError with every problem."""
    problems: list[Problem] = []
    known = {each.id for each in load_misconceptions()}
    found: dict[str, Refutation] = {}
    for path in sorted(folder.glob("*.yaml")):
        for entry in read_list(path, kind="experiment", problems=problems):
            experiment = read_declared(entry, Refutation)
            if experiment.misconception not in known:
                entry.note(f"there is no misconception {experiment.misconception!r}")
            if found.setdefault(experiment.misconception, experiment) is not experiment:
                entry.note(f"{experiment.misconception} has an experiment already")
    if problems:
        raise ContentError(problems)
    return found
