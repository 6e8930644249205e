"""The exported script, run as a person would run it: plain libraries, the same losses."""

import io
import os
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hqq.core.quantize import HQQLinear
from peft import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer

from lora_lab.data.datasets import Dataset, build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.export_script import build_script
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import fold_events
from lora_lab.spec import TINY_MODEL, Bits, RunSpec
from lora_lab.worker import standalone
from lora_lab.worker.model.load import load_model
from lora_lab.worker.model.quantization import decode_dense_weight
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.families import FAMILIES
from tests.lora_lab.worker.builders import CPU, TINY, linears, never_stop, silent, small_dataset
from tests.lora_lab.worker.model.family_folders import folder_of

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TOLERANCE: dict[tuple[Bits, str], float] = {
    ("bf16", "fp32"): 1e-5,
    ("nf4-dq", "fp32"): 1e-5,
    ("nf4-dq", "bf16"): 5e-3,  # the libraries round in other places
    ("int8", "fp32"): 1e-5,
}
"""Largest difference of a step's loss; losses are about 5."""

SETTINGS: dict[str, dict[str, Any]] = {
    "rsLoRA": {"variant": "rslora"},
    "DoRA": {"variant": "dora"},
    # Fast enough for 8-bit moments to show: 32-bit ones end 2e-4 away.
    "DoRA on int8": {"variant": "dora", "bits": "int8"},
    "8-bit AdamW": {"optimizer": "adamw8bit", "learning_rate": 5e-2},
    "paged 8-bit AdamW, names": {
        "optimizer": "paged_adamw8bit", "learning_rate": 5e-2, "targets": "q_proj, mlp.up_proj",
    },
    "checkpointing, regular expression": {
        "checkpointing": True, "targets": r".*layers\.1\.(self_attn|mlp)\.[kg]\w+_proj",
    },
    "HQQ": {"bits": "hqq3"},
    "HQQ in bf16": {"bits": "hqq4", "compute_dtype": "bf16"},
}  # fmt: skip
RANK = 64  # its A and B have 4,096 numbers and more, the fewest that bitsandbytes keeps 8-bit moments for


def do_run(folder: Path, models_dir: Path, spec: RunSpec, dataset: Dataset) -> RunFolder:
    run = create_run(folder / "runs", spec, dataset, now=NOW)
    assert execute_group([run], LabHome(folder), models_dir, app_is_gone=never_stop)
    return run


def run_python(arguments: Sequence[str], folder: Path) -> str:
    """What it prints, from a folder without the project and with nothing of it on the path."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=folder, env=bare, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(folder: Path) -> str:
    """What the script prints when it is run in this process, which has the libraries already."""
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()) as printed,
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["run.py", "--out", "kept"])
        warnings.simplefilter("ignore")
        runpy.run_path("run.py", run_name="__main__")
    return printed.getvalue()


@dataclass(frozen=True)
class Scripted:
    """A run, and what its script printed and saved."""

    run: RunFolder
    printed: str
    kept: Path


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> dict[tuple[Bits, str], Scripted]:
    """The first script as a person runs it, the others in this process, because importing the libraries takes
    longer than any of them.
    """
    runs: dict[tuple[Bits, str], RunFolder] = {}
    for bits, compute in TOLERANCE:
        folder = tmp_path_factory.mktemp(f"{bits}-{compute}")
        spec = replace(TINY, bits=bits, compute_dtype=compute, steps=4, seed=3, targets="attention")  # type: ignore[arg-type]
        run = runs[bits, compute] = do_run(folder, models_dir, spec, build_own_dataset())
        (folder / "run.py").write_text(build_script(run, LabHome(folder), models_dir), "utf-8")
    first, *others = (run.path.parents[1] for run in runs.values())
    printed = [run_python(["run.py", "--out", "kept"], first), *map(run_here, others)]
    return {
        setting: Scripted(run, text, run.path.parents[1] / "kept")
        for (setting, run), text in zip(runs.items(), printed, strict=True)
    }


def namespace_of(text: str, folder: Path) -> dict[str, Any]:
    """The script's names, itself not run."""
    script = folder / "run.py"
    script.write_text(text, "utf-8")
    return runpy.run_path(str(script), run_name="script")


