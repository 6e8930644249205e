"""What litgpt's and torchtune's own models have in common, in contrast to transformers' models."""

from lora_lab.memory.frameworks.tape import Tensor
from lora_lab.memory.frameworks.transformers import TransformersStep


class NativeStep(TransformersStep):
    """A step of a model that the framework implements itself, with PyTorch's attention."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Run attention with keys and values repeated for each query head, once."""
        if not self.writes_attention():  # attention that is written out repeats them itself
            groups = self.shape.heads // self.shape.kv_heads
            k, v = self.ops.repeat(k, groups), self.ops.repeat(v, groups)
        return super().attend(q, k, v)

    def adapt(self, x: Tensor, result: Tensor, d_in: int, d_out: int, *, rank: int) -> Tensor:
        """Adapt a result: result + scale · B(A(dropout(x))), all in the base's type."""
        ops = self.ops
        rows = x.numbers // d_in
        down, up = self.add_factors(rank, d_in, d_out)
        if self.setting.dropout:
            x = ops.dropout(x)
        if self.setting.variant == "dora":
            return ops.add(result, self.apply_dora(x, result, down, up, d_in, d_out, rank=rank))
        reduced = ops.matmul(x, down, rows=rows, d_out=rank)
        return ops.add(result, ops.scale(ops.matmul(reduced, up, rows=rows, d_out=d_out)))

    def run_head_in_chunks(self, x: Tensor, count: int) -> list[Tensor]:
        """Compute logits in chunks of equally many rows; the last chunk has the remainder too."""
        sizes = [self.rows // count * self.shape.hidden] * (count - 1)
        sizes.append(x.numbers - sum(sizes))
        return [self.head(piece) for piece in self.ops.split(x, sizes)]
