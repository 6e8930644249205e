"""YAML content with line numbers, so that all problems are reported at once and can be found."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import yaml

from study.base.errors import LearnerError
from study.base.yaml_loader import SafeLoader
from study.text.markup import find_formula_problems

Level = Literal["beginner", "intermediate", "advanced"]
LEVELS: tuple[Level, ...] = get_args(Level)

T = TypeVar("T", bound=str)
Item = TypeVar("Item")

YAML_LIMIT_BYTES = 2_000_000  # the pure Python parser takes seconds per megabyte


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem in a content file."""

    file: str
    line: int = 1
    """1 for a problem of the whole file."""

    item: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {self.item}: {self.text}"


class ContentError(LearnerError):
    """All problems of a load together, so that an editor fixes them in one go."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        listing = "\n".join(str(problem) for problem in self.problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(
            f"The content has {count} {noun}:\n{listing}\n", do_next="Fix these lines, then start again."
        )


class LocatedMapping(dict[str, Any]):
    """A YAML mapping that remembers its first line."""

    def __init__(self, *fields: Mapping[str, Any], line: int = 0, **named: Any) -> None:
        super().__init__(*fields, **named)
        self.line = line


class _LocatingLoader(SafeLoader):
    """A YAML loader that builds `LocatedMapping` mappings and rejects a repeated key."""

    def construct_located(self, node: yaml.MappingNode) -> LocatedMapping:
        placed = LocatedMapping(line=node.start_mark.line + 1)
        for key_node, value_node in node.value:
            key = str(self.construct_object(key_node, deep=True))
            if key in placed:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key}` is written twice", key_node.start_mark
                )
            placed[key] = self.construct_object(value_node, deep=True)
        return placed

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        """Construct an integer, but not `1:30` in base 60, which nobody means and which is slow when long."""
        return node.value if ":" in node.value else super().construct_yaml_int(node)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> Any:
        """Construct a float, but not `1:30.5` in base 60."""
        return node.value if ":" in node.value else super().construct_yaml_float(node)


_LocatingLoader.add_constructor(
    yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _LocatingLoader.construct_located
)
_LocatingLoader.add_constructor("tag:yaml.org,2002:int", _LocatingLoader.construct_yaml_int)
_LocatingLoader.add_constructor("tag:yaml.org,2002:float", _LocatingLoader.construct_yaml_float)


class Fields:
    """One YAML mapping read field by field: a problem is noted and reading continues."""

    def __init__(
        self,
        placed: Mapping[str, Any],
        *,
        file: str,
        kind: str,
        problems: list[Problem],
        owner: str = "",
        optional: tuple[str, ...] = (),
    ) -> None:
        self._placed = placed
        self._file = file
        self._optional = optional  # texts that a learner's own content may omit
        self._seen: set[str] = set()
        self._problems = problems
        self.line = getattr(placed, "line", 0)
        named = str(placed.get("id", "")) or owner
        self.item = f"{kind} {named}".strip()

    @property
    def own(self) -> bool:
        """Whether a learner brought it: it's exempt from some requirements on the app's own content."""
        return bool(self._optional)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all fields, for a mapping whose keys are ids."""
        return tuple(self._placed)

    def build_problem(self, text: str) -> Problem:
        """Build a problem of this item."""
        return Problem(file=self._file, line=self.line, item=self.item, text=text)

    def note(self, text: str) -> None:
        self._problems.append(self.build_problem(text))

    def text(self, name: str, *, default: str | None = None) -> str:
        """Read a text; required unless a default is given."""
        value = self._take(name)
        if value is None and (default is not None or name in self._optional):
            return default or ""
        if not isinstance(value, str) or not value.strip():
            self.note(f"`{name}` must be a text, got {value!r}")
            return ""
        if not self.own:  # a learner's texts are checked as they are shown, on import and on edit
            for problem in find_formula_problems(value):
                self.note(f"`{name}`: {problem}")
        return " ".join(value.split()) if "\n" not in value.strip() else value.strip()

    def texts(self, name: str, *, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        value = self._take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
            self.note(f"`{name}` must be a list of texts, got {value!r}")
            return ()
        return tuple(value)

    def choice(self, name: str, allowed: tuple[T, ...]) -> T:
        """Read one of a closed set of words."""
        value = self._take(name)
        if value not in allowed:
            self.note(f"`{name}` must be one of {', '.join(allowed)}, got {value!r}")
            return allowed[0]
        return next(word for word in allowed if word == value)

    def flag(self, name: str) -> bool:
        """Read true or false; false when absent."""
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            self.note(f"`{name}` must be true or false, got {value!r}")
        return value is True

    def children(self, name: str, *, kind: str, needed: bool = True) -> list["Fields"]:
        """Read a list of mappings; one that isn't `needed` may be absent."""
        value = self._take(name)
        if value is None and not needed:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            self.note(f"`{name}` must be a list of mappings, got {value!r}"[:200])
            return []
        return [self._build_child(entry, kind) for entry in value]

    def child(self, name: str, *, kind: str) -> "Fields | None":
        """Read one mapping; None when absent."""
        value = self._take(name)
        if isinstance(value, dict):
            return self._build_child(value, kind)
        if value is not None:
            self.note(f"`{name}` must be a mapping, got {value!r}"[:200])
        return None

    def read_child(self, name: str, *, kind: str) -> "Fields":
        """Read one mapping; note a problem and return an empty one when it is missing."""
        value = self._take(name)
        if not isinstance(value, dict):
            self.note(f"`{name}` must be a mapping, got {value!r}"[:200])
        placed = value if isinstance(value, LocatedMapping) else LocatedMapping()
        placed.line = placed.line or self.line
        return self._build_child(placed, kind)

    def has(self, name: str) -> bool:
        return name in self._placed

    def rest(self, *, besides: tuple[str, ...]) -> dict[str, Any]:
        """Read all fields except `besides`, for a reader that passes them on by name."""
        names = [name for name in self._placed if name not in besides]
        return {name: self._take(name) for name in names}

    def _build_child(self, placed: Mapping[str, Any], kind: str) -> "Fields":
        return Fields(
            placed,
            file=self._file,
            kind=kind,
            problems=self._problems,
            owner=f"of {self.item}",
            optional=self._optional,
        )

    def peek(self, name: str) -> Any:
        """Return the raw value without marking it as read."""
        return self._placed.get(name)

    def raw(self, name: str) -> Any:
        """Return the raw value, for a reader that checks it itself."""
        return self._take(name)

    def close(self) -> None:
        """Note the fields that weren't read: mostly misspelt names."""
        for name in self._placed:
            if name not in self._seen:
                self.note(f"unknown field `{name}`")

    def _take(self, name: str) -> Any:
        self._seen.add(name)
        return self._placed.get(name)


def read_yaml(path: Path, problems: list[Problem]) -> Any:
    """Read a file and keep its line numbers; return None after noting why it can't be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_LocatingLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problems.append(Problem(file=path.name, line=line, item="YAML", text=str(error.problem)))
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(file=path.name, item="file", text=f"cannot be read ({error})"))
    return None


def parse_content(name: str, content: bytes, problems: list[Problem]) -> Any:
    """Parse a learner's YAML (with line numbers) or JSON; return None after noting what is wrong."""
    try:
        text = content.decode("utf-8-sig")
        if name.endswith(".json"):
            return json.loads(text)
        if len(content) > YAML_LIMIT_BYTES:
            raise ValueError(f"YAML files may have {YAML_LIMIT_BYTES:,} bytes")
        alias = _find_first_alias(text)
        if alias is None:
            return yaml.load(text, Loader=_LocatingLoader)
        problems.append(Problem(file=name, line=alias, item="YAML", text="aliases are not read"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problems.append(Problem(file=name, line=line, item="YAML", text=str(error.problem)))
    except json.JSONDecodeError as error:
        problems.append(Problem(file=name, line=error.lineno, item="JSON", text=error.msg))
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        problems.append(Problem(file=name, item="file", text=f"cannot be read ({error})"))
    return None


def _find_first_alias(text: str) -> int | None:
    """Find the line of the first alias: a few aliases can expand to gigabytes, and no deck needs them."""
    for event in yaml.parse(text, Loader=SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            return event.start_mark.line + 1 if event.start_mark else 1
    return None


def read_mapping(path: Path, *, kind: str, problems: list[Problem]) -> Fields | None:
    """Read a file whose top level is one mapping."""
    content = read_yaml(path, problems)
    if isinstance(content, LocatedMapping):
        return Fields(content, file=path.name, kind=kind, problems=problems)
    if content is not None:
        problems.append(Problem(file=path.name, item=kind, text="the file must hold one mapping"))
    return None


def read_folder(folder: Path, *, kind: str, problems: list[Problem]) -> Iterator[tuple[str, Fields]]:
    """Read each file whose top level is one mapping, with its name, in the order of their names."""
    for path in sorted(folder.glob("*.yaml")):
        fields = read_mapping(path, kind=kind, problems=problems)
        if fields is not None:
            yield path.stem, fields


def read_list(path: Path, *, kind: str, problems: list[Problem]) -> list[Fields]:
    """Read a file whose top level is a list of mappings."""
    content = read_yaml(path, problems)
    if isinstance(content, list) and all(isinstance(entry, LocatedMapping) for entry in content):
        return [Fields(entry, file=path.name, kind=kind, problems=problems) for entry in content]
    if content is not None:
        problems.append(Problem(file=path.name, item=kind, text="the file must hold a list of mappings"))
    return []


def read_items(path: Path, *, kind: str, read: Callable[[Fields], Item], under: str = "") -> tuple[Item, ...]:
    """Read each entry of a file's list with `read`. Raises ContentError with every problem in the file.

    The list may stand `under` a key. An id that two entries have is a problem as well.
    """
    problems: list[Problem] = []
    if under:
        file = read_mapping(path, kind=under, problems=problems)
        entries = file.children(under, kind=kind) if file else []
    else:
        entries = read_list(path, kind=kind, problems=problems)
    read_entries = [(read(fields), fields) for fields in entries]
    note_repeated_ids((getattr(item, "id", ""), fields) for item, fields in read_entries)
    if problems:
        raise ContentError(problems)
    return tuple(item for item, _ in read_entries)


def note_repeated_ids(items: Iterable[tuple[str, Fields]]) -> None:
    """Note every id that an earlier item, in any file, already has."""
    seen: set[str] = set()
    for item_id, fields in items:
        if item_id and item_id in seen:
            fields.note("this id is used more than once")
        seen.add(item_id)
