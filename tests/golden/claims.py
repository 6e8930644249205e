"""Lines that public code printed, with the setting they were printed for: `count` must print the same.

Every total counts stored weights once and in full; 4-bit tools of 2023 printed less (packed bytes).
"""

from dataclasses import dataclass

from tests.golden import configs
from tests.golden.configs import Config


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A setting, and what PEFT prints for it."""

    id: str
    model: str | Config
    kind: str = "causal"
    task_type: str | None = "CAUSAL_LM"
    rank: int
    targets: tuple[str, ...] | str | None
    """None where the code left them to PEFT's default."""

    trainable: int
    total: int
    source: str
    variant: str = "lora"


CLAIMS = (
    Claim(
        id="qwen2.5-3b-default-targets",
        model=configs.QWEN2_5_3B,
        rank=16,
        targets=None,
        trainable=3_686_400,
        total=3_089_625_088,
        source="huggingface/peft README.md",
    ),
    Claim(
        id="opt-6.7b-8bit",
        model=configs.OPT_6_7B,
        rank=16,
        targets=("q_proj", "v_proj"),
        trainable=8_388_608,
        total=6_666_862_592,
        source="huggingface/peft examples/int8_training/Finetune_opt_bnb_peft.ipynb",
    ),
    Claim(
        id="whisper-large-v2",
        model=configs.WHISPER_LARGE_V2,
        kind="asr",
        task_type=None,
        rank=32,
        targets=("q_proj", "v_proj"),
        trainable=15_728_640,
        total=1_559_033_600,
        source="huggingface/peft examples/int8_training/peft_bnb_whisper_large_v2_training.ipynb",
    ),
    Claim(
        id="opt-350m",
        model=configs.OPT_350M,
        rank=16,
        targets=("q_proj", "v_proj"),
        trainable=1_572_864,
        total=332_769_280,
        source="huggingface/peft docs/source/guides/peft_model_config.md",
    ),
    Claim(
        id="gpt-neox-20b",
        model=configs.GPT_NEOX_20B,
        rank=8,
        targets=("query_key_value",),
        trainable=8_650_752,
        total=20_563_218_432,
        source="huggingface/peft issue 1020, which printed 10,597,552,128: two weights to a stored byte",
    ),
    Claim(
        id="mt0-large-with-its-own-head",
        model=configs.MT0_LARGE,
        kind="seq2seq",
        task_type="SEQ_2_SEQ_LM",
        rank=8,
        targets=("q", "v"),
        trainable=2_359_296,
        total=1_231_940_608,
        source="the PEFT launch post",
    ),
    Claim(
        id="llama-2-7b",
        model="llama-2-7b",
        rank=8,
        targets=("q_proj", "v_proj"),
        trainable=4_194_304,
        total=6_742_609_920,
        source="intel-analytics/ipex-llm docker/llm/finetune/lora/cpu/docker/README.md",
    ),
    Claim(
        id="gpt2-fused-projection",
        model="gpt2",
        rank=8,
        targets=("c_attn",),
        trainable=294_912,
        total=124_734_720,
        source="a public tutorial notebook: one A (8, 768) and one B (2304, 8) per layer",
    ),
    Claim(
        id="llama-3.1-8b-grouped-queries",
        model="llama-3.1-8b",
        rank=16,
        targets=("q_proj", "k_proj", "v_proj", "o_proj"),
        trainable=13_631_488,
        total=8_043_892_736,
        source="PEFT; a public tutorial printed 16,777,216 of 8,030,261,248, which no such model gives",
    ),
    Claim(
        id="llama-3.2-3b-dora",
        model="llama-3.2-3b",
        rank=32,
        targets=("q_proj", "v_proj"),
        trainable=9_289_728,
        total=3_212_749_824 + 9_289_728,
        variant="dora",
        source="huggingface/peft method_comparison/MetaMathQA results/*.json",
    ),
    Claim(
        id="gemma-4-e2b-whose-layers-differ",
        model=configs.GEMMA_4_E2B,
        kind="vlm",
        rank=16,
        targets="all-linear",
        trainable=37_920_768,
        total=5_142_218_272,
        source="a public training report of PartoGuard v8, google/gemma-4-E2B-it",
    ),
    Claim(
        id="gemma-3-4b-with-its-vision-tower",
        model="gemma-3-4b",
        rank=16,
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        task_type=None,
        trainable=32_788_480,
        total=4_332_867_952,
        source="a public training log of google/gemma-3-4b-it",
    ),
    Claim(
        id="qwen2.5-vl-3b-attention",
        model="qwen2.5-vl-3b",
        rank=16,
        targets=("q_proj", "k_proj", "v_proj", "o_proj"),
        task_type=None,
        trainable=7_372_800,
        total=3_761_995_776,
        source="a public training log of Qwen/Qwen2.5-VL-3B-Instruct",
    ),
    Claim(
        id="qwen3-30b-a3b-attention",
        model="qwen3-30b-a3b",
        rank=128,
        targets=("q_proj", "k_proj", "v_proj", "o_proj"),
        trainable=106_954_752,
        total=30_639_077_376,
        source="a public training log of Qwen/Qwen3-30B-A3B",
    ),
    Claim(
        id="deepseek-r1-distill-qwen-1.5b-whose-head-is-its-own",
        model="deepseek-r1-distill-qwen-1.5b",
        rank=8,
        targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        trainable=9_232_384,
        total=1_786_320_384,
        source="a public training log of deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    ),
)
