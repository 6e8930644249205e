"""How many threads PyTorch computes with, which tests that run side by side set from outside."""

from collections.abc import Iterator

import pytest
import torch

from lora_lab.worker.device import machine
from lora_lab.worker.device.machine import SHORT_OPERATORS_HIDDEN, set_threads


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On a machine of two cores, so that each choice shows; afterwards as many as before."""
    before = torch.get_num_threads()
    monkeypatch.setattr(machine, "CORES", 2)
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("hidden", "dtype", "threads"),
    [
        (SHORT_OPERATORS_HIDDEN, torch.bfloat16, 1),
        (SHORT_OPERATORS_HIDDEN + 1, torch.bfloat16, 2),
        (64, torch.float32, 2),
    ],
)
def test_short_operators_leave_one_core_and_others_use_all(
    hidden: int, dtype: torch.dtype, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    set_threads(hidden, dtype)
    assert torch.get_num_threads() == threads


def test_a_number_from_outside_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    set_threads(64, torch.float32)
    assert torch.get_num_threads() == 3
