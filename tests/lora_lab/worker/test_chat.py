"""Base and adapters answer the same prompt in turn: greedily as after a run, sampled as the seed says."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.chat import BASE, NEW_TOKENS
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import Bits, RunSpec, Variant
from lora_lab.worker import chat
from lora_lab.worker.chat import ChatModel
from lora_lab.worker.model.quantization import decode_dense_weight
from lora_lab.worker.training.run import execute_group
from study.base.errors import LearnerError
from tests.lora_lab.worker.builders import TINY, linears, never_stop, plain_peft, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SPEC = replace(TINY, steps=12, learning_rate=2e-2)
"""Long and fast enough that the tuned model answers something else."""


@pytest.fixture
def first_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers end after as many tokens as say whose they are; the run's own have eight."""
    monkeypatch.setattr(chat, "NEW_TOKENS", 12)


def trained(folder: Path, models_dir: Path, spec: RunSpec) -> RunFolder:
    run = create_run(folder / "runs", spec, small_dataset(), now=NOW)
    assert execute_group([run], LabHome(folder), models_dir, app_is_gone=never_stop)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> list[RunFolder]:
    """Two ranks on one base."""
    folder = tmp_path_factory.mktemp("chat")
    return [trained(folder, models_dir, replace(SPEC, rank=rank)) for rank in (2, 16)]


def said(**values: Any) -> None:
    """Nobody listens."""


def answer(models_dir: Path, runs: list[RunFolder], prompt: str, **how: Any) -> dict[str, str]:
    """The last round of an answer."""
    model = ChatModel(models_dir)
    names = model.load_models(runs, said)
    *_, last = model.generate_answers(names, prompt, **({"seed": 0, "temperature": 0.0} | how))
    assert list(last) == [BASE, *(run.run_id for run in runs)]
    return last


@pytest.mark.usefixtures("first_words")
def test_greedy_answers_begin_as_the_runs_own_before_and_after(
    models_dir: Path, runs: list[RunFolder]
) -> None:
    sample = runs[0].samples()[0]
    texts = answer(models_dir, runs, sample["prompt"])
    for run in runs:
        assert texts[BASE].startswith(run.samples()[0]["base"])
        assert texts[run.run_id].startswith(run.samples()[0]["tuned"])
    assert len(set(texts.values())) == 3


@pytest.mark.usefixtures("first_words")
@pytest.mark.parametrize(
    ("bits", "variant", "dense_share"),
    [("hqq8", "lora", 0), ("nf4-dq", "dora", 1), ("hqq3", "dora", 1), ("int8", "dora", 0)],
)
def test_hqq_bases_and_dora_adapters_answer_as_after_the_run_in_much_and_in_little_memory(
    tmp_path: Path,
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    bits: Bits,
    variant: Variant,
    dense_share: int,
) -> None:
    monkeypatch.setattr(chat, "DENSE_SHARE", dense_share)
    run = trained(tmp_path, models_dir, replace(SPEC, bits=bits, variant=variant))
    sample = run.samples()[0]
    model = ChatModel(models_dir)
    *_, last = model.generate_answers(
        model.load_models([run], said), sample["prompt"], seed=0, temperature=0.0
    )
    assert last[BASE].startswith(sample["base"])
    assert last[run.run_id].startswith(sample["tuned"])
    assert last[BASE] != last[run.run_id]


@pytest.mark.usefixtures("first_words")
@pytest.mark.parametrize("dense_share", [0, 1])
def test_a_base_of_16_bits_that_is_computed_in_fp32_answers_as_after_the_run(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch, dense_share: int
) -> None:
    """Its weights are widened for each answer, or for each product where the memory is small."""
    monkeypatch.setattr(chat, "DENSE_SHARE", dense_share)
    run = trained(tmp_path, models_dir, replace(SPEC, bits="bf16", compute_dtype="fp32"))
    sample = run.samples()[0]
    texts = answer(models_dir, [run], sample["prompt"])
    assert texts[BASE].startswith(sample["base"])
    assert texts[run.run_id].startswith(sample["tuned"])


@pytest.mark.parametrize("bits", ["hqq3", "nf4-dq", "int8"])
def test_decoded_once_a_model_has_plain_layers_with_the_same_numbers(models_dir: Path, bits: Bits) -> None:
    spec = replace(TINY, bits=bits)
    base = plain_peft(spec, models_dir).unload()
    expected = [decode_dense_weight(layer, torch.float32).clone() for layer in linears(base)]
    chat.decode_once(base, torch.float32)
    decoded = linears(base)
    assert {type(layer) for layer in decoded} == {nn.Linear}
    for layer, weight in zip(decoded, expected, strict=True):
        assert torch.equal(layer.weight, weight)


def test_every_round_adds_to_each_answer_that_has_not_ended(models_dir: Path, runs: list[RunFolder]) -> None:
    model = ChatModel(models_dir)
    rounds = list(
        model.generate_answers(model.load_models(runs[:1], said), "What is 1 + 1?", seed=0, temperature=0.0)
    )
    assert 1 < len(rounds) <= NEW_TOKENS
    assert all(len(after[BASE]) >= len(before[BASE]) for before, after in pairwise(rounds))


@pytest.mark.usefixtures("first_words")
def test_a_seed_decides_a_sampled_answer(models_dir: Path, runs: list[RunFolder]) -> None:
    first, again, other = (
        answer(models_dir, runs[:1], "What is 1 + 1?", seed=seed, temperature=1.0) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_a_loaded_base_is_kept_for_the_next_question(models_dir: Path, runs: list[RunFolder]) -> None:
    model, doings = ChatModel(models_dir), []

    def say(doing: str) -> None:
        doings.append(doing)

    model.load_models(runs[:1], say)
    assert "Loading the model" in doings
    doings.clear()
    model.load_models(runs, say)
    assert doings == ["Loading the adapters"]


def test_the_next_base_gets_its_cache_by_the_name_that_it_knows(models_dir: Path) -> None:
    def newer(input_ids: Any, cache: Any) -> None: ...

    def older(input_ids: Any, past_key_values: Any) -> None: ...

    model: Any = ChatModel(models_dir)
    for forward, name in ((newer, "cache"), (older, "past_key_values")):
        model._loaded = SimpleNamespace(base=SimpleNamespace(forward=forward))
        assert model._cache_name == name


def test_runs_of_two_bases_and_damaged_adapters_are_refused(
    tmp_path: Path, models_dir: Path, runs: list[RunFolder]
) -> None:
    other = trained(tmp_path, models_dir, replace(SPEC, bits="fp32", steps=1))
    with pytest.raises(LearnerError, match="different base models"):
        ChatModel(models_dir).load_models([runs[0], other], said)
    (other.adapter_path / "adapter_model.safetensors").write_bytes(b"no adapter")
    model = ChatModel(models_dir)
    for _ in range(2):  # asked again, it would answer as the base
        with pytest.raises(LearnerError, match="can't be read"):
            model.load_models([other], said)


def test_a_run_that_was_deleted_meanwhile_is_said(tmp_path: Path) -> None:
    gone = RunFolder(tmp_path / "gone")
    with pytest.raises(LearnerError, match=r"deleted meanwhile\. Ask again without that run\."):
        ChatModel(tmp_path).load_models([gone], said)
