"""A teacher's own plans: made of the activities of others and of typed questions, and kept as YAML files."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from classroom.plans.plan import LONGEST_TITLE, OWN, OWN_NAME, Plan, Plans, tell_problem
from study.base.errors import LearnerError
from study.content.user_files import replace_file
from study.content.yaml_reader import Problem

MOST_OWN_PLANS = 100
LONGEST_MINUTES_TYPED = 20  # Python reads no thousands of digits


class PlanError(LearnerError):
    """Everything that keeps a plan from being saved."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("The plan is not saved. " + " ".join(self.problems), do_next="Change it, then save.")


class WouldReplaceError(LearnerError):
    """The plan would replace one with the same title, or what another window has saved."""

    def __init__(self, what: str, *, do_first: str, agree: str) -> None:
        super().__init__(what, do_next=f"{do_first}, or tick “{agree}”.")
        self.agree = agree
        """The label of the box by which the teacher agrees."""


@dataclass(frozen=True, kw_only=True)
class PlanDraft:
    """A plan as the form sends it."""

    title: str
    about: str
    minutes: str
    entries: tuple[str, ...]
    """The activities in order, each as the JSON of its entry in a plan's file."""

    left_out: frozenset[int] = frozenset()
    """The places, from 0, of those that the editor lists and the plan does without."""

    plan_id: str = ""
    """The plan that is changed; empty for a new one."""

    version: str = ""
    """The version of it that the editor began with."""

    replace: bool = False
    """Whether it may replace a plan with the same title, or a newer version."""


def save_plan(plans: Plans, draft: PlanDraft) -> Plan:
    """Save a teacher's plan that the reader of plans accepts, and return it.

    Raises PlanError with all problems, and WouldReplaceError before it would replace another plan, or a
    version of this one that the teacher has not seen.
    """
    kept = [entry for place, entry in enumerate(draft.entries) if place not in draft.left_out]
    minutes = draft.minutes.strip()[:LONGEST_MINUTES_TYPED]
    name = draft.plan_id.removeprefix(OWN) if draft.plan_id else _build_name(draft.title)
    path = _locate(plans.own_folder, name)
    content = {
        "title": " ".join(draft.title.split()),
        "about": draft.about.strip(),
        "minutes": int(minutes) if minutes.isdecimal() else minutes,
        "activities": [_read_entry(entry, number) for number, entry in enumerate(kept, start=1)],
    }
    found: list[Problem] = []
    written = yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=100).encode()
    plan = plans.read_own(path.name, written, found)
    if plan is None:
        raise PlanError([tell_problem(f"{problem.item}: {problem.text}") for problem in found])
    if path.exists() and not draft.replace:
        _check_replaced(plans, draft, plan)
    if not path.exists() and len(list(plans.own_folder.glob("*.yaml"))) >= MOST_OWN_PLANS:
        raise PlanError([f"There are {MOST_OWN_PLANS} plans of your own; delete one first."])
    try:
        replace_file(path, written)
    except OSError as error:
        raise PlanError([f"The data folder can't be written: {error.strerror}."]) from error
    return plan


def _check_replaced(plans: Plans, draft: PlanDraft, plan: Plan) -> None:
    if not draft.plan_id:
        raise WouldReplaceError(
            f"You already have a plan named “{plan.title}”.",
            do_first="Give this one another title",
            agree="Replace my plan of this title",
        )
    newest = next((each for each in plans.list_own([]) if each.id == draft.plan_id), None)
    if newest is not None and newest.version not in (draft.version, plan.version):
        raise WouldReplaceError(
            f"“{newest.title}” was changed in another window since you opened it here. Nothing is saved yet.",
            do_first="Copy from there what you want to keep",
            agree="Replace what the other window saved",
        )


def delete_plan(plans: Plans, plan_id: str) -> None:
    """Delete a teacher's plan. Raises LearnerError when there is no such plan."""
    path = _locate(plans.own_folder, plan_id.removeprefix(OWN))
    if not plan_id.startswith(OWN) or not path.is_file():
        raise LearnerError("You have no such plan.", do_next="Reload the page.")
    path.unlink()


def _locate(folder: Path, name: str) -> Path:
    if not OWN_NAME.fullmatch(name):
        raise LearnerError("You have no such plan.", do_next="Reload the page.")
    return folder / f"{name}.yaml"


def _build_name(title: str) -> str:
    """Build a file name that every system takes: `Étude 1` becomes `etude-1`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain[:LONGEST_TITLE]).strip("-")[:40].strip("-") or "plan"


def _read_entry(entry: str, number: int) -> dict[str, Any]:
    try:
        read = json.loads(entry, parse_constant=_refuse)
        json.dumps(read, ensure_ascii=False).encode()  # half a surrogate pair has no bytes
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise PlanError([f"Activity {number} could not be read; reload the page."])
    return read


def _refuse(constant: str) -> None:
    raise ValueError(constant)
