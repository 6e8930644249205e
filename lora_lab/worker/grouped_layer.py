"""One decoder layer of Llama's family, for one adapter of several that share the frozen weights.

    x ── norm ── q k v ── attention ── o ──(+)── norm ── gate up ── silu · ── down ──(+)──
    └──────────────────────────────────────┘ └──────────────────────────────────────────┘

The same mathematics as the library's layer with the lab's products (worker/lora_matmul.py), written as four
functions with a backward of their own. Each works on one adapter's rows at a time: 350 rows stay in a core's
cache, where an elementwise operator is ten times as fast as on four adapters' rows at once
(docs/performance.md).

Gradients of A and B do not pass through autograd: each product writes its own into the adapter's buffer.
Number types are explicit, so nothing here runs under autocast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.activations import SHORT_EXAMPLE_TOKENS
from lora_lab.worker.attention import attend

READS = (("q_proj", "k_proj", "v_proj"), ("o_proj",), ("gate_proj", "up_proj"), ("down_proj",))
"""Matrices that read the same input, in the order of a layer."""

CACHED_LOGITS = 2**18
"""Of one block: 1 MB in fp32."""

Decode = Callable[[nn.Module], Tensor]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One adapter's B of one matrix."""

    columns: slice
    """Its share of h = x Aᵀ."""

    b: Tensor  # (rank, d_out): Bᵀ, scaled, in the compute type
    grad_b: Tensor  # (rank, d_out), fp32, of the scaled Bᵀ


@dataclass(frozen=True, kw_only=True)
class Factors:
    """One adapter's A and B of all matrices that read the same input; None for a matrix it does not adapt."""

    a: Tensor  # (sum of ranks, d_in) in the compute type
    grad_a: Tensor  # (sum of ranks, d_in), fp32
    parts: tuple[Part | None, ...]

    @property
    def adapted(self) -> list[Part]:
        """Only the matrices that have one."""
        return [part for part in self.parts if part is not None]


class Products(torch.autograd.Function):
    """y = x Wᵀ + (x Aᵀ)(s B)ᵀ for each matrix that reads x; arXiv:2106.09685, equation 3."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, frozen: Sequence[nn.Module], factors: Factors, decode: Decode
    ) -> tuple[Tensor, ...]:
        """x (tokens, d_in) in the compute type -> one (tokens, d_out) for each frozen matrix."""
        h = x @ factors.a.t()  # (tokens, d_in) -> (tokens, sum of ranks)
        ctx.save_for_backward(x if factors.adapted else h, h)
        ctx.frozen, ctx.factors, ctx.decode = frozen, factors, decode
        # Summed inside the product, which rounds once (docs/traps.md 12).
        return tuple(
            x @ decode(matrix).t()
            if part is None
            else (h[:, part.columns] @ part.b).addmm_(x, decode(matrix).t())
            for matrix, part in zip(frozen, factors.parts, strict=True)
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """One gradient (tokens, d_out) for each matrix -> that of x (tokens, d_in)."""
        x, h = ctx.saved_tensors
        factors: Factors = ctx.factors
        grad_h = torch.empty_like(h)
        for grad, part in zip(grads, factors.parts, strict=True):
            if part is not None:
                grad_h[:, part.columns] = grad @ part.b.t()  # (tokens, d_out) -> (tokens, rank)
                part.grad_b.copy_(h[:, part.columns].t() @ grad)
        if factors.adapted:
            factors.grad_a.copy_(grad_h.t() @ x)
        grad_x = grad_h @ factors.a
        for grad, matrix in zip(grads, ctx.frozen, strict=True):
            grad_x.addmm_(grad, ctx.decode(matrix))
        return grad_x, None, None, None


class Norm(torch.autograd.Function):
    """weight · x / rms(x), from the fp32 residual to the compute type. Keeps x and one scale a token."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        """x (tokens, hidden) fp32 -> (tokens, hidden) of `dtype`."""
        scale = x.pow(2).mean(-1, keepdim=True).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return (x * scale).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """grad like the output -> fp32 gradient of x."""
        x, scale, weight = ctx.saved_tensors
        weighted = grads[0] * weight if grads[0].dtype == weight.dtype else grads[0].float().mul_(weight)
        along = (weighted * x).sum(-1, keepdim=True).mul_(scale.pow(3)).div_(-x.shape[-1])
        return weighted.mul_(scale).addcmul_(x, along), None, None, None


class GatedUnit(torch.autograd.Function):
    """silu(gate) · up. Keeps both, and computes silu again in the backward."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        """gate and up (tokens, intermediate) -> alike."""
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        """grad like the output -> gradients of gate and up."""
        gate, up = ctx.saved_tensors
        grad_gate = torch.ops.aten.silu_backward(grads[0] * up, gate)
        return grad_gate, F.silu(gate).mul_(grads[0])


@dataclass(frozen=True, kw_only=True)
class Positions:
    """Where the tokens of one packed row stand in their examples."""

    cos: Tensor  # (tokens, head), fp32
    sin: Tensor  # (tokens, head), fp32
    example_lengths: tuple[int, ...]


class Rotary(torch.autograd.Function):
    """Turns queries or keys by their position (arXiv:2104.09864), in fp32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """x (tokens, heads, head) -> alike."""
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos, sin, direction=1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        """grad like x -> like x; turned back."""
        cos, sin = ctx.saved_tensors
        return _turned(grads[0], cos, sin, direction=-1), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor, *, direction: int) -> Tensor:
    """With the first half of each head as the real part of complex numbers."""
    wide, half = x.float(), x.shape[-1] // 2
    turned = wide * cos[:, None]
    turned[..., :half].sub_(wide[..., half:] * sin[:, None, :half], alpha=direction)
    turned[..., half:].add_(wide[..., :half] * sin[:, None, half:], alpha=direction)
    return turned.to(x.dtype)


