"""Splitting of an answer into passages: a sentence and those that refer back to it ("It ...", "But ...").

The grader scores each passage on its own, so an unrelated sentence changes nothing and the order of unrelated
sentences does not matter. Each passage has its position in the answer as typed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter

READ_CHARACTERS = 8_000
"""About 1,300 words. The rest is truncated, and the result says so."""

MOST_PASSAGES = 24
LONGEST_WORDS = 60

_TAG = re.compile(
    r"<(?:!--.*?--|script\b.*?</script\s*|style\b.*?</style\s*|/?[a-zA-Z][^<>]{0,500})>",
    re.DOTALL | re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?;])[\"')\]]*\s+")
_ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|vs|approx|resp|etc|ca|cf|no|fig|z\.B|d\.h)\.$", re.I)
_LEANS = re.compile(
    r"^\W*(?:and|but|so|because|since|which|it|its|it's|they|their|them|this|that|these|those|then|thus|hence|"
    r"therefore|however|instead|otherwise|no|nope|nah|yes|wrong|false|untrue|true|incorrect|mistaken|busted|"
    r"not (?:so|true|right|correct|even|at all)|nothing of the kind|no such thing|both are|"
    r"he(?:['’]?s| is| erred)|in fact|actually|nonsense|rubbish|"
    r"for example|e\.g|i\.e|das|dies|er|sie|es|mais|cela|ce|il|elle|pero|eso|"
    r"esto|mas|isso|isto|ma|questo)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\?\W*$")


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of the answer as typed: `answer[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Passage(Span):
    """A text with its position in the answer."""

    text: str


def blank_markup(answer: str) -> str:
    """Replace HTML tags and control characters by blanks; every other character keeps its position."""
    text = _TAG.sub(lambda tag: " " * len(tag[0]), answer[:READ_CHARACTERS])
    return "".join(
        " " if ord(character) < 32 and character not in "\n\r\t" else character for character in text
    )


def split_passages(answer: str, *, added_at: int | None = None) -> tuple[Passage, ...]:
    """Split an answer into the passages that are read, without duplicates.

    What the learner added when asked, from `added_at` on, is read whatever else is left out.
    """
    found = _find_passages(answer)
    added = [passage for passage in found if added_at is not None and passage.end > added_at]
    different: dict[str, Passage] = {}
    for passage in (*added, *found):
        different.setdefault(passage.text.lower(), passage)
    return tuple(sorted(list(different.values())[:MOST_PASSAGES], key=attrgetter("start")))


def is_cut(answer: str) -> bool:
    """Return whether an answer is longer than what is read of it."""
    different = {passage.text.lower() for passage in _find_passages(answer)}
    return len(answer) > READ_CHARACTERS or len(different) > MOST_PASSAGES


def close_sentence(text: str) -> str:
    """Return the sentence with its full stop."""
    return text if text[-1] in ".!?" else f"{text}."


def _find_passages(answer: str) -> list[Passage]:
    text = blank_markup(answer)
    found = []
    for start, end in _group_sentences(text, list(_find_sentences(text))):
        said = " ".join(text[start:end].split())
        if re.search(r"\w", said):
            found.append(Passage(text=said, start=start, end=end))
    return found


def _find_sentences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each sentence, without surrounding blanks."""
    begin = 0
    for match in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[begin : match.start()]):
            yield from _trim_span(text, begin, match.start())
            begin = match.end()
    yield from _trim_span(text, begin, len(text))


def _trim_span(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    piece = text[start:end]
    if piece.strip():
        lead = len(piece) - len(piece.lstrip())
        yield start + lead, start + len(piece.rstrip())


def _group_sentences(text: str, sentences: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join sentences that refer to the previous one, or answer its question, up to LONGEST_WORDS words."""
    group: tuple[int, int] | None = None
    for start, end in sentences:
        if group is not None:
            leans = _LEANS.match(text[start:end]) or _ASKS.search(text[slice(*group)])
            if leans and len(text[group[0] : end].split()) <= LONGEST_WORDS:
                group = (group[0], end)
                continue
            yield group
        group = (start, end)
    if group is not None:
        yield group
