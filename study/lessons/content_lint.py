"""Lint rules for the app's content as a whole, in addition to the checks of each file on load.

Loading a file already rejects a wrong schema, a repeated id, an item without a source or a check, and a check
whose number no text prints. These rules look at all items together: is every concept covered, does a cue give
the right option away, is an item duplicated, is the text readable.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from study.base.errors import LearnerError
from study.content.yaml_reader import Level

MAX_GRADE = 11.0  # school years, as `compute_grade` counts them
MAX_ALIKE = (
    0.5  # Jaccard similarity of 5-letter shingles; the most similar items of the app's own content reach 0.4
)
LENGTH_RATIO = (0.9, 1.1)  # mean length of right options divided by that of wrong ones
MAX_LONGEST = 1 / 3  # share of questions whose right option is the longest; chance is 1/4 with four options
MAX_UNEVEN = 0.1  # how far a position's share of right options may be from an even share
ENOUGH_TO_SPREAD = 20  # questions; with fewer, positions are uneven by chance
BANNED = ("all of the above", "none of the above", "learning style")

_PIECE = 5
_TECHNICAL = re.compile(r"\$[^$]*\$|`[^`]*`|\{\{.*?\}\}|\d[\d.,]*")
_WORD = re.compile(r"\w(?:[\w'’-]*\w)?")
_SENTENCE_END = re.compile(r"[.?!:;](?=\s|$)")


@dataclass(frozen=True, kw_only=True)
class LintedOption:
    """One option of a question."""

    text: str
    correct: bool
    feedback: str


@dataclass(frozen=True, kw_only=True)
class LintedItem:
    """The parts of a card or question that these rules read."""

    id: str
    concepts: tuple[str, ...]
    level: Level
    asks: str
    answers: str
    explains: tuple[str, ...]
    """All further texts."""

    choices: tuple[LintedOption, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that a learner reads."""
        return (self.asks, self.answers, *self.explains, *(choice.text for choice in self.choices))

    @property
    def prose(self) -> str:
        return " ".join((self.asks, self.answers, *self.explains))

    @property
    def written_as(self) -> str:
        """The id of its entry: an entry may make several items, `<id>--<part>` each."""
        return self.id.partition("--")[0]

    @property
    def right_place(self) -> int | None:
        """The index of the right option; None unless exactly one is right."""
        places = [place for place, choice in enumerate(self.choices) if choice.correct]
        return places[0] if len(places) == 1 else None


@dataclass(frozen=True, kw_only=True)
class LintFinding:
    """One violation of a rule."""

    item: str
    text: str

    def __str__(self) -> str:
        return f"{self.item}: {self.text}"


Rule = Callable[[Sequence[LintedItem]], Iterator[LintFinding]]


