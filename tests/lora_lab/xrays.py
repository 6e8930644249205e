"""X-rays as a worker leaves them, without one: two layers of three matrices with chosen singular values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lora_lab.engine.inspections import Inspection
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.runs.folder import RunFolder
from lora_lab.xray.result import KIND, SIDES, build_xray_order, list_stops
from study.ports.context import Visit

KINDS = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
VALUES = (4.0, 2.0, 1.0, 0.5)
"""Squares 16, 4, 1, 0.25: the first two carry 94 % of 21.25."""


class BusyEngine(LocalEngine):
    """Always training, so that what is put in line stays there and starts no process."""

    def find_current(self) -> str | None:
        return "a run"


@dataclass
class AskedFor:
    """The cards that wrong guesses asked for."""

    concepts: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        assert because == "prediction-directions"
        self.concepts.append(concepts)
        return len(concepts)


def module(
    kind: str = KINDS[0], *, layer: int = 0, values: Sequence[float] = VALUES, **changed: Any
) -> dict[str, Any]:
    zero = not any(values)
    seen = {"directions": len(values), "update": 2.0, "own": 50.0, "random": 1.5}
    return {
        "name": f"model.layers.{layer}.{kind}",
        "d_out": 64,
        "d_in": 128,
        "rank": len(values),
        "values": list(values),
        "weight_norm": 100.0,
        "seen": None if zero else seen,
        "whole": None,
    } | changed


def found(modules: Sequence[Mapping[str, Any]] | None = None, **changed: Any) -> dict[str, Any]:
    """Of one run."""
    usual = [module(kind, layer=layer) for layer in (0, 1) for kind in KINDS]
    return {"method": "LORA", "beside": [], "modules": usual if modules is None else modules} | changed


def pair_found(first: int = 4, second: int = 8, *, phi: float | None = 0.5) -> dict[str, Any]:
    """Of two runs, every phi the same."""
    firsts, seconds = list_stops(first), list_stops(second)
    ours = [[phi] * len(seconds) for _ in firsts]
    drawn = [[0.06] * len(seconds) for _ in firsts]
    modules = [
        {"name": f"model.layers.{layer}.{kind}", "d_out": 64, "d_in": 128} | dict.fromkeys(SIDES, ours)
        for layer in (0, 1)
        for kind in KINDS
    ]
    return {
        "firsts": firsts,
        "seconds": seconds,
        "modules": modules,
        "random": {"64": drawn, "128": drawn},
        "only_one": [],
    }


def looked_at(lab: Lab, run: RunFolder, beside: RunFolder | None = None, **became: Any) -> Inspection:
    """Put an inspection into the queue: done with the usual findings, unless told otherwise."""
    order = build_xray_order(run, beside)
    look = Inspection(id=lab.inspections.derive_id(KIND, order), kind=KIND, order=order, status="done")
    usual = pair_found() if beside else found()
    done = replace(look, **({"found": usual} | became))
    with lab.inspections._changed:  # as its own thread holds it
        lab.inspections.put(done)
    return done
