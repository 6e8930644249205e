"""Working space at a step's worst moment, on top of the saved activations.

Everything saved is alive only where the forward pass turns into the backward pass, so the worst moment lies
there: in the last layer's attention, in its last product, in the gate before it, or in the final norm.
Each method is one such moment; its terms are the tensors that the operators of worker/ and of transformers
hold beside what is saved. Read off an operator trace and checked to the byte in
tests/lora_lab/worker/training/test_predicted_memory.py.
"""

from dataclasses import dataclass

from lora_lab.memory.activations import FP32_BYTES, READS_SECOND_NORM, TrainingPass


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The last layer's attention."""

    heads: int
    width: int
    """Heads times head size."""

    kv_width: int
    written_out: tuple[int, ...]
    """Tokens of each example that is written out; those that take the fused kernel are left out."""

    saved_after_bytes: int
    """Saved for the backward by what comes after it: output and MLP products, both norms."""


@dataclass(frozen=True)
class Decoding:
    """Of the last product's weight."""

    decoded_bytes: int
    """In the compute type; 0 when it is stored in it."""

    peak_bytes: int
    """While it is decoded."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The turn from forward to backward: T tokens, c bytes of the compute type."""

    tokens: int
    hidden: int
    c: int
    d_in: int
    """Of the last product, `down_proj` in Llama's family: the MLP's inner width."""

    d_out: int
    rank: int
    """0 when the last product has no adapter."""

    dora: bool
    """Whether that adapter has a magnitude."""

    decoding: Decoding
    mlp_input_is_saved: bool
    packed: bool
    """Whether several examples share the row."""

    mask_bytes: int
    """Of the boolean (T, T) mask that keeps them apart until the forward ends; 0 if it stays for longer."""

    recomputed: bool
    """Whether the last layer is computed again before its backward."""

    attention: Attention

    def worst_bytes(self) -> int:
        """The largest moment."""
        return max(self.worst_in_layer(), self.worst_at_norm())

    def worst_in_layer(self) -> int:
        """The largest moment in the last layer."""
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
        """The largest moment in the final norm."""
        return max(self.norm_forward(), self.norm_backward())

    def product_forward(self) -> int:
        """The product's output and decoded weight; its input and the MLP's, unless an adapter saves them. An
        adapter's small product is there before the large one is added to it.
        """
        inputs = 0 if self.mlp_input_is_saved else self._output
        inputs += self._output if self.rank else self._input
        # The final norm's input and scale are in the saved activations, but not there yet; the embeddings are
        # still held, and as large as the input.
        products = self._output
        if self._skipped:  # then the one before it, whose output is saved
            held = max(self.decoding.peak_bytes - self._input, self.decoding.decoded_bytes)
            mlp_input = 0 if self.mlp_input_is_saved else self._output
            return self._gradient_when_recomputing - self._scale + mlp_input + held
        if self._is_dora:  # in bf16 what the magnitude adds is an fp32 product first
            products = FP32_BYTES * self.tokens * self.d_out if self.c < FP32_BYTES else self._output
        held = max(self.decoding.peak_bytes, self.decoding.decoded_bytes + products)
        return self.mask_bytes + self._gradient_when_recomputing - self._scale + inputs + held

    def product_backward(self) -> int:
        """The incoming gradient in the compute type, the decoded weight and the outgoing gradient, which an
        adapter's share is computed before.
        """
        if self._skipped:
            return 0
        products = max(self.decoding.peak_bytes, self.decoding.decoded_bytes + self._input)
        return self._narrow_gradient + self._inner_gradient + self._adapter_share - self._scale + products

    def factor_gradients(self) -> int:
        """The gradients of A and B, each in the compute type first and in fp32 at last."""
        if not self.rank:
            return 0
        narrow = self.c * self.rank * self.d_out if self.c < FP32_BYTES else 0
        factors = FP32_BYTES * self.rank * (self.d_in + self.d_out) + narrow
        return self._narrow_gradient + self._inner_gradient + self._adapter_share - self._scale + factors

    def magnitude_backward(self) -> int:
        """The incoming gradient times the product, both in fp32."""
        if not self._is_dora:
            return 0
        wide = FP32_BYTES * self.tokens * self.d_out * (2 if self.c < FP32_BYTES else 1)
        return self._narrow_gradient - self._scale + wide

    def gate_backward(self) -> int:
        """Product rule: two gradients beside the incoming one, which takes the place of a saved input."""
        return (2 if self.rank else 3) * self._input - self._scale

    def norm_forward(self) -> int:
        """Two fp32 copies; the embeddings are still held."""
        return self.mask_bytes + 3 * self._residual

    def norm_backward(self) -> int:
        """PyTorch's rms_norm is a composite on a CPU, and its backward holds five fp32 copies."""
        return 5 * self._residual - self._scale

    def attention_forward(self) -> int:
        """Scores and softmax of one written-out example in fp32, beside queries and keys before they were
        narrowed and the outputs so far; what next examples and the rest of the layer save is not there yet.
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
        queries = self.c * part.width * self.tokens  # before they are cut
        held = self.mask_bytes + self._residual + self._gradient_when_recomputing
        return held + wide + queries + worst - part.saved_after_bytes

    def _example_bytes(self, tokens: int) -> int:
        """What one written-out example saves: its softmax and its queries."""
        return self.c * tokens * (self.attention.heads * tokens + self.attention.width)

    def attention_backward(self) -> int:
        """The softmax's gradient twice in fp32, beside the residual's and the output's, cut where several
        examples share it; what the layer saves after its attention is gone. The last example comes first, and
        what it saved is gone when the next one's turn comes.
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
        """A layer is computed again when its last product's backward asks for what it saved, or, if that
        product saved nothing because it has no adapter, once the product's backward is done.
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
        """Computing again ends with the last tensor that a backward asks for: a product without an adapter is
        not one of them, and its backward has been.
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


def turn_of(work: TrainingPass, *, decoding: Decoding, recomputed: bool) -> Turn:
    """The turn of one pass, its last weight decoded as said. Computing again needs the mask all along."""
    last = work.last_matrix
    shape = work.shape
    return Turn(
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
            width=shape.heads * shape.head_dim,
            kv_width=shape.kv_heads * shape.head_dim,
            written_out=tuple(work.written_out),
            saved_after_bytes=work.after_attention_bytes,
        ),
    )
