"""A training step of torchtune: everything in 16 bits, adapters share their input, loss in eight chunks.

A compiled layer saves what PyTorch's partitioner leaves: pointwise chains between two products are recomputed
(tests/lora_lab/memory/frameworks/test_compiled_layer.py compiles one and finds the same bytes).
The symbols are those of transformers.py.
"""

from lora_lab.memory.frameworks.native import NativeStep
from lora_lab.memory.frameworks.operators import FP32
from lora_lab.memory.frameworks.tape import Tensor

LOSS_CHUNKS = 8  # CEWithChunkedOutputLoss(num_output_chunks=8)


class TorchtuneStep(NativeStep):
    """The step in torchtune/modules and its single-device recipes."""

    def norm(self, x: Tensor, *, size: int | None = None) -> Tensor:
        """Apply a norm; compiled, it is one kernel that saves its input and a number per row."""
        if not self.setting.compiled:
            return super().norm(x, size=size)
        length = size or self.shape.hidden
        weight = self.add_parameter(length, self.wide, trained=self.setting.trains_everything)
        scales = self.tape.new(x.numbers // length, FP32)
        return self.ops.apply(x.numbers, x.width, x, weight, saved=(x, scales))

    def rotate(self, x: Tensor) -> Tensor:
        """Rotate x. When compiled it is one kernel that saves nothing."""
        return self.ops.apply(x.numbers, x.width, x) if self.setting.compiled else super().rotate(x)

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP; compiled, silu(gate) · up is one kernel, recomputed from both in the backward pass."""
        if not (self.setting.compiled and self.family.gated):
            return super().mlp(x)
        d, f = self.shape.hidden, self.shape.intermediate
        gate, up = self.linear("gate", x, d, f), self.linear("up", x, d, f)
        return self.linear("down", self.ops.apply(gate.numbers, gate.width, gate, up, saved=(gate, up)), f, d)

    def writes_attention(self) -> bool:
        """Return False: torchtune calls PyTorch's attention for every family."""
        return False

    def loss(self, x: Tensor) -> Tensor:
        """Compute the loss; the recipe drops the logits before the backward pass."""
        x = self.norm(x)
        pieces = self.run_head_in_chunks(x, LOSS_CHUNKS if self.setting.loss == "chunked" else 1)
        del x
        return self.ops.apply(self.rows, FP32, *[self.compute_loss(piece) for piece in pieces])

    def compute_loss(self, logits: Tensor) -> Tensor:
        """Compute cross-entropy in fp32; chunked, it is compiled and keeps its 16-bit logits."""
        rows = logits.numbers // self.shape.vocab
        if self.setting.loss == "chunked":
            return self.ops.apply(rows, FP32, logits, saved=(logits,))
        return self.ops.cross_entropy(self.ops.cast(logits, FP32, "logits"), rows=rows)


class UnslothStep(TorchtuneStep):
    """Unsloth's step: the loss's gradient overwrites the logits."""

    def loss(self, x: Tensor) -> Tensor:
        """Compute the loss from one tensor of logits, in place."""
        x = self.norm(x)
        if self.setting.loss == "chunked":
            return self.fused_loss(x)
        logits = self.head(x)
        overwritten = Tensor(logits.numbers, logits.width, logits.storage)
        out = self.tape.new(self.rows, FP32)
        return self.tape.record(out, [logits], saved=(logits,), backward=lambda _: [overwritten])
