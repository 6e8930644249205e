"""Build it: a configuration or a script to complete. Code is checked by its structure and never executed.

tasks/builds.yaml     one entry per task
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from study.base.errors import LearnerError
from study.content.declared import read_declared_list
from study.content.yaml_reader import Fields, Level

BUILDS_FILE = Path(__file__).with_name("builds.yaml")
LONGEST_CODE = 4000
DEEPEST = 60
"""Levels of nesting that are read; a call inside a call of a script has about ten."""

MISSING = "missing"
"""Among `shown_by`: that the argument is not given shows the misconception."""

RuleKind = Literal["calls", "keyword", "argument", "absent", "before"]
RULE_KINDS: tuple[RuleKind, ...] = get_args(RuleKind)


def _find_kind(fields: Fields) -> RuleKind | None:
    return next((kind for kind in RULE_KINDS if fields.has(kind)), None)


def _read_kind(fields: Fields, _name: str) -> RuleKind:
    return _find_kind(fields) or "calls"


def _read_call(fields: Fields, _name: str) -> str:
    kind = _find_kind(fields)
    return fields.text(kind) if kind else ""


def _read_place(fields: Fields, name: str) -> int:
    value = fields.raw(name) or 0
    if not isinstance(value, int):
        fields.note(f"`{name}` must be a whole number, got {value!r}"[:200])
        return 0
    return value


def _read_code(fields: Fields, name: str) -> str:
    value = fields.raw(name)
    if not isinstance(value, str):
        fields.note(f"`{name}` must be code, got {value!r}"[:200])
        return ""
    return value


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One thing that the code must have.

    `calls`: a call of `call`. `keyword`: such a call with `name=` one of `values`, as Python writes them.
    `argument`: one of `values` in the place `at`, or as `name=`, if there is such a call. `absent`: no such
    call with `name=`, except with one of `values`, or none at all. `before`: the first call of `call` stands
    before the first of `name`. `name` may be two with a bar between them, where a library has renamed it.
    """

    kind: Annotated[RuleKind, _read_kind]
    call: Annotated[str, _read_call]
    name: str = ""
    at: Annotated[int, _read_place] = 0
    """Which argument, from 1; only for `argument`."""

    values: tuple[str, ...] = ()
    missing: str
    """What a learner reads when it doesn't hold."""

    misconception: str = ""
    shown_by: tuple[str, ...] = ()
    """The values that show the misconception; none where breaking the rule shows it in any way."""

    def note_problems(self, fields: Fields) -> None:
        """Note a rule without a kind, and values or a place where they don't belong or are missing."""
        needed, possible = ("keyword", "argument"), ("keyword", "argument", "absent")
        if (
            _find_kind(fields) is None
            or (self.kind in needed and not self.values)
            or (self.values and self.kind not in possible)
        ):
            fields.note(f"a rule is one of {', '.join(RULE_KINDS)}, and {' and '.join(needed)} have values")
        if (self.kind == "argument") != (self.at > 0):
            fields.note("`argument`, and no other rule, says in `at` which one, from 1")
        if self.shown_by and not (self.misconception and self.kind in needed):
            fields.note("`shown_by` are values that show the misconception of a rule with values")


@dataclass(frozen=True, kw_only=True)
class BuildTask:
    id: str
    name: str
    level: Level
    concepts: tuple[str, ...]
    goal: str
    start: Annotated[str, _read_code]
    """The code that the box holds at first."""

    rules: tuple[Rule, ...]
    solution: Annotated[str, _read_code]
    keep: str
    hint: str
    source: str

    def note_problems(self, fields: Fields) -> None:
        """Note a solution that breaks a rule, and a start that breaks none."""
        try:
            if not judge_code(self, self.solution).right:
                fields.note("its own solution breaks a rule")
            if judge_code(self, self.start).right:
                fields.note("the code at the start is right already")
        except LearnerError as error:
            fields.note(f"its code: {error.what}")


