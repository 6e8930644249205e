"""Values in a text that contains code: keyword arguments, assignments, YAML lines, flags and JSON."""

import ast
import itertools
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lora_lab.parameters.json_fields import REFUSED_WITH_PARAMETERS, TRAINING_FIELDS, parse_digits

VARIANTS = {
    "LoraConfig": "lora",
    "AdaLoraConfig": "adalora",
    "VeraConfig": "vera",
    "IA3Config": "ia3",
    "DoraConfig": "dora",
}
OTHER_METHODS = (
    "Adamss", "AdaptionPrompt", "BOFT", "Beft", "Bone", "C3A", "CPT", "Cartridge", "Deft", "Delora",
    "FourierFT", "Frod", "Glora", "Gralora", "HRA", "Hira", "LNTuning", "Lily", "LoHa", "LoKr", "Miss",
    "MultitaskPromptTuning", "OFT", "OSF", "Peanut", "Poly", "PrefixTuning", "PromptEncoder", "PromptTuning",
    "Psoft", "Pvera", "RandLora", "Road", "Shadow", "Shira", "Supertuning", "TinyLora", "TrainableTokens",
    "UniLora", "VBLoRA", "WaveFT", "XLora",
)  # fmt: skip
"""PEFT's methods that are not judged, by their configuration's class."""

CALLS = re.compile(
    rf"\b({'|'.join(VARIANTS)}|(?:{'|'.join(OTHER_METHODS)})Config|Fast\w*Model\.get_peft_model)\s*\("
)

NOT_READABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What parsing raises: a null byte is a ValueError, deep nesting one of the last two."""


ENCLOSED = r"\[[^\]]{0,10000}+\]|\{[^}]{0,10000}+\}|\"[^\"]{0,10000}+\"|'[^']{0,10000}+'"
"""Up to its end; limited, because each of many that have no end would be read to the end of the text."""

WORDS = r"[\"']?[\w.]++[\"']?+(?: ++[\"']?+[\w.]++[\"']?+)++(?= *+(?:[\\`)\n]|--?\w|$))"
"""Several words after a flag, up to the next one or the end of the command."""

OPENING = re.compile(r"(?:dict|list|set|tuple|range)?[\[({]")
ANNOTATED = r":[ \t]*[A-Za-z_][\w.]*+(?:\[[\w\[\], .|]*\])?[ \t]*="
"""A typed default, `lora_r: int = 8`: the type is not the value."""

JOINED_LIST = re.compile(r"[ \t]*\+[ \t]*\[")
LINE = re.compile(r"[^\n,)]*")
MOST_ASSIGNED = 50
"""Assignments of one name that are read; a script has a few."""

MOST_ASSIGNED_CHARACTERS = 20_000
"""Characters of their values together."""

FIELDS = frozenset((
    "r", "init_r", "target_modules", "use_dora", "use_rslora", "task_type", "modules_to_save", "bias",
    "feedforward_modules", *TRAINING_FIELDS, *REFUSED_WITH_PARAMETERS,
))  # fmt: skip

MOST_POWER = 10
"""2**10 is twice the largest rank that is searched."""

LONGEST_RANGE = 1000
"""More layers than any model has."""


@dataclass(frozen=True)
class Snippet:
    """One adapter configuration: its keyword arguments, and where it ends in the text."""

    values: dict[str, Any] = field(default_factory=dict)
    variant: str = "lora"
    end: int = 0


@dataclass(frozen=True)
class UnresolvedValue:
    """A value given by an expression that can't be resolved here."""

    text: str


UNSLOTH_DEFAULTS: dict[str, dict[str, Any]] = {
    "FastLanguageModel.get_peft_model": {
        "r": 16,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    }
}
"""unsloth/models/llama.py: its own defaults are not PEFT's."""

OTHER_UNSLOTH = {"r": 16, "target_modules": UnresolvedValue("a pattern that unsloth makes for the model")}
"""unsloth/models/vision.py: without targets, and with all-linear, the pattern depends on further flags."""


def find_call(text: str, start: int) -> Snippet | None:
    """Find the last configuration written as a Python call that ends before `start`, otherwise the first."""
    calls = [(match, _find_end(text, match.end() - 1)) for match in CALLS.finditer(text)]
    if not calls:
        return None
    match, end = next((each for each in reversed(calls) if each[1] <= start), calls[0])
    read = _read_keywords(text[match.end() : end], text)
    values = {name: _follow_name(value, text) for name, value in read.items() if name in FIELDS}
    if match[1].startswith("Fast"):
        return Snippet(_with_unsloth_defaults(match[1], values), end=end)
    return Snippet(values, VARIANTS.get(match[1], match[1].removesuffix("Config")), end)


