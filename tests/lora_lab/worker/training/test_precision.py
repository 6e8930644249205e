"""The number type that is computed in, and an fp32 residual stream whatever it is."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.spec import TINY_MODEL, Compute, RunSpec
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.device.number_type import DTYPES, choose_number_type
from lora_lab.worker.training.loaded_model import fuse_rms_norm, keep_residual_in_fp32
from tests.lora_lab.families import FAMILIES
from tests.lora_lab.worker.builders import open_lab, small_dataset

ROOT = Path(__file__).parents[4]
# A laptop's processor, emulated: the same kernels are chosen as on a machine without bf16 instructions.
WITHOUT_BF16 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
DECIDED = """
import torch
from lora_lab.worker.device.number_type import choose_number_type
print(choose_number_type(torch.device("cpu"))[0])
"""


def test_without_bf16_instructions_fp32_is_decided() -> None:
    """docs/traps.md 9: emulated bf16 is 16 times slower."""
    probed = subprocess.run(
        [sys.executable, "-c", DECIDED],
        cwd=ROOT,
        env=os.environ | WITHOUT_BF16,
        capture_output=True,
        text=True,
        check=True,
    )
    emulated = platform.machine().lower() in ("x86_64", "amd64")  # elsewhere the limits mean nothing
    assert probed.stdout.strip() in ({"fp32"} if emulated else {"fp32", "bf16"})


def test_a_run_may_ask_for_a_number_type_and_auto_takes_the_decided_one() -> None:
    assert find_machine("fp32").compute_dtype == torch.float32
    assert find_machine("bf16").compute_name == "bf16"
    assert find_machine("fp16").compute_name == "fp16"
    assert find_machine("auto").compute_name == choose_number_type(torch.device("cpu"))[0]


@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_the_running_sum_through_the_layers_is_fp32_and_products_are_not(
    compute: Compute, models_dir: Path
) -> None:
    """docs/traps.md 11: a bf16 residual stream costs the gradient its accuracy."""
    spec = RunSpec(model=TINY_MODEL, bits="nf4", compute_dtype=compute)
    lab = open_lab(spec, compute, models_dir, dataset=small_dataset())
    seen: dict[str, set[torch.dtype]] = {"residual": set(), "normed": set(), "product": set()}

    def listen(kind: str) -> Any:
        def hook(module: object, inputs: object, output: Any) -> None:
            seen[kind].add((output[0] if isinstance(output, tuple) else output).dtype)

        return hook

    for name, module in lab.model.named_modules():
        if type(module).__name__ == "LlamaDecoderLayer":
            module.register_forward_hook(listen("residual"))
        elif type(module).__name__ == "LlamaRMSNorm":
            module.register_forward_hook(listen("normed"))
        elif name.endswith("_proj"):
            module.register_forward_hook(listen("product"))
    lab.loss(lab.examples[:2])

    assert seen == {"residual": {torch.float32}, "normed": {DTYPES[compute]}, "product": {DTYPES[compute]}}


@pytest.mark.parametrize("compute", ["fp32", "bf16"])
def test_norms_are_kept_in_fp32(compute: Compute, models_dir: Path) -> None:
    lab = open_lab(RunSpec(model=TINY_MODEL, bits="nf4"), compute, models_dir, dataset=small_dataset())
    norms = [p for name, p in lab.model.named_parameters() if "norm" in name]
    assert norms
    assert {p.dtype for p in norms} == {torch.float32}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "gemma2", "phi3"])
def test_a_fused_norm_gives_a_model_the_losses_it_had(family: str) -> None:
    """Gemma scales by 1 + weight: a norm that another formula describes is left as it is."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **FAMILIES[family])).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.normal_(mean=1, std=0.3)
    ids = torch.randint(3, 60, (2, 10), generator=torch.Generator().manual_seed(0))

    before = model(input_ids=ids, labels=ids).loss.item()
    keep_residual_in_fp32(model, torch.float32)

    assert model(input_ids=ids, labels=ids).loss.item() == pytest.approx(before, abs=1e-5)


class ShiftedNorm(nn.Module):
    """Has the attributes of an RMS norm and another formula."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((8,), 0.5))
        self.variance_epsilon = 1e-6

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return x * scale * (1 + self.weight)


def test_a_norm_that_does_not_agree_on_trial_is_left_alone() -> None:
    norm, x = ShiftedNorm(), torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    before = norm(x)
    fuse_rms_norm(norm, torch.float32)
    assert torch.equal(norm(x), before)
