"""Build tasks: code is judged by its structure, and what is asked for is what the libraries take."""

import ast
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from lora_lab.tasks.building import LONGEST_CODE, judge_code, read_builds
from quizzes.bank.misconceptions import load_misconceptions
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError

BUILDS = read_builds()
CONFIG = BUILDS["build-lora-config"]


def lora_config(**changed: str) -> str:
    given = {
        "r": "16",
        "lora_alpha": "32",
        "target_modules": "'all-linear'",
        "task_type": "'CAUSAL_LM'",
    } | changed
    return f"config = LoraConfig({', '.join(f'{name}={value}' for name, value in given.items())})"


def test_names_are_known() -> None:
    concepts, known = load_concepts().by_id, {each.id for each in load_misconceptions()}
    for task in BUILDS.values():
        assert set(task.concepts) <= set(concepts)
        assert {rule.misconception for rule in task.rules if rule.misconception} <= known


@pytest.mark.parametrize("task_id", BUILDS)
def test_each_rule_is_broken_by_the_code_at_the_start_or_guards_against_another(task_id: str) -> None:
    task = BUILDS[task_id]
    broken = judge_code(task, task.start).broken
    assert broken
    assert judge_code(task, task.solution).right


def test_the_libraries_take_what_the_solutions_write() -> None:
    made = {
        "LoraConfig": peft.LoraConfig,
        "BitsAndBytesConfig": transformers.BitsAndBytesConfig,
        "TrainingArguments": transformers.TrainingArguments,
    }
    found = []
    for task in BUILDS.values():
        for call in ast.walk(ast.parse(task.solution)):
            if isinstance(call, ast.Call) and (name := ast.unparse(call.func)) in made:
                found.append(name)
                made[name](**{each.arg: read_value(each.value) for each in call.keywords if each.arg})
    assert set(found) == set(made)


def read_value(node: ast.expr) -> Any:
    return torch.bfloat16 if ast.unparse(node) == "torch.bfloat16" else ast.literal_eval(node)


def test_quotes_spaces_and_order_do_not_matter() -> None:
    code = 'config=LoraConfig( task_type = "CAUSAL_LM",target_modules="all-linear", lora_alpha=32.0, r=16 )'
    assert judge_code(CONFIG, code).right
    assert judge_code(CONFIG, f"import peft\n{lora_config().replace('LoraConfig', 'peft.LoraConfig')}").right


def test_a_wrong_value_says_what_is_missing_and_names_the_misconception() -> None:
    found = judge_code(CONFIG, lora_config(lora_alpha="2"))
    assert [rule.name for rule in found.broken] == ["lora_alpha"]
    assert found.misconception == "alpha-is-the-scale"


def test_a_value_in_a_comment_or_a_text_does_not_count() -> None:
    assert not judge_code(CONFIG, f"# {lora_config()}\ntext = {lora_config()!r}").right


def test_the_order_of_calls_counts() -> None:
    task = BUILDS["build-qlora-script"]
    lines = task.solution.splitlines()
    at = next(place for place, line in enumerate(lines) if "prepare_model" in line and "import" not in line)
    lines[at], lines[at + 1] = lines[at + 1], lines[at]
    [rule] = judge_code(task, "\n".join(lines)).broken
    assert rule.missing.startswith("Prepare the base before")


def test_calls_inside_calls_are_read_from_the_inside() -> None:
    code = """
model = get_peft_model(
    prepare_model_for_kbit_training(
        AutoModelForCausalLM.from_pretrained("m", quantization_config=quantization)
    ),
    config,
)
model.print_trainable_parameters()
"""
    assert judge_code(BUILDS["build-qlora-script"], code).right


def test_code_is_never_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    judge_code(CONFIG, f"open({str(mark)!r}, 'w')\n__import__('os').mkdir({str(mark) + '2'!r})")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("config = LoraConfig(r=16", "Line 1 isn't Python"),
        ("x = 1\nif", "Line 2 isn't Python: invalid syntax in `if`"),
        ("(" * 500 + ")" * 500, "Python"),
        ("-" * 3000 + "1", "nested too deeply|can't be read"),
        ("a" + ".b" * 1500, "nested too deeply|can't be read"),
        ("x = '\0'", "Python"),
        ("x" * (LONGEST_CODE + 1), "Keep it under 4,000"),
    ],
)
def test_what_cannot_be_read_is_said(code: str, message: str) -> None:
    with pytest.raises(LearnerError, match=message):
        judge_code(CONFIG, code)


def test_a_solution_that_breaks_a_rule_is_a_problem_of_the_file(tmp_path: Path) -> None:
    text = (
        "- id: broken\n  name: b\n  level: beginner\n  concepts: [lora-rank]\n  goal: g\n  start: x = 1\n"
        "  solution: y = 2\n  keep: k\n  hint: h\n  source: s\n"
        "  rules: [{calls: LoraConfig, missing: m}, {missing: n}]\n"
    )
    path = tmp_path / "builds.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ContentError, match="its own solution breaks a rule"):
        read_builds(path)
