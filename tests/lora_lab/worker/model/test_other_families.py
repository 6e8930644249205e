"""Models of other families from a folder: they train, keep examples apart, or are refused in words."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.memory.ledger import MODELLED_TYPES
from lora_lab.runs.folder import list_runs
from lora_lab.spec import Bits
from lora_lab.worker import standalone
from lora_lab.worker.training.loaded_model import (
    attach_adapter,
    open_model,
    refuse_if_rows_mix,
    switch_dropout_off,
)
from lora_lab.worker.training.loop import answer_loss
from lora_lab.worker.training.packing import Encoded, pack_examples
from study.base.errors import LearnerError
from tests.lora_lab.families import FAMILIES, shape_of
from tests.lora_lab.worker.builders import (
    CPU,
    TINY,
    gradient,
    machine,
)
from tests.lora_lab.worker.model.family_folders import folder_of, run_in

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "pad_token_id": 0,
}
MODELLED = {name: FAMILIES.get(name, FAMILIES["mistral"]) for name in sorted(MODELLED_TYPES)}


@pytest.mark.parametrize(("bits", "compute"), [("nf4", "fp32"), ("int8", "bf16"), ("bf16", "fp32")])
@pytest.mark.parametrize("family", MODELLED)
def test_other_modelled_families_train_and_their_peak_is_as_predicted(
    family: str, bits: Bits, compute: Any, tmp_path: Path, models_dir: Path
) -> None:
    folder = folder_of(family, MODELLED[family], tmp_path / family)
    spec = replace(TINY, model=str(folder), bits=bits, compute_dtype=compute, seed=3)
    state = run_in(tmp_path, spec, models_dir)
    assert state.status == "finished", state.failure
    assert state.started is not None
    assert state.loss_before is not None
    assert state.loss_after is not None
    assert state.loss_after < state.loss_before
    assert state.peak_bytes == pytest.approx(state.started["predicted_bytes"], rel=0.001)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "compute", "batch"),
    [(2, 2, "bf16", 4), (2, 2, "fp32", 2), (4, 4, "bf16", 2), (8, 2, "fp32", 4), (8, 2, "bf16", 2)],
)
def test_the_peak_is_predicted_to_the_byte_whatever_part_of_attention_decides_it(
    heads: int, kv_heads: int, compute: Any, batch: int, tmp_path: Path, models_dir: Path
) -> None:
    config = MODELLED["llama"] | {"num_attention_heads": heads, "num_key_value_heads": kv_heads}
    folder = folder_of("llama", config, tmp_path / "llama")
    spec = replace(TINY, model=str(folder), bits="bf16", compute_dtype=compute, batch=batch, seed=3)
    state = run_in(tmp_path, spec, models_dir)
    assert state.status == "finished", state.failure
    assert state.started is not None
    assert state.peak_bytes == state.started["predicted_bytes"]


@pytest.mark.parametrize("family", ["qwen2", "phi3", "gpt2", "falcon"])
def test_a_family_that_keeps_packed_examples_apart_is_trained(family: str) -> None:
    refuse_if_rows_mix(with_large_weights(family, FAMILIES[family]), machine("fp32"))


@pytest.mark.parametrize("switch_off", [switch_dropout_off, standalone.switch_dropout_off])
@pytest.mark.parametrize(
    ("family", "dropouts"),
    [
        ("gpt2", {}),  # 0.1 unless a configuration says otherwise
        ("opt", {"dropout": 0.1, "attention_dropout": 0.1, "layerdrop": 0.5}),
        ("falcon", {"hidden_dropout": 0.1, "attention_dropout": 0.1}),
    ],
)
def test_a_base_model_is_trained_without_its_dropout(
    family: str, dropouts: dict[str, float], switch_off: Callable[[Any], None]
) -> None:
    model = with_large_weights(family, FAMILIES[family] | dropouts).train()
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
        switch_off(model)
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)


@pytest.mark.parametrize(("positions", "status"), [(32, "failed"), (64, "finished")])
def test_a_model_with_a_table_of_positions_is_not_taken_past_its_end(
    positions: int, status: str, tmp_path: Path
) -> None:
    """By its examples it is refused; a held-out prompt without room for an answer is not asked."""
    folder = folder_of("gpt2", FAMILIES["gpt2"], tmp_path / "gpt2", n_positions=positions)
    state = run_in(tmp_path, replace(TINY, model=str(folder), steps=1), tmp_path)
    assert state.status == status
    if state.failure:
        assert "and the model has only 32 positions." in state.failure["what"]
        assert state.failure["do_next"] == "Set the sequence length to at most 32 tokens."
    assert run_samples(tmp_path) == []


def run_samples(folder: Path) -> list[dict[str, str]]:
    (run,) = list_runs(folder / "runs")
    return run.samples()


def test_checkpointing_leaves_the_gradients_of_a_model_with_dropout_as_they_are(tmp_path: Path) -> None:
    folder = folder_of("gpt2", FAMILIES["gpt2"], tmp_path / "gpt2", n_positions=256)
    spec, shape = replace(TINY, model=str(folder)), shape_of("gpt2")
    found = []
    for checkpointing in (False, True):
        loaded = open_model(spec.model, spec.bits, machine("fp32"), models_dir=tmp_path)
        model = attach_adapter(loaded, replace(spec, checkpointing=checkpointing), shape).model.train()
        row = pack_examples([Encoded(ids=tuple(range(3, 23)), answer_tokens=9)], CPU)
        found.append(gradient(model, partial(answer_loss, model, row, nullcontext())))
    assert torch.equal(*found)


@pytest.mark.parametrize("family", ["gemma", "gemma3_text", "phi"])
def test_the_families_that_a_refusal_names_keep_examples_apart(family: str) -> None:
    refuse_if_rows_mix(with_large_weights(family, FAMILIES.get(family, SMALL)), machine("fp32"))


def test_a_model_in_which_a_little_leaks_between_examples_is_refused_in_fp32() -> None:
    """One per cent of the row's mean in every token: far below the limit that bf16 needs."""
    model = with_large_weights("mistral", FAMILIES["mistral"])

    def leak(module: object, inputs: object, output: torch.Tensor) -> torch.Tensor:
        return output + 0.01 * output.mean(1, keepdim=True)

    model.get_input_embeddings().register_forward_hook(leak)
    with pytest.raises(LearnerError, match="can't keep packed examples apart"):
        refuse_if_rows_mix(model, machine("fp32"))


def test_a_family_that_lets_packed_examples_see_each_other_is_refused() -> None:
    """MPT builds its mask without looking at positions."""
    config = {"d_model": 32, "n_layers": 2, "n_heads": 4, "vocab_size": 64}
    with pytest.raises(LearnerError, match="Models of type mpt can't keep packed examples apart"):
        refuse_if_rows_mix(with_large_weights("mpt", config), machine("fp32"))


def with_large_weights(family: str, config: dict[str, Any]) -> Any:
    """Large enough for attention to matter, as in a trained model."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **config))
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    return model
