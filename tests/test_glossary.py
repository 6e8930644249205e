"""The glossary names files that exist and names that they define, in alphabetical order."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<term>[^|]+) \| [^|]+ \| `(?P<name>[^`]+)` \| `(?P<file>[^`]+)` \|$", re.MULTILINE)
ROWS = [match.groupdict() for match in ROW.finditer((ROOT / "docs" / "glossary.md").read_text("utf-8"))]


def test_the_glossary_has_40_to_80_terms_in_order() -> None:
    terms = [row["term"].casefold() for row in ROWS]
    assert 40 <= len(terms) <= 80
    assert terms == sorted(terms)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["term"])
def test_a_term_lives_where_the_glossary_says(row: dict[str, str]) -> None:
    file, name = ROOT / row["file"], row["name"]
    assert file.is_file()
    defined = rf"^ *(async )?(def|class) {name}\b|^( {{4}})?{name}\b *[:=]"
    assert name == file.stem or re.search(defined, file.read_text("utf-8"), re.MULTILINE)
