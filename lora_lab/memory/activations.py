"""The tensors that a forward pass saves for its backward pass, and what checkpointing leaves of them.

T tokens in the row, c bytes of the compute type, h hidden width, a = heads x head size, f intermediate width,
r rank, L layers. All results are bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from lora_lab.data.batches import SHORT_EXAMPLE_TOKENS, RowSize
from lora_lab.memory.optimizer_state import FP32_BYTES
from lora_lab.parameters.shapes import Linear, ModelShape, Role
from lora_lab.spec import Compute

COMPUTE_BYTES: dict[Compute, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
POSITION_BYTES = 8  # one int64 per token

AFTER_ATTENTION: frozenset[Role] = frozenset({"o", "gate", "up", "gate_up", "down"})
READS_FIRST_NORM: frozenset[Role] = frozenset({"q", "k", "v", "qkv"})
READS_SECOND_NORM: frozenset[Role] = frozenset({"gate", "up", "gate_up"})

SHARES_KEYS: Compute = "bf16"
"""The type in which a GPU's attention shares keys and values between query heads. Only FlashAttention does,
in 16 bits and from compute capability 8.0 on, where the lab computes in bf16. For other types PyTorch has a
fused kernel too, and with shared keys it would take the one that holds all seq x seq scores.
"""


@dataclass(frozen=True, kw_only=True)
class TrainingPass:
    """One forward and backward pass of the lab's own loop."""

    shape: ModelShape
    adapted: tuple[Linear, ...]
    rank: int
    row: RowSize
    compute: Compute
    dora: bool = False

    @property
    def c(self) -> int:
        """Bytes per number of the compute type."""
        return COMPUTE_BYTES[self.compute]

    @property
    def repeats_keys(self) -> bool:
        """Whether attention holds keys and values for every query head."""
        return self.row.on_gpu and self.compute != SHARES_KEYS

    @property
    def saved_bytes(self) -> int:
        """Everything saved for the backward pass, except logits."""
        layers = self.shape.layers * self._plain_layer_bytes
        return layers + self._matrices_bytes(self.adapted) + self._outside_bytes

    @property
    def checkpoint_bytes(self) -> int:
        """What stays with checkpointing until a layer is recomputed: the input of each layer and of the final
        norm, and the mask that keeps packed examples apart, which the recomputation needs.
        """
        inputs = (self.shape.layers + 1) * self.residual_bytes
        return inputs + self.row.tokens * FP32_BYTES + self._outside_bytes + self.mask_bytes

    @property
    def recomputed_bytes(self) -> int:
        """What one layer saves once it is recomputed, without its input."""
        matrices = self._matrices_bytes(self.adapted) // self.shape.layers
        return self._plain_layer_bytes + matrices - self.residual_bytes

    @property
    def last_matrix(self) -> Linear:
        """The matrix product that ends a layer: `down_proj` in Llama's family."""
        widest = max(self.shape.linears, key=lambda linear: linear.d_in * linear.d_out)
        return next((linear for linear in self.shape.linears if linear.role == "down"), widest)

    @property
    def residual_bytes(self) -> int:
        """The residual stream in fp32: 4 T h."""
        return self.row.tokens * self.shape.hidden * FP32_BYTES

    @property
    def mask_bytes(self) -> int:
        """A boolean (T, T) mask, if several examples share the row; otherwise 0."""
        return self.row.tokens**2 if self.row.examples > 1 else 0

    @property
    def mask_making_bytes(self) -> int:
        """The peak while that mask is built: three masks and four position tensors."""
        return 3 * self.mask_bytes + 4 * POSITION_BYTES * self.row.tokens if self.mask_bytes else 0

    @property
    def _plain_layer_bytes(self) -> int:
        """One layer without its adapters. Each layer has two norms; the first norm of the first layer saves
        nothing, and the final norm makes up for it.
        """
        return self.row.tokens * sum(self._list_per_token()) + self._attention_bytes

    @property
    def after_attention_bytes(self) -> int:
        """What one layer saves after its attention, plus the final norm."""
        later = tuple(linear for linear in self.adapted if linear.role in AFTER_ATTENTION)
        per_token = 2 * FP32_BYTES * (self.shape.hidden + 1) + 3 * self.c * self.shape.intermediate
        per_token += self._mlp_inputs_per_token
        per_token += self.shape.attention_width * self.c if "o" in self.roles else 0
        return self.row.tokens * per_token + self._matrices_bytes(later) // self.shape.layers

    @property
    def written_out(self) -> list[int]:
        """Lengths of the examples whose attention is unfused (written out as separate operators)."""
        return [] if self.row.on_gpu else [n for n in self.row.lengths if n <= SHORT_EXAMPLE_TOKENS]

    @property
    def written_pairs(self) -> list[int]:
        """Number of query-key pairs in each part of the unfused attention."""
        if self.row.on_gpu:
            return []
        return [queries * keys for queries, keys in self.row.attended if keys <= SHORT_EXAMPLE_TOKENS]

    @property
    def _outside_bytes(self) -> int:
        """Rotary cosines and sines and the positions, which all layers share."""
        rotary = 2 * FP32_BYTES * self.shape.head_dim  # cosines and sines
        return self.row.tokens * (rotary + POSITION_BYTES)

    def _list_per_token(self) -> Iterator[int]:
        """List bytes per token and layer, term by term. Frozen matrices without an adapter save nothing."""
        yield 2 * FP32_BYTES * self.shape.hidden  # the fp32 residual before each of the two norms
        yield 2 * FP32_BYTES  # and one rsqrt scale per norm
        yield 3 * self.c * self.shape.intermediate  # gate, its activation, up
        if self.roles & READS_FIRST_NORM:
            yield self.c * self.shape.hidden  # one normed input, shared
        yield self._mlp_inputs_per_token

    @property
    def uploaded_bytes(self) -> int:
        """A row's tokens, its answers' positions and targets, on a GPU; a CPU has them before a step."""
        return POSITION_BYTES * (self.row.tokens + 2 * self.row.answer_tokens) if self.row.on_gpu else 0

    @property
    def _mlp_inputs_per_token(self) -> int:
        """Inputs that the adapters of gate, up and down need, in bytes per token."""
        second_norm = self.shape.hidden if self.roles & READS_SECOND_NORM else 0
        return self.c * (second_norm + (self.shape.intermediate if "down" in self.roles else 0))

    @property
    def _attention_bytes(self) -> int:
        """Queries, keys and values; the softmax of all pairs for a short example on a CPU, otherwise the
        fused kernel's output and log-sum-exp; the joined outputs, if an adapter needs them.
        """
        kv_width = self.shape.attention_width if self.repeats_keys else self.shape.key_width
        fused_tokens = sum(self.row.lengths) - sum(self.written_out)
        saved = self.row.tokens * (self.shape.attention_width + 2 * kv_width) * self.c
        saved += self.shape.heads * sum(self.written_pairs) * self.c
        saved += fused_tokens * (self.shape.attention_width * self.c + self.shape.heads * FP32_BYTES)
        return saved + (self.row.tokens * self.shape.attention_width * self.c if "o" in self.roles else 0)

    def _matrices_bytes(self, linears: tuple[Linear, ...]) -> int:
        """Return bytes saved for adapted matrices in all layers: h = x Aᵀ (T, r), and A (r, d_in) and scaled
        B (d_out, r) in the compute type (in fp32 A needs no copy). DoRA also keeps each product before its
        magnitude, and the norms.
        """
        saved = 0
        for linear in linears:
            # Per matrix r c (T + d_out + d_in): h takes r T, the copy of B r d_out, the copy of A r d_in.
            copied = linear.d_out + (linear.d_in if self.c < FP32_BYTES else 0)
            each = self.rank * self.c * (self.row.tokens + copied)
            if self.dora:
                each += linear.d_out * (self.row.tokens * self.c + FP32_BYTES)
            saved += linear.count * each
        return saved

    @cached_property
    def roles(self) -> set[Role]:
        """The roles of the adapted matrices."""
        return {linear.role for linear in self.adapted}
