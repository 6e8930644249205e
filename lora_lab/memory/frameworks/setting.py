"""The setting of one memory question: a model, how it is trained, and what is measured."""

from dataclasses import dataclass
from typing import Literal

from lora_lab.memory.frameworks.experts import FusedAdapter
from lora_lab.parameters.shapes import Linear, ModelShape
from lora_lab.spec import Bits

NumberType = Literal["fp32", "bf16", "fp16"]
WIDTHS: dict[NumberType, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
Framework = Literal["loop", "trainer", "trl", "unprepared", "litgpt", "torchtune", "unsloth"]
"""`loop`: a hand-written loop with peft; `trainer`: transformers' Trainer, which computes under autocast;
`trl`: the same, with embeddings and head back in 16 bits (trl up to 0.25, artidoro/qlora); `unprepared`: a
Trainer whose quantized base is not passed through prepare_model_for_kbit_training (axolotl, LLaMA-Factory,
fms, trl from 0.26).
"""

Attention = Literal["eager", "sdpa", "flash"]
Loss = Literal["full", "chunked", "answers"]
Phase = Literal["train", "load", "generate"]
Measure = Literal["allocated", "reserved", "device", "live"]
"""`device` is what the driver shows: what the allocator reserves, and the CUDA context."""


TrainedVariant = Literal["lora", "rslora", "dora", "ia3", "norms", "adalora", "vera", "lora-fa"]
Task = Literal["words", "labels", "spans", "none"]
"""What the head predicts: words at each position, labels of an example or of each position, or nothing."""


@dataclass(frozen=True, kw_only=True)
class ConfigTraits:
    """What a configuration says beyond sizes; None and 0 stand for the family's usual value."""

    residual_dropout: bool | None = None
    attention_dropout: bool | None = None
    gated: bool | None = None
    activation: Literal["", "gelu_new"] = ""
    text_type: str = ""
    """The type of the text model inside a vision-language model."""

    experts_per_token: int = 0
    vision_type: str = ""
    vision_heads: int = 0
    image_tokens: int = 0
    """Tokens that an image takes of the text model where it is pooled to a fixed number (Gemma 3)."""

    merged_side: int = 1
    """The side of the square of patches that become one token (Idefics3's scale_factor, Qwen-VL's merge)."""

    relative_positions: int = 0
    """DeBERTa: rows of its table of relative positions."""


@dataclass(frozen=True, kw_only=True)
class LayerAdapter:
    """One matrix in some of the layers, and the rank of its adapter there; the head is in no layer."""

    linear: Linear
    layers: tuple[int, ...]
    rank: int


@dataclass(frozen=True, kw_only=True)
class StepSetting:
    """Everything that decides the peak of one step on one device."""

    shape: ModelShape
    adapted: tuple[Linear, ...] = ()
    """Empty, without `head_adapter`: every weight is trained."""

    by_layer: tuple[LayerAdapter, ...] = ()
    """All adapters, where layers differ in them or matrices in their rank; else empty."""

    fused: tuple[FusedAdapter, ...] = ()
    """Adapters on the tensors of a layer's experts."""

    head_adapter: LayerAdapter | None = None
    """The output head and its rank, where it has an adapter."""

    rank: int = 8
    variant: TrainedVariant = "lora"
    """`norms`: copies of the norms are trained and nothing else (LN tuning, arXiv:2312.11420); `lora-fa`: A
    is frozen (arXiv:2308.03303); `vera`: A and B are frozen, one pair for all matrices (arXiv:2310.11454).
    """

    dropout: bool = False
    base_type: NumberType = "bf16"
    bits: Bits | Literal["fp4-dq", "fp16"] = "bf16"
    adapter_type: NumberType = "fp32"
    framework: Framework = "loop"
    seq_len: int = 512
    target_len: int | None = None
    """Tokens that an encoder-decoder writes; as many as it reads where nothing is said."""

    task: Task = "words"
    labels: int = 2
    saved_head: int = 0
    """Parameters of a head that is trained whole beside the adapters, as PEFT does for classification."""

    traits: ConfigTraits = ConfigTraits()
    batch: int = 1
    checkpointing: bool = False
    optimizer: str = "adamw"
    attention: Attention = "sdpa"
    loss: Loss = "full"
    phase: Phase = "train"
    measure: Measure = "allocated"
    on_gpu: bool = True
    offloads: bool = False
    """Whether checkpointed layer inputs are offloaded to main memory."""

    compiled: bool = False
    """Whether its layers pass through torch.compile; modelled for torchtune."""

    @property
    def trains_everything(self) -> bool:
        """Whether this is full fine-tuning."""
        return not self.adapted and not self.fused and not self.head_adapter and self.variant != "norms"

    @property
    def trains_norms(self) -> bool:
        """Whether the norms' weights get gradients."""
        return self.trains_everything or self.variant == "norms"

    @property
    def tokens(self) -> int:
        return self.batch * self.seq_len

    @property
    def width(self) -> int:
        """Bytes per number of the base's type."""
        return WIDTHS[self.base_type]

    @property
    def quantized(self) -> bool:
        """Whether the linear layers are stored in fewer bits than they compute in."""
        return self.bits in ("nf4", "nf4-dq", "fp4", "fp4-dq", "int8")

    @property
    def prepared(self) -> bool:
        """Whether prepare_model_for_kbit_training has cast norms, embeddings and head to fp32.

        The usual recipes of peft and trl call it on a quantized base, and only there (docs/traps.md 3).
        """
        return self.quantized and self.framework in ("loop", "trainer", "trl")

    @property
    def outer_width(self) -> int:
        """Bytes per number of embeddings and head."""
        return 4 if self.prepared and self.framework != "trl" else self.width

    @property
    def autocast(self) -> bool:
        """Whether matrix products run under torch.autocast."""
        return self.framework in ("trainer", "trl", "unprepared") and self.base_type != "fp32"
