"""Attention of packed rows, with explicit forward and backward (worker/training/group_layer.py).

Each example attends alone, after the prefix that all examples share, if that is in the row once. Rows whose
examples are as long attend together, one example of each at a time.

Shapes: head = head size, seq = tokens of one example, group = query heads per key-value head; heads and
kv_heads are those of one row where `rows` is an axis of its own, else those of all rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lora_lab.data.batches import SHORT_EXAMPLE_TOKENS
from lora_lab.worker.device.gpu import on_gpu
from lora_lab.worker.training.attention import attend


@dataclass(frozen=True)
class Positions:
    """The positions of a packed row's tokens in their examples.

    With `shared`, the first part is the prefix that all examples share, and the other parts see it too.
    """

    turns: tuple[tuple[Tensor, Tensor], ...]
    """Cosines and sines (tokens, heads · head) of queries, which include the scores' scale, and of keys;
    fp32, one per rotated number, with sines of first halves negated.
    """

    lengths: tuple[int, ...]
    masks: tuple[Tensor, ...]
    """A mask per part, where attention is unfused: minus infinity where a token would see a later one; fp32
    (part, keys).
    """

    head: int
    shared: int = 0

    @property
    def parts(self) -> Iterable[tuple[int, slice]]:
        """Length and slice of each part."""
        ends = [sum(self.lengths[: number + 1]) for number in range(len(self.lengths))]
        return [(length, slice(end - length, end)) for length, end in zip(self.lengths, ends, strict=True)]

    def select_seen(self, x: Tensor, part: slice, dim: int) -> Tensor:
        """Select what the tokens of a part can see of x, which has all tokens in `dim`."""
        own = x.narrow(dim, part.start, part.stop - part.start)
        return torch.cat([x.narrow(dim, 0, self.shared), own], dim) if self.shared and part.start else own

    def add_to_seen(self, total: Tensor, part: slice, found: Tensor) -> None:
        """Put what a part's queries found (kv_heads, seen, head) into the total (rows, tokens, kv_heads,
        head) of its own tokens, which only they see, and add it to that of the shared prefix, whose turn was
        before.
        """
        own = part.stop - part.start
        by_token = found.view(len(total), -1, *found.shape[1:]).transpose(1, 2)  # like total
        total[:, part] = by_token[:, -own:]
        if by_token.shape[1] > own:
            total[:, : self.shared] += by_token[:, :-own]


def is_unfused(device: torch.device, longest: int) -> bool:
    """Return whether attention is unfused for examples of up to `longest` tokens."""
    return not on_gpu(device) and longest <= SHORT_EXAMPLE_TOKENS


def build_positions(
    cos: Tensor,
    sin: Tensor,
    lengths: tuple[int, ...],
    *,
    heads: int,
    kv_heads: int,
    scale: float,
    shared: int = 0,
) -> Positions:
    """Build positions from cos and sin (tokens, head) of a packed row; `scale` is that of the scores.

    The attention of a row with a shared prefix must be unfused.
    """
    counts = ((heads, scale), (kv_heads, 1.0))
    before = [0, *(shared for _ in lengths[1:])]
    parts = tuple(zip(lengths, before, strict=True))
    written = is_unfused(cos.device, max(n + m for n, m in parts))
    assert written or not shared
    sizes = parts if written else ()
    masks = {(n, m): cos.new_full((n, m + n), float("-inf")).triu_(1 + m) for n, m in set(sizes)}
    signed = torch.cat([-sin[:, : sin.shape[1] // 2], sin[:, sin.shape[1] // 2 :]], 1)
    return Positions(
        turns=tuple((cos.mul(by).repeat(1, n), signed.mul(by).repeat(1, n)) for n, by in counts),
        lengths=lengths,
        masks=tuple(masks[size] for size in sizes),
        head=cos.shape[1],
        shared=shared,
    )


def apply_rotary(x: Tensor, turn: tuple[Tensor, Tensor], head: int, *, back: bool = False) -> Tensor:
    """Apply rotary positions (arXiv:2104.09864) to x (rows, tokens, heads · head), computed in fp32; `back`
    is for a gradient. The first half of each head is the real part of complex numbers.
    """
    cos, sin = turn
    halves = x.unflatten(-1, (-1, 2, head // 2))
    swapped = torch.cat([halves[..., 1:, :], halves[..., :1, :]], -2).view_as(x)
    # x cos + swapped sin, where sin is negated for first halves; the inverse rotation subtracts.
    turned = x * cos
    rounded = turned if turned.dtype == x.dtype else torch.empty_like(x)
    return torch.addcmul(turned, swapped, sin, value=-1 if back else 1, out=rounded)


@dataclass(frozen=True)
class Attended:
    """What attention saves for its backward pass: queries, keys and values as its products read them, and
    either the softmax of every example or, from the fused kernel, its inputs and its output, with a graph, by
    example.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    softmaxes: tuple[Tensor, ...] = ()
    leaves: Sequence[Sequence[Tensor]] = ()
    fused: list[Tensor] = field(default_factory=list)


