"""Recorded runs, one file each, and the facts that a text may name of one.

`python -m lora_lab.worker.record.runs` makes the files. A text about a run names a fact, `{held_out_last}`,
so that no number in it can differ from what was recorded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from lora_lab.charts.drawing import Point
from lora_lab.spec import RunSpec, parse_spec
from study.base.units import as_bytes, as_count, as_three_digits

FOLDER = Path(__file__).with_name("recorded")
HEALTHY = "healthy"
"""The run without a fault, on the same data with the usual settings."""

AVERAGED_STEPS = 4
"""A training loss and a gradient norm are averaged over as many steps: one batch says little."""

SMALL_FALL = 0.01
"""A smaller fall of the held-out loss is written with one digit: the chart shows no more."""


def average_points(points: Sequence[Point]) -> list[Point]:
    """Average each point with those before it, AVERAGED_STEPS in all: the last is what texts call the end."""
    values = [y for _, y in points]
    windows = (values[max(0, end - AVERAGED_STEPS) : end] for end in range(1, len(points) + 1))
    return [(x, fmean(window)) for (x, _), window in zip(points, windows, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Recording:
    values: Mapping[str, Any]

    @property
    def spec(self) -> RunSpec:
        return parse_spec(self.values["spec"])

    @property
    def steps(self) -> Sequence[Mapping[str, float]]:
        found: Sequence[Mapping[str, float]] = self.values["steps"]
        return found

    def points(self, what: str) -> list[Point]:
        """Return a curve over the steps."""
        return [(step["step"], step[what]) for step in self.steps]

    @property
    def held_out(self) -> list[Point]:
        """The held-out loss; step 0 is before training."""
        return [(each["step"], each["loss"]) for each in self.values["held_out"]]

    @property
    def facts(self) -> dict[str, float]:
        """Numbers about the run, by name."""
        data, losses = self.values["data"], [loss for _, loss in self.points("loss")]
        held_out = [loss for _, loss in self.held_out]
        rates = [rate for _, rate in self.points("learning_rate")]
        return {
            "loss_first": losses[0],
            "loss_start": fmean(losses[:AVERAGED_STEPS]),
            "loss_end": self._find_end("loss"),
            "loss_highest": max(losses),
            "held_out_first": held_out[0],
            "held_out_last": held_out[-1],
            "held_out_best": min(held_out),
            "held_out_fall": held_out[0] - held_out[-1],
            "held_out_rise": held_out[-1] - min(held_out),
            "grad_norm_end": self._find_end("grad_norm"),
            "grad_norm_highest": max(norm for _, norm in self.points("grad_norm")),
            "changed_end": self._find_end("changed_percent"),
            "rate_highest": max(rates),
            "rate_last": rates[-1],
            "steps_at_zero": float(sum(rate == 0 for rate in rates)),
            "step_spread": fmean([abs(b - a) for a, b in pairwise(losses)]),
            "rows": data["rows"],
            "different_rows": data["different_rows"],
            "cut_rows": data["cut_rows"],
            "epochs": len(losses) * self.spec.batch / data["rows"],
            "trained_percent": 100 * data["trained_tokens"] / data["tokens"],
            "trainable": self.values["trainable"],
            "total": self.values["total"],
            "adapter_bytes": self.values["adapter_bytes"],
            "scale": self.spec.scaling,
        }

    def _find_end(self, what: str) -> float:
        """Find where the averaged curve ends."""
        return average_points(self.points(what))[-1][1]

    @property
    def fact_words(self) -> dict[str, str]:
        """The same as a learner reads them."""
        return {name: _format_fact(name, value) for name, value in self.facts.items()}

    @property
    def log(self) -> list[str]:
        """The lines that a training script prints of such a run, from what was recorded."""
        data, spec, facts = self.values["data"], self.spec, self.facts
        every = max(1, len(self.steps) // 8)
        shown = [step for step in self.steps if step["step"] == 1 or step["step"] % every == 0]
        return [
            f"data: {data['rows']} rows to train on, {data['held_out_rows']} held out",
            f"data: {data['trained_tokens']:,} of {data['tokens']:,} tokens have a label, "
            f"{data['cut_rows']} rows cut at {spec.seq_len_tokens} tokens",
            f"model: {spec.model}, weights in {spec.bits}",
            f"adapter: r={spec.rank} alpha={spec.alpha:g} targets={spec.targets}",
            f"trainable params: {facts['trainable']:,.0f} || all params: {facts['total']:,.0f} || "
            f"trainable%: {100 * facts['trainable'] / facts['total']:.4f}",
            f"train: {len(self.steps)} steps of {spec.batch} rows, {facts['epochs']:.1f} epochs",
            *(
                f"step {step['step']:>2}  loss {step['loss']:.3f}  lr {step['learning_rate']:.1e}  "
                f"grad norm {step['grad_norm']:.2g}  changed {step['changed_percent']:.0f} %"
                for step in shown
            ),
            f"adapter saved: {as_bytes(facts['adapter_bytes'])}",
        ]

    @property
    def origin(self) -> str:
        found = self.values["provenance"]
        libraries = ", ".join(
            f"{name} {found['versions'][name]}" for name in ("torch", "bitsandbytes", "peft")
        )
        return f"{found['device']}, {found['compute_dtype']}, {libraries}, {found['date']}"


@cache
def read_recording(run_id: str) -> Recording:
    return Recording(values=json.loads((FOLDER / f"{run_id}.json").read_text("utf-8")))


def _format_fact(name: str, value: float) -> str:
    if name == "adapter_bytes":
        return as_bytes(value)
    if name in ("trainable", "total", "rows", "different_rows", "cut_rows", "steps_at_zero"):
        return as_count(int(value))
    if name.startswith("rate"):
        return f"{value:.2g}"
    if name in ("changed_end", "trained_percent"):
        return f"{value:.0f} %"
    if name == "epochs":
        return f"{value:.3g}"
    if name == "held_out_fall" and abs(value) < SMALL_FALL:
        return f"{value:.1g}"
    return as_three_digits(value)
