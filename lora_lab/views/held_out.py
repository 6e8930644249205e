"""What a held-out loss says and can't say: harm and guessing, too few examples, rows learnt by heart."""

import math

from lora_lab.runs.state import RunState
from lora_lab.spec import TINY_MODEL, RunSpec

FEW_EXAMPLES = 10
"""Below this number of held-out examples, one of them moves their mean loss by a tenth or more."""

FAR_BELOW = 0.25
"""The share of the held-out loss below which a training loss counts as far below it."""

CLEARLY_BETTER = 1.2
"""From here on, right tokens of held-out answers are so many times as likely that training helped."""

SURE_RISE = 2.0
"""A rise of the loss, in nats, that is harm on however few examples: right tokens are e^2 = 7 times rarer."""

NEAR_GUESSING = 0.1
"""The distance in nats within which a loss counts as that of guessing."""

LAST_STEPS = 3


def did_harm(spec: RunSpec, state: RunState) -> bool:
    """Return whether the held-out loss ended clearly above the base model's. An untrained model has nothing
    that training could harm.
    """
    before, after = state.loss_before, state.loss_after
    if before is None or after is None or spec.model == TINY_MODEL or not math.isfinite(before):
        return False
    if not math.isfinite(after):
        return True
    return after - before >= (SURE_RISE if say_too_few(state) else math.log(CLEARLY_BETTER))


def say_guessing(loss: float, vocab: int) -> str:
    """Say that a loss is that of guessing: ln(vocab), when each of `vocab` tokens is as likely as any other.

    Empty for a lower loss, and for a vocabulary that is not known (0).
    """
    guessing = math.log(vocab) if vocab else math.inf
    if loss < guessing - NEAR_GUESSING:
        return ""
    above = "above " if loss > guessing + NEAR_GUESSING else ""
    of_guessing = f"the loss of guessing, {guessing:.2f} = ln {vocab:,}"
    return f"That is {above}{of_guessing}: the model has lost what it knew."


def say_too_few(state: RunState) -> str:
    """Return `4 rows to train on, 1 held out: too few to conclude.`; empty for enough held-out examples."""
    held_out, rows = state.held_out_examples, state.train_examples
    if held_out is None or held_out >= FEW_EXAMPLES:
        return ""
    trained = f"{rows:,} {'row' if rows == 1 else 'rows'} to train on, " if rows else ""
    return f"{trained}{held_out} held out: too few to conclude."


def say_by_heart(state: RunState) -> str:
    """Say that the rows were learnt by heart where the training loss ends far below a held-out loss that
    rose, or hardly fell; else return an empty text.
    """
    before, after = state.loss_before, state.loss_after
    if before is None or after is None or not state.steps:
        return ""
    losses = [float(step["loss"]) for step in state.steps[-LAST_STEPS:] if "loss" in step]
    if not losses or not all(map(math.isfinite, (before, after, *losses))):
        return ""
    if max(losses) >= FAR_BELOW * after or before - after >= math.log(CLEARLY_BETTER):
        return ""
    course = "rose" if f"{after:.2f}" > f"{before:.2f}" and after > before else "hardly changed"
    return (
        f"The rows were learnt by heart: the training loss fell to {losses[-1]:.2g}, while the held-out loss "
        f"{course}, {before:.2f} → {after:.2f}."
    )


def trains_on_same_rows(spec: RunSpec, state: RunState) -> bool:
    """Return whether each step trains on all rows equally often, so that no step is on other examples."""
    rows = state.train_examples
    return rows is not None and rows > 0 and spec.batch % rows == 0
