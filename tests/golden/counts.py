"""Trainable-parameter counts and model sizes that somebody printed, each beside what is computed here.

Where the print and the computation disagree, both stay, and `differs` says which one is wrong and why.
"""

from dataclasses import dataclass

from tests.golden import configs
from tests.golden.configs import Config

LORA = "arXiv:2106.09685"
LITGPT = "Lightning-AI/litgpt tutorials/resource-tables.md"
PEFT_RESULTS = "huggingface/peft method_comparison/MetaMathQA results/*.json"


@dataclass(frozen=True, kw_only=True)
class PublishedCount:
    """LoRA on a whole model."""

    case: str
    model: str | Config
    """A catalogue name, or a configuration for the shape reader."""

    rank: int
    targets: str | tuple[str, ...]
    exact: int
    printed: str
    source: str
    differs: str = ""
    """Why `printed` is not `exact`; empty where it is, rounded or in full."""

    kind: str = "causal"


@dataclass(frozen=True, kw_only=True)
class PublishedMatrices:
    """LoRA on matrices that the paper's own code kept apart and Hugging Face's fuses into one."""

    case: str
    layers: int
    matrices: tuple[tuple[int, int], ...]
    """d_in and d_out of each adapted matrix of a layer."""

    rank: int
    exact: int
    printed: str
    source: str
    differs: str = ""


@dataclass(frozen=True, kw_only=True)
class PublishedSize:
    """Parameters of a base model."""

    model: str | Config
    exact: int
    printed: str
    source: str
    differs: str = ""
    kind: str = "causal"


COUNTS = (
    PublishedCount(
        case="RoBERTa-base r8 q,v",
        model="roberta-base",
        rank=8,
        targets="q+v",
        exact=294_912,
        printed="0.3M",
        source=f"{LORA} table 2",
    ),
    PublishedCount(
        case="RoBERTa-large r8 q,v",
        model=configs.ROBERTA_LARGE,
        kind="encoder",
        rank=8,
        targets="q+v",
        exact=786_432,
        printed="0.8M",
        source=f"{LORA} table 2",
    ),
    PublishedCount(
        case="DeBERTa-v2-XXL r16 q,v",
        model=configs.DEBERTA_V2_XXLARGE,
        kind="encoder",
        rank=16,
        targets="q+v",
        exact=4_718_592,
        printed="4.7M",
        source=f"{LORA} table 2",
    ),
    PublishedCount(
        case="GPT-3 175B r1 q,v",
        model="gpt3-175b",
        rank=1,
        targets="q+v",
        exact=4_718_592,
        printed="4.7M",
        source=f"{LORA} table 4",
    ),
    PublishedCount(
        case="GPT-3 175B r8 q,v",
        model="gpt3-175b",
        rank=8,
        targets="q+v",
        exact=37_748_736,
        printed="37.7M",
        source=f"{LORA} table 4",
    ),
    *(
        PublishedCount(
            case=f"GPT-3 175B r{rank} {','.join(targets)}",
            model="gpt3-175b",
            rank=rank,
            targets=targets,
            exact=18_874_368,
            printed="18M",
            source=f"{LORA} table 5",
            differs="a budget, cut and not rounded: its 35 MB in fp16 are 36.0 MiB",
        )
        for rank, targets in ((8, ("q",)), (8, ("v",)), (4, ("q", "v")), (2, ("q", "k", "v", "o")))
    ),
    PublishedCount(
        case="LLaMA-7B r8 q,v",
        model="llama-7b",
        rank=8,
        targets="q+v",
        exact=4_194_304,
        printed="4,194,304",
        source=LITGPT,
    ),
    PublishedCount(
        case="LLaMA-7B r16 q,k,v,o",
        model="llama-7b",
        rank=16,
        targets="attention",
        exact=16_777_216,
        printed="16,777,216",
        source="a public tutorial notebook, which printed it for Llama-3.1-8B (13,631,488)",
    ),
    PublishedCount(
        case="LLaMA-7B r64 all-linear",
        model="llama-7b",
        rank=64,
        targets="all-linear",
        exact=159_907_840,
        printed="79,953,920",
        source="artidoro/qlora qlora.py print_trainable_parameters",
        differs="qlora.py halves the trained numbers along with the packed ones (artidoro/qlora issue 260)",
    ),
    PublishedCount(
        case="Llama-2-13B r8 q,v",
        model="llama-2-13b",
        rank=8,
        targets="q+v",
        exact=6_553_600,
        printed="6,553,600",
        source=LITGPT,
    ),
    PublishedCount(
        case="phi-1.5 r8 q,v",
        model=configs.PHI_1_5,
        rank=8,
        targets="q+v",
        exact=1_572_864,
        printed="1,572,864",
        source=LITGPT,
    ),
    PublishedCount(
        case="Llama-3.2-3B r32 q,v",
        model="llama-3.2-3b",
        rank=32,
        targets="q+v",
        exact=9_175_040,
        printed="9,175,040",
        source=PEFT_RESULTS,
    ),
    PublishedCount(
        case="Llama-3.2-3B r64 q,v",
        model="llama-3.2-3b",
        rank=64,
        targets="q+v",
        exact=18_350_080,
        printed="18,350,080",
        source=PEFT_RESULTS,
    ),
    PublishedCount(
        case="Llama-3.2-3B r10 gate,up,down",
        model="llama-3.2-3b",
        rank=10,
        targets=("gate_proj", "up_proj", "down_proj"),
        exact=9_461_760,
        printed="9,461,760",
        source=PEFT_RESULTS,
    ),
)

