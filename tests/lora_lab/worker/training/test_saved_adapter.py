"""The adapter of a run: plain PEFT loads it and gets the same held-out loss."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from lora_lab.data.embedded_model import find_model_folder
from lora_lab.data.lab_folder import LabHome
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import BITS, EMBEDDED_MODEL, HQQ_BITS, TINY_MODEL, VARIANTS, Bits, RunSpec, Variant
from lora_lab.worker.model.hqq_layers import quantize_linears
from lora_lab.worker.model.load import load_tokenizer
from lora_lab.worker.model.quantization import build_quantization_config, keep_trainable_layout
from lora_lab.worker.training import generate
from lora_lab.worker.training.packing import encode_example
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.worker.builders import CPU, TINY, never_stop, padded_loss, silent, small_dataset
from tests.lora_lab.worker.training.single_run import ADAPTER, NOW, RunIt, state_of


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
    config = build_quantization_config(spec.bits, torch.float32)
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
    tmp_path: Path, embedded_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "NEW_TOKENS", 2)  # for each one every weight is decoded
    spec = RunSpec(model=EMBEDDED_MODEL, bits="nf4-dq", steps=2, batch=2, compute_dtype="fp32")
    run = create_run(tmp_path / "runs", spec, small_dataset(), now=NOW)
    execute_group([run], LabHome(tmp_path), embedded_dir, app_is_gone=never_stop)
    state = state_of(run)
    assert state.status == "finished"
    assert state.started is not None
    assert (state.started["trainable"], state.started["total"]) == (2_442_240, 136_957_248)
    assert all(sample["tuned"] for sample in run.samples())
    check_reloaded(run, find_model_folder(embedded_dir), embedded_dir)
