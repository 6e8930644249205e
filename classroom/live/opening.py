"""The record of a class that is being opened: its code, its options, and how long names are kept."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any

from classroom.plans.plan import Plan
from study.base.errors import LearnerError
from study.store.class_records import ClassRoom

KEEP_NAMES_DAYS = (1, 7, 30, 90, 365)
TEAM_CHOICES = (0, 2, 3, 4, 5, 6)


def check_options(options: Mapping[str, Any]) -> None:
    if options["teams"] not in TEAM_CHOICES:
        raise LearnerError(f"A class can't have {options['teams']} teams.", do_next="Choose 2 to 6, or none.")
    if options["keep_names_days"] not in KEEP_NAMES_DAYS:
        raise LearnerError("Names can't be kept for that long.", do_next="Choose a time that is listed.")


def build_room(
    plan: Plan, options: Mapping[str, Any], *, taken: set[str], rng: Random, now: datetime
) -> ClassRoom:
    """Build the record of a class with a code that is not among those `taken`."""
    return ClassRoom(
        id=uuid.uuid4().hex,
        code=_draw_code(taken, rng),
        plan_id=plan.id,
        title=plan.title,
        options=options,
        opened_at=now,
        names_until=now + timedelta(days=options["keep_names_days"]),
    )


def _draw_code(taken: set[str], rng: Random) -> str:
    while (code := f"{rng.randrange(100_000, 1_000_000)}") in taken:
        pass
    return code
