"""Values in a text that contains code: keyword arguments, assignments, YAML lines, flags and JSON."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from lora_lab.parameters.json_fields import parse_digits

CALLS = re.compile(
    r"\b(LoraConfig|AdaLoraConfig|VeraConfig|IA3Config|DoraConfig|FastLanguageModel\.get_peft_model|"
    r"FastModel\.get_peft_model)\s*\("
)
VARIANTS = {"AdaLoraConfig": "adalora", "VeraConfig": "vera", "IA3Config": "ia3", "DoraConfig": "dora"}

NOT_READABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What parsing raises: a null byte is a ValueError, deep nesting one of the last two."""


@dataclass(frozen=True)
class Snippet:
    """One adapter configuration: its keyword arguments, and where it ends in the text."""

    values: dict[str, Any] = field(default_factory=dict)
    variant: str = "lora"
    end: int = 0


@dataclass(frozen=True)
class Unread:
    """A value given by an expression that can't be resolved here."""

    text: str


def find_calls(text: str) -> Iterator[Snippet]:
    """Yield the configurations written as Python calls, in order."""
    for match in CALLS.finditer(text):
        body = _read_balanced(text, match.end() - 1)
        values = {name: _follow_name(value, text) for name, value in _read_keywords(body).items()}
        yield Snippet(values, VARIANTS.get(match[1], "lora"), match.end() + len(body))


def _read_balanced(text: str, opening: int) -> str:
    """Return the text between the bracket at `opening` and its partner, or up to the end."""
    depth = 0
    for at in range(opening, len(text)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[at], 0)
        if not depth:
            return text[opening + 1 : at]
    return text[opening + 1 :]


def _read_keywords(body: str) -> dict[str, Any]:
    plain = re.sub(r"^\s*(?:>>>|\.\.\.)", "", body, flags=re.M).replace("“", '"').replace("”", '"')
    try:
        call = ast.parse(f"f({plain}\n)", mode="eval").body
        if isinstance(call, ast.Call):  # `f(")") + g("(")` is a sum
            return {each.arg: _read_literal(each.value) for each in call.keywords if each.arg}
    except NOT_READABLE:
        pass
    return _loose_keywords(plain)


def _loose_keywords(body: str) -> dict[str, Any]:
    """Parse a body that is not Python: `name = value` up to the next one."""
    found = re.findall(r"(\w+)\s*[=:]\s*(\[[^\]]*\]|\"[^\"]*\"|'[^']*'|[\w.]+)", body)
    return {name: _literal_text(value) for name, value in found}


def _read_literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return [_read_literal(each) for each in node.elts]
    if isinstance(node, ast.Attribute) and "TaskType" in ast.unparse(node):
        return node.attr
    return Unread(ast.unparse(node))


def _literal_text(text: str) -> Any:
    cleaned = re.sub(r"#.*", "", text).strip()
    try:
        return _read_literal(ast.parse(cleaned, mode="eval").body)
    except NOT_READABLE:
        return Unread(cleaned)


def _follow_name(value: Any, text: str) -> Any:
    """Resolve a name to the value that the text assigns to it."""
    if not isinstance(value, Unread):
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
        found = parse_digits(flag[1]) if found is None and flag else found
    return value if found is None else found


def find_assigned(text: str, name: str) -> Any:
    """Return the value of `name = value` or `name: value`; None when it is missing or can't be read."""
    pattern = rf"(?<![\w.]){re.escape(name)}\s*(?::\s*[\w\[\], ]+)?\s*[=:]\s*"
    for match in re.finditer(pattern, text):
        rest = text[match.end() :]
        if rest[:1] in "[({":
            closing = len(_read_balanced(rest, 0)) + 2
            value = _literal_text(rest[:closing].replace("\n", " ") if "#" not in rest[:closing] else
                                  re.sub(r"#.*", "", rest[:closing]).replace("\n", " "))  # fmt: skip
        else:
            line = re.match(r"[^\n,)]*", rest)
            value = _literal_text(line[0] if line else "")
        if isinstance(value, Unread) and "find_all_linear" in value.text:
            return "all-linear"
        if not isinstance(value, Unread):
            return value
    return None


def find_option(text: str, *names: str, many: bool = False) -> str | None:
    """Return the value of a flag, YAML or JSON line: `--lora_rank 8`, `lora_r: 16`; `many` with commas."""
    bare = r"[\w.-]+(?:\s*,\s*[\w.-]+)*" if many else r"[^\s,)}]+"
    for name in names:
        loose = re.escape(name).replace("_", "[_-]")
        found = re.search(
            rf"(?:--{loose}[ =]+|(?<![\w.])[\"']?{loose}[\"']?\s*[:=]\s*)"
            rf"(\[[^\]]*\]|\"[^\"]*\"|'[^']*'|{bare})",
            text,
        )
        if found:
            return found[1].strip("\"'")
    return None


def yaml_list(text: str, name: str) -> list[str]:
    """Return the items below `name:` in YAML."""
    found = re.search(rf"^[ \t]*{name}:[ \t]*\n((?:[ \t]*-[ \t]*\S+[ \t]*\n?)+)", text, re.M)
    return [item.strip("\"'") for item in re.findall(r"-[ \t]*(\S+)", found[1])] if found else []


def as_list(written: str) -> list[str]:
    """Split names in brackets, or separated by commas or spaces."""
    return [name.rstrip(".;") for name in re.split(r"[\s,\[\]\"']+", written) if name.rstrip(".;")]
