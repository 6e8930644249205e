"""The recorder of faulty runs takes the steps of the lab's own loop; a fault changes only what it says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_lab.data.datasets import Example
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.tasks.recordings import FOLDER
from lora_lab.worker.record import runs
from lora_lab.worker.record.runs import RECIPES, FaultyRunRecipe, Recorder
from lora_lab.worker.training.loaded_model import LoadedModel, attach_adapter, open_model
from lora_lab.worker.training.loop import StepResult, train_adapter
from lora_lab.worker.training.packing import encode_example
from tests.lora_lab.worker.builders import machine, never_stop, silent

SPEC = RunSpec(model=TINY_MODEL, bits="fp32", rank=2, batch=2, steps=4, seq_len_tokens=96)
EXAMPLES = [Example(prompt=f"Question {number}?", answer=f"Answer {number * 7}.") for number in range(10)]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setattr(runs, "pick_examples", lambda: (EXAMPLES[:8], EXAMPLES[8:]))
    monkeypatch.setattr(runs, "_encode_chat", encode_example)  # the tiny model has no chat template
    return open_model(TINY_MODEL, "fp32", machine("fp32"), models_dir=tmp_path, report=silent)


def record(loaded: LoadedModel, **changed: object) -> dict[str, object]:
    recipe = replace(FaultyRunRecipe(spec=SPEC, encode=encode_example), **changed)  # type: ignore[arg-type]
    return Recorder(loaded, recipe).record()


def test_without_a_fault_the_steps_are_those_of_the_lab(loaded: LoadedModel) -> None:
    recorded = record(loaded)
    adapted = attach_adapter(loaded, SPEC, find_shape(TINY_MODEL)).model
    steps: list[StepResult] = []
    train_adapter(
        adapted,
        [encode_example(loaded.tokenizer, each) for each in EXAMPLES[:8]],
        SPEC,
        loaded.machine,
        on_step=steps.append,
        should_stop=never_stop,
    )
    found = recorded["steps"]
    assert isinstance(found, list)
    assert [step["loss"] for step in found] == [round(step.loss, 4) for step in steps]
    assert [step["learning_rate"] for step in found] == [float(f"{step.learning_rate:.4g}") for step in steps]


def test_an_adapter_kept_in_bf16_loses_small_updates(loaded: LoadedModel) -> None:
    last = [record(loaded, continued=True, stored_in_bf16=kept)["steps"] for kept in (False, True)]
    exact, rounded = (steps[-1]["changed_percent"] for steps in last if isinstance(steps, list))
    assert rounded < exact / 2


def test_rounding_to_bf16_is_what_storing_in_bf16_does() -> None:
    parameter = torch.nn.Parameter(torch.randn(50))
    stored = parameter.detach().bfloat16()
    runs._round_to_bf16([parameter])
    assert torch.equal(parameter.detach(), stored.float())


def test_every_recipe_has_its_recording() -> None:
    assert set(RECIPES) == {path.stem for path in FOLDER.glob("*.json")}
