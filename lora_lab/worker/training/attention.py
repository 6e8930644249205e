"""Attention of packed rows (varlen attention), one example after another.

A packed row holds several examples that must not see each other. With a block mask over the whole row,
attention computes all T x T pairs and discards most; here each example attends to itself alone.

For short examples on a CPU the products are unfused: PyTorch's fused kernel takes twice the time on them,
most of it in its backward (docs/performance.md). Long examples and GPUs take the fused kernel, which stores
no L x L tensor.

T tokens in the row, L tokens in one example (`seq` in shapes).
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lora_lab.data.batches import SHORT_EXAMPLE_TOKENS
from lora_lab.memory.activations import SHARES_KEYS
from lora_lab.worker.device.gpu import on_gpu
from lora_lab.worker.device.number_type import DTYPES

NAME = "packed_sdpa"
PLAIN_TYPES = frozenset({"llama", "mistral", "qwen2", "qwen3", "granite"})
"""Model types whose attention is causal and scaled, with at most a sliding window."""


class ShortAttention(torch.autograd.Function):
    """softmax(scale · q kᵀ) v of one example, causal. Saves q, k, v and the softmax p for the backward."""

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # type: ignore[untyped-decorator]  # it would narrow the scores
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Compute q (kv_heads, group · seq, head), k and v (kv_heads, seq, head) -> like q."""
        seq = k.shape[1]
        # In fp32: a score of 10 is off by up to 0.03 in bf16, a 3 % error after the softmax.
        scores = torch.bmm(q.float(), k.float().transpose(1, 2)).mul_(scale)  # (kv_heads, group · seq, seq)
        hidden = scores.new_full((seq, seq), float("-inf")).triu_(1)
        p = scores.view(len(k), -1, seq, seq).add_(hidden).softmax(-1).to(q.dtype).view_as(scores)
        ctx.save_for_backward(q, k, v, p)
        ctx.scale = scale
        return torch.bmm(p, v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Compute grad (like q) -> gradients of q, k and v."""
        (grad,) = grads
        q, k, v, p = ctx.saved_tensors
        grad_p = torch.bmm(grad.float(), v.float().transpose(1, 2))
        # Gradient of the softmax: grad_s = p (grad_p - sum(grad_p p)), then times the scores' scale.
        mean = (grad_p * p).sum(-1, keepdim=True)
        grad_s = (grad_p.sub_(mean).mul_(p).mul_(ctx.scale)).to(q.dtype)
        return (
            torch.bmm(grad_s, k),
            torch.bmm(grad_s.transpose(1, 2), q),
            torch.bmm(p.transpose(1, 2), grad),
            None,
        )


def attend_packed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    example_lengths: Sequence[int] | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute query (1, heads, seq, head), key and value (1, kv_heads, seq, head) -> (1, seq, heads, head).

    `example_lengths` comes with the model's call and sums to seq. Without it, as in generation, this is the
    library's own attention with its mask.
    """
    window = options.get("sliding_window")
    if example_lengths is None or (window is not None and max(example_lengths) > window):
        output: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return output
    narrow = value.dtype  # rotated queries and keys come in fp32 under autocast
    parts = (part.to(narrow).split(list(example_lengths), 2) for part in (query, key, value))
    scale = float(options.get("scaling") or query.shape[-1] ** -0.5)
    attended = [attend(q, k, v, scale) for q, k, v in zip(*parts, strict=True)]
    return torch.cat(attended, 1), None


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Map q (1, heads, seq, head), k, v (1, kv_heads, seq, head) of one example -> (1, seq, heads, head)."""
    _, heads, seq, head = q.shape
    kv_heads = k.shape[1]
    if on_gpu(q.device) or seq > SHORT_EXAMPLE_TOKENS:
        if on_gpu(q.device) and q.dtype != DTYPES[SHARES_KEYS]:
            k, v = (part.repeat_interleave(heads // kv_heads, 1) for part in (k, v))
        fused = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)
        return fused.transpose(1, 2)
    grouped = q.reshape(kv_heads, heads // kv_heads * seq, head)
    written: Tensor = ShortAttention.apply(grouped, k[0], v[0], scale)
    return written.view(1, heads, seq, head).transpose(1, 2)


def attend_by_example(model: PreTrainedModel) -> None:
    """Make a plain model, loaded with the library's scaled dot-product attention, use this attention."""
    if model.config.model_type not in PLAIN_TYPES:
        return
    ALL_ATTENTION_FUNCTIONS.register(NAME, attend_packed)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(NAME)
