"""Working space at a step's worst moment, on top of the saved activations.

Everything saved is alive only where the forward pass turns into the backward pass, so the worst moment lies
there: in the last layer's attention, in its last product, in the gate before it, or in the final norm.
Each method is one such moment; its terms are the tensors that the operators of worker/ and of transformers
hold beside what is saved. Read off an operator trace and checked to the byte in
tests/lora_lab/worker/test_predicted_memory.py.
"""

from dataclasses import dataclass

FP32_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Attention:
    """The last layer's attention."""

    heads: int
    width: int
    """Heads times head size."""

    kv_width: int
    longest: int
    """Tokens of the longest example that is written out; 0 when all take the fused kernel."""

    saved_after_bytes: int
    """Saved for the backward by what comes after it: output and MLP products, both norms."""


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

    decoding_bytes: int
    """While its weight is decoded."""

    decoded_bytes: int
    """Its weight in the compute type; 0 when it is stored in it."""

    mlp_input_is_saved: bool
    packed: bool
    """Several examples share the row, and a boolean (T, T) mask keeps them apart until the forward ends."""

    attention: "Attention"

    def worst_bytes(self) -> int:
        """The largest moment."""
        return max(
            self.product_forward(),
            self.product_backward(),
            self.factor_gradients(),
            self.gate_backward(),
            self.norm_forward(),
            self.norm_backward(),
            self.attention_forward(),
            self.attention_backward(),
        )

    def product_forward(self) -> int:
        """The product's output and decoded weight; its input and the MLP's, unless an adapter saves them. An
        adapter's small product is there before the large one is added to it.
        """
        inputs = 0 if self.mlp_input_is_saved else self._output
        inputs += self._output if self.rank else self._input
        # The final norm's input and scale are in the saved activations, but not there yet; the embeddings are
        # still held, and as large as the input.
        return self._mask - self._scale + inputs + max(self.decoding_bytes, self.decoded_bytes + self._output)

    def product_backward(self) -> int:
        """The incoming gradient in the compute type, the decoded weight and the outgoing gradient, which an
        adapter's share is computed before.
        """
        products = max(self.decoding_bytes, self.decoded_bytes + self._input)
        return self._narrow_gradient + self._adapter_share - self._scale + products

    def factor_gradients(self) -> int:
        """The gradients of A and B, each in the compute type first and in fp32 at last."""
        if not self.rank:
            return 0
        narrow = self.c * self.rank * self.d_out if self.c < FP32_BYTES else 0
        factors = FP32_BYTES * self.rank * (self.d_in + self.d_out) + narrow
        return self._narrow_gradient + self._adapter_share - self._scale + factors

    def gate_backward(self) -> int:
        """Product rule: two gradients beside the incoming one, which takes the place of a saved input."""
        return (2 if self.rank else 3) * self._input - self._scale

    def norm_forward(self) -> int:
        """Two fp32 copies; the embeddings are still held."""
        return self._mask + 3 * self._residual

    def norm_backward(self) -> int:
        """PyTorch's rms_norm is a composite on a CPU, and its backward holds five fp32 copies."""
        return 5 * self._residual - self._scale

    def attention_forward(self) -> int:
        """Scores and softmax of the longest written-out example in fp32, beside queries and keys before they
        were narrowed; what the layer saves after its attention is not there yet.
        """
        part, pairs = self.attention, self.attention.heads * self.attention.longest**2
        copies = 2 if self.c < FP32_BYTES else 1  # in fp32 the softmax is what is saved
        wide = FP32_BYTES * self.tokens * (part.width + part.kv_width) if self.c < FP32_BYTES else 0
        outputs = (
            self.c * part.width * (2 * self.tokens - part.longest)
        )  # with the queries before they are cut
        scores = copies * FP32_BYTES * pairs + FP32_BYTES * part.longest**2
        return self._mask + self._residual + wide + outputs + scores - part.saved_after_bytes

    def attention_backward(self) -> int:
        """The softmax's gradient twice in fp32, beside the residual's and the output's, cut where several
        examples share it; what the layer saves after its attention is gone.
        """
        part = self.attention
        pairs = 2 * FP32_BYTES * part.heads * part.longest**2
        incoming = self.c * part.width * (self.tokens + (part.longest if self.packed else 0))
        means = FP32_BYTES * part.heads * part.longest
        return self._residual + incoming + pairs + means - part.saved_after_bytes

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
    def _mask(self) -> int:
        return self.tokens**2 if self.packed else 0

    @property
    def _narrow_gradient(self) -> int:
        return self._output if self.c < FP32_BYTES else 0

    @property
    def _adapter_share(self) -> int:
        """grad · B, and the adapter's part of the outgoing gradient."""
        return self.tokens * self.rank * self.c + self._input if self.rank else 0
