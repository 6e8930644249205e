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


def test_only_a_value_that_shows_a_misconception_names_it() -> None:
    assert judge_code(CONFIG, lora_config(lora_alpha="8")).misconception == ""
    task = BUILDS["build-training-arguments"]
    assert judge_code(task, task.start).misconception == ""
    smaller = task.solution.replace("paged_adamw_8bit", "adamw_8bit")
    assert judge_code(task, smaller).misconception == "paging-is-8-bit"
    task = BUILDS["build-bnb-config"]
    assert judge_code(task, task.start).misconception == "target-defaults"
    other = task.solution.replace("torch.bfloat16", "torch.float16")
    assert other != task.solution
    assert judge_code(task, other).misconception == ""


def test_a_scale_of_rslora_is_not_that_of_lora() -> None:
    [rule] = judge_code(CONFIG, lora_config(use_rslora="True")).broken
    assert rule.missing.startswith("With rsLoRA the scale is alpha / √r, so 32 at rank 16 gives 8.")
    assert judge_code(CONFIG, lora_config(use_rslora="False")).right


MERGE = BUILDS["build-merge"]


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("dtype=torch.bfloat16", "torch_dtype=torch.bfloat16"),  # the name before Transformers 5
        ("dtype=torch.bfloat16", "dtype='float16', load_in_4bit=False"),
        ('"adapter"', "model_id='adapter'"),
        ('"merged"', 'save_directory="./merged"'),
    ],
)
def test_a_merge_may_be_written_in_other_ways(part: str, other: str) -> None:
    assert part in MERGE.solution
    assert judge_code(MERGE, MERGE.solution.replace(part, other)).right


@pytest.mark.parametrize(
    ("part", "other", "message"),
    [
        ("dtype=torch.bfloat16", 'dtype="auto"', "Name a 16-bit type"),
        ("dtype=torch.bfloat16", "dtype=torch.float32", "Name a 16-bit type"),
        (", dtype=torch.bfloat16", "", "Name a 16-bit type"),
        ('"adapter"', '"another"', "The adapter is in the folder"),
        ('"merged"', '"adapter"', "The model isn't saved to the folder"),
    ],
)
def test_a_merge_of_another_base_adapter_or_folder_is_not_what_the_goal_says(
    part: str, other: str, message: str
) -> None:
    [rule] = judge_code(MERGE, MERGE.solution.replace(part, other)).broken
    assert rule.missing.startswith(message)


def test_an_adapter_needs_the_configuration_that_the_goal_names() -> None:
    task = BUILDS["build-qlora-script"]
    for other in ("get_peft_model(model)", "get_peft_model(model, other)"):
        [rule] = judge_code(task, task.solution.replace("get_peft_model(model, config)", other)).broken
        assert rule.missing.startswith("The adapter isn't that of `config`")
    named = task.solution.replace("(model, config)", "(model, peft_config=config)")
    assert judge_code(task, named).right


def test_the_start_of_a_merge_loads_4_bits_as_transformers_5_does() -> None:
    """`load_in_4bit=True` in `from_pretrained` is a TypeError there, another fault than the one explained."""
    assert "quantization_config=BitsAndBytesConfig(load_in_4bit=True)" in MERGE.start
    assert transformers.BitsAndBytesConfig(load_in_4bit=True).load_in_4bit
    assert judge_code(MERGE, MERGE.start).misconception == "second-rounding-is-free"


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
        ("x" * (LONGEST_CODE + 1), "Shorten it to at most 4,000"),
    ],
)
def test_what_cannot_be_read_is_said(code: str, message: str) -> None:
    with pytest.raises(LearnerError, match=message):
        judge_code(CONFIG, code)


def test_code_of_the_greatest_length_is_judged() -> None:
    assert not judge_code(CONFIG, "x" * LONGEST_CODE).right


def test_a_solution_that_breaks_a_rule_is_a_problem_of_the_file(tmp_path: Path) -> None:
    text = (
        "- id: broken\n  name: b\n  level: beginner\n  concepts: [lora-rank]\n  goal: g\n  start: x = 1\n"
        "  solution: y = 2\n  keep: k\n  hint: h\n  source: s\n"
        "  rules: [{calls: LoraConfig, missing: m}, {missing: n}, {calls: a, values: [b], missing: o},\n"
        "    {argument: a, name: b, values: [c], missing: p, shown_by: [d]}]\n"
    )
    path = tmp_path / "builds.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ContentError, match="its own solution breaks a rule") as raised:
        read_builds(path)
    assert "says in `at` which one" in str(raised.value)
    assert "`shown_by` are values" in str(raised.value)
    assert str(raised.value).count("a rule is one of") == 2
