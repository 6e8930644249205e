"""Own words as the templates show them: groups for the screen, every answer for the teacher."""

from collections.abc import Mapping
from dataclasses import dataclass

from classroom.activities.wall import (
    VERDICT_LABELS,
    ConceptGroups,
    Quote,
    WrittenAnswer,
    choose_wall_verdict,
    drop_short_quotes,
    group_answers,
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
    unjudged: tuple[Quote, ...]
    """Of the shown answers those without a verdict on any concept."""

    graded: int


def build_wall_view(live: LiveRoom, wanted: ClassPrompt) -> WallView:
    """The answers in the order of their ids, which says nothing about who wrote them."""
    given = sorted(live.answers(1).values(), key=lambda answer: answer.id)
    written = [WrittenAnswer.from_answer(answer) for answer in given]
    overruled, quoted = live.state.overruled, live.state.quoted
    whole = group_answers(written, wanted.concepts, overruled)
    chosen = [each for each in written if each.id in quoted]
    shown = group_answers(chosen, wanted.concepts, overruled)
    unjudged = (
        Quote(text=each.text)
        for each in chosen
        if not any(choose_wall_verdict(each, concept.id, overruled) for concept in wanted.concepts)
    )
    answers = tuple(_judge(each, wanted, live) for each in written)
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
        unjudged=tuple(quote for quote in unjudged if quote.says_enough),
        graded=sum(each.graded is not None for each in written),
    )


def list_own_verdicts(live: LiveRoom, wanted: ClassPrompt, answer: ClassAnswer) -> list[tuple[str, str, str]]:
    """For who wrote it: each concept's label, the verdict, and the definition unless it is covered."""
    written = WrittenAnswer.from_answer(answer)
    found = [
        (concept, choose_wall_verdict(written, concept.id, live.state.overruled))
        for concept in wanted.concepts
    ]
    return [
        (concept.label, VERDICT_LABELS[verdict], "" if verdict == "covered" else concept.definition)
        for concept, verdict in found
        if verdict is not None
    ]


def _judge(answer: WrittenAnswer, wanted: ClassPrompt, live: LiveRoom) -> WallAnswer:
    overruled = live.state.overruled
    verdicts = []
    for concept in wanted.concepts:
        verdict = choose_wall_verdict(answer, concept.id, overruled)
        words = VERDICT_LABELS[verdict] if verdict else "not judged"
        by_teacher = " (by you)" if (answer.id, concept.id) in overruled else ""
        verdicts.append((concept.id, concept.label, words + by_teacher))
    return WallAnswer(
        id=answer.id, text=answer.text, shown=answer.id in live.state.quoted, verdicts=tuple(verdicts)
    )