def compute_attention(q: Tensor, k: Tensor, v: Tensor, positions: Positions) -> tuple[Tensor, Attended]:
    """Compute q (rows, tokens, heads · head), k and v (rows, tokens, kv_heads · head) -> like q. Causal, each
    example alone after the shared prefix. The rows have the same positions.
    """
    for_queries, for_keys = positions.turns
    q, k = apply_rotary(q, for_queries, positions.head), apply_rotary(k, for_keys, positions.head)
    if not positions.masks:
        return _attend_fused(q, k, v, positions)
    output = torch.empty_like(q)
    by_token = output.unflatten(-1, (-1, positions.head))  # (rows, tokens, heads, head)
    q, k, v = (_by_head(part, positions.head) for part in (q, k, v))
    # In fp32: a score of 10 is off by up to 0.03 in bf16, a 3 % error after the softmax.
    keys = k.float().transpose(1, 2)
    softmaxes = []
    for (seq, part), mask in zip(positions.parts, positions.masks, strict=True):
        p = _compute_softmax(q[:, part], positions.select_seen(keys, part, 2), mask)
        found = torch.bmm(p, positions.select_seen(v, part, 1))
        by_token[:, part] = found.view(len(output), -1, seq, positions.head).transpose(1, 2)
        softmaxes.append(p)
    return output, Attended(q, k, v, tuple(softmaxes))


def _by_head(x: Tensor, head: int) -> Tensor:
    """Copy x (rows, tokens, heads · head) -> (rows · heads, tokens, head)."""
    rows, tokens, _ = x.shape
    return x.view(rows, tokens, -1, head).transpose(1, 2).contiguous().view(-1, tokens, head)


def _compute_softmax(q: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
    """Compute q (heads, seq, head), fp32 keys (kv_heads, head, keys) -> p (kv_heads, group · seq, keys)."""
    queries = q.reshape(len(keys), -1, q.shape[-1])  # (kv_heads, group · seq, head)
    scores = torch.bmm(queries.float(), keys)
    p = scores.view(*q.shape[:2], -1).add_(mask).softmax(-1)
    return p.to(q.dtype).view_as(scores)


def attention_backward(
    grad: Tensor, output: Tensor, saved: Attended, positions: Positions
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute grad and output (like q) -> gradients of q, k and v."""
    if saved.fused:
        grads: Sequence[Tensor] = _fused_backward(grad, saved)
    else:
        grads = _short_backward(grad, output, saved, positions)
    grad_q, grad_k, grad_v = grads
    del grads
    for_queries, for_keys = positions.turns
    grad_q = apply_rotary(grad_q, for_queries, positions.head, back=True)
    return grad_q, apply_rotary(grad_k, for_keys, positions.head, back=True), grad_v


def _short_backward(
    grad: Tensor, output: Tensor, saved: Attended, positions: Positions
) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = saved.q, saved.k, saved.v
    rows, tokens, _ = grad.shape
    head = positions.head
    # Gradient of the softmax: grad_s = p (grad_p - mean), mean = sum(grad_p p) = sum(grad output) per head.
    means = (grad.float() * output.float()).view(rows, tokens, -1, head).sum(-1)
    means = means.transpose(1, 2).reshape(-1, tokens)  # (heads, tokens)
    incoming = _by_head(grad, head)
    values = v.float().transpose(1, 2)
    grad_q, grad_k, grad_v = (part.new_empty(rows, tokens, len(part) // rows, head) for part in (q, k, v))
    for (seq, part), p in zip(positions.parts, saved.softmaxes, strict=True):
        given = incoming[:, part].reshape(len(k), -1, head)
        grad_s = _compute_scores_gradient(p, given, positions.select_seen(values, part, 2), means[:, part])
        grad_q[:, part] = (
            torch.bmm(grad_s, positions.select_seen(k, part, 1)).view(rows, -1, seq, head).transpose(1, 2)
        )
        positions.add_to_seen(grad_k, part, torch.bmm(grad_s.mT, q[:, part].reshape_as(given)))
        positions.add_to_seen(grad_v, part, torch.bmm(p.mT, given))
        del given, grad_s  # frees their memory for the next example
    return grad_q.flatten(2), grad_k.flatten(2), grad_v.flatten(2)


def _compute_scores_gradient(p: Tensor, given: Tensor, values: Tensor, means: Tensor) -> Tensor:
    """Compute the scores' gradient from p and given (kv_heads, group · seq, ...) and means (heads, seq)."""
    grad_p = torch.bmm(given.float(), values)
    grad_p.view(*means.shape, -1).sub_(means[..., None])
    grad_p.mul_(p if p.dtype == grad_p.dtype else p.float())
    return grad_p.to(p.dtype)  # a product of mixed number types is ten times slower


def _attend_fused(q: Tensor, k: Tensor, v: Tensor, positions: Positions) -> tuple[Tensor, Attended]:
    """Use the library's kernel, for long examples and on GPUs; it stores no (seq, seq) tensor."""
    leaves = [
        [
            x[:, part].unflatten(-1, (-1, positions.head)).transpose(1, 2).detach().requires_grad_()
            for x in (q, k, v)
        ]
        for _, part in positions.parts
    ]
    with torch.enable_grad():
        fused = [attend(q, k, v, 1.0) for q, k, v in leaves]
    output = torch.cat([of_example.detach() for of_example in fused], 1)
    return output.flatten(2), Attended(q, k, v, leaves=leaves, fused=fused)


def _fused_backward(grad: Tensor, saved: Attended) -> list[Tensor]:
    leaves = [leaf for inputs in saved.leaves for leaf in inputs]
    # On a GPU autograd runs in a thread of its own, which would hold the leaves' gradients a moment longer.
    with torch.autograd.set_multithreading_enabled(False):
        given = grad.split([of_example.shape[1] for of_example in saved.fused], 1)
        given = [
            part.unflatten(-1, of_example.shape[2:])
            for part, of_example in zip(given, saved.fused, strict=True)
        ]
        found = torch.autograd.grad(saved.fused, leaves, given)
    saved.fused.clear()  # frees them for the rotation
    return [torch.cat([part.transpose(1, 2) for part in found[nth::3]], 1).flatten(2) for nth in range(3)]
