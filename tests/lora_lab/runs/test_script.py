"""The text of an exported script: plain imports, this run's settings and data."""

import ast
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lora_lab.data.datasets import load_saved
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.export_script import build_script
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from tests.lora_lab import run_builders


def text_of(tmp_path: Path, spec: RunSpec) -> str:
    run = run_builders.finished(tmp_path / "runs", spec)
    return build_script(run, LabHome(tmp_path), tmp_path / "models")


def values_in(text: str) -> dict[str, Any]:
    """The constants that stand in the script as literals."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            try:
                found[node.target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


def test_it_imports_nothing_of_this_project(tmp_path: Path) -> None:
    names = set()
    for node in ast.walk(ast.parse(text_of(tmp_path, run_builders.TINY))):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    allowed = set(sys.stdlib_module_names) | {"bitsandbytes", "hqq", "torch", "peft", "transformers"}
    assert {name.partition(".")[0] for name in names} <= allowed


def test_it_holds_the_settings_the_data_and_the_measured_losses(tmp_path: Path) -> None:
    spec = replace(
        run_builders.TINY, rank=3, alpha=5.5, targets="q+v", learning_rate=1e-3, seed=9,
        variant="dora", optimizer="adamw8bit", checkpointing=True,
    )  # fmt: skip
    values = values_in(text_of(tmp_path, spec))
    expected = asdict(spec)
    for name in set(expected) - {"model", "targets", "data", "compute_dtype"}:
        assert values[name.upper()] == expected[name]
    assert values["TARGETS"] == ["q_proj", "v_proj"]
    assert values["MODEL"] == str(tmp_path / "models" / "tiny-random")
    [folder] = (tmp_path / "runs").iterdir()
    assert values["TRAIN"] == [(example.prompt, example.answer) for example in load_saved(folder).train]
    assert values["MEASURED_LOSSES"] == [3.875, 3.75, 3.625]


@pytest.mark.parametrize(
    ("model", "source"),
    [("smollm2-360m", "HuggingFaceTB/SmolLM2-360M-Instruct"), ("gpt2", "openai-community/gpt2")],
)
def test_a_model_of_the_hub_is_named_as_the_hub_does(tmp_path: Path, model: str, source: str) -> None:
    assert values_in(text_of(tmp_path, replace(run_builders.TINY, model=model)))["MODEL"] == source


def test_a_run_that_never_began_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="never began"):
        build_script(run_builders.queued(tmp_path / "runs"), LabHome(tmp_path), tmp_path)
