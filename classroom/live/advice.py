"""What the first vote on a question suggests to do next."""

from classroom.activities.activity import Phase
from classroom.activities.peer_instruction import ADVISED_PHASE, Advice, advise
from classroom.live.live_room import LiveRoom, as_value


def advise_on_first_vote(live: LiveRoom) -> Advice | None:
    """Return what the first vote on the current question suggests; None for other activities."""
    activity = live.activity
    if activity is None or activity.kind != "question":
        return None
    votes = live.answers(1)
    right = sum(bool(activity.is_correct(1, as_value(answer))) for answer in votes.values())
    return advise(right, len(votes))


def find_advised_phase(live: LiveRoom) -> Phase | None:
    """Return the phase that the advice leads to."""
    found = advise_on_first_vote(live)
    return ADVISED_PHASE[found] if found else None