def _with_unsloth_defaults(call: str, values: dict[str, Any]) -> dict[str, Any]:
    usual = UNSLOTH_DEFAULTS.get(call, OTHER_UNSLOTH)
    given = {name: value for name, value in values.items() if value is not None}
    if usual is OTHER_UNSLOTH and given.get("target_modules") == "all-linear":
        del given["target_modules"]
    return usual | given


def _find_end(text: str, opening: int) -> int:
    """Find the partner of the bracket at `opening`; the end of the text where it has none."""
    return _pair_brackets(text).get(opening, len(text))


@lru_cache(maxsize=4)  # a text of unclosed brackets would be read to its end for each of them
def _pair_brackets(text: str) -> dict[int, int]:
    open_at: list[int] = []
    pairs: dict[int, int] = {}
    for bracket in re.finditer(r"[()\[\]{}]", text):
        if bracket[0] in "([{":
            open_at.append(bracket.start())
        elif open_at:
            pairs[open_at.pop()] = bracket.start()
    return pairs


def _read_keywords(body: str, text: str) -> dict[str, Any]:
    plain = re.sub(r"^[^\S\n]*+(?:>>>|\.\.\.)", "", body, flags=re.M).replace("“", '"').replace("”", '"')
    try:
        call = ast.parse(f"f({plain}\n)", mode="eval").body
        if isinstance(call, ast.Call):  # `f(")") + g("(")` is a sum
            unpacked: dict[str, Any] = {}
            for each in call.keywords:
                unpacked |= {} if each.arg else _read_unpacked(each.value, text)
            return unpacked | {each.arg: _read_literal(each.value) for each in call.keywords if each.arg}
    except NOT_READABLE:
        pass
    return _parse_loose_keywords(plain)


def _read_unpacked(node: ast.expr, text: str) -> dict[str, Any]:
    """Read the dictionary behind `**`; one that can't be read leaves rank and targets open."""
    value = _follow_name(_read_literal(node), text)
    if isinstance(value, dict):
        return {str(name): each for name, each in value.items()}
    return dict.fromkeys(("r", "init_r", "target_modules"), UnresolvedValue(ast.unparse(node)))


def _parse_loose_keywords(body: str) -> dict[str, Any]:
    """Parse a body that is not Python: `name = value` up to the next one."""
    found = re.findall(rf"(?<!\w)(\w++)\s*+[=:]\s*+({ENCLOSED}|[\w.]+)", body)
    return {name: _parse_literal(value) for name, value in found}


