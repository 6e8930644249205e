"""The stand-in for bf16 products gives the numbers that the library's own give."""

import pytest
import torch

from tests.lora_lab.worker.quick_bf16 import _InFp32


def within_one_rounding(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    return bool(((ours.float() - theirs.float()).abs() <= theirs.float().abs() * 2**-7 + 1e-6).all())


@pytest.mark.parametrize("columns", [1, 7, 64])
def test_products_are_the_librarys_within_one_rounding(columns: int) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(5, 33).bfloat16(), torch.randn(33, columns).bfloat16()
    bias = torch.randn(5, columns).bfloat16()
    out = torch.empty(5, columns, dtype=torch.bfloat16)
    library = [a @ b, torch.addmm(bias, a, b, beta=0.5, alpha=2), torch.bmm(a[None], b[None])]
    with _InFp32():
        ours = [a @ b, torch.addmm(bias, a, b, beta=0.5, alpha=2), torch.bmm(a[None], b[None])]
        torch.mm(a, b, out=out)
        bias.addmm_(a, b, beta=0.5, alpha=2)
    assert all(within_one_rounding(x, y) for x, y in zip(ours, library, strict=True))
    assert torch.equal(out, ours[0])
    assert within_one_rounding(bias, library[1])
    assert all(each.dtype == torch.bfloat16 for each in (*ours, out, bias))
