"""Attention example by example: the same numbers as the library's masked one, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lora_lab.data.batches import SHORT_EXAMPLE_TOKENS
from lora_lab.worker.training.attention import attend, attend_packed

LENGTHS = (5, 1, 9)


class Causal(torch.nn.Module):
    """A module as the library's attention asks it."""

    is_causal = True


def parts(heads: int, kv_heads: int, seq: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    shapes = ((1, heads, seq, 8), (1, kv_heads, seq, 8), (1, kv_heads, seq, 8))
    q, k, v = (torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes)
    return q, k, v


def masked(q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """The oracle: PyTorch's own attention over the whole row with a block mask."""
    example = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    order = torch.arange(len(example))
    mask = (example[:, None] == example) & (order[:, None] >= order)
    output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3, enable_gqa=True)
    return output.transpose(1, 2)


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize("lengths", [LENGTHS, (1,), (7,), (3, 3, 3, 3)])
def test_a_packed_row_attends_as_with_a_block_mask(
    heads: int, kv_heads: int, lengths: tuple[int, ...]
) -> None:
    q, k, v = parts(heads, kv_heads, sum(lengths), torch.float32)
    grad = torch.randn(1, sum(lengths), heads, 8)
    results = []
    for output in (
        masked(q, k, v, lengths),
        attend_packed(torch.nn.Module(), q, k, v, None, example_lengths=lengths, scaling=0.3)[0],
    ):
        results.append((output, *torch.autograd.grad(output, (q, k, v), grad)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_long_example_takes_the_fused_kernel_and_gets_the_same_numbers() -> None:
    seq = SHORT_EXAMPLE_TOKENS + 1
    q, k, v = parts(2, 1, seq, torch.float32)
    torch.testing.assert_close(attend(q, k, v, 0.3), masked(q, k, v, (seq,)), rtol=1e-4, atol=1e-5)


def test_scores_stay_in_fp32_under_autocast() -> None:
    """bf16 scores cost the gradient gate; autocast would narrow them without a word."""
    q, k, v = parts(2, 2, 40, torch.bfloat16)
    sharp = 20.0  # scores of some tens, where bf16 is off by tenths
    exact = masked((q.double() * sharp / 0.3), k.double(), v.double(), (40,))
    with torch.autocast("cpu", torch.bfloat16):
        ours = attend(q, k, v, sharp)
    assert (ours.double() - exact).abs().max() < 0.02


def test_without_lengths_it_is_the_librarys_own_attention() -> None:
    q, k, v = parts(4, 4, 6, torch.float32)
    output, _ = attend_packed(Causal(), q, k, v, None, scaling=0.3)
    torch.testing.assert_close(output, masked(q, k, v, (6,)), rtol=1e-4, atol=1e-5)


def test_a_sliding_window_shorter_than_an_example_is_left_to_the_library() -> None:
    q, k, v = parts(2, 2, 6, torch.float32)
    mask = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril() & ~torch.ones(6, 6, dtype=torch.bool).tril(-2)
    output, _ = attend_packed(
        torch.nn.Module(), q, k, v, mask, example_lengths=(6,), scaling=0.3, sliding_window=2
    )
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(output, expected)
