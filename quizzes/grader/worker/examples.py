"""Training examples from labelled answers: as written, several joined, or with typos (augmentation).

All randomness comes from `rng`, so one seed gives one order of examples.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random

from quizzes.grader.labelled_answers import NOISE, LabelledAnswer
from quizzes.grader.passages import close_sentence
from quizzes.grader.worker.network import NetworkRow
from study.ports.classes import ConceptVerdict

STRENGTH: tuple[ConceptVerdict, ...] = ("missing", "partial", "covered", "contradicted")
"""Precedence when a text says two things about a concept, weakest first; also the network's output order."""

Row = tuple[NetworkRow, tuple[ConceptVerdict, ...]]
"""A row and the verdicts on its concepts, in the row's order."""

PARTS = 10
OWN_PARTS = 8
SHORT_WORDS = 45
JOINED_SHARE = 0.2
MISTYPED_SHARE = 0.15
LEAST_LETTERS = 6
"""Short words carry a sentence's meaning (not, no, all, only, 4): a typo in one may change the label."""


def is_held_out(answer: LabelledAnswer, *, part: int) -> bool:
    """Return whether an answer's group is in the held-out tenth `part`; minimal pairs stay together."""
    return int(sha256(answer.group.encode()).hexdigest(), 16) % PARTS == part


def is_prompt_held_out(prompt_id: str) -> bool:
    """Return whether a prompt like a learner's own is in the eighth that nothing is learnt from."""
    return int(sha256(prompt_id.encode()).hexdigest(), 16) % OWN_PARTS == 0


def merge_verdicts(verdicts: Sequence[tuple[ConceptVerdict, ...]]) -> tuple[ConceptVerdict, ...]:
    """Merge the verdicts of several answers: contradicted wins over covered, covered over partial."""
    return tuple(max(said, key=STRENGTH.index) for said in zip(*verdicts, strict=True))


def draw_groups(
    answers: Sequence[LabelledAnswer], rng: Random, *, share: float, new: Collection[str]
) -> list[LabelledAnswer]:
    """Draw this share of the groups, and all groups of the prompts that are new to the network."""
    groups = sorted({answer.group for answer in answers})
    drawn = set(rng.sample(groups, round(share * len(groups))))
    return [answer for answer in answers if answer.group in drawn or answer.prompt_id in new]


def split_epoch(answers: Sequence[LabelledAnswer], rng: Random, *, rows: int) -> list[list[LabelledAnswer]]:
    """Split one epoch into batches of about `rows` answers of similar length; minimal pairs share a batch."""
    groups: dict[str, list[LabelledAnswer]] = {}
    for answer in answers:
        groups.setdefault(answer.group, []).append(answer)
    groups |= {f"joined {at}": [answer] for at, answer in enumerate(_draw_joined(answers, rng))}
    jitter = {name: rng.uniform(0.7, 1.4) for name in groups}
    batches: list[list[LabelledAnswer]] = [[]]
    for name in sorted(groups, key=lambda name: max(len(one.text) for one in groups[name]) * jitter[name]):
        if len(batches[-1]) >= rows:
            batches.append([])
        batches[-1] += groups[name]
    rng.shuffle(batches)
    return batches


def _draw_joined(answers: Sequence[LabelledAnswer], rng: Random) -> Iterator[LabelledAnswer]:
    """Yield joined examples: two or three short answers to one prompt in random order, noise included."""
    short: dict[str, list[LabelledAnswer]] = {}
    for answer in answers:
        if len(answer.text.split()) <= SHORT_WORDS and answer.kind != "other-language":
            short.setdefault(answer.prompt_id, []).append(answer)
    for choices in short.values():
        for _ in range(round(JOINED_SHARE * len(choices))):
            parts = rng.sample(choices, min(len(choices), rng.choice((2, 2, 3))))
            if not all(part.kind in NOISE for part in parts):
                yield replace(
                    parts[0],
                    kind="joined",
                    pair="",
                    verdicts=merge_verdicts([part.verdicts for part in parts]),
                    text=" ".join(close_sentence(part.text) for part in parts),
                )


def mistype(text: str, rng: Random) -> str:
    """Sometimes swap two letters of a word, drop one, or drop the punctuation."""
    if rng.random() >= MISTYPED_SHARE:
        return text
    words = (re.sub(r"[,.;:]", "", text) if rng.random() < 0.4 else text).split() or [text]
    for _ in range(1 + len(words) // 12):
        at = rng.randrange(len(words))
        words[at] = _misspell(words[at], rng)
    return " ".join(words)


def _misspell(word: str, rng: Random) -> str:
    if len(word) < LEAST_LETTERS or not word.isalpha():
        return word
    at = rng.randrange(1, len(word) - 2)
    if rng.random() < 0.5:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + word[at + 1 :]
