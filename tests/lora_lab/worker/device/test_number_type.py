"""The number type of a machine: decided by instructions, kept, and the learner's to change."""

from pathlib import Path
from typing import Any

import pytest

from lora_lab.data.lab_folder import LabHome
from lora_lab.data.machine import NumberType
from lora_lab.runs.cost_preview import build_preview
from lora_lab.spec import TINY_MODEL, Compute, RunSpec
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.device.number_type import choose_type_of_gpu, choose_type_of_processor
from lora_lab.worker.training.model_cache import ModelCache
from study.base.errors import LearnerError
from tests.lora_lab.worker.builders import silent

GPUS: list[tuple[str, tuple[int, int], Compute]] = [
    ("GTX 1080", (6, 1), "fp32"),
    ("V100", (7, 0), "fp16"),
    ("T4", (7, 5), "fp16"),
    ("A100", (8, 0), "bf16"),
    ("RTX 4090", (8, 9), "bf16"),
    ("H100", (9, 0), "bf16"),
    ("RTX 5090", (12, 0), "bf16"),
]


@pytest.mark.parametrize(("gpu", "capability", "compute"), GPUS)
def test_a_gpus_type_follows_from_its_capability(
    gpu: str, capability: tuple[int, int], compute: Compute
) -> None:
    """`is_bf16_supported()` says yes for a T4 and a V100, which emulate it."""
    found, why = choose_type_of_gpu(capability)
    assert found == compute
    assert f"{capability[0]}.{capability[1]}" in why


@pytest.mark.parametrize(
    ("capabilities", "kernels", "compute"),
    [
        ({"avx2": True}, "AVX2", "fp32"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "AVX512", "fp32"),
        ({"avx512_bf16": True}, "AVX512", "bf16"),
        ({"amx_bf16": True, "avx512_bf16": True}, "AVX512", "bf16"),
        ({"avx512_bf16": True}, "AVX2", "fp32"),  # PyTorch was told to use the kernels of an older processor
        ({"architecture": "arm64"}, "DEFAULT", "fp32"),
    ],
)
def test_a_processors_type_follows_from_its_instructions(
    capabilities: dict[str, Any], kernels: str, compute: Compute
) -> None:
    assert choose_type_of_processor(capabilities, kernels)[0] == compute


def test_the_decided_type_is_kept_and_a_learners_choice_wins(tmp_path: Path, models_dir: Path) -> None:
    home = LabHome(tmp_path)
    decided = find_machine("auto", home).compute_name
    kept = home.number_type()
    assert kept is not None
    assert (kept.decided, kept.chosen) == (decided, None)

    other: Compute = "fp32" if decided == "bf16" else "bf16"
    home.choose_number_type(other)
    assert find_machine("auto", home).compute_name == other
    assert find_machine("auto", home).description["because"] == "you chose it for this machine"
    assert find_machine(decided, home).compute_name == decided  # a run that names a type has that one

    home.choose_number_type(decided)
    kept = home.number_type()
    assert kept is not None
    assert kept.chosen is None


def test_a_choice_for_another_machine_says_nothing_about_this_one(tmp_path: Path) -> None:
    home = LabHome(tmp_path)
    home.save_number_type(NumberType(device="another", decided="fp32", why="", chosen="fp16"))
    assert find_machine("auto", home).compute_name != "fp16"


def test_before_a_worker_has_looked_a_choice_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="has not looked at this machine yet"):
        LabHome(tmp_path).choose_number_type("fp32")


def test_predictions_and_runs_use_the_same_type_also_after_a_change(tmp_path: Path, models_dir: Path) -> None:
    home, spec = LabHome(tmp_path), RunSpec(model=TINY_MODEL)
    cache = ModelCache(models_dir, home=home)
    machine = cache.lend(spec, silent).machine
    home.write_worker_state(state="ready", device=machine.description)
    assert build_preview(home, spec, "none").compute == machine.compute_name

    other: Compute = "fp32" if machine.compute_name == "bf16" else "bf16"
    home.choose_number_type(other)
    assert build_preview(home, spec, "none").compute == other
    assert cache.lend(spec, silent).machine.compute_name == other


def test_a_damaged_file_is_decided_anew(tmp_path: Path) -> None:
    home = LabHome(tmp_path)
    find_machine("auto", home)
    (path,) = (tmp_path / "lab").glob("number-type.json")
    path.write_text('{"device": 1}', "utf-8")
    assert home.number_type() is None
    find_machine("auto", home)
    assert home.number_type() is not None
