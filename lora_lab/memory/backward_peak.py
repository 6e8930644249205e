"""Peak workspace of a training step, in addition to the saved activations.

All saved activations are alive only where the forward pass turns into the backward pass, so the peak is
there: in the last layer's attention, in its last product, in the gate before it, or in the final norm. Each
method is one such moment; its terms are the tensors that the operators of worker/ and of transformers hold in
addition to what is saved. Read off an operator trace and checked to the byte in
tests/lora_lab/worker/training/test_predicted_memory.py.

Symbols: T tokens in the row, c bytes of the compute type. All results are bytes; a negative term is a saved
tensor that is counted in the activations but not alive at that moment.
"""

from dataclasses import dataclass

from lora_lab.memory.activations import READS_SECOND_NORM, TrainingPass
from lora_lab.memory.optimizer_state import FP32_BYTES


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Sizes of the last layer's attention."""

    heads: int
    width: int
    """Heads times head size."""

    kv_width: int
    written_out: tuple[int, ...]
    """Tokens of each example with unfused attention; examples that take the fused kernel are left out."""

    saved_after_bytes: int
    """What the operators after it save for the backward pass: output and MLP products, both norms."""


@dataclass(frozen=True)
class Decoding:
    """Bytes that the last product's weight takes while it is decoded."""

    decoded_bytes: int
    """The decoded weight in the compute type; 0 when the weight is stored in that type."""

    peak_bytes: int
    """The peak while the weight is decoded."""

    constants_bytes: int = 0
    """The part of the peak that double quantization's decoded block constants take."""


