"""Published bits, bytes and differences in memory, each with where it is printed."""

from dataclasses import dataclass

from tests.golden import configs
from tests.golden.configs import Config

QLORA = "arXiv:2305.14314"


@dataclass(frozen=True, kw_only=True)
class DoubleQuantization:
    """Peak memory in GB of fine-tuning on an A100, with NF4 and with NF4 and double quantization."""

    model: str | Config
    nf4_gb: float
    nf4_dq_gb: float
    source: str = "Lightning-AI/litgpt tutorials/resource-tables.md"


DOUBLE_QUANTIZATION = (
    DoubleQuantization(model=configs.PHI_1_5, nf4_gb=3.78, nf4_dq_gb=3.72),
    DoubleQuantization(model=configs.STABLELM_ALPHA_3B, nf4_gb=6.35, nf4_dq_gb=6.19),
    DoubleQuantization(model="llama-2-7b", nf4_gb=14.14, nf4_dq_gb=13.84),
    DoubleQuantization(model="llama-2-13b", nf4_gb=23.14, nf4_dq_gb=22.55),
)

HQQ = "hqq 0.2.8: an fp32 scale and an fp32 zero point for each group of 64, 1 bit a weight"

STORED_BITS = {  # per weight of a large matrix, block 64
    "nf4": (4.5, f"{QLORA} section 3: 32 / 64 = 0.5 on top of 4"),
    "fp4": (4.5, "the same block constants"),
    "nf4-dq": (4.126953125, f"{QLORA} section 3: 8 / 64 + 32 / (64 x 256) = 0.127 on top of 4"),
    "int8": (8.0, "arXiv:2208.07339: one byte, and one constant a row"),
    "bf16": (16.0, "two bytes"),
    "fp32": (32.0, "four bytes"),
    "hqq8": (9.0, HQQ),
    "hqq4": (5.0, HQQ),
    "hqq3": (4.2, f"{HQQ}; ten codes of 3 bits in 32"),
    "hqq2": (3.0, HQQ),
    "hqq1": (2.0, HQQ),
}

HQQ_ERRORS = {  # relative root mean square error on normal weights, group 64, axis 1
    "hqq8": 0.0051,
    "hqq4": 0.0870,
    "hqq3": 0.1844,
    "hqq2": 0.4313,
    "hqq1": 1.058,
}
"""Measured with hqq 0.2.8.post1 before this lab was built."""

SAVED_BITS = (0.373046875, f"{QLORA} section 3: 0.373 bits per parameter")

FULL_FINETUNING_65B = (780e9, f"{QLORA} section 1: more than 780 GB, which is 65e9 x 12 bytes")

ADAPTER_FILE = (
    9_175_040,
    36_715_216,
    "huggingface/peft method_comparison results, Llama-3.2-3B r32, file_size",
)
"""Parameters of an adapter, and the size of its safetensors file with a header."""
