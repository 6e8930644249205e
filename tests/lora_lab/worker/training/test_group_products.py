"""Products of a group: one with a frozen weight for all rows, and attention once for rows that are alike."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import TINY_MODEL
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.packing import Encoded, pack_examples
from tests.lora_lab.worker.builders import CPU
from tests.lora_lab.worker.training.test_grouped import TINY, load_for


class Operators(TorchDispatchMode):
    """Counts the operators that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[str(func.overloadpacket)] += 1
        return func(*args, **(kwargs or {}))


def test_more_cells_need_no_more_products_with_frozen_weights(models_dir: Path) -> None:
    loaded = load_for(TINY, "fp32", models_dir)
    row = pack_examples([Encoded(ids=tuple(range(3, 30)), answer_tokens=9)], CPU)
    group = AdapterGroup(loaded, [replace(TINY, seed=seed) for seed in range(3)], find_shape(TINY_MODEL))
    matrices = 7 * find_shape(TINY_MODEL).layers
    for cells in (group.cells[:1], group.cells):
        with Operators() as counted:
            group.compute_gradients(cells, [row] * len(cells))
        assert counted.calls["aten.addmm_"] == 2 * matrices, "one forward and one backward"
        assert torch.isfinite(group.cells[0].grad).all()


def test_cells_with_the_same_batch_need_no_more_products_in_attention(models_dir: Path) -> None:
    loaded = load_for(TINY, "fp32", models_dir)
    rows = [
        pack_examples([Encoded(ids=tuple(range(3, length)), answer_tokens=5)], CPU) for length in (20, 30)
    ]
    specs = [replace(TINY, rank=rank) for rank in (2, 4, 8)]
    group = AdapterGroup(loaded, specs, find_shape(TINY_MODEL))
    calls = {}
    for name, numbers in (
        ("alone", [0]),
        ("alike", [0, 0, 0]),
        ("neighbours", [0, 0, 1]),
        ("apart", [0, 1, 0]),
    ):
        with Operators() as counted:
            group.compute_gradients(group.cells[: len(numbers)], [rows[number] for number in numbers])
        calls[name] = counted.calls["aten.bmm"]
    assert calls["alike"] == calls["alone"] > 0
    assert calls["neighbours"] == 2 * calls["alone"]
    assert calls["apart"] == 3 * calls["alone"]
