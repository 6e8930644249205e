"""What a compiled layer saves, as played and as PyTorch's own compiler decides it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.frameworks.tape import Leaf
from lora_lab.memory.frameworks.torchtune import TorchtuneStep
from lora_lab.parameters.shapes import Linear, ModelShape, Role, find_shape
from tests.lora_lab.memory.frameworks.compiled_layer import (
    BATCH,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    INTERMEDIATE,
    KV_HEADS,
    RANK,
    SEQ,
)

ROOT = Path(__file__).parents[4]
WIDTHS: dict[Role, tuple[int, int]] = {
    "q": (HIDDEN, HEADS * HEAD_DIM),
    "k": (HIDDEN, KV_HEADS * HEAD_DIM),
    "v": (HIDDEN, KV_HEADS * HEAD_DIM),
    "o": (HEADS * HEAD_DIM, HIDDEN),
    "gate": (HIDDEN, INTERMEDIATE),
    "up": (HIDDEN, INTERMEDIATE),
    "down": (INTERMEDIATE, HIDDEN),
}


def layer_shape() -> ModelShape:
    """One layer of the sizes that are compiled."""
    linears = tuple(
        Linear(name=f"model.layers.*.{role}_proj", role=role, d_in=d_in, d_out=d_out, count=1)
        for role, (d_in, d_out) in WIDTHS.items()
    )
    return replace(
        find_shape("tiny-random"),
        linears=linears,
        layers=1,
        hidden=HIDDEN,
        intermediate=INTERMEDIATE,
        heads=HEADS,
        kv_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        tree=None,
    )


def played_bytes(*, lora: bool) -> int:
    shape = layer_shape()
    step = TorchtuneStep(
        StepSetting(
            shape=shape,
            adapted=tuple(linear for linear in shape.linears if linear.role != "k") if lora else (),
            rank=RANK,
            adapter_type="bf16",
            framework="torchtune",
            seq_len=SEQ,
            batch=BATCH,
            compiled=True,
        )
    )
    x = step.embed()
    x.leaf = x.leaf or Leaf()
    step.allocate_position_tables()
    before = step.tape.live_bytes
    out = step.layer(x)
    return step.tape.live_bytes - before - out.size_bytes + x.size_bytes


def test_a_compiled_layer_saves_the_bytes_that_are_played() -> None:
    compiling = {name: value for name, value in os.environ.items() if name != "TORCHDYNAMO_DISABLE"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.lora_lab.memory.frameworks.compiled_layer"],
        cwd=ROOT, env=compiling, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    full, lora = map(int, done.stdout.split())
    assert (full, lora) == (played_bytes(lora=False), played_bytes(lora=True))
