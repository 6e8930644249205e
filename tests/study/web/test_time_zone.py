"""On a server the days of a learner are those of their browser, which says where it is with each press."""

from dataclasses import replace
from typing import Any

import pytest

from study.ports.context import Context, Visit
from study.web import frame
from tests.visits import opened


def press(context: Context, zone: object, *, shared: bool = True) -> Visit:
    event: dict[str, Any] = {"act": "any", "zone": zone}
    return frame.open_visit(replace(context, shared=shared), opened("b1"), event)


def test_the_first_press_says_where_the_days_of_a_learner_begin(context: Context) -> None:
    assert press(context, "America/Los_Angeles").preferences.time_zone == "America/Los_Angeles"
    assert frame.open_visit(context, opened("b1")).preferences.time_zone == "America/Los_Angeles"


def test_a_zone_that_was_chosen_stays(context: Context) -> None:
    chosen = press(context, "Asia/Tokyo")
    context.store.preferences.change(chosen.profile.id, time_zone="Europe/Berlin")
    assert press(context, "Asia/Tokyo").preferences.time_zone == "Europe/Berlin"


def test_on_ones_own_machine_its_zone_counts_wherever_it_travels(context: Context) -> None:
    assert press(context, "Asia/Tokyo", shared=False).preferences.time_zone == ""


@pytest.mark.parametrize("zone", ["Mars/Base", "", None, 5, ["Asia/Tokyo"], "../../etc/passwd", "x" * 9_999])
def test_a_zone_that_nobody_knows_changes_nothing(context: Context, zone: object) -> None:
    assert press(context, zone).preferences.time_zone == ""
