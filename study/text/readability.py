"""How hard a text is to read, by a published formula."""

import re

_TECHNICAL = re.compile(r"\$[^$]*\$|`[^`]*`|\{\{.*?\}\}|\d[\d.,]*")
_WORD = re.compile(r"\w(?:[\w'’-]*\w)?")
_SENTENCE_END = re.compile(r"[.?!:;](?=\s|$)")


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
