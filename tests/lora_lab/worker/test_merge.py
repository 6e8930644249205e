"""A merged model answers as the adapter on its base does, and is opened by transformers alone."""

import io
import os
import shutil
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder, create_run, delete_run
from lora_lab.runs.merged_model import Merged
from lora_lab.spec import BITS, HQQ_BITS, TINY_MODEL, Bits, Variant
from lora_lab.worker import merge
from lora_lab.worker.merge import _with_adapter, load_base, load_dequantized, merge_run
from lora_lab.worker.model.hqq_layers import quantize_linears
from lora_lab.worker.model.load import load_model
from lora_lab.worker.model.quantization import (
    build_quantization_config,
    decode_dense_weight,
    keep_trainable_layout,
    list_linears,
)
from lora_lab.worker.training.run import execute_group
from tests.lora_lab import run_builders
from tests.lora_lab.worker.builders import CPU, TINY, full_disk, never_stop, silent, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TINY_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "vocab_size": 64}
IDS = torch.arange(24)[None] % 250


def trained(tmp_path: Path, models_dir: Path, bits: Bits, variant: Variant = "lora") -> RunFolder:
    spec = replace(TINY, bits=bits, variant=variant, steps=2)
    run = create_run(tmp_path / "runs", spec, small_dataset(), now=NOW)
    assert execute_group([run], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    return run


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> RunFolder:
    """A run on nf4-dq, of which tests take copies."""
    return trained(tmp_path_factory.mktemp("trained"), models_dir, "nf4-dq")


@pytest.fixture
def run(trained_once: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it."""
    return RunFolder(Path(shutil.copytree(trained_once.path, tmp_path / "runs" / trained_once.run_id)))


def plain_base(bits: Bits, models_dir: Path) -> PreTrainedModel:
    """As the libraries load and compute it."""
    config = build_quantization_config(bits, torch.float32)
    options = {} if config is None else {"quantization_config": config}
    base = AutoModelForCausalLM.from_pretrained(models_dir / TINY_MODEL, dtype=torch.float32, **options)
    if bits in HQQ_BITS:
        quantize_linears(base, bits, torch.device("cpu"))
    keep_trainable_layout(base)
    return base


@pytest.mark.parametrize(
    ("bits", "variant"),
    [*((bits, "lora") for bits in BITS), ("bf16", "rslora"), ("nf4-dq", "dora"), ("hqq3", "dora")],
)
def test_the_merged_models_logits_are_those_of_the_adapter_on_its_base(
    bits: Bits, variant: Variant, tmp_path: Path, models_dir: Path
) -> None:
    run = trained(tmp_path, models_dir, bits, variant)
    assert merge_run(run, models_dir)
    base = plain_base(bits, models_dir)
    adapted = PeftModel.from_pretrained(base, run.adapter_path).eval()
    whole = AutoModelForCausalLM.from_pretrained(Merged(run).folder, use_safetensors=True).eval()
    assert whole.dtype == torch.float32
    with torch.no_grad():
        merged, expected = whole(IDS).logits, adapted(IDS).logits
        with adapted.disable_adapter():
            without = adapted(IDS).logits
    # bitsandbytes' own 8-bit product rounds activations as well: there the base itself is off.
    tolerance = 5e-2 if bits == "int8" else 1e-4
    assert (merged - expected).abs().max() < tolerance
    assert (merged - without).abs().max() > tolerance


@pytest.mark.parametrize("bits", ["nf4-dq", "int8"])
def test_transposed_layers_are_merged_with_the_numbers_that_the_bits_keep(bits: Bits, tmp_path: Path) -> None:
    """GPT-2's layers are Conv1D, which bitsandbytes quantizes as it does nn.Linear."""
    config = GPT2Config(n_embd=64, n_layer=1, n_head=2, vocab_size=258, n_positions=64)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    plain = load_dequantized(str(tmp_path), bits, tmp_path, silent)
    stored = load_model(
        str(tmp_path), bits, compute_dtype=torch.float32, device=CPU, models_dir=tmp_path, report=silent
    )
    for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
        mine, kept = (model.get_submodule(f"transformer.h.0.{name}") for model in (plain, stored))
        assert isinstance(mine, Conv1D)
        torch.testing.assert_close(
            decode_dense_weight(mine, torch.float32), decode_dense_weight(kept, torch.float32)
        )


def test_the_merged_folder_says_it_is_done_and_comes_as_a_zip(run: RunFolder, models_dir: Path) -> None:
    assert merge_run(run, models_dir)
    merged = Merged(run)
    assert merged.state == {"state": "done", "text": ""}
    archive = zipfile.ZipFile(io.BytesIO(b"".join(merged.stream_zip("# Card"))))
    assert archive.testzip() is None
    assert {"merged/model.safetensors", "merged/config.json", "merged/tokenizer.json"} <= set(
        archive.namelist()
    )
    weights = archive.read("merged/model.safetensors")
    assert weights == (merged.folder / "model.safetensors").read_bytes()
    assert archive.read("merged/README.md") == b"# Card"
    written = [archive.read(name) for name in archive.namelist() if name.endswith((".json", ".jinja"))]
    assert not any(str(models_dir).encode() in text for text in written), "a path of this machine"
    assert AutoTokenizer.from_pretrained(merged.folder).eos_token == "<end>"


def test_a_damaged_adapter_is_named_and_nothing_half_done_is_left(run: RunFolder, models_dir: Path) -> None:
    (run.adapter_path / "adapter_model.safetensors").write_bytes(b"not an adapter")
    assert not merge_run(run, models_dir)
    assert Merged(run).state["state"] == "failed"
    assert Merged(run).state["text"].startswith("The run's adapter can't be read")
    assert not Merged(run).partial.exists()
    assert not Merged(run).folder.exists()


def test_a_run_that_is_deleted_while_it_is_merged_does_not_come_back(
    run: RunFolder, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_and_delete(*given: Any) -> PreTrainedModel:
        model = load_base(*given)
        adapted = _with_adapter(model, run.adapter_path)
        monkeypatch.setattr(merge, "_with_adapter", lambda model, folder: adapted)
        delete_run(run)
        return model

    monkeypatch.setattr(merge, "load_base", load_and_delete)
    assert not merge_run(run, models_dir)
    assert not run.path.exists()


def test_a_full_disk_while_merging_is_said_and_nothing_half_done_is_left(
    run: RunFolder, models_dir: Path
) -> None:
    with full_disk(largest_file_bytes=100_000):
        assert not merge_run(run, models_dir)
    text = Merged(run).state["text"]
    assert text.startswith("A file could not be read or written (")
    assert text.endswith("Free some disk space.")
    assert not Merged(run).partial.exists()


def test_a_merge_whose_process_is_gone_is_no_longer_waited_for(tmp_path: Path) -> None:
    """Also when another process has got its number since, as in a container that was restarted."""
    merged = Merged(create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW))
    for pid in (2**31 - 2, os.getpid()):
        merged.state_path.write_text(f'{{"state": "working", "text": "Merging", "pid": {pid}}}', "utf-8")
        before = psutil.Process().create_time() - 60
        os.utime(merged.state_path, (before, before))
        assert merged.state["state"] == "failed"
    os.utime(merged.state_path)
    assert merged.state["state"] == "working"


def test_a_file_of_the_zip_may_be_larger_than_2_gb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards of a merged model are 50 GB by default."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    merged = Merged(create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW))
    merged.folder.mkdir()
    (merged.folder / "model.safetensors").write_bytes(bytes(2000))
    archive = zipfile.ZipFile(io.BytesIO(b"".join(merged.stream_zip("# Card"))))
    assert archive.read("merged/model.safetensors") == bytes(2000)


@pytest.mark.parametrize("bits", ["nf4", "int8", "hqq4", "fp32"])
def test_the_merged_base_is_the_one_that_the_run_trained_on(bits: Bits, tmp_path: Path) -> None:
    """Weights of an fp32 file are rounded to the run's bf16 before they are quantized, and so is the rest."""
    folder = tmp_path / "llama"
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**TINY_SIZES)).save_pretrained(folder)
    run = create_run(tmp_path / "runs", replace(TINY, model=str(folder), bits=bits), small_dataset(), now=NOW)
    run_builders.emit_started(run, device=run_builders.DEVICE | {"compute_dtype": "bf16"})
    stored = load_model(
        str(folder), bits, compute_dtype=torch.bfloat16, device=CPU, models_dir=tmp_path, report=silent
    )
    merged = load_base(run, tmp_path)
    for name, layer in list_linears(merged):
        kept = decode_dense_weight(stored.get_submodule(name), torch.float32)
        assert torch.equal(decode_dense_weight(layer, torch.float32), kept)
    for ours, theirs in zip(outer_parts(merged), outer_parts(stored), strict=True):
        assert torch.equal(ours, theirs.float())


def outer_parts(model: PreTrainedModel) -> list[torch.Tensor]:
    """Embeddings, head and a norm."""
    norm = model.get_submodule("model.norm")
    return [part.weight for part in (model.get_input_embeddings(), model.get_output_embeddings(), norm)]
