"""The words of a passage that carry its verdict on a concept, so that a page marks them and not the sentence.

Candidates are runs of clauses, and windows of a clause that is too long. The network scores each alone: the
words that carry a verdict give it by themselves. The shortest of nearly equal candidates is chosen.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from quizzes.grader.passages import Passage
from study.ports.classes import ConceptVerdict

MOST_WORDS: dict[ConceptVerdict, int] = {"contradicted": 12, "covered": 20, "partial": 20}
"""The longest marked span. The learner has to see at a glance what is wrong; what is right may be longer."""

FEWEST_WORDS = 3
MOST_CANDIDATES = 20  # a passage has at most 60 words; more candidates are slower and no better
WINDOW_STEP = 2

LEAST_LIKELY = 0.5
"""Below this likelihood of the verdict, the words alone do not carry it."""

NEARLY_BEST = 0.8
"""Share of the best candidate's likelihood from which on a shorter candidate is preferred."""

_WORD = re.compile(r"\S+")
_SENTENCE_ENDS = re.compile(r"[.!?][\"'”’)]*$")
_CLAUSE_ENDS = re.compile(r"[,;:.!?)\]–—][\"'”’]*$|^[-–—]+$")
_JOINS = (
    r"(?:and|but|or|so|because|since|while|whereas|which|although|though|instead|then|hence|thus|therefore|"
    r"however|without|unless|if|when|that)(?![\w'’])"
)
_CLAUSE_BEGINS = re.compile(rf"[\"'“‘(\[]*{_JOINS}", re.IGNORECASE)
_LOOSE_BEGIN = re.compile(rf"(?:[\"'“‘(\[]*{_JOINS}[\s,]*)+", re.IGNORECASE)
_LOOSE_END = " \t\n,;:–—-.!?"


class Part(Passage):
    """A run of words of a passage: `passage[start:end]`."""

    @property
    def words(self) -> int:
        """Its number of words."""
        return len(self.text.split())


def list_clause_runs(passage: str) -> list[Part]:
    """Return the runs of consecutive clauses, shorter than the passage itself."""
    words = _split_words(passage)
    clauses = _split_clauses(passage, words)
    longest = max(MOST_WORDS.values())
    runs = [
        (begin, end)
        for at, (begin, _) in enumerate(clauses)
        for _, end in clauses[at:]
        if end - begin <= longest and end - begin < len(words)
    ]
    return _build_parts(passage, words, sorted(runs, key=lambda run: run[1] - run[0])[:MOST_CANDIDATES])


def list_windows(passage: str) -> list[Part]:
    """Return windows of the words of a passage, as long as a marked contradiction may be and half of that."""
    words = _split_words(passage)
    longest = MOST_WORDS["contradicted"]
    runs = [
        (begin, begin + length)
        for length in (longest, longest // 2)
        for begin in range(0, len(words) - length + 1, WINDOW_STEP)
    ]
    return _build_parts(passage, words, runs[: 2 * MOST_CANDIDATES])


def find_best_part(
    parts: Iterable[tuple[Part, float]], *, verdict: ConceptVerdict, least: float = LEAST_LIKELY
) -> Part | None:
    """Return the part that carries a verdict, given each part's likelihood of it alone.

    None if no part is short enough and has at least the likelihood `least`.
    """
    fitting = [
        (part, likely) for part, likely in parts if likely >= least and part.words <= MOST_WORDS[verdict]
    ]
    best = max((likely for _, likely in fitting), default=0.0)
    nearly = [part for part, likely in fitting if likely >= NEARLY_BEST * best]
    return min(nearly, key=lambda part: (part.words, part.start), default=None)


def _split_words(passage: str) -> list[tuple[int, int]]:
    return [match.span() for match in _WORD.finditer(passage)]


def _split_clauses(passage: str, words: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Split into clauses, ranges of word numbers. A sentence ends one; a comma only a longer one."""
    texts = [passage[start:end] for start, end in words]
    cuts = [0]
    for number, word in enumerate(texts):
        joins = _CLAUSE_BEGINS.match(word) and len(texts[number - 1]) > 1  # `A and B` stay together
        if joins and number - cuts[-1] >= FEWEST_WORDS:
            cuts.append(number)
        ends = _CLAUSE_ENDS.search(word) and number + 1 - cuts[-1] >= FEWEST_WORDS
        if ends or _SENTENCE_ENDS.search(word):
            cuts.append(number + 1)
    cuts.append(len(words))
    return [(begin, end) for begin, end in pairwise(cuts) if begin < end]


def _build_parts(
    passage: str, words: Sequence[tuple[int, int]], runs: Iterable[tuple[int, int]]
) -> list[Part]:
    found: dict[str, Part] = {}
    for begin, end in runs:
        start, stop = words[begin][0], words[end - 1][1]
        loose = _LOOSE_BEGIN.match(passage, start, stop)
        start = loose.end() if loose else start
        stop = start + len(passage[start:stop].rstrip(_LOOSE_END))
        part = Part(text=passage[start:stop], start=start, end=stop)
        if part.words >= FEWEST_WORDS:
            found.setdefault(part.text, part)
    return list(found.values())