@dataclass(frozen=True, kw_only=True)
class BackwardStart:
    """The workspace where forward turns into backward: T tokens, c bytes of the compute type."""

    tokens: int
    hidden: int
    c: int
    d_in: int
    """Input width of the last product, `down_proj` in Llama's family: the MLP's intermediate width."""

    d_out: int
    rank: int
    """Rank of the last product's adapter; 0 when it has none."""

    dora: bool
    """Whether that adapter has a magnitude."""

    decoding: Decoding
    mlp_input_is_saved: bool
    packed: bool
    """Whether several examples share the row."""

    mask_bytes: int
    """The boolean (T, T) mask that keeps examples apart until the forward pass ends; 0 if it stays longer."""

    recomputed: bool
    """Whether the last layer is recomputed before its backward pass (activation checkpointing)."""

    attention: Attention

    def worst_bytes(self) -> int:
        """Return the largest moment."""
        return max(self.worst_in_layer(), self.worst_at_norm())

    def worst_in_layer(self) -> int:
        """Return the largest moment in the last layer."""
        return max(
            self.product_forward(),
            self.product_backward(),
            self.factor_gradients(),
            self.magnitude_backward(),
            self.gate_backward(),
            self.attention_forward(),
            self.attention_backward(),
        )

    def worst_at_norm(self) -> int:
        """Return the largest moment in the final norm."""
        return max(self.norm_forward(), self.norm_backward())

    def product_forward(self) -> int:
        """Return the product's output and decoded weight; its input and the MLP's, unless an adapter saves
        them. An adapter's small product exists before the large one is added to it.
        """
        inputs = 0 if self.mlp_input_is_saved else self._output
        inputs += self._output if self.rank else self._input
        # The final norm's input and scale are in the saved activations, but not alive yet; the embeddings are
        # still held, and as large as the input.
        products = self._output
        if self._skipped:  # then the product before it, whose output is saved
            held = max(self.decoding.peak_bytes - self._input, self.decoding.decoded_bytes)
            mlp_input = 0 if self.mlp_input_is_saved else self._output
            return self._gradient_when_recomputing - self._scale + mlp_input + held
        if self._is_dora:  # in bf16 what the magnitude adds is an fp32 product first
            products = FP32_BYTES * self.tokens * self.d_out if self.c < FP32_BYTES else self._output
        held = max(self.decoding.peak_bytes, self.decoding.decoded_bytes + products)
        return self.mask_bytes + self._gradient_when_recomputing - self._scale + inputs + held

    def product_backward(self) -> int:
        """Return the incoming gradient in the compute type, the decoded weight and the outgoing gradient; the
        adapter's share is computed before the outgoing gradient.
        """
        if self._skipped:
            return 0
        products = max(self.decoding.peak_bytes, self.decoding.decoded_bytes + self._input)
        return self._narrow_gradient + self._inner_gradient + self._adapter_share - self._scale + products

    def factor_gradients(self) -> int:
        """Return the gradients of A and B, each first in the compute type and finally in fp32."""
        if not self.rank:
            return 0
        narrow = self.c * self.rank * self.d_out if self.c < FP32_BYTES else 0
        factors = FP32_BYTES * self.rank * (self.d_in + self.d_out) + narrow
        return self._narrow_gradient + self._inner_gradient + self._adapter_share - self._scale + factors

    def magnitude_backward(self) -> int:
        """Return the incoming gradient times the product, both in fp32."""
        if not self._is_dora:
            return 0
        wide = FP32_BYTES * self.tokens * self.d_out * (2 if self.c < FP32_BYTES else 1)
        return self._narrow_gradient - self._scale + wide

    def gate_backward(self) -> int:
        """Return the product rule's two gradients and the incoming one, which replaces a saved input."""
        return (2 if self.rank else 3) * self._input - self._scale

    def norm_forward(self) -> int:
        """Return two fp32 copies; the embeddings are still held."""
        return self.mask_bytes + 3 * self._residual

    def norm_backward(self) -> int:
        """Return five fp32 copies, because PyTorch's rms_norm is a composite on a CPU."""
        return 5 * self._residual - self._scale

    def attention_forward(self) -> int:
        """Return scores and softmax of one unfused example in fp32, in addition to queries and keys before
        narrowing and the outputs so far; what the next examples and the rest of the layer save isn't alive
        yet.
        """
        part = self.attention
        copies = 2 if self.c < FP32_BYTES else 1  # in fp32 the softmax is what is saved
        done, to_come = self.tokens - sum(part.written_out), sum(map(self._example_bytes, part.written_out))
        worst = -to_come
        for tokens in part.written_out:
            to_come -= self._example_bytes(tokens)
            scores = FP32_BYTES * tokens**2 * (copies * part.heads + 1)
            worst = max(worst, scores + self.c * part.width * done - to_come)
            done += tokens
        wide = FP32_BYTES * self.tokens * (part.width + part.kv_width) if self.c < FP32_BYTES else 0
        queries = self.c * part.width * self.tokens  # before they are split by example
        held = self.mask_bytes + self._residual + self._gradient_when_recomputing
        return held + wide + queries + worst - part.saved_after_bytes

    def _example_bytes(self, tokens: int) -> int:
        """Return what one unfused example saves: its softmax and its queries."""
        return self.c * tokens * (self.attention.heads * tokens + self.attention.width)

    def attention_backward(self) -> int:
        """Return the softmax's gradient twice in fp32, in addition to the residual's and the output's
        gradient, cut where several examples share it; what the layer saves after its attention is already
        free. The last example comes first, and what it saved is free when the next one is processed.
        """
        part, worst, gone = self.attention, 0, 0
        for tokens in reversed(part.written_out):
            pairs = (2 * FP32_BYTES * tokens + FP32_BYTES) * part.heads * tokens  # and the rows' means
            cut = self.c * part.width * tokens if self.packed else 0
            worst = max(worst, pairs + cut - gone)
            gone += self.c * (part.heads * tokens**2 - 2 * part.kv_width * tokens)
        incoming = self.c * part.width * self.tokens
        return self._residual + incoming + worst - part.saved_after_bytes

    @property
    def _gradient_when_recomputing(self) -> int:
        """The gradient held during recomputation. A layer is recomputed when its last product's backward asks
        for what it saved, or, if that product saved nothing because it has no adapter, once the product's
        backward is done.
        """
        if not self.recomputed:
            return 0
        return self._narrow_gradient if self.rank else self._input

    @property
    def _input(self) -> int:
        return self.tokens * self.d_in * self.c

    @property
    def _output(self) -> int:
        return self.tokens * self.d_out * self.c

    @property
    def _residual(self) -> int:
        return self.tokens * self.hidden * FP32_BYTES

    @property
    def _scale(self) -> int:
        return self.tokens * FP32_BYTES

    @property
    def _skipped(self) -> bool:
        """Whether recomputation stops before the last product. It ends with the last tensor that a backward
        pass asks for; a product without an adapter isn't one, and its backward is already done.
        """
        return self.recomputed and not self.rank

    @property
    def _is_dora(self) -> bool:
        return self.dora and self.rank > 0

    @property
    def _inner_gradient(self) -> int:
        """DoRA's incoming gradient times its factor."""
        return self._output if self._is_dora else 0

    @property
    def _narrow_gradient(self) -> int:
        return self._output if self.c < FP32_BYTES else 0

    @property
    def _adapter_share(self) -> int:
        """grad · B, and the adapter's part of the outgoing gradient."""
        return self.tokens * self.rank * self.c + self._input if self.rank else 0


def find_backward_start(work: TrainingPass, *, decoding: Decoding, recomputed: bool) -> BackwardStart:
    """Build the workspace of one pass with its last weight decoded as `decoding` says.

    Recomputation needs the mask all the time, so the mask then counts as saved.
    """
    last = work.last_matrix
    shape = work.shape
    return BackwardStart(
        tokens=work.row.tokens,
        hidden=shape.hidden,
        c=work.c,
        d_in=last.d_in,
        d_out=last.d_out,
        rank=work.rank if last in work.adapted else 0,
        dora=work.dora,
        decoding=decoding,
        mlp_input_is_saved=any(linear.role in READS_SECOND_NORM for linear in work.adapted),
        packed=work.row.examples > 1,
        mask_bytes=0 if recomputed else work.mask_bytes,
        recomputed=recomputed,
        attention=Attention(
            heads=shape.heads,
            width=shape.attention_width,
            kv_width=shape.key_width,
            written_out=tuple(work.written_out),
            saved_after_bytes=work.after_attention_bytes,
        ),
    )
