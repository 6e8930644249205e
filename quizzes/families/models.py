"""Shapes of a few catalogue models, as a question states them."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

Part = Literal["q", "k", "v", "o", "gate", "up", "down"]
NAMES = dict(q="query", k="key", v="value", o="output", gate="gate", up="up", down="down")
TARGETS: tuple[tuple[Part, ...], ...] = (("q", "v"), ("q", "k", "v", "o"), ("gate", "up", "down"), ("q", "o"))


@dataclass(frozen=True)
class Model:
    """The shape of one model; a test compares it with the lab's shape of that id."""

    id: str
    name: str
    layers: int
    width: int
    kv_width: int
    inner: int

    def sides(self, part: Part) -> tuple[int, int]:
        """Return d_in and d_out of one matrix."""
        if part in ("q", "o"):
            return self.width, self.width
        if part in ("k", "v"):
            return self.width, self.kv_width
        return (self.inner, self.width) if part == "down" else (self.width, self.inner)


MODELS = (
    Model("smollm2-135m", "SmolLM2-135M", 30, 576, 192, 1536),
    Model("smollm2-360m", "SmolLM2-360M", 32, 960, 320, 2560),
    Model("smollm2-1.7b", "SmolLM2-1.7B", 24, 2048, 2048, 8192),
    Model("tinyllama-1.1b", "TinyLlama-1.1B", 22, 2048, 256, 5632),
    Model("qwen2.5-0.5b", "Qwen2.5-0.5B", 24, 896, 128, 4864),
    Model("qwen2.5-1.5b", "Qwen2.5-1.5B", 28, 1536, 256, 8960),
    Model("qwen2.5-7b", "Qwen2.5-7B", 28, 3584, 512, 18_944),
    Model("llama-3.2-1b", "Llama-3.2-1B", 16, 2048, 512, 8192),
    Model("llama-3.2-3b", "Llama-3.2-3B", 28, 3072, 1024, 8192),
    Model("llama-3.1-8b", "Llama-3.1-8B", 32, 4096, 1024, 14_336),
    Model("llama-2-7b", "Llama-2-7B", 32, 4096, 4096, 11_008),
    Model("llama-2-13b", "Llama-2-13B", 40, 5120, 5120, 13_824),
    Model("mistral-7b", "Mistral-7B", 32, 4096, 1024, 14_336),
)


def choose_model(rng: Random) -> Model:
    return rng.choice(MODELS)


def format_targets(parts: tuple[Part, ...]) -> str:
    """Format target names: `query and value`, `gate, up and down`."""
    return _join([NAMES[part] for part in parts])


def with_sides(model: Model, parts: tuple[Part, ...]) -> str:
    """Format target names with their sides: `query (576 → 576) and value (576 → 192)`."""
    sides = [(NAMES[part], *model.sides(part)) for part in parts]
    return _join([f"{name} ({d_in:,} → {d_out:,})" for name, d_in, d_out in sides])


def _join(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
