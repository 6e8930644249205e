"""A decoder layer as torchtune builds it, compiled: how many bytes it saves for the backward pass.

    python -m tests.lora_lab.memory.frameworks.compiled_layer

A process of its own, since the app's workers switch the compiler off. The backend partitions the graph as
PyTorch's own compiler does, and then runs it without generating code.
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, RANK = 384, 6, 2, 64, 1024, 8
BATCH, SEQ = 2, 64


class Matrix(nn.Module):
    """A trained matrix, or a frozen one with an adapter, or a frozen one."""

    def __init__(self, d_in: int, d_out: int, *, lora: bool, adapted: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(d_out, d_in) / 50, requires_grad=not lora)
        self.a = nn.Parameter(torch.randn(RANK, d_in) / 50) if lora and adapted else None
        self.b = nn.Parameter(torch.zeros(d_out, RANK)) if lora and adapted else None

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, seq, d_in) -> (batch, seq, d_out)."""
        result = linear(x, self.weight)
        if self.a is None or self.b is None:
            return result
        return result + 2.0 * linear(linear(x, self.a), self.b)


class Norm(nn.Module):
    """In fp32 inside, the input's type outside."""

    def __init__(self, *, lora: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(HIDDEN), requires_grad=not lora)

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, seq, hidden)."""
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return scaled.type_as(x) * self.scale


class Layer(nn.Module):
    """Attention and gated MLP; keys are not adapted, as in torchtune's recipes."""

    def __init__(self, *, lora: bool) -> None:
        super().__init__()
        width, kv_width = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
        self.first, self.second = Norm(lora=lora), Norm(lora=lora)
        self.q, self.o = Matrix(HIDDEN, width, lora=lora), Matrix(width, HIDDEN, lora=lora)
        self.k = Matrix(HIDDEN, kv_width, lora=lora, adapted=False)
        self.v = Matrix(HIDDEN, kv_width, lora=lora)
        self.gate, self.up = (Matrix(HIDDEN, INTERMEDIATE, lora=lora) for _ in range(2))
        self.down = Matrix(INTERMEDIATE, HIDDEN, lora=lora)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (batch, seq, hidden); cos and sin (seq, 1, head_dim / 2)."""
        normed = self.first(x)
        q = rotated(self.q(normed).view(BATCH, SEQ, HEADS, HEAD_DIM), cos, sin)
        k = repeated(rotated(self.k(normed).view(BATCH, SEQ, KV_HEADS, HEAD_DIM), cos, sin))
        v = repeated(self.v(normed).view(BATCH, SEQ, KV_HEADS, HEAD_DIM))
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        attended = scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(attended.transpose(1, 2).reshape(BATCH, SEQ, -1))
        normed = self.second(x)
        out: Tensor = x + self.down(silu(self.gate(normed)) * self.up(normed))
        return out


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Pairs of x (batch, seq, heads, head_dim) turned, in fp32 inside."""
    left, right = x.float().reshape(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack([left * cos - right * sin, right * cos + left * sin], -1)
    return turned.flatten(3).type_as(x)


def repeated(x: Tensor) -> Tensor:
    """Each key head (batch, seq, kv_heads, head_dim) once for each of its query heads."""
    wide = x[:, :, :, None].expand(-1, -1, -1, HEADS // KV_HEADS, -1)
    return wide.reshape(BATCH, SEQ, HEADS, HEAD_DIM)


def saved_bytes(*, lora: bool) -> int:
    """Of all storages that the compiled layer saves, parameters and rotary tables left out."""
    layer = Layer(lora=lora).to(torch.bfloat16)
    angles = torch.rand(SEQ, 1, HEAD_DIM // 2)
    tables = (angles.cos(), angles.sin())
    known = {tensor.untyped_storage().data_ptr() for tensor in (*layer.parameters(), *tables)}
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randn(BATCH, SEQ, HIDDEN, dtype=torch.bfloat16, requires_grad=True)
    compiled = torch.compile(layer, backend="aot_eager_decomp_partition")
    with torch.autograd.graph.saved_tensors_hooks(keep, _as_it_is):
        kept = compiled(x, *tables)  # alive while it is counted: a freed storage's address may come again
    assert kept.requires_grad
    return sum(found.values())


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


if __name__ == "__main__":
    sys.stdout.write(f"{saved_bytes(lora=False)} {saved_bytes(lora=True)}\n")
