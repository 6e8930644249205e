"""Runs that fail, in words: losses that are no numbers, folders that hold no model, a full disk."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lora_lab.data.datasets import Dataset, Example, split_examples
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import TINY_MODEL, Bits, Variant
from tests.lora_lab.worker.builders import TINY, full_disk
from tests.lora_lab.worker.training.single_run import ADAPTER, RunIt, kinds, state_of

NO_SUCH_STEP = 1e30
"""A learning rate after which no second loss is a number."""


def failure_of(run: RunFolder) -> dict[str, Any]:
    state = state_of(run)
    assert state.status == "failed"
    assert state.failure is not None
    return state.failure


@pytest.mark.parametrize("bits", ["fp32", "bf16", "nf4"])
def test_a_loss_that_stops_being_a_number_keeps_the_adapter_of_the_step_before(
    bits: Bits, run_it: RunIt
) -> None:
    run = run_it(replace(TINY, bits=bits, learning_rate=NO_SUCH_STEP, steps=5))
    failure = failure_of(run)
    done = state_of(run).steps
    assert failure["cause"] == "non-finite"
    assert failure["what"].startswith(f"The loss stopped being a number at step {len(done) + 1}.")
    assert f"The adapter of step {len(done)} is saved." in failure["what"]
    assert "Lower the learning rate: 1e+30 is probably too high here" in failure["do_next"]
    assert done
    assert all(math.isfinite(step["loss"]) for step in done)
    saved = load_file(run.adapter_path / ADAPTER)
    assert saved
    assert all(tensor.isfinite().all() for tensor in saved.values())
    assert state_of(run).saved_step == len(done)


@pytest.mark.parametrize("variant", ["lora", "dora"])
def test_a_loss_that_stops_being_a_number_on_a_full_disk_is_said_without_a_saved_adapter(
    variant: Variant, run_it: RunIt
) -> None:
    """Through the written-out layer, and with PyTorch's graph."""
    spec = replace(TINY, variant=variant, rank=64, learning_rate=NO_SUCH_STEP, steps=5)
    with full_disk(largest_file_bytes=100_000):
        run = run_it(spec)
    failure = failure_of(run)
    assert failure["cause"] == "non-finite"
    assert failure["what"].endswith("No adapter had been saved yet; your settings are kept.")
    assert not run.adapter_path.exists()


def test_a_model_folder_that_is_not_there_is_named(run_it: RunIt, tmp_path: Path) -> None:
    folder = str(tmp_path / "nowhere")
    failure = failure_of(run_it(replace(TINY, model=folder)))
    assert failure["cause"] == "settings"
    assert failure["what"] == f"There is no folder {folder}."
    assert failure["do_next"] == "Check the path."


def test_a_folder_with_only_pickled_weights_is_refused(
    run_it: RunIt, tmp_path: Path, models_dir: Path
) -> None:
    folder = tmp_path / "pickled"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    (folder / "config.json").write_text((models_dir / TINY_MODEL / "config.json").read_text("utf-8"), "utf-8")
    failure = failure_of(run_it(replace(TINY, model=str(folder))))
    assert failure["cause"] == "settings"
    assert failure["what"].endswith("pickled holds no .safetensors or .gguf file.")
    assert "pickled .bin files are not opened" in failure["do_next"]


def test_a_folder_with_damaged_weights_is_refused(run_it: RunIt, tmp_path: Path, models_dir: Path) -> None:
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "config.json").write_text((models_dir / TINY_MODEL / "config.json").read_text("utf-8"), "utf-8")
    (folder / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00not json")
    failure = failure_of(run_it(replace(TINY, model=str(folder))))
    assert failure["cause"] == "settings"
    assert "could not be loaded" in failure["what"]


def test_a_folder_without_a_tokenizer_is_refused(run_it: RunIt, tmp_path: Path, models_dir: Path) -> None:
    folder = tmp_path / "mute"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(models_dir / TINY_MODEL / name)
    failure = failure_of(run_it(replace(TINY, model=str(folder))))
    assert failure["cause"] == "settings"
    assert "could not be loaded" in failure["what"]
    assert failure["do_next"] == "Check the name and the network, or choose the embedded model."


@pytest.mark.parametrize("variant", ["lora", "dora"])
@pytest.mark.parametrize(("shorter", "part"), [(16, "example"), (44, "held-out example")])
def test_a_length_that_leaves_no_answer_is_refused_before_training(
    shorter: int, part: str, variant: Variant, run_it: RunIt
) -> None:
    """Also when it is only the held-out examples that are too long."""
    run = run_it(replace(TINY, seq_len_tokens=shorter, variant=variant), dataset=long_held_out())
    failure = failure_of(run)
    assert failure["cause"] == "settings"
    assert failure["what"] == f"At {shorter} tokens no {part} keeps any of its answer."
    assert failure["do_next"].startswith("Set the sequence length to at least")
    assert kinds(run) == ["failed"]


def long_held_out() -> Dataset:
    """Short prompts to train on, long ones kept back."""
    short = split_examples([Example(prompt=f"Say {n}.", answer=str(n)) for n in range(9)], label="numbers")
    wordy = Example(prompt="Say a number that is as large as you can think of.", answer="Ten.")
    return replace(short, held_out=(wordy,))


def test_an_adapter_that_cannot_be_written_is_a_failure_of_the_disk(run_it: RunIt) -> None:
    def block(run: RunFolder) -> None:
        run.adapter_path.write_text("in the way", "utf-8")

    failure = failure_of(run_it(TINY, prepare=block))
    assert failure["cause"] == "disk"
    assert "your settings are kept" in failure["do_next"]


def test_a_disk_that_is_full_while_saving_is_said_and_the_last_whole_adapter_stays(
    run_it: RunIt,
) -> None:
    kept = b"of an earlier save"

    def saved_before(run: RunFolder) -> None:
        run.adapter_path.mkdir()
        (run.adapter_path / ADAPTER).write_bytes(kept)

    with full_disk(largest_file_bytes=100_000):
        run = run_it(replace(TINY, rank=64), prepare=saved_before)
    failure = failure_of(run)
    assert failure["cause"] == "disk"
    assert "File too large" in failure["what"]
    assert failure["do_next"].startswith("Free some disk space")
    assert [step["step"] for step in state_of(run).steps] == [1, 2, 3]
    assert (run.adapter_path / ADAPTER).read_bytes() == kept
    assert not (run.path / "adapter.partial").exists()


def test_a_hub_id_that_does_not_answer_says_what_to_check(
    run_it: RunIt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    failure = failure_of(run_it(replace(TINY, model="nobody/there-is-no-such-model")))
    assert failure["cause"] == "settings"
    assert "nobody/there-is-no-such-model" in failure["what"]
    assert "Check the name and the network" in failure["do_next"]
