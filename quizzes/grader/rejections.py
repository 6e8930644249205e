"""Statements rejected as a whole: "It's a myth that ...", "People say ..., not so", "... is simply wrong".

Rejecting a false statement asserts its opposite. A small network sees the false words and misses the frame
around them, so a rule strips the frame: the network scores the statement alone, and its scores are swapped.
"""

import re
from dataclasses import dataclass

LONGEST_CHARACTERS = 600
"""The patterns backtrack over many splits of a text; this bounds their run time."""

_HOW = (
    r"(?:(?:simply|just|plainly|plain|completely|totally|all|flat|quite|dead|clearly|really|a|an|the|common|"
    r"widespread|popular|old|big|typical|frequent|complete|total|classic)\s+)*"
)
_FALSE = (
    r"(?:wrong|false|untrue|incorrect|mistaken|nonsense|rubbish|bogus|bs|"
    r"not (?:at all )?(?:true|so|the case|correct|right)|far from (?:true|the truth))"
)
_MYTH = r"(?:myth|mistake|misconception|misbelief|misunderstanding|error|fallacy|lie|legend)"
_WRONG = rf"{_HOW}(?:{_FALSE}|{_MYTH})"
_CALLED = rf"{_HOW}(?:{_FALSE}|an?\s+{_HOW}{_MYTH})"
"""What is wrong where no verb says so: "this error" and "its error" name a thing, "its an error" rejects."""

_IS = r"(?:'s|’s|s|\s+(?:is|are|was|were|remains|would be))"
_STATEMENT = r"(?P<said>[^.;:!?\n\"“”]{8,}?)"
_SAY = (
    r"(?:say|says|said|saying|think|thinks|thinking|believe|believes|believing|claim|claims|claiming|assume|assumes|"
    r"suppose|promise|state|argue|reckons?|writes?|reads?|hears?|told(?: me| you| us)?|tells? (?:me|you|us))"
)
_PEOPLE = (
    r"(?:some|many|most|lots of|people|others|someone|somebody|they|you|we|my|our|a|the|one|everyone|"
    r"everybody|i|textbooks|it is often)"
)
_END = (
    r"(?:\W*$|(?:\s*[.;:!]+\s*|\s+[–—-]+\s+|\s*,\s*(?=(?:it|its|it's|they|they're|theyre|this|that|he|she|you|we|"
    r"the|only|but|instead|all|none|and)\b))(?P<rest>.+)$)"
)
"""Matches the end of the text, or what it says instead."""

_ANY_END = r"(?:\W*$|[\s.,;:!–—-]+(?P<rest>.+)$)"
_SAID = (
    r"(?:say|says|said|saying|think|thinks|thought|believes?|claims?|claimed|assumes?|argues?|reckons?|writes?|wrote|"
    r"hears?|heard|told(?: (?:me|you|us))?|telling|tells?(?: (?:me|you|us))?|asserts?|asserted|expects?|"
    r"fears?|feared|insists?|submitted|averred|reading|read|asked (?:me )?whether|going round)"
)
_NO = (
    r"(?:no(?=\W*$|\s*[.,;:!–—-]|\s+(?:it|its|it's|they|the|only|just|first|you|u)\b)|nope\b|nah\b|busted\b|"
    r"nothing of the kind\b|no such thing\b|"
    r"(?:(?:nah|well|sorry)\W+)?"
    r"(?:(?:(?:that|this|it(?!s\b)|which|both|he|she|they)(?:['’]?s|['’]?re|\s+(?:is|are|was|were))|is|are|was)"
    rf"\s+(?:uh,?\s+)?{_WRONG}\b"
    rf"|(?:its\s+)?(?:uh,?\s+)?(?:{_CALLED}\b|{_WRONG}(?=\W*$|\s*[.,;:!–—-])))|"
    r"(?:it|they|he|she|that|this)\s+(?:do|does|is|are|did|can)(?:n['’]?t|\s+not)(?=\W*$|\s*[.,;:!–—-])|"
    r"(?:he|she|they)\s+(?:erred|lied)|(?:and\s+)?(?:was|were) mistaken|"
    r"(?:this|the \w+) is (?:hereby )?(?:denied|rejected|refused))"
)
"""What turns down the statement before it, whoever made it."""

_REFUTED = rf"(?:{_WRONG}|unfounded|baseless|rejected|denied|disputed|refuted|struck off|nonsensical)\b"

