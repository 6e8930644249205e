"""One run in this process that ends well: what it announces, trains on, and repeats."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lora_lab.data.lab_folder import LabHome
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.worker.device.machine import Machine, find_machine
from lora_lab.worker.training import group, work
from lora_lab.worker.training.loaded_model import open_model
from lora_lab.worker.training.loop import compute_learning_rate, train_adapter
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.worker.builders import TINY, never_stop, silent, small_dataset
from tests.lora_lab.worker.training.single_run import NOW, RunIt, do_run, kinds, losses, state_of


@pytest.fixture(scope="module")
def usual_run(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> RunFolder:
    """The usual settings, trained once for all tests that look at what such a run leaves."""
    return do_run(tmp_path_factory.mktemp("usual"), models_dir, TINY)


def test_a_run_announces_itself_then_trains_saves_evaluates_and_answers(usual_run: RunFolder) -> None:
    run = usual_run
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


def test_what_a_run_does_is_said_in_words_that_stand_alone(usual_run: RunFolder) -> None:
    """A cell of a grid shows the last one only."""
    said = [event["text"] for event in usual_run.events() if event["kind"] == "status"]
    asking = [text for text in said if text.startswith("Asking")]
    assert asking == ["Asking both models about held-out prompts"]


def graph_runs(run_it: RunIt, spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many runs took PyTorch's graph for this one; it must finish either way."""
    taken: list[RunSpec] = []

    def watched(model: Any, examples: Any, spec: RunSpec, machine: Machine, **options: Any) -> Any:
        taken.append(spec)
        return train_adapter(model, examples, spec, machine, **options)

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


def test_before_and_after_answer_the_same_held_out_prompts(usual_run: RunFolder) -> None:
    samples = usual_run.samples()
    held_out = {example.prompt: example.answer for example in small_dataset().held_out}
    assert {sample["prompt"]: sample["reference"] for sample in samples} == held_out
    assert all(set(sample) == {"prompt", "reference", "base", "tuned"} for sample in samples)


def test_held_out_examples_are_never_trained_on(usual_run: RunFolder) -> None:
    run = usual_run
    train, held_out = (
        {json.loads(line)["prompt"] for line in (run.path / f"data-{part}.jsonl").read_text().splitlines()}
        for part in ("train", "held_out")
    )
    assert not train & held_out
    started = state_of(run).started
    assert started is not None
    assert started["train_examples"] == len(train) == len(small_dataset().train)


def test_equal_seeds_give_equal_losses_to_the_last_bit_and_other_seeds_others(
    run_it: RunIt, usual_run: RunFolder
) -> None:
    again, other = (losses(run_it(replace(TINY, seed=seed))) for seed in (TINY.seed, TINY.seed + 1))
    assert losses(usual_run) == again
    assert losses(usual_run) != other


def test_the_learning_rate_rises_for_a_tenth_of_the_steps_and_falls_to_the_last() -> None:
    rates = [compute_learning_rate(step, steps=40, peak=1.0) for step in range(1, 41)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[-1] > 0
    assert compute_learning_rate(1, steps=1, peak=1.0) == 1.0


def test_a_warm_session_gives_the_losses_of_a_cold_one(
    tmp_path: Path, models_dir: Path, usual_run: RunFolder
) -> None:
    in_fp32 = find_machine("fp32")
    loaded = open_model(TINY_MODEL, TINY.bits, in_fp32, models_dir=models_dir, report=silent)
    assert loaded.fits(TINY, in_fp32)
    assert not loaded.fits(replace(TINY, bits="int8"), in_fp32)
    assert not loaded.fits(TINY, find_machine("bf16"))
    run = create_run(tmp_path / "warm", TINY, small_dataset(), now=NOW)
    cache = ModelCache(models_dir, loaded)
    execute_group([run], LabHome(tmp_path), models_dir, cache=cache, app_is_gone=never_stop)
    assert losses(run) == losses(usual_run)


def test_a_local_folder_trains_like_the_model_in_it(
    run_it: RunIt, usual_run: RunFolder, models_dir: Path
) -> None:
    run = run_it(replace(TINY, model=str(models_dir / TINY_MODEL)))
    assert state_of(run).status == "finished"
    assert losses(run) == losses(usual_run)