def _read_literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_read_literal(each) for each in node.elts]
    if isinstance(node, ast.Attribute) and "TaskType" in ast.unparse(node):
        return node.attr
    if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        return dict(zip(keys, map(_read_literal, node.values), strict=True))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _read_built(node, node.func.id)
    if isinstance(node, ast.BinOp):
        value = _read_operation(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split":
        value = _read_split(node, _read_literal(node.func.value))
    else:
        value = None
    return UnresolvedValue(ast.unparse(node)) if value is None else value


def _read_operation(node: ast.BinOp) -> Any:
    """Read `4 * 2`, `4 + 4`, `2**3` or `["q_proj"] + ["v_proj"]`; None for another expression, and for a
    number that is larger than any rank.
    """
    left, right = _read_literal(node.left), _read_literal(node.right)
    if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
        return left + right
    if not all(type(each) is int and 0 <= each <= LONGEST_RANGE for each in (left, right)):
        return None
    found = None
    if isinstance(node.op, ast.Pow) and right <= MOST_POWER:
        found = left**right
    elif isinstance(node.op, ast.Mult):
        found = left * right
    elif isinstance(node.op, ast.Add):
        found = left + right
    return found if found is not None and found <= LONGEST_RANGE**2 else None


def _read_split(node: ast.Call, text: Any) -> list[str] | None:
    """Read `"q_proj,v_proj".split(",")`; None for another expression."""
    by = [_read_literal(each) for each in node.args]
    if not isinstance(text, str) or node.keywords or by not in ([], [","], [", "], [" "]):
        return None
    return [part.strip() for part in text.split(*by) if part.strip()]


def _read_built(node: ast.Call, name: str) -> Any:
    """Read `dict(r=8)`, `range(16)` or `list(range(16))`."""
    values = [_read_literal(each) for each in node.args]
    if name == "dict" and not values and all(each.arg for each in node.keywords):
        return {each.arg: _read_literal(each.value) for each in node.keywords}
    if name == "range" and 1 <= len(values) <= 3 and all(isinstance(each, int) for each in values):
        numbers = range(*values)
        if all(abs(each) <= LONGEST_RANGE for each in values):
            return list(numbers)
    if name in ("list", "set", "tuple") and len(values) == 1 and isinstance(values[0], list):
        return values[0]
    return UnresolvedValue(ast.unparse(node))


def _parse_literal(text: str) -> Any:
    cleaned = re.sub(r"#.*", "", text).strip()
    try:
        return _read_literal(ast.parse(cleaned, mode="eval").body)
    except NOT_READABLE:
        return UnresolvedValue(cleaned)


def _follow_name(value: Any, text: str) -> Any:
    """Resolve a name to the value that the text assigns to it."""
    if not isinstance(value, UnresolvedValue):
        return value
    if "find_all_linear" in value.text:
        return "all-linear"
    name = value.text.rsplit(".", 1)[-1]
    if not name.isidentifier():
        return value
    found = find_assigned(text, name)
    if found is None and name != value.text:  # `args.lora_r = 8`, or a flag next to a script
        found = find_assigned(text, value.text)
        flag = re.search(rf"--{re.escape(name).replace('_', '[_-]')}[ =]+(\d+)", text)
        flag = flag or re.search(
            rf"[\"']--{re.escape(name).replace('_', '[_-]')}[\"'][^)\n]{{0,200}}?\bdefault\s?=\s?(\d+)", text
        )
        found = parse_digits(flag[1]) if found is None and flag else found
    return value if found is None else found


def find_assigned(text: str, name: str) -> Any:
    """Return the value of `name = value` or `name: value`; None when it is missing or can't be read."""
    annotation = r"(?::(?:\s*+[\w\[\],][\w\[\], ]*+|[^\S ]*+ \s*+))?"
    pattern = rf"(?<![\w.]){re.escape(name)}\s*+{annotation}\s*+[=:]\s*"
    left = MOST_ASSIGNED_CHARACTERS
    for match in itertools.islice(re.finditer(pattern, text), MOST_ASSIGNED):
        opening = OPENING.match(text, match.end())
        if opening:
            end = _find_end(text, opening.end() - 1) + 1
            while joined := JOINED_LIST.match(text, end):
                end = _find_end(text, joined.end() - 1) + 1
            written = text[match.end() : end]
        else:
            written = LINE.match(text, match.end())[0]  # type: ignore[index]  # it matches nothing too
        left -= len(written)
        if left < 0:
            return None
        value = _parse_literal(re.sub(r"#.*", "", written).replace("\n", " ") if opening else written)
        if isinstance(value, UnresolvedValue) and "find_all_linear" in value.text:
            return "all-linear"
        if not isinstance(value, UnresolvedValue):
            return value
    return None


def find_option(text: str, *names: str, many: bool = False) -> str | None:
    """Return the value of a flag, YAML or JSON line: `--lora_rank 8`, `lora_r: 16`; `many` with commas, and
    after a flag with spaces: `--lora_target_modules q_proj v_proj`.
    """
    # A | between spaces ends a table's cell.
    bare = r"[\w.-]+(?:(?:\s*[,+]\s*|[|/])[\w.-]+)*" if many else r"[^\s,)}]+"
    for name in names:
        loose = re.escape(name).replace("_", "[_-]")
        found = re.search(rf"--{loose}[ =]+(?!all\b)({WORDS})", text) if many else None
        found = found or re.search(
            rf"(?:--{loose}[ =]+|(?<![\w.])[\"']?{loose}[\"']?[ \t]*(?:{ANNOTATED}|[:=])[ \t]*)"
            rf"({ENCLOSED}|{bare})",
            text,
        )
        if found:
            return found[1].strip("\"'")
    return None


def parse_yaml_list(text: str, name: str) -> list[str]:
    """Return the items below `name:` in YAML."""
    found = re.search(rf"^[ \t]*{name}:[ \t]*\n((?:[ \t]*-[ \t]*\S+[ \t]*\n?)+)", text, re.M)
    return [item.strip("\"'") for item in re.findall(r"-[ \t]*(\S+)", found[1])] if found else []


def as_list(written: str) -> list[str]:
    """Split names in brackets, or separated by commas, spaces or the like."""
    return [name.rstrip(".;") for name in re.split(r"[\s,|+/\[\]{}\"']+", written) if name.rstrip(".;")]
