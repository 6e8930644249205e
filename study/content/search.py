"""Search over everything that has an address: concepts, cards, questions, models, figures and pages."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter

BEST = "Best matches"
BEST_COUNT = 3
FOUND_PER_KIND = 5
FOUND_IN_ALL = 20
LEAST_SHARE = 0.6
"""An entry is found if its words weigh at least this share of what the best entry's do."""

BEGINS_WITH_IT = 0.25  # "rank" means "Rank r of an adapter" rather than "Low-rank factors"
BEGINS_A_WORD = 4  # letters from which a word finds longer ones too: "quant" finds "quantization"
WORD = re.compile(r"[^\W_]+(?:[.,][^\W_]+)*")
ENDING = re.compile(r"(?<=...)(?:ing|ed|es|er|ly|s|e)$")
DOUBLED = re.compile(r"(.)\1$")
STOP_WORDS = frozenset(
    WORD.findall(
        """a about an and any are as at be been being between big but by can could did difference do
        does doesn doing don for from get gets give go goes going good had has have how i if in into
        is isn it its just kind make makes many me mean means more much my need needs of on or our
        please s should so t than that the their them then there these they this those to use used
        using want was we were what when where which while who why will with would you your"""
    )
)
"""The words around the subject of a question; s and t are what an apostrophe leaves of what's and don't."""


@dataclass(frozen=True, kw_only=True)
class SearchEntry:
    """One thing that a search can find."""

    kind: str
    """The heading under which it is listed, such as "Concepts"."""

    title: str
    address: str
    about: str = ""
    """One line that is shown below the title; its words find the entry too."""

    text: str = ""
    """More words that find it; they aren't shown."""


@dataclass(frozen=True, kw_only=True)
class _Hit:
    entry: SearchEntry
    weight: float
    """Of all its words that were asked for; a rare word weighs more."""

    score: float
    """The same, more for words in its title, and most for those that begin it and for a short title."""


by_score = attrgetter("score")


def search(entries: Iterable[SearchEntry], words: str) -> list[tuple[str, list[SearchEntry]]]:
    """Return the entries that match a few words or a whole question, grouped under headings.

    If two words or more say something, the `BEST_COUNT` best of any kind come first. The others follow by
    kind in the order of `entries`, at most `FOUND_PER_KIND` of a kind and `FOUND_IN_ALL` in all.
    """
    wanted = _parse_parts(words)
    hits = _find(list(entries), wanted)
    best = sorted(hits, key=by_score, reverse=True)[: BEST_COUNT if len(wanted) > 1 else 0]
    found = [(BEST, [hit.entry for hit in best])] if best else []
    left = FOUND_IN_ALL - len(best)
    for kind, group in groupby((hit for hit in hits if hit not in best), key=lambda hit: hit.entry.kind):
        listed = sorted(group, key=by_score, reverse=True)[: min(FOUND_PER_KIND, left)]
        left -= len(listed)
        if listed:
            found.append((kind, [hit.entry for hit in listed]))
    return found


def count_whole_words(words: str, text: str) -> int:
    """Count the words asked for that stand in a text as whole words, whatever their endings."""
    return sum(f" {stem} " in _stem_text(text) for stem in _stem_text(words).split())


def _find(entries: list[SearchEntry], wanted: list[str]) -> list[_Hit]:
    texts = [_stem_text(f"{entry.title} {entry.about} {entry.text}") for entry in entries]
    weights = {}
    for part in wanted:
        # what is not a whole word may begin one or, if it is long, stand inside one: "llama" in "tinyllama"
        inside = [part.strip()] if len(part.strip()) >= BEGINS_A_WORD else []
        for tried in (part, part.rstrip(), *inside):
            if count := sum(tried in text for text in texts):
                weights[tried] = math.log(1 + len(entries) / count)
                break
    hits = [_match_entry(entry, text, weights) for entry, text in zip(entries, texts, strict=True)]
    least = LEAST_SHARE * max((hit.weight for hit in hits), default=0)
    return [hit for hit in hits if hit.weight and hit.weight >= least]


def _match_entry(entry: SearchEntry, text: str, weights: dict[str, float]) -> _Hit:
    title = _stem_text(entry.title)
    weight = sum(each for part, each in weights.items() if part in text)
    in_title = sum(each for part, each in weights.items() if part in title)
    begins = sum(each for part, each in weights.items() if title.startswith(part))
    shortness = 1 / math.sqrt(len(title.split()) or 1)
    score = weight + in_title * (1 + shortness) + BEGINS_WITH_IT * begins
    return _Hit(entry=entry, weight=weight, score=score)


def _parse_parts(words: str) -> list[str]:
    """Parse what has to stand in a text of stems: " rank " a whole word, " quant" the start of one."""
    typed = WORD.findall(words)
    telling = [word for word in typed if word.casefold() not in STOP_WORDS] or typed
    stems = [_stem(word.casefold()) for word in telling]
    unfinished = telling[-1:] == typed[-1:]  # the last word may still be being typed
    return [
        f" {stem}" if len(stem) >= BEGINS_A_WORD or (unfinished and at == len(stems)) else f" {stem} "
        for at, stem in enumerate(stems, start=1)
    ]


@lru_cache(maxsize=8192)  # the entries are the same from search to search
def _stem_text(text: str) -> str:
    return f" {' '.join(_stem(word) for word in WORD.findall(text.casefold()))} "


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    """Return a word without its ending: merg for merge, merges, merged and merging, fit for fitting."""
    return DOUBLED.sub(r"\1", ENDING.sub("", word)) if word.isalpha() else word
