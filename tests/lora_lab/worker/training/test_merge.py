"""A merged model answers as the adapter on its base does, and is opened by transformers alone."""

import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.merged_model import Merged
from lora_lab.spec import BITS, HQQ_BITS, TINY_MODEL, Bits, Variant
from lora_lab.worker.model.hqq_layers import quantize_linears
from lora_lab.worker.model.load import load_model
from lora_lab.worker.model.quantization import dense_weight, keep_trainable_layout, quantization_config
from lora_lab.worker.training.merge import load_dequantized, merge_run
from lora_lab.worker.training.run import execute_run
from tests.lora_lab.worker.builders import CPU, TINY, full_disk, never, silent, small_dataset

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
IDS = torch.arange(24)[None] % 250


def trained(tmp_path: Path, models_dir: Path, bits: Bits, variant: Variant = "lora") -> RunFolder:
    spec = replace(TINY, bits=bits, variant=variant, steps=2)
    run = create_run(tmp_path / "runs", spec, small_dataset(), now=NOW)
    assert execute_run(run, LabHome(tmp_path), models_dir, app_is_gone=never)
    return run


def plain_base(bits: Bits, models_dir: Path) -> PreTrainedModel:
    """As the libraries load and compute it."""
    config = quantization_config(bits, torch.float32)
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
        torch.testing.assert_close(dense_weight(mine, torch.float32), dense_weight(kept, torch.float32))


def test_the_merged_folder_says_it_is_done_and_comes_as_a_zip(tmp_path: Path, models_dir: Path) -> None:
    run = trained(tmp_path, models_dir, "nf4-dq")
    assert merge_run(run, models_dir)
    merged = Merged(run)
    assert merged.state == {"state": "done", "text": ""}
    archive = zipfile.ZipFile(io.BytesIO(b"".join(merged.zipped("# Card"))))
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


def test_a_damaged_adapter_is_named_and_nothing_half_done_is_left(tmp_path: Path, models_dir: Path) -> None:
    run = trained(tmp_path, models_dir, "nf4-dq")
    (run.adapter_path / "adapter_model.safetensors").write_bytes(b"not an adapter")
    assert not merge_run(run, models_dir)
    assert Merged(run).state["state"] == "failed"
    assert Merged(run).state["text"].startswith("The run's adapter can't be read")
    assert not Merged(run).partial.exists()
    assert not Merged(run).folder.exists()


def test_a_full_disk_while_merging_is_said_and_nothing_half_done_is_left(
    tmp_path: Path, models_dir: Path
) -> None:
    run = trained(tmp_path, models_dir, "nf4-dq")
    with full_disk(largest_file_bytes=100_000):
        assert not merge_run(run, models_dir)
    text = Merged(run).state["text"]
    assert text.startswith("A file could not be read or written (")
    assert text.endswith("Free some disk space.")
    assert not Merged(run).partial.exists()


def test_a_merge_whose_process_is_gone_is_no_longer_waited_for(tmp_path: Path, models_dir: Path) -> None:
    run = create_run(tmp_path / "runs", TINY, small_dataset(), now=NOW)
    Merged(run).state_path.write_text('{"state": "working", "text": "Merging", "pid": 2147483646}', "utf-8")
    assert Merged(run).state["state"] == "failed"
