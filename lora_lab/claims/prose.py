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
"""Several names in one list, `(r=8, q_proj and v_proj)`: one alone may be the head of anything."""

_NEGATED = re.compile(
    r"\b(?:not|no|never|except|without|unlike|instead|rather|than|but|exclud\w+|fr[eo]ez\w*|frozen|froze"
    r"|skip\w*|leav\w+|left|before|later)\b|n['’]t\b",
    re.I,
)
"""Words that may turn a sentence about modules around."""

_SENTENCE_END = re.compile(r"(?<=[.;!?])\s+|\n")

_RANK = re.compile(r"\brank(?:\s++(?:of|is|was))?\s*+[:=]?\s*+\(?r?\s*+=?\s*+(\d+)", re.I)
_RANK_OF_ADAPTER = re.compile(r"\brank-(\d{1,4})\s+(?:q?lora|dora|rslora|adapters?)\b", re.I)


_METHOD = re.compile(r"(?<![\w.-])q?(lora|dora|rslora|vera|adalora|ia3|\(ia\) ?\^?3)(?![\w-]|\.\w)", re.I)


def find_variant_in_prose(text: str) -> str | None:
    """Find the method that a text names, as `with DoRA`; None where it names none, or several."""
    named = {re.sub(r"[^a-z0-9]", "", match[1].lower()) for match in _METHOD.finditer(text)}
    return named.pop() if len(named) == 1 else None


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
        matches = list(_NAME_LIST.finditer(sentence)) or list(_SEVERAL_NAMES.finditer(sentence))
        found = [re.findall(_NAMES, match[1]) for match in matches]
        if len(found) != 1 or len(found[0]) != len(names) or _NEGATED.search(sentence):
            return None
        lists.add(tuple(name.strip("`") for name in names))
    return list(lists.pop()) if len(lists) == 1 else None
