"""The whole way on real tiny runs: ways to store the base, variants, two runs, and runs that went wrong."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import Bits, RunSpec
from lora_lab.worker.inspect.serve import INSPECTIONS
from lora_lab.worker.merge import load_dequantized
from lora_lab.worker.training.run import execute_group
from lora_lab.xray.result import RunOverlap, Xray, read_pair, read_xray
from study.base.errors import LearnerError
from tests.lora_lab.worker.builders import TINY, never_stop, silent, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
MATRICES = 14  # two layers of seven


class Said:
    """What an inspection reported."""

    def __init__(self) -> None:
        self.places: list[tuple[int, int]] = []

    def __call__(
        self, doing: str = "", *, done: int = 0, total: int = 0, found: Mapping[str, Any] | None = None
    ) -> None:
        assert doing
        assert found is None
        self.places.append((done, total))


def trained(tmp_path: Path, models_dir: Path, **changed: Any) -> RunFolder:
    spec = replace(TINY, **({"steps": 3, "rank": 4, "learning_rate": 0.02} | changed))
    run = create_run(tmp_path / "runs", spec, small_dataset(), now=NOW)
    assert execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    return run


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> RunFolder:
    """One run that all tests may look at; who changes it takes `a_copy`."""
    return trained(tmp_path_factory.mktemp("usual"), models_dir)


@pytest.fixture
def a_copy(usual: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(usual.path, tmp_path / usual.run_id)))


def looked_into(run: RunFolder, models_dir: Path, said: Said | None = None) -> Xray:
    order = {"run": str(run.path)}
    return read_xray(INSPECTIONS["adapter"](order, models_dir, LabHome(run.path), said or Said()))


def compared(one: RunFolder, other: RunFolder, models_dir: Path) -> RunOverlap:
    order = {"run": str(one.path), "beside": str(other.path)}
    return read_pair(INSPECTIONS["adapter"](order, models_dir, LabHome(one.path), Said()))


def merged_changes(run: RunFolder, models_dir: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """W and what merging adds to it, by PEFT itself."""
    spec = run.spec
    base = load_dequantized(spec.model, spec.bits, models_dir, silent)
    before = {name: value.clone() for name, value in base.named_parameters()}
    merged: Any = PeftModel.from_pretrained(base, str(run.adapter_path)).merge_and_unload()
    return {
        name.removesuffix(".weight"): (before[name], (value - before[name]).detach())
        for name, value in merged.named_parameters()
        if "proj" in name
    }


def test_every_number_is_that_of_the_dense_update(usual: RunFolder, models_dir: Path) -> None:
    assert_dense(usual, models_dir)


@pytest.mark.parametrize("bits", ["int8", "hqq4"])
def test_the_weight_is_the_one_that_the_runs_bits_keep(bits: Bits, tmp_path: Path, models_dir: Path) -> None:
    assert_dense(trained(tmp_path, models_dir, bits=bits), models_dir)


def assert_dense(run: RunFolder, models_dir: Path) -> None:
    """Against PEFT's merge and PyTorch's decomposition of what it adds."""
    said = Said()
    found = looked_into(run, models_dir, said)
    assert said.places[-1] == (MATRICES - 1, MATRICES)
    assert [module.kind for module in found.modules[:4]] == [
        f"self_attn.{name}_proj" for name in ("q", "k", "v", "o")
    ]
    changes = merged_changes(run, models_dir)
    assert len(found.modules) == len(changes) == MATRICES
    for module in found.modules:
        weight, change = changes[module.name]
        u, values, vh = torch.linalg.svd(change.double())
        assert module.values == pytest.approx(values[:4].tolist(), rel=1e-3, abs=1e-5)
        assert module.weight_norm == pytest.approx(float(weight.norm()), rel=1e-4)
        assert module.seen is not None
        through = u[:, :4].T @ weight.double() @ vh[:4].T
        assert module.seen.update == pytest.approx(float(through.norm()), rel=2e-2, abs=1e-4)
        own = torch.linalg.svdvals(weight.double())[:4].norm()
        assert module.seen.own == pytest.approx(float(own), rel=1e-3)


def test_an_update_of_rslora_has_its_scale(tmp_path: Path, models_dir: Path) -> None:
    run = trained(tmp_path, models_dir, variant="rslora")
    changes = merged_changes(run, models_dir)
    for module in looked_into(run, models_dir).modules:
        assert module.norm == pytest.approx(float(changes[module.name][1].norm()), rel=1e-3)


def test_doras_whole_change_is_measured_beside_its_low_rank_part(tmp_path: Path, models_dir: Path) -> None:
    run = trained(tmp_path, models_dir, variant="dora")
    changes = merged_changes(run, models_dir)
    for module in looked_into(run, models_dir).modules:
        assert module.whole is not None
        assert module.whole.norm == pytest.approx(float(changes[module.name][1].norm()), rel=1e-3)
        assert module.whole.norm != pytest.approx(module.norm, rel=1e-6)
        assert module.whole.used >= module.used


def test_two_runs_overlap_as_the_definition_says_and_one_with_itself_wholly(
    usual: RunFolder, tmp_path: Path, models_dir: Path
) -> None:
    one, other = trained(tmp_path, models_dir, rank=2, seed=1), usual
    pair, itself = compared(one, other, models_dir), compared(one, one, models_dir)
    factors = [load_file(run.adapter_path / "adapter_model.safetensors") for run in (one, other)]
    name = "model.layers.1.mlp.down_proj"
    a, b = (found[f"base_model.model.{name}.lora_A.weight"].double() for found in factors)
    rows = [torch.linalg.svd(matrix, full_matrices=False)[2] for matrix in (a, b)]
    overlap = pair.find(name, "A")
    assert overlap is not None
    assert overlap.ends == (2, 4)
    expected = float(torch.linalg.norm(rows[0][:1] @ rows[1][:3].T) ** 2)
    assert overlap.at(1, 3) == pytest.approx(expected, abs=1e-5)
    assert all(found.at(2, 2) == pytest.approx(1) for found in itself.overlaps.values())
    assert pair.only_one == ()


def test_matrices_that_one_run_does_not_adapt_are_named(
    usual: RunFolder, a_copy: RunFolder, models_dir: Path
) -> None:
    file = a_copy.adapter_path / "adapter_model.safetensors"
    save_file({name: value for name, value in load_file(file).items() if re.search("[qv]_proj", name)}, file)
    pair = compared(usual, a_copy, models_dir)
    assert len(pair.only_one) == MATRICES - 4
    assert pair.find("model.layers.0.mlp.down_proj", "A") is None


def test_a_run_that_learnt_nothing_has_updates_of_zero(a_copy: RunFolder, models_dir: Path) -> None:
    run = a_copy
    edit(run, lambda name, value: torch.zeros_like(value) if "lora_B" in name else value)
    found = looked_into(run, models_dir)
    assert found.moved == ()
    assert all(module.is_zero and module.seen is None for module in found.modules)
    overlap = compared(run, run, models_dir).find(found.modules[0].name, "outputs")
    assert overlap is not None
    assert overlap.ends is None


def edit(run: RunFolder, changed: Any) -> None:
    file = run.adapter_path / "adapter_model.safetensors"
    kept = {name: changed(name, value.clone()) for name, value in load_file(file).items()}
    save_file(kept, file)


def test_a_diverged_damaged_or_missing_adapter_is_told_in_a_sentence(
    a_copy: RunFolder, tmp_path: Path, models_dir: Path
) -> None:
    run = a_copy
    edit(run, lambda name, value: value / 0)
    with pytest.raises(LearnerError, match="the run diverged"):
        looked_into(run, models_dir)
    edit(run, lambda name, value: torch.ones(3, 3))
    with pytest.raises(LearnerError, match=r"for a weight of 3 x 3, and the base model has \d+ x \d+ there"):
        looked_into(run, models_dir)
    empty = create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW)
    with pytest.raises(LearnerError, match="saved no adapter"):
        looked_into(empty, models_dir)


def test_an_adapter_of_modules_that_the_base_has_not_is_told(a_copy: RunFolder, models_dir: Path) -> None:
    file = a_copy.adapter_path / "adapter_model.safetensors"
    save_file({name.replace("q_proj", "query"): value for name, value in load_file(file).items()}, file)
    with pytest.raises(LearnerError, match=r"The base model has no model.layers.0.self_attn.query"):
        looked_into(a_copy, models_dir)


def test_runs_of_different_models_are_not_compared(tmp_path: Path, models_dir: Path) -> None:
    one = create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW)
    other = create_run(tmp_path / "runs", RunSpec(), small_dataset(), now=NOW)
    with pytest.raises(LearnerError, match="adapt different models"):
        compared(one, other, models_dir)
