"""Search over everything that has an address: concepts, cards, questions, models, figures and pages."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

FOUND_PER_KIND = 5
FOUND_IN_ALL = 20


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


def search(entries: Iterable[SearchEntry], words: str) -> list[tuple[str, list[SearchEntry]]]:
    """Return the entries that contain every word, by kind in the order of `entries`.

    Within a kind, a title that starts with the words comes first, then one in which they all begin a word or
    a number (8b in llama-3.1-8b, not in 1.78B), then one that contains them all, then the rest. At most
    `FOUND_PER_KIND` of a kind and `FOUND_IN_ALL` in all.
    """
    wanted = words.casefold().split()
    if not wanted:
        return []
    hits = [entry for entry in entries if all(word in _text(entry) for word in wanted)]
    found, left = [], FOUND_IN_ALL
    for kind, group in groupby(hits, key=lambda entry: entry.kind):
        best = sorted(group, key=lambda entry: _distance(entry, wanted))[: min(FOUND_PER_KIND, left)]
        left -= len(best)
        if best:
            found.append((kind, best))
    return found


def _text(entry: SearchEntry) -> str:
    return f"{entry.title} {entry.about} {entry.text}".casefold()


def _distance(entry: SearchEntry, wanted: list[str]) -> int:
    title = entry.title.casefold()
    if title.startswith(" ".join(wanted)):
        return 0
    if all(re.search(rf"(?<![\w.]){re.escape(word)}", title) for word in wanted):
        return 1
    return 2 if all(word in title for word in wanted) else 3
