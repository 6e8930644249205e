"""Guards against passages that claim nothing: a copied prompt or hint, keyword lists, prompt injection.

The network learns most of this from answers; the rules also hold for prompts that it was not trained on.
"""

import re
from collections.abc import Sequence
from typing import Literal

NoClaim = Literal["repeats-prompt", "keyword-list", "addresses-grader", "no-words"]

COPIED_SHARE = 0.75
"""Share of a passage's word trigrams from which on it counts as a copy of the prompt or the hint."""

COPY_FROM_WORDS = 5
LIST_FROM_ITEMS = 4
LIST_ITEM_WORDS = 2

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_ORDER = re.compile(
    r"\b(?:(?:ignore|disregard|forget)\b.{0,40}\b(?:instructions?|rules?|rubric|prompt|above|previous)"
    r"|(?:mark|grade|rate|score|set|give|count|label|award|accept|return|output|print|reply|respond)\b"
    r".{0,40}\b(?:covered|correct|verdicts?"
    r"|full (?:marks|points|credit)|all (?:four|concepts|verdicts|points|marks)|top marks|100 ?%|passed)\b"
    r"|(?:you are|act as|dear|hey|attention),? (?:now )?(?:an? |the )?(?:automatic |strict |helpful )?"
    r"(?:grader|grading|examiner|assistant|teacher)"
    r"|all (?:four )?concepts (?:are|were) (?:covered|correct))|^\W*(?:system|grader|assistant|admin)\s*[:,]",
    re.I,
)
_VERBS = re.compile(
    r"\b(?:is|are|was|were|be|been|am|isn't|aren't|isnt|arent|has|have|had|do|does|did|doesn't|don't|can|can't|will|won't|"
    r"would|must|should|may|stays?|keeps?|kept|gets?|goes|go|makes?|needs?|uses?|learns?|trains?|saves?|costs?|adds?|"
    r"means?|holds?|runs?|grows?|not|no|never|only|nothing|none|without|instead|than|because|so|when|if)\b",
    re.I,
)
_NEGATED = re.compile(r"\b(?:not|no|never|nothing|none|n't|cannot)\b|n['’]t\b", re.I)


def words_of(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def no_claim(text: str, *, given: Sequence[str]) -> NoClaim | None:
    """Return why a passage claims nothing, or None; `given` are the texts that the learner saw."""
    words = words_of(text)
    if not any(character.isalpha() for character in text):
        return "no-words"
    if _ORDER.search(text):
        return "addresses-grader"
    if any(_is_copy(words, words_of(shown)) for shown in given) and not _NEGATED.search(text):
        return "repeats-prompt"
    if _is_list(text):
        return "keyword-list"
    return None


def _is_copy(words: list[str], shown: list[str]) -> bool:
    if len(words) < COPY_FROM_WORDS:
        return False
    runs = _list_runs(words)
    return sum(run in _list_runs(shown) for run in runs) >= COPIED_SHARE * len(runs)


def _list_runs(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + 3]) for at in range(len(words) - 2)]


def _is_list(text: str) -> bool:
    """Return whether a text is four or more items of two words on average, with nothing like a statement."""
    items = [item for item in re.split(r"[,;|\n•/]+|\s[-–]\s", text) if item.strip()]
    if len(items) < LIST_FROM_ITEMS or "=" in text or _VERBS.search(text):
        return False
    return sum(len(item.split()) for item in items) <= LIST_ITEM_WORDS * len(items)
