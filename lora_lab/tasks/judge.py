"""Draws a configure task's numbers, judges a setting, and says what each control did."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import inf, log

from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.tasks.content import (
    COSTS,
    Condition,
    ConfigureTask,
    Control,
    map_tasks_by_id,
    read_control_notes,
)
from lora_lab.tasks.measures import MEASURES, Setting, count_of, find_setting_shape
from lora_lab.views.fit import compute_needed_parts
from study.base.binary_search import find_largest
from study.base.errors import LearnerError

MONOTONE = frozenset({"seq_len", "batch", "rank", "layers"})
"""Fields that are measures as well; with everything else fixed, a larger value never needs less memory."""

PART_SHARE = 0.01

STEPS_APART = 1.01
"""The ratio of two numbers of steps that a search tries."""

TargetedCondition = tuple[Condition, float]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    task: ConfigureTask
    seed: int
    given: Setting
    targets: tuple[float, ...]
    """One for each condition."""

    line: str
    """The line that PEFT prints for the wanted setting; empty where none is asked for."""

    @property
    def targeted(self) -> tuple[TargetedCondition, ...]:
        """Each condition with its target."""
        return tuple(zip(self.task.conditions, self.targets, strict=True))


@dataclass(frozen=True, kw_only=True)
class CheckedCondition:
    condition: Condition
    value: float
    target: float
    holds: bool


@dataclass(frozen=True, kw_only=True)
class ControlEffect:
    """What a changed control did: each measure with it put back to what was given, and as it is."""

    field: str
    before: str
    after: str
    """Its values, as labels."""

    effects: tuple[tuple[str, float, float], ...]
    """By measure, only where the two differ."""

    parts: tuple[tuple[str, float], ...] = ()
    """By component of the memory at the peak: how much more it has, where it is enough to be read."""


@dataclass(frozen=True, kw_only=True)
class SettingJudgement:
    """Whether a setting solves a task, and why."""

    checked: tuple[CheckedCondition, ...]
    control_effects: tuple[ControlEffect, ...]
    misconception: str
    """Of the wrong setting, where it is known; else empty."""

    @property
    def right(self) -> bool:
        return all(each.holds for each in self.checked)


# ---- drawing


def choose_next_seed(task: ConfigureTask, seed: int) -> int:
    """Choose the seed of another task: each case comes once before the first returns, in a shuffled order."""
    order = list(range(1, len(task.cases)))
    random.Random(task.id).shuffle(order)
    order = [0, *order]
    return order[(order.index(seed % len(task.cases)) + 1) % len(order)]


@lru_cache(maxsize=256)
def draw(task_id: str, seed: int) -> Drawn:
    """Draw a task: seed 0 is the task as written. Raises LearnerError when there is no such task."""
    task = map_tasks_by_id().get(task_id)
    if task is None:
        raise LearnerError(f"There is no task {task_id!r}.", do_next="Choose one from the list.")
    seed %= len(task.cases)
    given = draw_given(task, seed)
    conditions = [_apply_case(condition, task.wanted[seed]) for condition in task.conditions]
    targets = tuple(_compute_fixed_target(condition, given) for condition in conditions)
    wanted = next((each.like for each in conditions if each.like), None)
    line = format_printed({**given, **wanted}) if task.printed and wanted else ""
    drawn = Drawn(task=task, seed=seed, given=given, targets=targets, line=line)
    for at, condition in enumerate(task.conditions):
        if condition.kind == "best":
            targets = (*drawn.targets[:at], _find_best(drawn, at), *drawn.targets[at + 1 :])
            drawn = replace(drawn, targets=targets)
    return drawn


def _apply_case(condition: Condition, wanted: Setting) -> Condition:
    return replace(condition, like={**condition.like, **wanted}) if condition.like else condition


def draw_given(task: ConfigureTask, seed: int) -> Setting:
    given = {**task.given, **task.cases[seed % len(task.cases)]}
    if "layers" in task.fields and not given["layers"]:
        given["layers"] = str(find_setting_shape(given).layers)
    return given


def format_printed(setting: Setting) -> str:
    """Format the count as PEFT's `print_trainable_parameters` does."""
    found = count_of(setting)
    return (
        f"trainable params: {found.trainable:,} || all params: {found.total:,} || "
        f"trainable%: {found.percent:.4f}"
    )


