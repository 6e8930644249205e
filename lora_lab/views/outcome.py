"""What an ended run means: one sentence from its losses, its checked answers, and the next experiment."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lora_lab.runs.state import RunState
from lora_lab.settings.grid import parse_grid
from lora_lab.settings.grid_form import build_grid_address
from lora_lab.settings.run_form import build_address
from lora_lab.spec import BITS_LABELS, OWN_DATA, STEPS_LIMITS, TARGET_SETS, TINY_MODEL, Bits, RunSpec
from lora_lab.views.held_out import CLEARLY_BETTER, did_harm, say_by_heart, say_guessing, say_too_few

MUCH, SAME = 2.0, 1.05
"""Factors of a right token's probability from which a change is called much, or any at all."""

SHARED_WORDS = 0.5
"""The share of the right answer's longer words from which a sample answer counts as holding it."""

SHORT_WORD = 4  # letters; shorter words are mostly articles and prepositions
SMALL_RANK, USUAL_RANK, LONGER = 1, 8, 4


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The meaning of a run in words."""

    sentence: str
    answers: str
    """What the sample answers show; empty without samples."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What to try next, and why."""

    title: str
    reason: str
    address: str


def describe_outcome(
    spec: RunSpec, state: RunState, samples: Sequence[Mapping[str, Any]], *, vocab: int = 0
) -> Outcome | None:
    """Say what the run's losses and answers mean; None unless its held-out loss was measured twice.

    `vocab` is the number of tokens that the model knows, which decides the loss of guessing; 0 if unknown.
    """
    before, after = state.loss_before, state.loss_after
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return None
    steps = f"After {len(state.steps)} {'step' if len(state.steps) == 1 else 'steps'}"
    if spec.model == TINY_MODEL:
        return Outcome(
            sentence=f"{steps} the loss of this untrained model went from {before:.2f} to {after:.2f}: "
            "the loop works, but what it answers means nothing.",
            answers="",
        )
    whose = "the answers on the app's cards"
    if spec.data != OWN_DATA:
        one = state.held_out_examples == 1
        whose = "the answer of your held-out example" if one else "your examples' answers"
    guessing = say_guessing(after, vocab) if did_harm(spec, state) else ""
    said = (
        f"{steps} {_explain_fall(before - after, whose)}",
        guessing,
        say_by_heart(state),
        say_too_few(state),
    )
    return Outcome(sentence=" ".join(filter(None, said)), answers=_describe_answers(samples))


def _explain_fall(fall: float, whose: str) -> str:
    """Explain how much likelier a right token is: e to the fall of the loss, a mean of -log p(token)."""
    factor = math.exp(min(fall, 700.0))  # beyond it a float overflows
    if factor >= SAME:
        plain = "better" if factor >= CLEARLY_BETTER else "a little better"
        much = "much better" if factor >= MUCH else plain
        times = f"the right one is {factor:.3g} times as likely as before."
        return f"it predicts the next word of {whose} {much}: {times}"
    if factor > 1 / SAME:
        return f"it predicts the next word of {whose} as well as before."
    times = f"the right one was {1 / factor:.3g} times as likely before."
    return f"it predicts the next word of {whose} worse: {times}"


def _describe_answers(samples: Sequence[Mapping[str, Any]]) -> str:
    if not samples:
        return ""
    held = {
        who: sum(holds(sample[who], sample["reference"]) for sample in samples) for who in ("base", "tuned")
    }
    if not held["tuned"]:
        several = len(samples) > 1
        none = f"None of its {len(samples)} sample answers counts as right"
        now = none if several else "Its sample answer does not count as right"
        before = f"; before training, {held['base'] if several else 'it'} did" if held["base"] else ""
        return (
            f"{now}{before or ', before training or after'}. To count, an answer needs every number of the "
            "right one and at least half of its longer words."
        )
    of = f"{held['tuned']} of its {len(samples)} sample answers"
    verb = "has" if held["tuned"] < 2 else "have"
    still = (
        "Not every sample comes near the right answer"
        if held["tuned"] < len(samples)
        else "Every sample comes near the right answer"
    )
    return (
        f"{still}: {of} {verb} all of the right answer's numbers and at least half of its longer words "
        f"({held['base']} before training)."
    )


def holds(answer: str, reference: str) -> bool:
    """Return whether an answer has half of the right answer's longer words and all of its numbers."""
    wanted, said = _split_words(reference), _split_words(answer)
    numbers = {word for word in wanted if word[0].isdigit()}
    return bool(wanted) and numbers <= said and len(wanted & said) >= SHARED_WORDS * len(wanted)


def _split_words(text: str) -> frozenset[str]:
    found = re.findall(r"\d[\d.,]*\d|\d|[^\W\d_]+", text.lower())
    return frozenset(word for word in found if word[0].isdigit() or len(word) >= SHORT_WORD)


