"""One run in this process: every ending, and an adapter that plain PEFT loads."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lora_lab.data.datasets import Dataset, Example, split_examples
from lora_lab.data.embedded_model import model_folder
from lora_lab.data.lab_folder import LabHome
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import BITS, EMBEDDED_MODEL, HQQ_BITS, TINY_MODEL, VARIANTS, Bits, RunSpec, Variant
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.model.hqq_layers import quantize_linears
from lora_lab.worker.model.load import load_tokenizer
from lora_lab.worker.model.quantization import keep_trainable_layout, quantization_config
from lora_lab.worker.training import group, work
from lora_lab.worker.training.loop import learning_rate_at, train_adapter
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.packing import encode_example
from lora_lab.worker.training.run import execute_run
from lora_lab.worker.training.session import open_session
from tests.lora_lab.worker.builders import (
    CPU,
    TINY,
    full_disk,
    never_stop,
    padded_loss,
    silent,
    small_dataset,
)

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
ADAPTER = "adapter_model.safetensors"
NO_SUCH_STEP = 1e30
"""A learning rate after which no second loss is a number."""

RunIt = Callable[..., RunFolder]


@pytest.fixture
def run_it(tmp_path: Path, models_dir: Path) -> RunIt:
    """Do one run in this process, in a data folder of the test's own."""

    def do(
        spec: RunSpec, dataset: Dataset | None = None, prepare: Callable[[RunFolder], object] = silent
    ) -> RunFolder:
        run = create_run(tmp_path / "runs", spec, dataset or small_dataset(), now=NOW)
        prepare(run)
        execute_run(run, LabHome(tmp_path), models_dir, app_is_gone=never_stop)
        return run

    return do


def state_of(run: RunFolder) -> RunState:
    return fold_events(run.events())


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events() if event["kind"] != "status"]


# ---- a run that ends well


def test_a_run_announces_itself_then_trains_saves_evaluates_and_answers(run_it: RunIt) -> None:
    run = run_it(TINY)
    assert kinds(run) == ["started", "step", "step", "step", "saved", "evaluated", "finished"]
    state = state_of(run)
    assert state.started is not None
    expected = count_parameters(find_shape(TINY_MODEL), rank=TINY.rank, targets=TINY.targets)
    assert (state.started["trainable"], state.started["total"]) == (expected.trainable, expected.total)
    assert set(state.started["versions"]) == {
        "torch",
        "transformers",
        "peft",
        "bitsandbytes",
        "hqq",
    }
    assert state.loss_before is not None
    assert state.loss_after is not None
    assert state.loss_after < state.loss_before