def _compute_fixed_target(condition: Condition, given: Setting) -> float:
    match condition.kind:
        case "value" | "best":
            return condition.number
        case "gpu":
            return MEASURES["gpu_bytes"].compute(given)
        case "rows":
            return condition.number * int(given["rows"])
    compute = MEASURES[condition.measure].compute
    if condition.kind == "like":
        return compute({**given, **(condition.like or {})})
    now = compute(given)
    return now * condition.number if condition.kind == "given" else now - condition.number


def _find_best(drawn: Drawn, at: int) -> float:
    """Find the condition's share of the best value that a search finds under the other conditions."""
    condition = drawn.task.conditions[at]
    others = [pair for place, pair in enumerate(drawn.targeted) if place != at]
    sign = 1 if condition.test == "at_least" else -1
    compute = MEASURES[condition.measure].compute
    candidates = _list_candidates(drawn, condition, others)
    found = max((sign * compute(setting) for setting in candidates), default=-inf)
    if found == -inf:
        raise ValueError(f"{drawn.task.id}: no setting meets the other conditions of {dict(drawn.given)}")
    if sign < 0:
        return -found
    unit = MEASURES[condition.measure].unit
    return _round_down(condition.number * found) if unit in ("count", "bytes") else condition.number * found


def _round_down(value: float) -> float:
    """Round down to a whole number, a large one to three digits: the goal reads well and stays in reach."""
    if value < 1000:
        return float(int(value))
    step = 10 ** (len(str(int(value))) - 3)
    return float(int(value) // step * step)


# ---- searching


def _list_candidates(
    drawn: Drawn, condition: Condition, others: Sequence[TargetedCondition]
) -> Iterator[Setting]:
    """List settings that meet the other conditions, the best one among them.

    Where a search finds the largest number, a setting is only yielded if its number is above those before.
    """
    field, controls, given = condition.measure, drawn.task.controls, drawn.given
    if field not in MONOTONE or field not in drawn.task.fields:
        yield from (each for each in _combine(controls, given) if _meets(drawn, each, others))
        return
    numbers = list_tried_values(next(each for each in controls if each.field == field), given)
    rest = [control for control in controls if control.field != field]
    best = -1
    for setting in _combine(rest, given):
        tried = [{**setting, field: number} for number in numbers]
        if best + 1 < len(tried) and _meets(drawn, tried[best + 1], others):
            best = _find_last_meeting(drawn, tried, others, above=best)
            yield tried[best]


def _find_last_meeting(
    drawn: Drawn, tried: Sequence[Setting], others: Sequence[TargetedCondition], *, above: int
) -> int:
    return find_largest(lambda at: _meets(drawn, tried[at], others), none=above, most=len(tried) - 1)


def list_tried_values(control: Control, given: Setting) -> list[str]:
    """Return the values of a control that a search tries: all of a list; of numbers all, or some of each
    power of two.
    """
    if control.choices:
        return [value for value, _ in control.choices]
    low, high = control.low, limit_control(control, given)
    numbers = {low, high}
    if control.field in ("rank", "layers", "gpus", "accumulate"):
        numbers |= set(range(low, high + 1))
    elif control.field == "steps":
        numbers |= {round(STEPS_APART**power) for power in range(round(log(high, STEPS_APART)))}
    else:
        power = 1
        while power <= high:
            numbers |= {number for number in (power, power * 5 // 4, power * 3 // 2) if low <= number <= high}
            power *= 2
    now = given[control.field]
    if now.isdecimal() and low <= int(now) <= high:
        numbers.add(int(now))
    return [str(number) for number in sorted(numbers)]


def limit_control(control: Control, given: Setting) -> int:
    """Return the largest number that a control may have."""
    return min(control.high, find_setting_shape(given).layers) if control.field == "layers" else control.high


def _combine(controls: Sequence[Control], given: Setting) -> Iterator[Setting]:
    names = [control.field for control in controls]
    for values in product(*(list_tried_values(control, given) for control in controls)):
        yield {**given, **dict(zip(names, values, strict=True))}


def _meets(drawn: Drawn, setting: Setting, conditions: Sequence[TargetedCondition]) -> bool:
    """Check the conditions, the costly memory estimate last."""
    ordered = sorted(conditions, key=lambda pair: pair[0].measure == "needed_bytes")
    try:
        return all(_check(drawn, setting, *pair).holds for pair in ordered)
    except (UnsupportedCase, LearnerError):
        return False  # such as trained weights in 4 bits


# ---- judging


def read_setting(drawn: Drawn, form: Mapping[str, str]) -> Setting:
    """Return the given setting with the form's controls. Raises LearnerError that names each bad value."""
    problems = []
    setting = dict(drawn.given)
    for control in drawn.task.controls:
        value = form.get(control.field, drawn.given[control.field]).strip()
        label = read_control_notes()[control.field].label
        if control.choices:
            if value not in dict(control.choices):
                problems.append(f"{label} has no {value[:40]!r}.")
        else:
            low, high = control.low, limit_control(control, drawn.given)
            if not (value.isdecimal() and low <= int(value[:9]) <= high and len(value) < 9):
                problems.append(
                    f"{label} must be a whole number from {low:,} to {high:,}, got {value[:20]!r}."
                )
        setting[control.field] = value
    if problems:
        raise LearnerError(" ".join(problems), do_next="Correct what is named here.")
    return setting


def judge(drawn: Drawn, setting: Setting) -> SettingJudgement:
    """Judge a setting. Raises LearnerError when the lab can't compute it."""
    try:
        checked = tuple(_check(drawn, setting, *pair) for pair in drawn.targeted)
        control_effects = tuple(_list_effects(drawn, setting))
    except UnsupportedCase as case:
        raise LearnerError(f"This is not computed: {case}.", do_next="Change the setting.") from case
    right = all(each.holds for each in checked)
    return SettingJudgement(
        checked=checked,
        control_effects=control_effects,
        misconception="" if right else find_slip(drawn.task, setting, drawn.given),
    )


def find_slip(task: ConfigureTask, setting: Setting, given: Setting) -> str:
    """Return the misconception that leads to a wrong setting; empty if none is known or nothing changed."""
    if all(setting[field] == given[field] for field in task.fields):
        return ""
    return next((each.misconception for each in task.slips if each.fits(setting, given)), "")


def _check(drawn: Drawn, setting: Setting, condition: Condition, target: float) -> CheckedCondition:
    changed = [field for field in drawn.task.fields if setting[field] != drawn.given[field]]
    if condition.measure == "changed":
        value = float(len(changed))
    elif condition.measure == "cost":
        value = float(max((COSTS.index(read_control_notes()[field].cost) for field in changed), default=0))
    else:
        value = MEASURES[condition.measure].compute(setting)
    target = find_target(condition, target, setting)
    match condition.test:
        case "at_most":
            holds = value <= target * (1 + 1e-9)
        case "at_least":
            holds = value >= target * (1 - 1e-9)
        case "near":
            holds = abs(value - target) <= abs(target) * condition.percent / 100
        case _:
            holds = abs(value - target) <= abs(target) * 1e-9
    return CheckedCondition(condition=condition, value=value, target=target, holds=holds)


def find_target(condition: Condition, target: float, setting: Setting) -> float:
    """Return the drawn target, or the memory of the setting's card: the card may be a control itself."""
    return MEASURES["gpu_bytes"].compute(setting) if condition.kind == "gpu" else target


def _list_effects(drawn: Drawn, setting: Setting) -> Iterator[ControlEffect]:
    """Yield each changed control with what it does to the shown measures, the others as they are."""
    task = drawn.task
    now = {name: MEASURES[name].compute(setting) for name in task.shown}
    for control in task.controls:
        field = control.field
        if setting[field] == drawn.given[field]:
            continue
        back = {**setting, field: drawn.given[field]}
        effects = []
        for name in task.shown:
            try:
                before = MEASURES[name].compute(back)
            except (UnsupportedCase, LearnerError):
                continue  # with it put back, the others can't be: trained weights in 4 bits
            if before != now[name]:
                effects.append((name, before, now[name]))
        yield ControlEffect(
            field=field,
            before=format_label(control, drawn.given[field]),
            after=format_label(control, setting[field]),
            effects=tuple(effects),
            parts=tuple(_list_part_effects(back, setting))
            if any(name == "needed_bytes" for name, *_ in effects)
            else (),
        )


def _list_part_effects(before: Setting, after: Setting) -> Iterator[tuple[str, float]]:
    """List the components that differ by a percent or more of all differences, largest first."""
    old, new = compute_needed_parts(before), compute_needed_parts(after)
    moved = {label: float(new[label] - old[label]) for label in old}
    enough = PART_SHARE * sum(map(abs, moved.values()))
    ordered = sorted(moved.items(), key=lambda each: -abs(each[1]))
    yield from (
        (label, difference) for label, difference in ordered if difference and abs(difference) >= enough
    )


def format_label(control: Control, value: str) -> str:
    """Format a value as a learner reads it."""
    if control.choices:
        return dict(control.choices).get(value, value)
    return f"{int(value):,}"