# ---- the next experiment


def suggest_experiment(
    spec: RunSpec, state: RunState, run_id: str, tried: Collection[RunSpec]
) -> Experiment | None:
    """Choose the first comparison that has not been run yet: one setting changed, all else equal.

    When all have, a grid over seeds is next; None for a run that measured no held-out loss. After harm the
    learning rate comes first: nothing is learnt from another setting at a rate that is too high.
    """
    if state.loss_before is None or state.loss_after is None:
        return None
    harm = did_harm(spec, state)
    too_fast = harm and spec.learning_rate > RunSpec.learning_rate
    found = _lower_rates(spec) if harm else _list_slower(spec) if state.loss_after > state.loss_before else []
    for changed, title, reason in [*found, *([] if too_fast else _list_candidates(spec))]:
        if changed not in tried:
            address = build_address(changed)
            expected = f"{'&' if '?' in address else '?'}expect={run_id}"
            return Experiment(
                title=f"{title}: what do you expect?", reason=reason, address=address + expected
            )
    return _propose_seeds(replace(spec, learning_rate=RunSpec.learning_rate) if too_fast else spec)


_Candidate = tuple[RunSpec, str, str]
"""A changed run, the title of its button, and the reason to try it."""


def _lower_rates(spec: RunSpec) -> list[_Candidate]:
    """Return what to try after harm: the usual learning rate, and a tenth of it, or of a lower one."""
    usual = RunSpec.learning_rate
    tenth = float(f"{min(spec.learning_rate, usual) / 10:.2g}")
    rates = [(usual, "The form's usual learning rate")] if spec.learning_rate > usual else []
    rates.append((tenth, "A tenth of the usual learning rate" if rates else "A tenth of the learning rate"))
    return [_change_rate(spec, rate, f"Training did harm. {name}") for rate, name in rates]


def _list_slower(spec: RunSpec) -> list[_Candidate]:
    slower = float(f"{spec.learning_rate / LONGER:.2g}")
    return [_change_rate(spec, slower, "The held-out loss rose. A quarter of the learning rate")]


def _change_rate(spec: RunSpec, rate: float, begun: str) -> _Candidate:
    """Change the learning rate of a run. `begun` is the beginning of its reason, with the subject."""
    return (
        replace(spec, learning_rate=rate),
        f"Now a learning rate of {rate:g}, same seed",
        f"{begun} shows whether the steps were too large.",
    )


def _list_candidates(spec: RunSpec) -> list[_Candidate]:
    found = []
    rank = SMALL_RANK if spec.rank > SMALL_RANK else USUAL_RANK
    share = f"1/{spec.rank} of the" if rank == SMALL_RANK else f"{USUAL_RANK} times the"
    found.append((
        change_rank(spec, rank),
        f"Now rank {rank}, same seed",
        f"Rank {rank} trains {share} adapter parameters at the same scale. A loss that hardly differs "
        "means that the rank was not the limit.",
    ))  # fmt: skip
    bits: Bits = "nf4-dq" if spec.bits in ("bf16", "fp32") else "bf16"
    found.append((
        replace(spec, bits=bits),
        f"Now {BITS_LABELS[bits]} weights, same seed",
        "Only the storage of the frozen weights changes. What does that do to the memory, and to the loss?",
    ))  # fmt: skip
    if spec.steps * LONGER <= STEPS_LIMITS[1]:
        found.append((
            replace(spec, steps=spec.steps * LONGER),
            f"Now {spec.steps * LONGER} steps, same seed",
            "Four times the steps show whether the held-out loss keeps falling, or turns while the "
            "training loss falls.",
        ))  # fmt: skip
    return found


def change_rank(spec: RunSpec, rank: int) -> RunSpec:
    """Return the run at another rank and the same scale alpha / r (or alpha / sqrt(r)) on B·A·x."""
    root = 0.5 if spec.variant == "rslora" else 1.0
    return replace(spec, rank=rank, alpha=float(f"{spec.scaling * rank**root:.6g}"))


def _propose_seeds(spec: RunSpec) -> Experiment | None:
    if spec.targets not in TARGET_SETS:  # commas in a grid's address part one set of matrices from the next
        return None
    ranks = tuple(sorted({SMALL_RANK, USUAL_RANK, spec.rank}))
    alpha_per_rank = None if spec.variant == "rslora" else spec.scaling
    grid = parse_grid(spec, {"seeds": (0, 1, 2), "ranks": ranks, "alpha_per_rank": alpha_per_rank})
    return Experiment(
        title="Now three seeds of each rank",
        reason="One seed can't tell a difference from luck; three can begin to.",
        address=build_grid_address(grid),
    )
