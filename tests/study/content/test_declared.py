"""Content read by the declarations of its class: each type, what is missing, and all problems at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from study.content.declared import read_declared, read_declared_list
from study.content.yaml_reader import ContentError, Fields, LocatedMapping, Problem


def read_size(fields: Fields, name: str) -> int:
    return int(fields.raw(name) or 0) * 2


@dataclass(frozen=True, kw_only=True)
class Drawer:
    """A part of an item."""

    label: str

    def note_problems(self, fields: Fields) -> None:
        """Note a label that isn't one word."""
        if " " in self.label:
            fields.note("a label is one word")


@dataclass(frozen=True, kw_only=True)
class Cabinet:
    """An item with a field of each type."""

    id: str
    hint: str = ""
    wood: Literal["oak", "pine"]
    locked: bool
    uses: tuple[str, ...] = ()
    drawers: tuple[Drawer, ...]
    top: Drawer
    size: Annotated[int, read_size]


WHOLE = {
    "id": "c",
    "wood": "pine",
    "drawers": [LocatedMapping(label="a")],
    "top": LocatedMapping(label="b"),
    "size": 4,
}


def read(**changes: object) -> tuple[Cabinet, list[str]]:
    problems: list[Problem] = []
    fields = Fields(LocatedMapping(WHOLE | changes), file="c.yaml", kind="cabinet", problems=problems)
    return read_declared(fields, Cabinet), [f"{problem.item}: {problem.text}" for problem in problems]


def test_each_field_is_read_by_its_type() -> None:
    cabinet, problems = read(uses=["books"], locked=True)
    assert problems == []
    assert cabinet == Cabinet(
        id="c",
        wood="pine",
        locked=True,
        uses=("books",),
        drawers=(Drawer(label="a"),),
        top=Drawer(label="b"),
        size=8,
    )


def test_what_has_a_default_may_be_missing_or_empty() -> None:
    cabinet, problems = read(hint=None)
    assert problems == []
    assert (cabinet.hint, cabinet.uses, cabinet.locked) == ("", (), False)


def test_problems_of_fields_parts_and_unknown_names_come_together() -> None:
    _, problems = read(id="x", wood="steel", drawers=[LocatedMapping(label="two words")], top=None, extra=1)
    assert problems == [
        "cabinet x: `wood` must be one of oak, pine, got 'steel'",
        "drawer of cabinet x: a label is one word",
        "cabinet x: `top` must be a mapping, got None",
        "top of cabinet x: `label` must be a text, got None",
        "cabinet x: unknown field `extra`",
    ]


def test_a_known_value_is_not_read() -> None:
    problems: list[Problem] = []
    fields = Fields(LocatedMapping(), file="c.yaml", kind="drawer", problems=problems)
    assert read_declared(fields, Drawer, label="given") == Drawer(label="given")
    assert problems == []


def test_a_list_with_a_repeated_id_names_it(tmp_path: Path) -> None:
    entry = "{id: c, wood: oak, drawers: [], top: {label: t}}"
    path = tmp_path / "c.yaml"
    path.write_text(f"- {entry}\n- {entry}\n", "utf-8")
    with pytest.raises(ContentError, match=r"c\.yaml:2  cabinet c: this id is used more than once"):
        read_declared_list(path, Cabinet, kind="cabinet")
    path.write_text(f"- {entry}\n", "utf-8")
    assert [each.id for each in read_declared_list(path, Cabinet, kind="cabinet")] == ["c"]