def ids_are_plain(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find ids that are unsafe in URLs, logs and exports."""
    for item in items:
        if not re.fullmatch(r"[a-z0-9]+(--?[a-z0-9]+)*", item.id):
            yield LintFinding(item=item.id, text="an id is small letters, digits and hyphens")


def concepts_are_named(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find items with no concept, which count nowhere, or too many, which say little about each."""
    for item in items:
        if not 1 <= len(set(item.concepts)) <= 4:
            yield LintFinding(item=item.id, text=f"names {len(set(item.concepts))} concepts, not 1 to 4")


def nothing_is_banned(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find phrases that make bad options or bad science."""
    for item in items:
        said = " ".join(" ".join(item.texts).lower().split())
        for phrase in BANNED:
            if phrase in said:
                yield LintFinding(item=item.id, text=f"says {phrase!r}")


def text_is_readable(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find texts above the maximum grade: long words in long sentences hide the idea."""
    for item in items:
        if (found := compute_grade(item.prose)) > MAX_GRADE:
            yield LintFinding(item=item.id, text=f"reads at grade {found:.1f}, more than {MAX_GRADE:.0f}")


def nothing_is_there_twice(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find similar pairs, by the prompt alone and with its answer: they are one item with two schedules."""
    asked = [
        (item, _split_shingles(item.asks), _split_shingles(f"{item.asks} {item.answers}")) for item in items
    ]
    for (one, one_asks, one_all), (other, other_asks, other_all) in combinations(asked, 2):
        shared = max(_measure_similarity(one_asks, other_asks), _measure_similarity(one_all, other_all))
        if shared > MAX_ALIKE and one.written_as != other.written_as:
            yield LintFinding(item=other.id, text=f"is {shared:.0%} like {one.id}")


def options_have_their_own_feedback(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find options that share a feedback, because one sentence can't answer several misconceptions."""
    for item in items:
        if len({choice.feedback for choice in item.choices}) < len(item.choices):
            yield LintFinding(item=item.id, text="two options share a feedback")


def length_gives_nothing_away(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find the best-known flaw of multiple choice: careful authors make the right option the longest."""
    right, wrong, longest = [], [], 0
    for item in items:
        if (place := item.right_place) is None:
            continue
        lengths = [len(choice.text) for choice in item.choices]
        right.append(lengths.pop(place))
        wrong += lengths
        longest += right[-1] > max(lengths)
    if not right:
        return
    low, high = LENGTH_RATIO
    if not low <= (ratio := fmean(right) / fmean(wrong)) <= high:
        yield LintFinding(
            item="all questions", text=f"right options are {ratio:.2f} times as long as wrong ones"
        )
    if longest > MAX_LONGEST * len(right):
        yield LintFinding(
            item="all questions", text=f"the right option is the longest in {longest} of {len(right)}"
        )


def places_are_spread(items: Sequence[LintedItem]) -> Iterator[LintFinding]:
    """Find positions that are right too often or too rarely: pages shuffle options, exports don't."""
    places: dict[int, Counter[int]] = defaultdict(Counter)
    for item in items:
        if (place := item.right_place) is not None:
            places[len(item.choices)][place] += 1
    for options, counted in places.items():
        total = counted.total()
        if total < ENOUGH_TO_SPREAD:
            continue
        for place in range(options):
            if abs(counted[place] / total - 1 / options) > MAX_UNEVEN:
                found = f"place {place + 1} of {options} is right in {counted[place]} of {total} questions"
                yield LintFinding(item="all questions", text=found)


def check_coverage(
    items: Sequence[LintedItem], concepts: Iterable[str], *, least: int
) -> Iterator[LintFinding]:
    """Find concepts with fewer than `least` items, or with items of one level only."""
    for concept in concepts:
        levels = [item.level for item in items if concept in item.concepts]
        if len(levels) < least:
            yield LintFinding(item=concept, text=f"has {len(levels)} items, needs {least}")
        if len(set(levels)) < 2:
            yield LintFinding(item=concept, text="has items of one level only")


RULES: tuple[Rule, ...] = (
    ids_are_plain,
    concepts_are_named,
    nothing_is_banned,
    text_is_readable,
    nothing_is_there_twice,
    options_have_their_own_feedback,
    length_gives_nothing_away,
    places_are_spread,
)


def lint(items: Sequence[LintedItem], concepts: Collection[str], *, least: int) -> list[LintFinding]:
    """Apply all rules; `least` is the number of items that a concept needs."""
    found = [finding for rule in RULES for finding in rule(items)]
    return [*found, *check_coverage(items, concepts, least=least)]


def raise_findings(findings: Sequence[LintFinding]) -> None:
    if findings:
        listing = "\n".join(map(str, findings))
        raise LearnerError(
            f"{listing}\n", do_next="Change these items; study/lessons/content_lint.py has the rules."
        )


def _split_shingles(text: str) -> set[str]:
    plain = re.sub(r"\W+", " ", text.lower()).strip()
    return {plain[start : start + _PIECE] for start in range(max(1, len(plain) - _PIECE + 1))}


def _measure_similarity(one: set[str], other: set[str]) -> float:
    """Return the Jaccard similarity of two shingle sets, as for near-duplicate web pages (Broder, 1997)."""
    return len(one & other) / len(one | other)


def compute_grade(text: str) -> float:
    """The Automated Readability Index: about the school year in the United States that can read the text.

    4.71 characters a word + 0.5 words a sentence - 21.43 (Senter and Smith, 1967, AMRL-TR-66-220). Formulas,
    code and numbers count as one short word each: their digits and letters say nothing about the prose. A
    colon or semicolon ends a sentence.
    """
    prose = _TECHNICAL.sub(" x ", text)
    words: list[str] = _WORD.findall(prose)
    if not words:
        return 0.0
    characters = sum(character.isalnum() for character in "".join(words))
    sentences = max(1, len(_SENTENCE_END.findall(prose)))
    return 4.71 * characters / len(words) + 0.5 * len(words) / sentences - 21.43
