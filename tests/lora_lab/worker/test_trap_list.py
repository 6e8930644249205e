"""docs/traps.md names every trap by its number, and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "traps.md").read_text("utf-8")
TRAPS = {int(number): text for number, text in re.findall(r"(?ms)^## (\d+)\. (.+?)(?=^## |\Z)", PAGE)}
REFERENCE = re.compile(r"docs/traps\.md (\d+)(?: and (\d+))?")


def test_there_are_thirteen_traps_in_order() -> None:
    assert list(TRAPS) == list(range(1, 14))


@pytest.mark.parametrize("number", TRAPS)
def test_every_trap_names_tests_that_exist(number: int) -> None:
    named = set(re.findall(r"`(test_\w+)`", TRAPS[number]))
    assert named
    tests = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert not {name for name in named if f"def {name}(" not in tests}


def test_every_number_that_the_code_refers_to_is_on_the_page() -> None:
    sources = [*(ROOT / "lora_lab").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    found = {
        int(number)
        for path in sources
        for groups in REFERENCE.findall(path.read_text("utf-8"))
        for number in groups
        if number
    }
    assert found
    assert found <= set(TRAPS)
