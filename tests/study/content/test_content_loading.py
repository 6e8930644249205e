"""Content files: every problem is found at once, with its file, its line and the item it is in."""

from pathlib import Path

import pytest

from study.content.yaml_reader import (
    ContentError,
    Fields,
    LocatedMapping,
    Problem,
    note_repeated_ids,
    read_list,
    read_mapping,
)


def fields_of(**values: object) -> tuple[Fields, list[Problem]]:
    problems: list[Problem] = []
    return Fields(LocatedMapping(values), file="deck.yaml", kind="card", problems=problems), problems


def test_a_problem_names_file_line_and_item(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- id: first\n  name: one\n- id: second\n  name: 7\n")
    problems: list[Problem] = []
    for entry in read_list(tmp_path / "list.yaml", kind="concept", problems=problems):
        entry.text("id")
        entry.text("name")
    assert [str(problem) for problem in problems] == [
        "list.yaml:3  concept second: `name` must be a text, got 7"
    ]


def test_all_problems_of_an_item_are_noted() -> None:
    fields, problems = fields_of(id="x", level="hard", tags=[1], extra="?")
    fields.text("id")
    fields.choice("level", ("easy", "medium"))
    fields.texts("tags")
    fields.close()
    assert [problem.text for problem in problems] == [
        "`level` must be one of easy, medium, got 'hard'",
        "`tags` must be a list of texts, got [1]",
        "unknown field `extra`",
    ]


def test_a_key_written_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deck.yaml").write_text("deck: A\ncards: []\ndeck: B\n")
    problems: list[Problem] = []
    assert read_mapping(tmp_path / "deck.yaml", kind="deck", problems=problems) is None
    assert str(problems[0]) == "deck.yaml:3  YAML: `deck` is written twice"


def test_broken_yaml_is_reported_where_it_breaks(tmp_path: Path) -> None:
    (tmp_path / "deck.yaml").write_text("deck: A\ncards: [\n")
    problems: list[Problem] = []
    read_mapping(tmp_path / "deck.yaml", kind="deck", problems=problems)
    assert (problems[0].file, problems[0].line) == ("deck.yaml", 3)


@pytest.mark.parametrize("content", ["- a\n- b\n", "just a text\n"])
def test_a_file_of_the_wrong_shape_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / "deck.yaml").write_text(content)
    problems: list[Problem] = []
    assert read_mapping(tmp_path / "deck.yaml", kind="deck", problems=problems) is None
    assert problems[0].text == "the file must hold one mapping"


def test_a_missing_file_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    problems: list[Problem] = []
    assert read_list(tmp_path / "gone.yaml", kind="concept", problems=problems) == []
    assert "cannot be read" in problems[0].text


def test_an_id_used_in_two_files_is_reported_once() -> None:
    first, problems = fields_of(id="x")
    second, more = fields_of(id="x")
    note_repeated_ids([("x", first), ("x", second)])
    assert (len(problems), len(more)) == (0, 1)


def test_an_option_without_an_id_is_named_by_its_owner() -> None:
    fields, problems = fields_of(id="q1", options=[LocatedMapping(text="")])
    fields.children("options", kind="option")[0].text("text")
    assert problems[0].item == "option of card q1"


def test_the_error_lists_everything_and_says_what_to_do() -> None:
    problems = [Problem(file="a.yaml", line=n, item="card c", text="no source") for n in (1, 2)]
    error = ContentError(problems)
    assert "has 2 problems" in str(error)
    assert "a.yaml:1  card c: no source\na.yaml:2" in str(error)
    assert error.do_next == "Fix these lines, then start again."
