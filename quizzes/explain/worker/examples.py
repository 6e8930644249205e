"""Training examples from labelled answers: single answers, several in one, slips of the keyboard.

Every step draws from `dice`, so that one seed gives one order of examples.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from quizzes.explain.answers import NOISE, LabelledAnswer
from quizzes.explain.grade import Verdict

STRENGTH: tuple[Verdict, ...] = ("missing", "partial", "covered", "contradicted")
"""What wins where one text says two things about a concept; also the order of the network's outputs."""

MISSING_KEPT = 0.35
"""Share of the missing pairs of an epoch: seven pairs in ten say nothing of a concept, and are soon learnt."""

SINGLE_WORDS = 45
JOINED_SHARE = 0.3
MISTYPED_SHARE = 0.15


@dataclass(frozen=True, kw_only=True)
class Example:
    """One pair to learn from. `contrast` names its minimal pair, where it stands in one."""

    concept: str
    text: str
    verdict: Verdict
    contrast: str = ""


def joined(verdicts: Sequence[tuple[Verdict, ...]]) -> tuple[Verdict, ...]:
    """What several answers say together: contradicted wins over covered, covered over partial."""
    return tuple(max(said, key=STRENGTH.index) for said in zip(*verdicts, strict=True))


def epoch(
    answers: Sequence[LabelledAnswer], concepts: Mapping[str, Sequence[str]], dice: Random
) -> list[list[Example]]:
    """The examples of one epoch in groups that are learnt side by side; `concepts` are texts by prompt."""
    groups: dict[str, list[Example]] = {}
    for answer in answers:
        examples = [_mistyped(example, dice) for example in _pairs(answer, concepts, dice)]
        groups.setdefault(answer.group, []).extend(examples)
    for number, answer in enumerate(_joined_answers(answers, dice)):
        groups[f"joined {number}"] = [_mistyped(example, dice) for example in _pairs(answer, concepts, dice)]
    return list(groups.values())


def _pairs(
    answer: LabelledAnswer, concepts: Mapping[str, Sequence[str]], dice: Random
) -> Iterator[Example]:
    for number, (concept, verdict) in enumerate(
        zip(concepts[answer.prompt_id], answer.verdicts, strict=True)
    ):
        if verdict != "missing" or dice.random() < MISSING_KEPT:
            contrast = f"{answer.group}/{number}" if answer.pair else ""
            yield Example(concept=concept, text=answer.text, verdict=verdict, contrast=contrast)


def _joined_answers(answers: Sequence[LabelledAnswer], dice: Random) -> Iterator[LabelledAnswer]:
    """Two to four short answers to one prompt in one, in any order; noise may be among them."""
    short: dict[str, list[LabelledAnswer]] = {}
    for answer in answers:
        if len(answer.text.split()) <= SINGLE_WORDS and answer.kind != "other-language":
            short.setdefault(answer.prompt_id, []).append(answer)
    for prompt_id, choices in short.items():
        for _ in range(round(JOINED_SHARE * len(choices))):
            parts = dice.sample(choices, min(len(choices), dice.choice((2, 2, 3))))
            if not all(part.kind in NOISE for part in parts):
                yield LabelledAnswer(
                    prompt_id=prompt_id,
                    kind="joined",
                    voice="",
                    pair="",
                    verdicts=joined([part.verdicts for part in parts]),
                    text=" ".join(_closed(part.text) for part in parts),
                )


def _closed(text: str) -> str:
    return text if text[-1] in ".!?" else f"{text}."


def _mistyped(example: Example, dice: Random) -> Example:
    """Now and then two letters are swapped, one is lost, or the punctuation is."""
    if dice.random() >= MISTYPED_SHARE:
        return example
    text = re.sub(r"[,.;:]", "", example.text) if dice.random() < 0.4 else example.text
    words = text.split()
    for _ in range(1 + len(words) // 12):
        at = dice.randrange(len(words))
        words[at] = _slip(words[at], dice)
    return Example(
        concept=example.concept, text=" ".join(words), verdict=example.verdict, contrast=example.contrast
    )


def _slip(word: str, dice: Random) -> str:
    # Short words carry the meaning of a sentence (not, no, all, only, 4): a slip in one may change the label.
    if len(word) < 6 or not word.isalpha():
        return word
    at = dice.randrange(1, len(word) - 2)
    if dice.random() < 0.5:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :]
