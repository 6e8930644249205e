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
from functools import cached_property

from lora_lab.memory.activations import READS_SECOND_NORM, TrainingPass
from lora_lab.memory.optimizer_state import FP32_BYTES
from lora_lab.parameters.shapes import Linear


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

    work: TrainingPass
    decoding: Decoding
    """What the last product's weight holds while it is decoded."""

    recomputed: bool
    """Whether the last layer is recomputed before its backward pass (activation checkpointing)."""

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
        mlp_input = 0 if READS_SECOND_NORM & self.work.roles else self._output
        inputs = mlp_input + (self._output if self._rank else self._input)
        # The final norm's input and scale are in the saved activations, but not alive yet; the embeddings are
        # still held, and as large as the input.
        products = self._output
        if self._skipped:  # then the product before it, whose output is saved
            held = max(self.decoding.peak_bytes - self._input, self.decoding.decoded_bytes)
            return self._gradient_when_recomputing - self._scale + mlp_input + held
        if self._is_dora:  # in bf16 what the magnitude adds is an fp32 product first
            products = FP32_BYTES * self._tokens * self._last.d_out if self._c < FP32_BYTES else self._output
        held = max(self.decoding.peak_bytes, self.decoding.decoded_bytes + products)
        return self._mask_bytes + self._gradient_when_recomputing - self._scale + inputs + held

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
        if not self._rank:
            return 0
        narrow = self._c * self._rank * self._last.d_out if self._c < FP32_BYTES else 0
        factors = FP32_BYTES * self._rank * (self._last.d_in + self._last.d_out) + narrow
        return self._narrow_gradient + self._inner_gradient + self._adapter_share - self._scale + factors

    def magnitude_backward(self) -> int:
        """Return the incoming gradient times the product, both in fp32."""
        if not self._is_dora:
            return 0
        wide = FP32_BYTES * self._tokens * self._last.d_out * (2 if self._c < FP32_BYTES else 1)
        return self._narrow_gradient - self._scale + wide

    def gate_backward(self) -> int:
        """Return the product rule's two gradients and the incoming one, which replaces a saved input."""
        return (2 if self._rank else 3) * self._input - self._scale

    def norm_forward(self) -> int:
        """Return two fp32 copies; the embeddings are still held."""
        return self._mask_bytes + 3 * self._residual

    def norm_backward(self) -> int:
        """Return five fp32 copies, because PyTorch's rms_norm is a composite on a CPU."""
        return 5 * self._residual - self._scale

    def attention_forward(self) -> int:
        """Return scores and softmax of one unfused example in fp32, in addition to queries and keys before
        narrowing and the outputs so far; what the next examples and the rest of the layer save isn't alive
        yet.
        """
        shape, written_out = self.work.shape, self.work.written_out
        copies = 2 if self._c < FP32_BYTES else 1  # in fp32 the softmax is what is saved
        done, to_come = self._tokens - sum(written_out), sum(map(self._example_bytes, written_out))
        worst = -to_come
        for tokens in written_out:
            to_come -= self._example_bytes(tokens)
            scores = FP32_BYTES * tokens**2 * (copies * shape.heads + 1)
            worst = max(worst, scores + self._c * shape.attention_width * done - to_come)
            done += tokens
        width = shape.attention_width + shape.key_width
        wide = FP32_BYTES * self._tokens * width if self._c < FP32_BYTES else 0
        queries = self._c * shape.attention_width * self._tokens  # before they are split by example
        held = self._mask_bytes + self._residual + self._gradient_when_recomputing
        return held + wide + queries + worst - self.work.after_attention_bytes

    def _example_bytes(self, tokens: int) -> int:
        """Return what one unfused example saves: its softmax and its queries."""
        return self._c * tokens * (self.work.shape.heads * tokens + self.work.shape.attention_width)

    def attention_backward(self) -> int:
        """Return the softmax's gradient twice in fp32, in addition to the residual's and the output's
        gradient, cut where several examples share it; what the layer saves after its attention is already
        free. The last example comes first, and what it saved is free when the next one is processed.
        """
        shape, worst, gone = self.work.shape, 0, 0
        for tokens in reversed(self.work.written_out):
            pairs = (2 * FP32_BYTES * tokens + FP32_BYTES) * shape.heads * tokens  # and the rows' means
            cut = self._c * shape.attention_width * tokens if self.work.row.examples > 1 else 0
            worst = max(worst, pairs + cut - gone)
            gone += self._c * (shape.heads * tokens**2 - 2 * shape.key_width * tokens)
        incoming = self._c * shape.attention_width * self._tokens
        return self._residual + incoming + worst - self.work.after_attention_bytes

    @property
    def _gradient_when_recomputing(self) -> int:
        """The gradient held during recomputation. A layer is recomputed when its last product's backward asks
        for what it saved, or, if that product saved nothing because it has no adapter, once the product's
        backward is done.
        """
        if not self.recomputed:
            return 0
        return self._narrow_gradient if self._rank else self._input

    @property
    def _c(self) -> int:
        return self.work.c

    @property
    def _tokens(self) -> int:
        return self.work.row.tokens

    @cached_property
    def _last(self) -> Linear:
        """The last product, `down_proj` in Llama's family, whose input is as wide as the MLP."""
        return self.work.last_matrix

    @cached_property
    def _rank(self) -> int:
        """Rank of the last product's adapter; 0 when it has none."""
        return self.work.rank if self._last in self.work.adapted else 0

    @property
    def _mask_bytes(self) -> int:
        """The mask that keeps examples apart until the forward pass ends; recomputation needs it all the
        time, so it then counts as saved.
        """
        return 0 if self.recomputed else self.work.mask_bytes

    @property
    def _input(self) -> int:
        return self._tokens * self._last.d_in * self._c

    @property
    def _output(self) -> int:
        return self._tokens * self._last.d_out * self._c

    @property
    def _residual(self) -> int:
        return self.work.residual_bytes

    @property
    def _scale(self) -> int:
        return self._tokens * FP32_BYTES

    @property
    def _skipped(self) -> bool:
        """Whether recomputation stops before the last product. It ends with the last tensor that a backward
        pass asks for; a product without an adapter isn't one, and its backward is already done.
        """
        return self.recomputed and not self._rank

    @property
    def _is_dora(self) -> bool:
        return self.work.dora and self._rank > 0

    @property
    def _inner_gradient(self) -> int:
        """DoRA's incoming gradient times its factor."""
        return self._output if self._is_dora else 0

    @property
    def _narrow_gradient(self) -> int:
        return self._output if self._c < FP32_BYTES else 0

    @property
    def _adapter_share(self) -> int:
        """grad · B, and the adapter's part of the outgoing gradient."""
        return self._tokens * self._rank * self._c + self._input if self._rank else 0