def graph_runs(run_it: RunIt, spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many runs took PyTorch's graph for this one; it must finish either way."""
    taken: list[RunSpec] = []

    def watched(model: Any, examples: Any, spec: RunSpec, **options: Any) -> Any:
        taken.append(spec)
        return train_adapter(model, examples, spec, **options)

    monkeypatch.setattr(work, "train_adapter", watched)
    assert state_of(run_it(spec)).status == "finished"
    return len(taken)


@pytest.mark.parametrize(
    ("changes", "graph"),
    [({}, 0), ({"checkpointing": True}, 0), ({"variant": "dora"}, 1), ({"optimizer": "adamw8bit"}, 1)],
    ids=str,
)
def test_only_what_the_written_layer_lacks_takes_pytorchs_graph(
    changes: dict[str, Any], graph: int, run_it: RunIt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert graph_runs(run_it, replace(TINY, **changes), monkeypatch) == graph


def test_a_model_whose_layer_is_another_takes_pytorchs_graph(
    run_it: RunIt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the trial on one row had given another loss."""
    monkeypatch.setattr(group, "TRIAL_TOLERANCE", -1.0)
    assert graph_runs(run_it, TINY, monkeypatch) == 1


@pytest.mark.parametrize("targets", ["q_proj,down_proj", r".*layers\.1\..*(v|o)_proj"])
def test_typed_targets_train_what_they_name(run_it: RunIt, targets: str) -> None:
    started = state_of(run_it(replace(TINY, targets=targets))).started
    assert started is not None
    expected = count_parameters(find_shape(TINY_MODEL), rank=TINY.rank, targets=targets)
    assert (started["trainable"], started["total"]) == (expected.trainable, expected.total)


def test_before_and_after_answer_the_same_held_out_prompts(run_it: RunIt) -> None:
    samples = run_it(TINY).samples()
    held_out = {example.prompt: example.answer for example in small_dataset().held_out}
    assert {sample["prompt"]: sample["reference"] for sample in samples} == held_out
    assert all(set(sample) == {"prompt", "reference", "base", "tuned"} for sample in samples)


def test_held_out_examples_are_never_trained_on(run_it: RunIt) -> None:
    run = run_it(TINY)
    train, held_out = (
        {json.loads(line)["prompt"] for line in (run.path / f"data-{part}.jsonl").read_text().splitlines()}
        for part in ("train", "held_out")
    )
    assert not train & held_out
    started = state_of(run).started
    assert started is not None
    assert started["train_examples"] == len(train) == len(small_dataset().train)


def test_equal_seeds_give_equal_losses_to_the_last_bit_and_other_seeds_others(run_it: RunIt) -> None:
    first, second, other = (losses(run_it(replace(TINY, seed=seed))) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def losses(run: RunFolder) -> list[float]:
    return [step["loss"] for step in state_of(run).steps]


def test_the_learning_rate_rises_for_a_tenth_of_the_steps_and_falls_to_the_last() -> None:
    rates = [learning_rate_at(step, steps=40, peak=1.0) for step in range(1, 41)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] > 0
    assert learning_rate_at(1, steps=1, peak=1.0) == 1.0


# ---- the adapter


@pytest.mark.parametrize("bits", BITS)
def test_plain_peft_loads_the_adapter_and_gets_the_same_held_out_loss(
    bits: Bits, run_it: RunIt, models_dir: Path
) -> None:
    run = run_it(replace(TINY, bits=bits, steps=2))
    assert state_of(run).status == "finished"
    assert sorted(path.name for path in run.adapter_path.iterdir()) == [
        "README.md",
        "adapter_config.json",
        ADAPTER,
    ]
    check_reloaded(run, models_dir / TINY_MODEL, models_dir)


@pytest.mark.parametrize("bits", ["bf16", "nf4-dq", "hqq4"])
@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_plain_peft_loads_every_variants_adapter(
    variant: Variant, bits: Bits, run_it: RunIt, models_dir: Path
) -> None:
    """Trained with 8-bit moments and checkpointing, as those change nothing of what is saved."""
    spec = replace(TINY, bits=bits, variant=variant, steps=2, optimizer="adamw8bit", checkpointing=True)
    run = run_it(spec)
    state = state_of(run)
    assert state.status == "finished"
    assert state.started is not None
    expected = count_parameters(find_shape(TINY_MODEL), rank=spec.rank, targets=spec.targets, variant=variant)
    assert (state.started["trainable"], state.started["total"]) == (expected.trainable, expected.total)
    check_reloaded(run, models_dir / TINY_MODEL, models_dir)


def check_reloaded(run: RunFolder, base_folder: Path, models_dir: Path) -> None:
    """With nothing of the lab's but its data: base model and adapter as anybody would load them."""
    spec, state = run.spec, state_of(run)
    config = quantization_config(spec.bits, torch.float32)
    options = {} if config is None else {"quantization_config": config}
    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32, **options)
    keep_trainable_layout(base)
    if spec.bits in HQQ_BITS:
        quantize_linears(base, spec.bits, CPU)
    model = PeftModel.from_pretrained(base, run.adapter_path).eval()
    tokenizer = load_tokenizer(spec.model, models_dir, silent)
    held_out = [encode_example(tokenizer, example) for example in small_dataset().held_out]

    with torch.no_grad():
        after = padded_loss(model, held_out).item()
        with model.disable_adapter():
            before = padded_loss(model, held_out).item()

    # bitsandbytes' own 8-bit product rounds activations to 8 bits as well; the lab's is weight-only.
    tolerance = 0.02 if spec.bits == "int8" else 1e-4
    assert before == pytest.approx(state.loss_before, abs=tolerance)
    assert after == pytest.approx(state.loss_after, abs=tolerance)
    assert after < before - 2 * tolerance


@pytest.mark.embedded
def test_the_embedded_model_trains_on_nf4_and_plain_peft_loads_its_adapter(
    tmp_path: Path, embedded_dir: Path
) -> None:
    spec = RunSpec(model=EMBEDDED_MODEL, bits="nf4-dq", steps=2, compute_dtype="fp32")
    run = create_run(tmp_path / "runs", spec, small_dataset(), now=NOW)
    execute_run(run, LabHome(tmp_path), embedded_dir, app_is_gone=never_stop)
    state = state_of(run)
    assert state.status == "finished"
    assert state.started is not None
    assert (state.started["trainable"], state.started["total"]) == (2_442_240, 136_957_248)
    assert all(sample["tuned"] for sample in run.samples())
    check_reloaded(run, model_folder(embedded_dir), embedded_dir)


def test_a_warm_session_gives_the_losses_of_a_cold_one(
    tmp_path: Path, models_dir: Path, run_it: RunIt
) -> None:
    in_fp32 = find_machine("fp32")
    session = open_session(TINY_MODEL, TINY.bits, in_fp32, models_dir=models_dir, report=silent)
    assert session.fits(TINY, in_fp32)
    assert not session.fits(replace(TINY, bits="int8"), in_fp32)
    assert not session.fits(TINY, find_machine("bf16"))
    run = create_run(tmp_path / "warm", TINY, small_dataset(), now=NOW)
    cache = ModelCache(models_dir, session)
    execute_run(run, LabHome(tmp_path), models_dir, cache=cache, app_is_gone=never_stop)
    assert losses(run) == losses(run_it(TINY))


# ---- runs that fail, in words


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


def test_a_local_folder_trains_like_the_model_in_it(run_it: RunIt, models_dir: Path) -> None:
    run = run_it(replace(TINY, model=str(models_dir / TINY_MODEL)))
    assert state_of(run).status == "finished"
    assert losses(run) == losses(run_it(TINY))


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
