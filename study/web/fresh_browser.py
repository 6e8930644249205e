"""Who are you? Asked on every page of a browser on this machine that has just been given a guest profile."""

from dataclasses import dataclass
from datetime import datetime

from study.ports.context import Context, Visit


@dataclass(frozen=True, kw_only=True)
class Known:
    """A learner who was here before."""

    id: str
    name: str
    seen: str
    """Of a profile without a name of its own: when it was last here and how much it answered."""


def list_known(context: Context, visit: Visit) -> list[Known]:
    """List who may sit at a browser whose guest has done nothing yet, the last one here first."""
    profile, preferences, store = visit.profile, visit.preferences, context.store
    if profile.named or preferences.tour_seen or preferences.asked_who:
        return []
    others = [each for each in store.profiles.all() if each.id != profile.id]
    if not others or store.list_answer_times(profile.id):
        return []
    moments = {each.id: store.list_answer_times(each.id) for each in others}
    never = datetime.min.replace(tzinfo=visit.now.tzinfo)
    known = [each for each in others if each.named or moments[each.id]]
    known.sort(key=lambda each: max(moments[each.id], default=never), reverse=True)
    return [
        Known(id=each.id, name=each.name, seen="" if each.named else _describe(visit, moments[each.id]))
        for each in known
    ]


def _describe(visit: Visit, moments: list[datetime]) -> str:
    answers = f"{len(moments):,} {'answer' if len(moments) == 1 else 'answers'}"
    return f"{visit.days_ago(max(moments))} · {answers}"