class ShortAttention(torch.autograd.Function):
    """Causal attention within each short example of a row. Keeps q, k, v and every example's softmax p."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...], scale: float) -> Tensor:
        """q (tokens, heads, head), k and v (tokens, kv_heads, head) -> like q."""
        q, k, v = (part.transpose(0, 1).contiguous() for part in (q, k, v))
        output = q.new_empty(q.shape[1], q.shape[0], q.shape[2])
        # In fp32: a score of 10 is off by up to 0.03 in bf16, which the softmax passes on as 3 %.
        keys = k.float().transpose(1, 2)
        softmaxes = []
        for seq, part in _examples(lengths):
            queries = q[:, part].reshape(len(k), -1, q.shape[-1])  # (kv_heads, group · seq, head)
            scores = torch.bmm(queries.float(), keys[..., part]).mul_(scale)
            hidden = scores.new_full((seq, seq), float("-inf")).triu_(1)
            p = scores.view(len(q), seq, seq).add_(hidden).softmax(-1).to(q.dtype).view_as(scores)
            output[part] = torch.bmm(p, v[:, part]).view(len(q), seq, -1).transpose(0, 1)
            softmaxes.append(p)
        ctx.save_for_backward(q, k, v, *softmaxes)
        ctx.lengths, ctx.scale = lengths, scale
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """grad like q -> gradients of q, k and v."""
        q, k, v, *softmaxes = ctx.saved_tensors
        incoming, values = grads[0].transpose(0, 1).contiguous(), v.float().transpose(1, 2)
        grad_q, grad_k, grad_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for (seq, part), p in zip(_examples(ctx.lengths), softmaxes, strict=True):
            queries = q[:, part].reshape(len(k), -1, q.shape[-1])
            grad = incoming[:, part].reshape(len(k), -1, q.shape[-1])
            grad_p = torch.bmm(grad.float(), values[..., part])
            wide = p.float()  # a product of two number types takes ten times as long
            mean = (grad_p * wide).sum(-1, keepdim=True)  # the softmax passes on differences only
            grad_s = grad_p.sub_(mean).mul_(wide).mul_(ctx.scale).to(q.dtype)
            grad_q[:, part] = torch.bmm(grad_s, k[:, part]).view(len(q), seq, -1)
            grad_k[:, part] = torch.bmm(grad_s.transpose(1, 2), queries)
            grad_v[:, part] = torch.bmm(p.transpose(1, 2), grad)
        return grad_q.transpose(0, 1), grad_k.transpose(0, 1), grad_v.transpose(0, 1), None, None


def _examples(lengths: Sequence[int]) -> list[tuple[int, slice]]:
    """Length and place of each example in its row."""
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    return [(length, slice(end - length, end)) for length, end in zip(lengths, ends, strict=True)]


def attention(q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float) -> Tensor:
    """q (tokens, heads · head), k and v (tokens, kv_heads · head) -> like q."""
    lengths, turn = positions.example_lengths, (positions.cos, positions.sin)
    queries, keys, values = (part.view(len(part), -1, positions.cos.shape[-1]) for part in (q, k, v))
    queries, keys = Rotary.apply(queries, *turn), Rotary.apply(keys, *turn)  # type: ignore[no-untyped-call]
    if q.device.type == "cpu" and max(lengths) <= SHORT_EXAMPLE_TOKENS:
        short = ShortAttention.apply(queries, keys, values, lengths, scale)  # type: ignore[no-untyped-call]
        return short.view(q.shape)  # type: ignore[no-any-return]
    parts = (part.transpose(0, 1)[None].split(lengths, 2) for part in (queries, keys, values))
    attended = [attend(q, k, v, scale)[0] for q, k, v in zip(*parts, strict=True)]
    return torch.cat(attended).view(q.shape)


def answer_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy (answers,) in fp32; `logits` (answers, vocab) become the gradient of its mean.

    A few rows at a time stay in a core's cache: a quarter of the time, and no fp32 copy of all logits.
    """
    losses = torch.empty(len(logits), device=logits.device)
    step = max(1, CACHED_LOGITS // logits.shape[1])
    for start in range(0, len(logits), step):
        part = slice(start, start + step)
        wide, at_target = logits[part].float(), targets[part, None]
        chosen = wide.gather(1, at_target)
        highest = wide.amax(-1, keepdim=True)
        total = wide.sub_(highest).exp_().sum(-1, keepdim=True)
        losses[part] = (total.log() + highest - chosen)[:, 0]
        # The softmax, less one at the target, over the number of answers.
        wide.div_(total.mul_(len(logits)))
        logits[part] = wide.scatter_add_(1, at_target, torch.full_like(chosen, -1 / len(logits)))
    return losses


class GroupedLayer:
    """A decoder layer's frozen parts, called once for each adapter."""

    def __init__(self, layer: Any, decode: Decode, dtype: torch.dtype) -> None:
        self._attention, self._mlp = layer.self_attn, layer.mlp
        self._norms = layer.input_layernorm, layer.post_attention_layernorm
        self._decode, self._dtype = decode, dtype
        self._scale = float(layer.self_attn.scaling)
        self.frozen = tuple(tuple(base_of(matrix_of(layer, name)) for name in names) for names in READS)
        self.unadapted = tuple(self._no_factors(read) for read in self.frozen)

    def __call__(self, x: Tensor, factors: Sequence[Factors], positions: Positions) -> Tensor:
        """The fp32 residual stream (tokens, hidden) of one adapter -> the same after this layer."""
        attend_to, mlp = self._norms
        q, k, v = self._products(0, self._normed(x, attend_to), factors)
        (o,) = self._products(1, attention(q, k, v, positions, self._scale), factors)
        x = x + o.float()
        gate, up = self._products(2, self._normed(x, mlp), factors)
        (down,) = self._products(3, GatedUnit.apply(gate, up), factors)  # type: ignore[no-untyped-call]
        return x + down.float()

    def _products(self, number: int, x: Tensor, factors: Sequence[Factors]) -> list[Tensor]:
        frozen = self.frozen[number]
        outputs = Products.apply(x, frozen, factors[number], self._decode)  # type: ignore[no-untyped-call]
        return [
            output if matrix.bias is None else output + matrix.bias.to(output.dtype)
            for output, matrix in zip(outputs, frozen, strict=True)
        ]

    def _no_factors(self, frozen: Sequence[Any]) -> Factors:
        device = self._norms[0].weight.device
        none = torch.empty(0, frozen[0].in_features, dtype=self._dtype, device=device)
        return Factors(a=none, grad_a=none, parts=(None,) * len(frozen))

    def _normed(self, x: Tensor, norm: Any) -> Tensor:
        return Norm.apply(x, norm.weight, norm.variance_epsilon, self._dtype)  # type: ignore[no-untyped-call, no-any-return]


def matrix_of(layer: Any, name: str) -> Any:
    """A linear layer of a decoder layer by its last name."""
    return getattr(layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp, name)


def base_of(matrix: Any) -> nn.Module:
    """Without PEFT's wrapper."""
    base: nn.Module = matrix.get_base_layer() if hasattr(matrix, "get_base_layer") else matrix
    return base
