"""Guards against passages that claim nothing: copied prompts or hints, lists, questions, prompt injection.

The network learns most of this from answers; the rules also hold for prompts that it was not trained on.
"""

import re
from collections.abc import Sequence
from typing import Literal

NoClaim = Literal["repeats-prompt", "keyword-list", "addresses-grader", "asks", "no-words"]

COPIED_SHARE = 0.65
"""Share of a passage's word trigrams from which on it counts as a copy of the prompt or the hint."""

COPY_FROM_WORDS = 5
LIST_FROM_ITEMS = 4
LIST_ITEM_WORDS = 2
PHRASE_LIST_ITEM_WORDS = 4
"""Items may be this long where articles and prepositions tie them together: "the adapters of many tasks"."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MARK = (
    r"(?:mark|grade|rate|score|set|give|count|label|award|accept|return|output|print|reply|respond|emit|"
    r"assign)\b"
)
# "The output stays correct" is about a model; "as correct" and "this is correct" at a clause's end are marks.
_CORRECT = r"correct(?=\W*$|\s*[.,;:!?)]|\s+(?:for|and|now|please|pls|thanks|thx|regardless|no matter)\b)"
_ORDER = re.compile(
    r"\b(?:(?:ignore|disregard|forget)\b.{0,40}\b(?:instructions?|rules?|rubric|prompt|above|previous)"
    rf"|{_MARK}.{{0,40}}\b(?:covered|full (?:marks|points|credit)"
    r"|all (?:four|concepts|points|marks)|(?:all|every|each|best) verdicts?|top marks|100 ?%|passed)\b"
    rf"|{_MARK}.{{0,40}}\b(?:as|to)\s+(?!be\b)(?:\w+\s+){{0,2}}{_CORRECT}"
    r"|(?:mark|grade|label|award|accept|give me|reply|respond|emit|assign)\b"
    rf".{{0,40}}\b(?:it|this|these|every\w*|each|all|fully|me)\s+(?:\w+\s+){{0,2}}{_CORRECT}"
    rf"|{_MARK}\s+(?:with\s+)?{_CORRECT}.{{0,40}}\b(?:concepts?|lines?|of them)\b|correct\W+correct\b"
    r"|(?:you are|act as|dear|hey|attention),? (?:now )?(?:an? |the )?(?:automatic |strict |helpful )?"
    r"(?:grader|grading|examiner|assistant|teacher)"
    r"|all (?:four )?concepts (?:(?:are|were) )?(?:covered|correct)"
    r"|(?:say|tick|check)\b.{0,20}\b(?:covered|all (?:the )?boxes)"
    r"|grade ?[:=]|verdicts?\s*[:=]|verdicts?\b.{0,30}\b(?:covered|correct)\b|your verdicts?\b"
    r"|(?<!\ba )rubric\b|(?:system|grad(?:er|ing)) override\b)"
    r"|[\"'“]covered[\"'”]|^\W*(?:system|grader|assistant|admin)\b[^.]{0,20}[:,]",
    re.I,
)
_CLAIMS = re.compile(
    r"\b(?:is|are|was|were|be|been|am|isn't|aren't|isnt|arent|has|have|had|do|does|did|doesn't|don't|can|can't|"
    r"will|won't|would|must|should|may|might|could|"
    r"stays?|keeps?|kept|gets?|got|goes|go|makes?|needs?|uses?|used|learns?|trains?|saves?|costs?|adds?|fits?|"
    r"shares?|means?|holds?|runs?|grows?|picks?|chooses|sets?|says?|moves?|brings?|gives?|takes?|becomes?|turns?|"
    r"follows?|froze|lends?|serves?|"
    r"it|they|you|we|i|he|she|one|who|that|which|this|these|those|each|every|everything|any|all|both|same|other|"
    r"another|own|not|no|never|only|just|nothing|none|without|instead|than|because|since|so|as|when|if|while|"
    r"where|like|more|less|fewer|most|least|much|too|often|usually|almost|about|up|down|off|out|back|again|"
    r"still|enough|per|before|after|via|anyway|cheap\w*|fast\w*|slow\w*|dense\w*|tiny|free|equal|constant|"
    r"unchanged|half|twice|doubled?|doubles|smaller|larger|bigger|lower|higher|easier|better|worse|closer)\b"
    r"|\b(?:rows|columns|otherwise|being|from\b.{1,30}\bto)\b|[\u0370-\u03ff≅]"
    r"|n['’]t\b|(?<!-)>|[:=<≈∝∼~×·*%↑↓≪≫²←∂]",
    re.I,
)
"""Words and signs that say something of something; a list of names has none of them."""

_PREDICATE = re.compile(
    r"\b(?!low\b)\w+\W+(?:\w+(?:ed|en)|fixed|free|small|large|low|high|big|less|fine|ok"
    r"|[\d.]+\W?\w*|bf16|fp16|fp32|[mg]b)\W*$",
    re.I,
)
"""An item that ends in what its name is said to be: "base frozen", "base 4-bit", unlike "frozen base"."""

_TIES = re.compile(
    r"\b(?:an?|the|its|their|of|in|on|at|by|for|from|to|with|within|into|between|and|or|concerning|regarding|"
    r"including|plus|vs|versus)\b|&",
    re.I,
)
_LIST_TITLE = re.compile(
    r"^\W*(?:\w+\W+){0,5}?(?:terms|words|keywords|buzzwords|vocabulary|criteria|topics|notions)\b[^.:;,]{0,40}?"
    r"(?::|\bare\b|\bthe words\b)",
    re.I,
)
"""The words before a list that call it one: "Key terms are ...", "Vocabulary: ..."."""

_QUESTION = re.compile(
    r"^\W*(?:and |so |but |ok |or |well )*(?:(?:by|at|in) )?(?:what|which|where|when|why|how|who)\b[^?]*\?"
    r"(?:\W*$|\s+(?=[A-Z]))",
    re.I,
)
_SEPARATORS = re.compile(r"[,;|\n\t•+()]+|\.(?:\s|$)|->|→|(?:^|\s)[-–—/]+(?=\s)|\band\b|&")
_NUMBER = re.compile(r"\d+")
_NEGATED = re.compile(r"\b(?:not|no|never|nothing|none|n't|cannot)\b|n['’]t\b", re.I)


def list_words(text: str) -> list[str]:
    """Return the words and numbers of a text in lower case."""
    return [word.lower() for word in _WORD.findall(text)]


def find_no_claim(text: str, *, given: Sequence[str]) -> NoClaim | None:
    """Return why a passage claims nothing, or None; `given` are the texts that the learner saw."""
    words = list_words(text)
    if not any(character.isalpha() for character in text):
        return "no-words"
    if _ORDER.search(text):
        return "addresses-grader"
    shown = " . ".join(given)
    if (
        not set(_NUMBER.findall(text)) - set(_NUMBER.findall(shown))
        and _is_copy(words, list_words(shown))
        and _count_negations(text) <= _count_negations(shown)
    ):
        return "repeats-prompt"
    if is_list(text):
        return "keyword-list"
    if _only_asks(text):
        return "asks"
    return None


def _is_copy(words: list[str], shown: list[str]) -> bool:
    if len(words) < COPY_FROM_WORDS:
        return False
    runs = _list_runs(words)
    return sum(run in _list_runs(shown) for run in runs) >= COPIED_SHARE * len(runs)


def _list_runs(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + 3]) for at in range(len(words) - 2)]


def is_list(text: str) -> bool:
    """Return whether a text names four things or more and says nothing of any of them."""
    title = _LIST_TITLE.match(text)
    if title is None and _CLAIMS.search(text):
        return False
    items = [item for item in _SEPARATORS.split(text[title.end() :] if title else text) if item.strip()]
    if title:
        return len(items) >= LIST_FROM_ITEMS and len(text.split()) <= PHRASE_LIST_ITEM_WORDS * len(items)
    if any(_PREDICATE.search(item) for item in items):
        return False
    if len(items) < LIST_FROM_ITEMS:
        return False
    most = PHRASE_LIST_ITEM_WORDS if _TIES.search(text) else LIST_ITEM_WORDS
    return sum(len(item.split()) for item in items) <= most * len(items)


def _only_asks(text: str) -> bool:
    """Return whether a text is questions for what, which, where or how, and answers none of them."""
    while match := _QUESTION.match(text):
        text = text[match.end() :]
        if not text.strip():
            return True
    return False


def _count_negations(text: str) -> int:
    return len(_NEGATED.findall(text))
