"""Content read as its class declares it: each field by its type, and every problem noted on the way.

class Step:
    title: str                          a text, required
    hint: str = ""                      a text that may be missing
    level: Level                        one of a closed set of words
    done: bool                          true or false; false when missing
    concepts: tuple[str, ...]           a list of texts
    choices: tuple[Choice, ...]         a list of mappings
    ask: Ask                            one mapping
    minutes: Annotated[int, read]       what `read(fields, "minutes")` returns

A class checks what several fields say together in a method `note_problems(fields)`.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from study.content.yaml_reader import Fields, read_items

Item = TypeVar("Item")


def read_declared_list(path: Path, item: type[Item], *, kind: str, under: str = "") -> tuple[Item, ...]:
    """Read a list of mappings, as `read_items` does. Raises ContentError with every problem in the file."""
    return read_items(path, kind=kind, read=lambda fields: read_declared(fields, item), under=under)


def read_declared(content: Fields, item: type[Item], **known: Any) -> Item:
    """Read a mapping as a dataclass. `known` are the fields whose values the caller has read already."""
    hints = _read_hints(item)  # type: ignore[arg-type]
    read = {
        declared.name: _read_value(content, hints[declared.name], declared)
        for declared in fields(item)  # type: ignore[arg-type]
        if declared.name not in known
    }
    made = item(**known, **read)
    if hasattr(made, "note_problems"):
        made.note_problems(content)
    content.close()
    return made


_read_hints = cache(partial(get_type_hints, include_extras=True))


def _read_value(content: Fields, hint: Any, declared: "Field[Any]") -> Any:
    name, origin, inner = declared.name, get_origin(hint), get_args(hint)
    if origin is Annotated:
        return inner[1](content, name)
    if declared.default is not MISSING and content.raw(name) is None:
        return declared.default
    if hint is bool:
        return content.flag(name)
    if origin is Literal:
        return content.choice(name, inner)
    if is_dataclass(hint):
        return read_declared(content.read_child(name, kind=name), hint)  # type: ignore[arg-type]
    if origin is tuple and is_dataclass(inner[0]):
        children = content.children(name, kind=name.removesuffix("s"))
        return tuple(read_declared(child, inner[0]) for child in children)  # type: ignore[arg-type]
    return content.texts(name) if origin is tuple else content.text(name)
