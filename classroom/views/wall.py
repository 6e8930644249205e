"""Own words as the templates show them: groups for the screen, every answer for the teacher."""

from collections.abc import Mapping
from dataclasses import dataclass

from classroom.activities.wall import (
    VERDICT_LABELS,
    ConceptGroups,
    choose_wall_verdict,
    drop_short_quotes,
    get_text,
    group_answers,
    says_enough,
)
from classroom.live.live_room import LiveRoom
from study.ports.classes import ClassPrompt
from study.store.class_records import ClassAnswer


@dataclass(frozen=True, kw_only=True)
class WallAnswer:
    """One answer without a name, with a verdict on each concept."""

    id: str
    text: str
    shown: bool
    """Whether the class sees it."""

    verdicts: tuple[tuple[str, str, str], ...]
    """The id and label of each concept, and the verdict in words."""


@dataclass(frozen=True, kw_only=True)
class WallView:
    """What the templates need of a wall or of short texts."""

    groups: tuple[ConceptGroups, ...]
    """By concept; their quotes are those that the teacher shows."""

    counts: Mapping[str, tuple[tuple[str, int], ...]]
    """By concept the number of answers with each verdict, in words."""

    answers: tuple[WallAnswer, ...]
    shown: tuple[WallAnswer, ...]
    unjudged: tuple[str, ...]
    """Of the shown answers those without a verdict on any concept."""

    graded: int


def build_wall_view(live: LiveRoom, wanted: ClassPrompt) -> WallView:
    """The answers in the order of their ids, which says nothing about who wrote them."""
    given = sorted(live.answers(1).values(), key=lambda answer: answer.id)
    overruled, quoted = live.state.overruled, live.state.quoted
    whole = group_answers(given, wanted.concepts, overruled)
    chosen = [each for each in given if each.id in quoted]
    shown = group_answers(chosen, wanted.concepts, overruled)
    unjudged = (
        get_text(each)
        for each in chosen
        if not any(choose_wall_verdict(each, concept.id, overruled) for concept in wanted.concepts)
    )
    answers = tuple(_judge(each, wanted, live) for each in given)
    return WallView(
        groups=tuple(map(drop_short_quotes, shown)),
        counts={
            found.concept.id: tuple(
                (VERDICT_LABELS[group.verdict], len(group.quotes)) for group in found.groups
            )
            for found in whole
        },
        answers=answers,
        shown=tuple(each for each in answers if each.shown),
        unjudged=tuple(filter(says_enough, unjudged)),
        graded=sum(each.graded is not None for each in given),
    )


def list_own_verdicts(live: LiveRoom, wanted: ClassPrompt, answer: ClassAnswer) -> list[tuple[str, str, str]]:
    """For who wrote it: each concept's label, the verdict, and the definition unless it is covered."""
    found = [
        (concept, choose_wall_verdict(answer, concept.id, live.state.overruled))
        for concept in wanted.concepts
    ]
    return [
        (concept.label, VERDICT_LABELS[verdict], "" if verdict == "covered" else concept.definition)
        for concept, verdict in found
        if verdict is not None
    ]


def _judge(answer: ClassAnswer, wanted: ClassPrompt, live: LiveRoom) -> WallAnswer:
    overruled = live.state.overruled
    verdicts = []
    for concept in wanted.concepts:
        verdict = choose_wall_verdict(answer, concept.id, overruled)
        words = VERDICT_LABELS[verdict] if verdict else "not judged"
        by_teacher = " (by you)" if (answer.id, concept.id) in overruled else ""
        verdicts.append((concept.id, concept.label, words + by_teacher))
    return WallAnswer(
        id=answer.id, text=get_text(answer), shown=answer.id in live.state.quoted, verdicts=tuple(verdicts)
    )
