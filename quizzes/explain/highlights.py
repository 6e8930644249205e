"""A learner's text cut where evidence begins and ends, so that each piece can be marked for its concepts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from study.store.explains import Span


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A piece of the text and the numbers of the concepts that it speaks to."""

    text: str
    numbers: tuple[int, ...]


def marked(text: str, evidence: Mapping[int, Iterable[Span]]) -> list[Marked]:
    """The whole text in pieces; `evidence` holds spans by the number of a concept."""
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
