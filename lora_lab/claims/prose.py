"""Rank and targets that a sentence states, as `with r=16 on q_proj and v_proj.`"""

import re

from lora_lab.claims.snippets import as_list
from lora_lab.parameters.json_fields import parse_digits

_TARGET_MODULES = re.compile(r"\btarget[_ ]modules (\w+_\w+(?:, ?\w+_\w+)*)", re.I)
"""`target_modules q_proj, v_proj`, which counts wherever it stands."""

_NAME = r"`?(?:\w+_(?:proj|lin|attn|fc|key_value|h_to_4h|4h_to_h)|Wqkv)`?"
"""A module's name as models have it: unlike a word, it has a low line."""

_NAMES = rf"(?<![\w.`]){_NAME}(?!\w|\.\w)"
_AND = r"(?:, ?(?:and )?| and | ?[/+&] ?)"
_NAME_LIST = re.compile(
    rf"\b(?:on|to|of|in|into|for|only|targets?|targeting|adapt(?:s|ed|ing)?|train(?:s|ed|ing)?):?\s+"
    rf"(?:only\s+|the\s+|modules\s+|layers\s+|projections\s+)*({_NAMES}(?:{_AND}{_NAMES})*)",
    re.I,
)
"""Names after a word that says what is done to them, `on q_proj and v_proj`."""

_SEVERAL_NAMES = re.compile(rf"({_NAMES}(?:{_AND}{_NAMES})+)", re.I)
"""Several names in one list, `(r=8, q_proj and v_proj)`: one alone may be the head of anything. They count in
a sentence with a rank; others tell what a model has.
"""

_STATES_RANK = re.compile(r"\br ?= ?\d|\brank\b", re.I)

_NEGATED = re.compile(
    r"\b(?:not|no|never|except|without|unlike|instead|rather|than|but|exclud\w+|fr[eo]ez\w*|frozen|froze"
    r"|skip\w*|leav\w+|left|before|later)\b|n['’]t\b",
    re.I,
)
"""Words that may turn a sentence about modules around."""

_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|\n")

_RANK = re.compile(r"\brank(?:\s++(?:of|is|was))?\s*+[:=]?\s*+\(?r?\s*+=?\s*+(\d+)", re.I)
_RANK_OF_ADAPTER = re.compile(r"\brank-(\d{1,4})\s+(?:q?lora|dora|rslora|adapters?)\b", re.I)


_METHOD = re.compile(
    r"(?<![\w.-])[qQ]?(LoRA|lora|LORA|DoRA|dora|DORA|[rR][sS]LoRA|rslora|VeRA|vera|VERA|AdaLoRA|adalora|IA3|ia3"
    r"|\((?:IA|ia)\) ?\^?3)(?![\w-]|['’]|\.\w)"
)
"""As methods are written: Vera is a name."""

_COMPARED = re.compile(r"\b(?:would|could|might|may|beats?|better|worse)\b", re.I)

_ALL_LINEAR = re.compile(
    r"\ball-linear\b|(?:^|[,(:;]|\bon|\btargets?) ?all linear(?=\s*(?:[.,:;|)]|$))", re.I
)


def find_variant_in_prose(text: str) -> str | None:
    """Find the method that a text names, as `with DoRA`; None where it names none, or several, or where the
    sentence may deny or compare it.
    """
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if _METHOD.search(sentence)]
    if any(_NEGATED.search(sentence) or _COMPARED.search(sentence) for sentence in sentences):
        return None
    found = (match for sentence in sentences for match in _METHOD.finditer(sentence))
    named = {re.sub(r"[^a-z0-9]", "", match[1].lower()) for match in found}
    return named.pop() if len(named) == 1 else None


def names_all_linear(text: str) -> bool:
    """Return whether a sentence says `all-linear` without denying it, in a text that names no modules."""
    sentences = [sentence for sentence in _SENTENCE_END.split(text) if _ALL_LINEAR.search(sentence)]
    denied = any(_NEGATED.search(sentence) for sentence in sentences)
    return bool(sentences) and not denied and not re.search(_NAMES, text)


def find_rank_in_prose(text: str) -> str | None:
    """Find the rank that a sentence states: `rank 16`, `a rank of 16`, `rank-16 LoRA`."""
    found = _RANK.search(text) or _RANK_OF_ADAPTER.search(text)
    return found[1] if found else None


def parse_option_rank(written: str) -> int | None:
    """Parse the value of `r=16`, also where a sentence ends with it."""
    return parse_digits(written.rstrip(".;:!?`*"))


def find_targets_in_prose(text: str) -> list[str] | None:
    """Find the modules after `target_modules`, or else those that a sentence adapts; None where none are
    named, or not in one way.

    Every module that the sentences name must be in one list, and none of them may deny anything: otherwise
    the names may be of what was left alone, or of another run.
    """
    if named := _TARGET_MODULES.search(text):
        return as_list(named[1])
    lists: set[tuple[str, ...]] = set()
    for sentence in _SENTENCE_END.split(text):
        names = re.findall(_NAMES, sentence)
        if not names:
            continue
        matches = list(_NAME_LIST.finditer(sentence))
        if not matches and _STATES_RANK.search(sentence):
            matches = list(_SEVERAL_NAMES.finditer(sentence))
        found = [re.findall(_NAMES, match[1]) for match in matches]
        if len(found) != 1 or len(found[0]) != len(names) or _NEGATED.search(sentence):
            return None
        lists.add(tuple(name.strip("`") for name in names))
    return list(lists.pop()) if len(lists) == 1 else None
