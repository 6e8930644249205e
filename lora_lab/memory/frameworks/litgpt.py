"""A training step of litgpt: fused qkv, everything in 16 bits, logits and loss in chunks of 128 tokens.

The symbols are those of transformers.py.
"""

from lora_lab.memory.frameworks.native import NativeStep
from lora_lab.memory.frameworks.operators import FP32
from lora_lab.memory.frameworks.tape import Tape, Tensor

CHUNK_TOKENS = 128  # lm_head_chunk_size in litgpt/finetune/lora.py
ROUND_LENGTH = 64
"""A multiple of this is taken for the length that batches are cut to, so the batch before was as long; any
other length is taken for a data set's longest example, and the batch before is shorter.
"""


class LitgptStep(NativeStep):
    """The step in litgpt/model.py, litgpt/lora.py and litgpt/finetune/lora.py."""

    saves_quantized_input = True
    """bitsandbytes 0.42, which litgpt requires, saves a quantized product's input; later versions don't."""

    def simulate_step(self) -> Tape:
        """Simulate the step with the previous micro-batch's `logits` and `loss`, until they are replaced."""
        before = 0 if self.setting.seq_len % ROUND_LENGTH else self.rows
        self.old_logits = self.tape.new(before * self.shape.vocab, FP32, "logits")
        self.old_graph = self.tape.new(before * self._count_kept_by_graph(), self.width, "activations")
        return super().simulate_step()

    def _count_kept_by_graph(self) -> int:
        """Count numbers per token that a graph holds after its backward pass: the input of each quantized
        product, which MatMul4Bit of bitsandbytes 0.42 keeps as an attribute instead of a saved tensor.
        """
        if not self.setting.quantized:
            return 0
        norms = 1 if self.family.norms == 1 else 2
        layer = norms * self.shape.hidden + self.shape.attention_width + self.shape.intermediate
        return self.shape.layers * layer + self.shape.hidden

    def embed(self) -> Tensor:
        """Embed; quantized, with a StableEmbedding: fp32, normed, trained by mistake, so with gradients."""
        x = super().embed()
        if not self.setting.quantized:
            return x
        x = self.ops.cast(x, FP32)
        x.leaf = self.add_parameter(0, self.width, trained=True).leaf
        x = self.ops.layer_norm(x, x, x, rows=self.rows)
        return self.ops.cast(x, self.width)

    # ---- attention

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, k and v as three views of one matrix's result."""
        a, kv, rows = self.shape.attention_width, self.shape.key_width, self.rows
        joint = self.base(x, self.shape.hidden, a + 2 * kv)
        widths = {"q": a, "k": kv, "v": kv}
        chosen = {role: width for role, width in widths.items() if role in self.roles or "qkv" in self.roles}
        if chosen:
            joint = self.ops.add(joint, self.compute_joint_update(x, list(chosen.values())))
        del x
        q, k, v = self.ops.split(joint, [rows * a, rows * kv, rows * kv])
        return q, k, v

    def compute_joint_update(self, x: Tensor, widths: list[int]) -> Tensor:
        """Compute the update of the chosen parts: one A, a grouped convolution as B, zeros elsewhere."""
        ops, rank, rows = self.ops, self.setting.rank, self.rows
        if self.setting.dropout:
            x = ops.dropout(x)
        down = self.add_parameter(rank * len(widths) * self.shape.hidden, self.adapter_width, trained=True)
        up = self.add_parameter(rank * sum(widths), self.adapter_width, trained=True)
        reduced = ops.matmul(x, down, rows=rows, d_out=rank * len(widths))
        update = ops.matmul(reduced, up, rows=rows, d_out=sum(widths))
        if len(widths) < 3:  # index_copy keeps its source for the shape of its gradient
            update = ops.apply(
                rows * (self.shape.attention_width + 2 * self.shape.key_width),
                update.width,
                update,
                saved=(update,),
            )
        return ops.scale(update)

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate x; the rotated part and the rest are joined in a new tensor."""
        rotated = super().rotate(x)
        return self.ops.copy(rotated) if self.family.rotates_all else rotated

    def writes_attention(self) -> bool:
        """Return whether scores are capped: otherwise litgpt calls PyTorch's attention for every family."""
        return self.family.softcap

    # ---- the MLP

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP with gate and up as two matrices, as litgpt always stores them."""
        if not self.has("gate_up"):
            return super().mlp(x)
        d, f = self.shape.hidden, self.shape.intermediate
        gate = self.ops.unary(self.linear("gate_up", x, d, f))
        return self.linear("down", self.ops.multiply(gate, self.linear("gate_up", x, d, f)), f, d)

    def activate(self, x: Tensor) -> Tensor:
        """Apply torch's own gelu or silu."""
        return self.ops.unary(x)

    # ---- the loss

    def loss(self, x: Tensor) -> Tensor:
        """Compute the loss from chunks of logits, cast to fp32 by Fabric; the chunks live until the end."""
        x = self.norm(x)
        if self.setting.trains_everything:
            logits = self.ops.cast(self.head(x), FP32, "logits")
            self.outputs = logits
            del self.old_logits
            shifted = self.ops.apply(logits.numbers, FP32, logits, part="logits")
            return self.ops.cross_entropy(shifted, rows=self.rows)
        pieces = self.run_head_in_chunks(x, -(-self.setting.seq_len // CHUNK_TOKENS))
        del x
        chunks = [self.ops.cast(piece, FP32, "logits") for piece in pieces]
        del pieces
        self.chunks = chunks
        del self.old_logits
        losses = [self.ops.cross_entropy(chunk, rows=chunk.numbers // self.shape.vocab) for chunk in chunks]
        loss = self.ops.apply(self.rows, FP32, *losses)
        del self.old_graph
        return loss

    def head(self, x: Tensor) -> Tensor:
        """Compute logits with a head that is quantized like every other matrix."""
        d, vocab = self.shape.hidden, self.shape.vocab
        if self.setting.quantized:
            logits = self.base(x, d, vocab, part="logits")
        else:
            logits = self.product(x, self.head_weight, d, vocab, part="logits")
        return self.adapt_logits(x, logits, d, vocab)