@pytest.mark.parametrize("setting", SETTINGS)
def test_other_settings_give_the_losses_of_the_run_too(
    tmp_path: Path, models_dir: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    spec = replace(replace(TINY, bits="nf4-dq", steps=4, rank=RANK), **SETTINGS[setting])
    run = do_run(tmp_path, models_dir, spec, small_dataset())
    script = namespace_of(build_script(run, LabHome(tmp_path), models_dir), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(script["MODEL"])
    model = script["adapted"](script["load_model"](script["MODEL"]))
    forwards: list[nn.Module] = []
    norm = model.get_base_model().model.layers[0].input_layernorm
    norm.register_forward_hook(lambda module, given, made: forwards.append(module))
    script["train"](model, script["encoded"](tokenizer, script["TRAIN"]))
    losses = [float(loss) for loss in re.findall(r"   loss (\S+)", capsys.readouterr().out)]
    tolerance = 5e-3 if spec.compute_dtype == "bf16" else 1e-4
    assert losses == pytest.approx([step["loss"] for step in fold_events(run.events()).steps], abs=tolerance)
    assert len(forwards) == spec.steps * (2 if spec.checkpointing else 1)
    trained = {name: value.shape for name, value in get_peft_model_state_dict(model).items()}
    kept = load_file(run.adapter_path / "adapter_model.safetensors")
    assert trained == {name: value.shape for name, value in kept.items()}


@pytest.mark.parametrize(("bits", "compute"), TOLERANCE)
def test_the_script_gives_the_losses_of_the_run(
    scripted: dict[tuple[Bits, str], Scripted], bits: Bits, compute: str
) -> None:
    done, tolerance = scripted[bits, compute], TOLERANCE[bits, compute]
    state = fold_events(done.run.events())
    losses = [float(loss) for loss in re.findall(r"^step \d+   loss (\S+)", done.printed, re.MULTILINE)]
    assert losses == pytest.approx([step["loss"] for step in state.steps], abs=tolerance)
    held_out = re.search(r"held-out loss (\S+) -> (\S+)", done.printed)
    assert held_out is not None
    assert float(held_out[1]) == pytest.approx(state.loss_before, abs=tolerance)
    assert float(held_out[2]) == pytest.approx(state.loss_after, abs=tolerance)
    kept, ours = (
        load_file(folder / "adapter_model.safetensors") for folder in (done.kept, done.run.adapter_path)
    )
    assert kept.keys() == ours.keys()


def test_the_script_multiplies_decoded_int8_weights_as_the_app_does(models_dir: Path) -> None:
    """bitsandbytes' own product also rounds activations (LLM.int8), so losses would differ."""
    model = load_model(
        TINY_MODEL, "int8", compute_dtype=torch.float32, device=CPU, models_dir=models_dir, report=silent
    )
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = x @ decode_dense_weight(layer, torch.float32).t()
    (wanted,) = torch.autograd.grad(expected.sum(), x)

    standalone.multiply_decoded(model)
    found = layer(x)

    assert torch.allclose(found, expected, atol=1e-6)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.allclose(gradient, wanted, atol=1e-6)


def test_the_script_trains_without_the_models_dropout_as_the_app_does(tmp_path: Path) -> None:
    folder = folder_of("gpt2", FAMILIES["gpt2"], tmp_path / "gpt2")
    model = standalone.load_model(str(folder)).train()
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


def test_the_script_searches_hqqs_codes_on_the_processor_whatever_it_trains_on(
    models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, app = (
        load_model(
            TINY_MODEL, bits, compute_dtype=torch.float32, device=CPU, models_dir=models_dir, report=silent
        )
        for bits in ("fp32", "hqq4")
    )
    moved: list[str] = []
    monkeypatch.setattr(HQQLinear, "cuda", lambda layer, device: moved.append(device))
    monkeypatch.setattr(standalone, "DEVICE", torch.device("cuda"))
    monkeypatch.setattr(standalone, "BITS", "hqq4")
    standalone.quantize_with_hqq(model)
    for ours, theirs in zip(linears(model), linears(app), strict=True):
        assert torch.equal(ours.W_q, theirs.W_q)
    assert moved == ["cpu", "cuda"] * len(linears(model))
