"""Updates read from adapter files, against what PEFT makes of the same files; and files that are none."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftConfig, VeraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from lora_lab.worker.inspect.lora_update import WRAPPED, read_adapter
from lora_lab.worker.inspect.subspaces import compute_dora_change
from study.base.errors import LearnerError

SHAPE: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "vocab_size": 32,
}  # fmt: skip
TARGETS = ["q_proj", "v_proj", "down_proj"]
CONFIGS: dict[str, PeftConfig] = {
    "lora": LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS),
    "rslora": LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, use_rslora=True),
    "patterns": LoraConfig(
        r=4, lora_alpha=16, target_modules=TARGETS, rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 3}
    ),
    "adalora": AdaLoraConfig(init_r=4, lora_alpha=16, target_modules=TARGETS, total_step=10),
    "vera": VeraConfig(r=4, target_modules=["q_proj", "v_proj"], save_projection=True),
}


def trained(config: PeftConfig, folder: Path) -> nn.Module:
    """A tiny model whose adapter has moved from its start, saved as PEFT does it."""
    torch.manual_seed(0)
    model: nn.Module = get_peft_model(LlamaForCausalLM(LlamaConfig(**SHAPE)), config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(str(folder))  # type: ignore[operator]
    return model


@pytest.mark.parametrize("method", CONFIGS)
def test_an_update_is_what_pefts_layer_adds(method: str, tmp_path: Path) -> None:
    model = trained(CONFIGS[method], tmp_path)
    adapter = read_adapter(tmp_path)
    assert len(adapter.updates) == 2 * (2 if method == "vera" else 3)
    for update in adapter.updates:
        layer: Any = model.get_submodule(WRAPPED + update.name)
        expected = layer.get_delta_weight("default").detach().double()
        narrow = update.narrow(*expected.shape)
        found = narrow.scale * narrow.left @ narrow.right
        assert torch.allclose(found, expected, atol=1e-5 * float(expected.norm())), update.name


def test_layers_come_in_their_order_not_in_the_alphabets(tmp_path: Path) -> None:
    tensors = {
        f"{WRAPPED}layers.{n}.q_proj.lora_{part}.weight": torch.ones((3, 1) if part == "B" else (1, 3))
        for n in (0, 10, 2)
        for part in "AB"
    }
    write(tmp_path, tensors)
    assert [update.name for update in read_adapter(tmp_path).updates] == [
        "layers.0.q_proj", "layers.2.q_proj", "layers.10.q_proj"
    ]  # fmt: skip


def test_doras_magnitudes_give_the_change_that_merging_gives(tmp_path: Path) -> None:
    model: Any = trained(LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, use_dora=True), tmp_path)
    before = {
        name: module.base_layer.weight.detach().clone()
        for name, module in model.base_model.model.named_modules()
        if hasattr(module, "lora_A")
    }
    merged = model.merge_and_unload()
    for update in read_adapter(tmp_path).updates:
        expected = (merged.get_submodule(update.name).weight - before[update.name]).double()
        found = compute_dora_change(update, before[update.name].double())
        assert torch.allclose(found, expected, atol=1e-5), update.name


def test_what_is_trained_as_a_whole_stands_beside_the_updates(tmp_path: Path) -> None:
    trained(LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["lm_head"]), tmp_path)
    adapter = read_adapter(tmp_path)
    assert len(adapter.updates) == 2
    assert [name for name in adapter.beside if "lm_head" in name]


def test_ia3_is_told_to_have_no_low_rank_update(tmp_path: Path) -> None:
    trained(IA3Config(target_modules=["k_proj"], feedforward_modules=[]), tmp_path)
    with pytest.raises(LearnerError, match="no low-rank update, so there are no singular values"):
        read_adapter(tmp_path)


def write(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> None:
    settings = {"peft_type": "LORA", "lora_alpha": 16} | config
    (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    save_file(tensors, folder / "adapter_model.safetensors")


def a_pair(rank_a: int = 2, rank_b: int = 2) -> dict[str, torch.Tensor]:
    name = f"{WRAPPED}layers.0.q_proj.lora_"
    return {f"{name}A.weight": torch.ones(rank_a, 5), f"{name}B.weight": torch.ones(6, rank_b)}


def test_a_damaged_adapter_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LearnerError, match="adapter can't be read"):
        read_adapter(tmp_path)
    write(tmp_path, a_pair())
    file = tmp_path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(LearnerError, match=r"adapter can't be read .* Start the run again"):
        read_adapter(tmp_path)
    write(tmp_path, a_pair())
    (tmp_path / "adapter_config.json").write_text("[]", "utf-8")
    with pytest.raises(LearnerError, match="settings aren't an object"):
        read_adapter(tmp_path)


def test_factors_that_do_not_fit_together_are_told(tmp_path: Path) -> None:
    write(tmp_path, a_pair(rank_b=3))
    with pytest.raises(
        LearnerError, match=r"do not fit together: layers.0.q_proj has B \(6, 3\) and A \(2, 5\)"
    ):
        read_adapter(tmp_path)
    write(tmp_path, {key: value for key, value in a_pair().items() if "lora_A" in key})
    with pytest.raises(LearnerError, match="do not fit together"):
        read_adapter(tmp_path)
    write(tmp_path, {"something": torch.ones(2)})
    with pytest.raises(LearnerError, match="there is no update in it"):
        read_adapter(tmp_path)


def test_a_diverged_run_is_told_to_have_diverged(tmp_path: Path) -> None:
    tensors = a_pair()
    next(iter(tensors.values()))[0, 0] = float("nan")
    write(tmp_path, tensors)
    with pytest.raises(
        LearnerError, match=r"not finite \(layers.0.q_proj\): the run diverged.*lower learning rate"
    ):
        read_adapter(tmp_path)


def test_an_unknown_method_is_told(tmp_path: Path) -> None:
    write(tmp_path, a_pair(), peft_type="OFT")
    with pytest.raises(LearnerError, match="type OFT can't be X-rayed"):
        read_adapter(tmp_path)


def test_an_update_of_another_models_weight_is_told(tmp_path: Path) -> None:
    write(tmp_path, a_pair())
    with pytest.raises(LearnerError, match="for a weight of 6 x 5, and the base model has 6 x 7"):
        read_adapter(tmp_path).updates[0].narrow(6, 7)
    with pytest.raises(LearnerError, match="for a weight of 6 x 5, and the base model has 6 x 4"):
        read_adapter(tmp_path).updates[0].narrow(6, 4)


def test_the_files_tensors_are_all_accounted_for(tmp_path: Path) -> None:
    trained(LoraConfig(r=2, target_modules=["q_proj"], bias="all"), tmp_path)
    adapter, saved = read_adapter(tmp_path), load_file(tmp_path / "adapter_model.safetensors")
    assert 2 * len(adapter.updates) + len(adapter.beside) == len(saved)