@dataclass(frozen=True, kw_only=True)
class BuildJudgement:
    broken: tuple[Rule, ...]

    @property
    def right(self) -> bool:
        return not self.broken

    @property
    def misconception(self) -> str:
        """Of the first broken rule that names one; else empty."""
        return next((rule.misconception for rule in self.broken if rule.misconception), "")


@cache
def read_builds(path: Path = BUILDS_FILE) -> Mapping[str, BuildTask]:
    """Read all tasks by id, in order. Raises ContentError with every problem."""
    return {task.id: task for task in read_declared_list(path, BuildTask, kind="build")}


def judge_code(task: BuildTask, code: str) -> BuildJudgement:
    """Check code by its structure. Raises LearnerError where it can't be parsed, with the line."""
    calls = list(_list_calls(_parse_code(code)))
    broken = (rule for rule in task.rules if not _holds(rule, calls))
    return BuildJudgement(broken=tuple(_with_what_it_shows(rule, calls) for rule in broken))


def _with_what_it_shows(rule: Rule, calls: list[ast.Call]) -> Rule:
    """Return a broken rule; without its misconception where the code has none of the values that show it."""
    given = _list_given(rule, calls)
    if not rule.shown_by or given & _as_written(rule.shown_by) or (MISSING in rule.shown_by and not given):
        return rule
    return replace(rule, misconception="", shown_by=())


def _parse_code(code: str) -> ast.Module:
    if len(code) > LONGEST_CODE:
        raise LearnerError(
            f"The code has {len(code):,} characters.", do_next=f"Shorten it to at most {LONGEST_CODE:,}."
        )
    try:
        tree = ast.parse(code)
        if _measure_depth(tree) > DEEPEST:
            raise LearnerError("The code is nested too deeply.", do_next="Write it flatter.")
        return tree
    except SyntaxError as error:
        line = (error.text or "").strip()
        raise LearnerError(
            f"Line {error.lineno or 1} isn't Python: {error.msg}{f' in `{line[:60]}`' if line else ''}.",
            do_next="Correct it and check again; nothing is executed.",
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:  # a null character; nesting beyond a limit
        raise LearnerError(
            "The code can't be read as Python.", do_next="Write it flatter, as plain text."
        ) from error


def _measure_depth(tree: ast.AST) -> int:
    """Measure the levels of nesting, without recursion."""
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        waiting += [(child, level + 1) for child in ast.iter_child_nodes(node)]
    return deepest


def _list_calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Yield every call in the order of the text."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    yield from sorted(found, key=lambda call: (call.end_lineno or 0, call.end_col_offset or 0))


def _names(call: ast.Call, wanted: str) -> bool:
    """Return whether a call is of that name, with or without what stands before its last dot."""
    called = ast.unparse(call.func)
    return called == wanted or called.endswith(f".{wanted}")


def _holds(rule: Rule, calls: list[ast.Call]) -> bool:
    matching = [call for call in calls if _names(call, rule.call)]
    match rule.kind:
        case "calls":
            return bool(matching)
        case "absent":
            return not (_list_given(rule, calls) - _as_written(rule.values) if rule.name else matching)
        case "before":
            later = [at for at, call in enumerate(calls) if _names(call, rule.name)]
            earlier = [at for at, call in enumerate(calls) if _names(call, rule.call)]
            return bool(earlier and later) and earlier[0] < later[0]
    found = bool(_list_given(rule, calls) & _as_written(rule.values))
    return found or (rule.kind == "argument" and not matching)


def _list_given(rule: Rule, calls: list[ast.Call]) -> set[str]:
    """List the values that a rule's argument has, as Python writes them: quotes and spaces don't matter."""
    names = rule.name.split("|")
    matching = [call for call in calls if _names(call, rule.call)]
    named = {ast.unparse(each.value) for call in matching for each in call.keywords if each.arg in names}
    placed = {ast.unparse(each) for call in matching if rule.at for each in call.args[rule.at - 1 : rule.at]}
    return named | placed


def _as_written(values: tuple[str, ...]) -> set[str]:
    return {ast.unparse(ast.parse(value, mode="eval")) for value in values if value != MISSING}
