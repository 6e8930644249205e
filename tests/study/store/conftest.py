"""A class that is opened now."""

from datetime import datetime, timedelta

import pytest

from study.store.class_records import ClassRoom


@pytest.fixture
def room(now: datetime) -> ClassRoom:
    return ClassRoom(
        id="room",
        code="123456",
        plan_id="opener",
        title="Opener",
        options={"names": "drawn"},
        opened_at=now,
        names_until=now + timedelta(days=30),
    )
