"""Variables of the environment: a misspelt one is named, because it would send the data elsewhere."""

import re

import pytest

from study.base.settings import PASSED_ON, ROOT, VARIABLES, find_unknown_variables


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LORA_STUDY_DATA", "LORA_STUDY_HOME"),
        ("LORA_STUDY_HOMES", "LORA_STUDY_HOME"),
        ("LORA_STUDY_MODEL", "LORA_STUDY_MODELS"),
        ("LORA_STUDY_DEVICES", "LORA_STUDY_DEVICE"),
        ("LORA_STUDY_", "LORA_STUDY_HOME"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_right_one(name: str, meant: str) -> None:
    said = find_unknown_variables(["PATH", name, *VARIABLES, *PASSED_ON])
    assert said == [f"{name} is not a variable of this app; did you mean {meant}?"]


def test_every_variable_that_the_code_reads_is_known() -> None:
    folders = ("study", "flashcards", "quizzes", "lora_lab", "classroom")
    code = "".join(path.read_text("utf-8") for each in folders for path in (ROOT / each).rglob("*.py"))
    read = set(re.findall(r'"(LORA_STUDY_[A-Z_]+)"', code))
    assert "LORA_STUDY_DEVICE" in read
    assert read <= {*VARIABLES, *PASSED_ON}
