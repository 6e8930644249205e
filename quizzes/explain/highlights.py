"""Highlighting of evidence: a learner's text split at the boundaries of the evidence spans."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from study.store.explains import Span


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A segment of the text and the numbers of the concepts that it is evidence for."""

    text: str
    numbers: tuple[int, ...]


def marked(text: str, evidence: Mapping[int, Iterable[Span]]) -> list[Marked]:
    """Split the whole text into segments; `evidence` holds spans by concept number."""
    spans = [
        (number, max(0, start), min(end, len(text)))
        for number, found in evidence.items()
        for start, end in found
    ]
    cuts = sorted({0, len(text), *(start for _, start, _ in spans), *(end for _, _, end in spans)})
    return [
        Marked(
            text=text[start:end],
            numbers=tuple(sorted({n for n, first, last in spans if first <= start and end <= last})),
        )
        for start, end in pairwise(cuts)
        if 0 <= start < end
    ]
