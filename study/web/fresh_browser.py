"""Who are you? Asked on every page of a browser on this machine that has just been given a guest profile."""

from study.ports.context import Context, Visit
from study.store.profiles import SeenProfile


def list_known(context: Context, visit: Visit) -> list[tuple[SeenProfile, str]]:
    """List who may sit at a browser whose guest has done nothing yet, the last one here first.

    Beside a profile without a name of its own: when it was last here and how much it answered.
    """
    profile, preferences, profiles = visit.profile, visit.preferences, context.store.profiles
    if profile.named or preferences.tour_seen or preferences.asked_who or profiles.has_worked(profile.id):
        return []
    return [
        (each, "" if each.named else _describe(visit, each))
        for each in profiles.list_seen()
        if each.id != profile.id
    ]


def stop_asking(context: Context, visit: Visit) -> None:
    """Ask this browser no more: its learner has answered, put it off, or begun what no profile keeps."""
    if not visit.preferences.asked_who:
        context.store.preferences.change(visit.profile.id, asked_who=True)


def _describe(visit: Visit, seen: SeenProfile) -> str:
    answers = f"{seen.answers:,} {'answer' if seen.answers == 1 else 'answers'}"
    return f"{visit.format_days_ago(seen.answered_at)} · {answers}" if seen.answered_at else answers