MATRICES = (
    PublishedMatrices(
        case="GPT-2 medium r4 q,v",
        layers=24,
        matrices=((1024, 1024), (1024, 1024)),
        rank=4,
        exact=393_216,
        printed="0.35M",
        source=f"{LORA} table 3",
        differs="the authors' checkpoint of 1.5 MB holds 393,216 x 4 bytes; 0.35M is also the PreLayer row",
    ),
    PublishedMatrices(
        case="GPT-2 large r4 q,v",
        layers=36,
        matrices=((1280, 1280), (1280, 1280)),
        rank=4,
        exact=737_280,
        printed="0.77M",
        source=f"{LORA} table 3",
        differs="36 layers x 2 x 4 x 2,560 is 0.74M; the authors' checkpoint of 2.3 MB agrees with neither",
    ),
    PublishedMatrices(
        case="StableLM-alpha-3B r8 q,v",
        layers=16,
        matrices=((4096, 4096), (4096, 4096)),
        rank=8,
        exact=2_097_152,
        printed="2,097,152",
        source=LITGPT,
    ),
    PublishedMatrices(
        case="Falcon-40B r8 q,v with grouped values",
        layers=60,
        matrices=((8192, 8192), (8192, 512)),
        rank=8,
        exact=12_042_240,
        printed="12,042,240",
        source=LITGPT,
    ),
)

SIZES = (
    PublishedSize(model="roberta-base", exact=124_645_632, printed="125M", source=f"{LORA} table 2"),
    PublishedSize(
        model=configs.ROBERTA_LARGE,
        kind="encoder",
        exact=355_359_744,
        printed="355M",
        source=f"{LORA} table 2",
    ),
    PublishedSize(model="gpt2", exact=124_439_808, printed="124M", source="openai/gpt-2 model names"),
    PublishedSize(
        model=configs.GPT2_MEDIUM,
        exact=354_823_168,
        printed="354.92M",
        source=f"{LORA} table 3",
        differs="0.03 % apart: no count of the published weights gives 354.92M",
    ),
    PublishedSize(model=configs.GPT2_LARGE, exact=774_030_080, printed="774.03M", source=f"{LORA} table 3"),
    PublishedSize(
        model=configs.GPT2_XL, exact=1_557_611_200, printed="1558M", source="openai/gpt-2 model names"
    ),
    PublishedSize(model="llama-7b", exact=6_738_415_616, printed="6.7B", source="arXiv:2302.13971 table 2"),
    PublishedSize(
        model="llama-3.2-3b",
        exact=3_212_749_824,
        printed="3,212,749,824",
        source=f"{PEFT_RESULTS}, full fine-tuning",
    ),
)

EMBEDDED = (2_442_240, 136_957_248)
"""Trainable and total of rank 8 on all linear layers of SmolLM2-135M, as PEFT 0.21.2 prints them."""