_FRAMES = [
    re.compile(rf"^\W*{pattern}{_END}", re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"(?:(?:no|nope|well|sorry|actually|so|but|and)\W+)*(?:(?:(?:it(?!s\b)|that|this){_IS}|is)\s+{_WRONG}"
        rf"|(?:its?|that|this)\s+{_CALLED})"
        rf"(?:\s+to {_SAY})?(?:\s+that)?\s+(?!because\b|since\b|as\b){_STATEMENT}",
        rf"(?:the|this|that)\s+(?:common |popular |old |whole )?(?:idea|claim|belief|notion|rumou?r|"
        rf"statement|assumption|story|view|opinion)\s+that\s+{_STATEMENT}{_IS}\s+{_WRONG}",
        rf"that\s+{_STATEMENT}{_IS}\s+{_WRONG}",
        rf"{_PEOPLE}\b[^.;:!?]{{0,40}}?\b{_SAY}(?:\s+that)?\s+{_STATEMENT}\s*[,.;:!–—-]+\s*(?:but |and )?"
        rf"(?:(?:that|this|it|which|they){_IS}\s+)?{_WRONG}",
        rf"(?:whoever|(?:anyone|everyone|those|people|anybody)(?: who)?)\s+{_SAY}(?:\s+that)?\s+{_STATEMENT}"
        rf"{_IS}\s+{_WRONG}",
        rf"(?:do not|don't|don’t|dont|never)\s+(?:believe|think|say|assume|trust|listen to|write)\s+"
        rf"(?:(?:people|those|anyone|anybody|them)\s+(?:who\s+)?{_SAY}\s+)?(?:that\s+)?{_STATEMENT}",
        rf"{_STATEMENT}\?\s*(?:no|nope|(?:(?:that|this|it){_IS}\s+)?{_WRONG})",
        rf"{_WRONG}\s*[:,]\s*[\"“]{_STATEMENT}[\"”]",
        rf"[\"“]{_STATEMENT}[\"”]\W*(?:no+pe\W+|nah\W+|no+\W+)?(?:(?:that|this|it)?{_IS}?\s*)?{_WRONG}",
    )
] + [
    re.compile(rf"^\W*{pattern}{_ANY_END}", re.IGNORECASE | re.DOTALL)
    for pattern in (
        rf"[^.;:!?\"“”]{{0,70}}?\b{_SAID}\b(?:\s+(?:that|how))?\s*,?\s+{_STATEMENT}"
        rf"(?:\s*[.,;:!–—-]+\s*(?:but\s+|and\s+)?|\s+(?:but|and)\s+|\s+(?=nope\b|nah\b|no\b)){_NO}",
        rf"(?:[^\"“”]{{0,40}}[\"“]|(?<=['‘])|[^\"“”'‘]{{2,40}}['‘])(?P<said>[^\"“”\n]{{8,160}}?)[.!?,]?[\"”'’](?![a-z])"
        rf"(?:[^.;:!?\"“”]{{0,40}}?[.,;:!–—-]\s*)?\s*{_NO}",
        rf"myths?\W+{_STATEMENT}[.!;]\s*(?:busted|fact|truth|reality)\b",
        rf"(?:(?:the|this|that|any)\s+(?!fact\b|reason\b)(?:\w+\s+){{1,2}}|to\s+(?:say|think|claim|believe)\s+)"
        rf"that\s+{_STATEMENT}"
        rf"(?:(?:\s+(?:is|are|was|were|must be|has been)|['’]s)\s+{_REFUTED}|\s+fails\b"
        rf"|\s+(?:cannot|can't)\s+stand\b|\s+does(?: not|n['’]t) (?:hold|survive)\b)",
        rf"{_STATEMENT}\?\s*{_NO}",
    )
]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """The statement that a passage rejects, and what it says instead, if anything."""

    statement: str
    instead: str


def find_rejection(text: str) -> Rejection | None:
    """Return what a passage rejects if all of it is a rejection and its replacement; else None."""
    if len(text) > LONGEST_CHARACTERS:
        return None
    for frame in _FRAMES:
        if match := frame.match(text):
            instead = (match["rest"] or "").strip()
            return Rejection(statement=match["said"].strip(" ,"), instead=instead if " " in instead else "")
    return None
