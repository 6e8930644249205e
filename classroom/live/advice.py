"""What the first vote on a question suggests to do next."""

from typing import Any

from classroom.activities.peer_instruction import ADVISED_PHASE, Advice, advise
from classroom.live.live_room import LiveRoom, as_value


def advice(live: LiveRoom) -> Advice | None:
    """What the first vote on the current question suggests; None for other activities."""
    activity = live.activity
    if activity is None or activity.kind != "question":
        return None
    votes = live.answers(1)
    right = sum(bool(activity.is_correct(1, as_value(answer))) for answer in votes.values())
    return advise(right, len(votes))


def advised(live: LiveRoom) -> Any:
    """The phase that the advice leads to."""
    found = advice(live)
    return ADVISED_PHASE[found] if found else None
