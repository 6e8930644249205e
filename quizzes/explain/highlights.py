"""Highlighting of evidence: a learner's text split at the boundaries of the evidence spans."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from study.store.logs.explains import Span


@dataclass(frozen=True, kw_only=True)
class Marked:
    """A segment of the text and the numbers of the concepts that it is evidence for."""

    text: str
    numbers: tuple[int, ...]
    against: bool = False
    """Whether these words contradict the concepts."""


def split_segments(
    text: str, evidence: Mapping[int, Iterable[Span]], *, against: Container[int] = ()
) -> list[Marked]:
    """Split the whole text into segments; `evidence` holds spans by concept number.

    A segment that contradicts a concept of `against` is marked for contradicted concepts only, so that no
    words are marked as right and as wrong.
    """
    spans = [
        (number, max(0, start), min(end, len(text)))
        for number, found in evidence.items()
        for start, end in found
    ]
    cuts = sorted({0, len(text), *(start for _, start, _ in spans), *(end for _, _, end in spans)})
    segments = []
    for start, end in pairwise(cuts):
        numbers = sorted({n for n, first, last in spans if first <= start and end <= last})
        wrong = [number for number in numbers if number in against]
        segments.append(Marked(text=text[start:end], numbers=tuple(wrong or numbers), against=bool(wrong)))
    return segments
