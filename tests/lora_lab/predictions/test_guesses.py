"""Guesses against results: what counts as right, what the reason says, which concepts it points to."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.predictions.judging import (
    FACTOR,
    LOSS_TIE,
    EndedRun,
    RunGuess,
    is_within_factor,
    judge_guess,
    parse_guess_form,
)
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.content.concepts import ConceptMap
from tests.lora_lab import run_builders


@pytest.fixture
def ended(tmp_path: Path) -> EndedRun:
    return ended_run(run_builders.finished(tmp_path / "runs"))


def ended_run(run: RunFolder) -> EndedRun:
    return EndedRun(spec=run.spec, state=fold_events(run.events()))


@given(st.floats(1e-3, 1e9), st.floats(0.5, 2))
def test_a_number_is_right_within_the_stated_factor_both_ways(result: float, off: float) -> None:
    clearly_in, clearly_out = 1 / FACTOR * 1.001 < off < FACTOR * 0.999, off > FACTOR * 1.001 or off < 0.799
    if clearly_in or clearly_out:
        assert is_within_factor(result * off, result) == clearly_in


@pytest.mark.parametrize(
    ("percent", "right"), [(4.48, True), (5.5, True), (3.6, True), (5.7, False), (1, False)]
)
def test_the_percentage_is_judged_by_the_counts_of_the_run(
    ended: EndedRun, percent: float, right: bool
) -> None:
    [verdict] = judge_guess(RunGuess(percent=percent), ended, None)
    assert (verdict.quantity, verdict.right, verdict.result) == ("percent", right, "4.48 %")
    assert verdict.reason == (
        "Rank 8 gives the adapters 448 numbers, and 21 times as many, 9,552, stay frozen."
    )


def test_the_peak_is_judged_by_the_measured_one_and_explained_by_its_largest_parts(ended: EndedRun) -> None:
    [verdict] = judge_guess(RunGuess(peak_bytes=2e6), ended, None)
    assert not verdict.right
    assert (verdict.guess, verdict.result) == ("2.00 MB", "990 kB")
    assert (
        verdict.reason
        == "Of the 1.00 MB computed, the largest part is activations (400 kB, 40 %), and the second is "
        "weights (300 kB)."
    )
    assert verdict.concepts == ("activation-memory",)


@pytest.mark.parametrize("changed", ["weights", "optimizer", "constants", "scratch", "logits"])
def test_a_wrong_peak_points_to_what_takes_the_most(
    ended: EndedRun, changed: str, concepts: ConceptMap
) -> None:
    started = {**(ended.state.started or {}), "predicted": {**run_builders.PREDICTED, changed: 9_000_000}}
    [verdict] = judge_guess(
        RunGuess(peak_bytes=1), replace(ended, state=replace(ended.state, started=started)), None
    )
    assert all(concept in concepts.by_id for concept in verdict.concepts)
    assert "the largest part is" in verdict.reason


def losses(ended: EndedRun, loss_after: float, **changed: Any) -> EndedRun:
    return EndedRun(spec=replace(ended.spec, **changed), state=replace(ended.state, loss_after=loss_after))


@pytest.mark.parametrize(
    ("this", "that", "said", "right"),
    [
        (2.0, 2.5, "this", True),
        (2.0, 2.5, "that", False),
        (2.5, 2.0, "that", True),
        (2.0, 2.0 + LOSS_TIE / 2, "that", True),
        (2.0, 2.0 + LOSS_TIE / 2, "this", True),
    ],
)
def test_the_lower_loss_is_judged_and_a_tie_is_nobodys_mistake(
    ended: EndedRun, this: float, that: float, said: Any, right: bool
) -> None:
    guess = RunGuess(rival="other", lower=said)
    [verdict] = judge_guess(guess, losses(ended, this), losses(ended, that, rank=64))
    assert verdict.right == right
    assert "They differ in: rank 8 here, 64 there" in verdict.reason
    assert "lora-rank" in verdict.concepts


@pytest.mark.parametrize(("after", "said"), [(3.5, "falls"), (5.5, "stays"), (6.0, "rises")])
def test_the_course_of_the_loss_is_said_in_the_words_of_the_guess(
    ended: EndedRun, after: float, said: Any
) -> None:
    [verdict] = judge_guess(RunGuess(course=said), losses(ended, after), None)
    assert verdict.right
    assert (verdict.guess, verdict.result) == (said, f"{said} (5.50 before, {after:.2f} after)")


def test_a_difference_of_seeds_alone_is_called_chance(ended: EndedRun) -> None:
    guess = RunGuess(rival="other", lower="this")
    [verdict] = judge_guess(guess, losses(ended, 2.0), losses(ended, 1.0, seed=1))
    assert "this much is chance" in verdict.reason
    assert verdict.concepts == ("held-out-evaluation",)


def test_another_number_type_or_device_is_named_as_a_difference(ended: EndedRun) -> None:
    guess = RunGuess(rival="other", lower="this")
    [same] = judge_guess(guess, losses(ended, 2.0), losses(ended, 1.0))
    assert same.reason.startswith("Settings and device are equal, so only rounding can differ")
    started = ended.state.started or {}
    device = {**started["device"], "compute_dtype": "another", "name": "GPU"}
    there = replace(losses(ended, 1.0).state, started={**started, "device": device})
    [other] = judge_guess(guess, losses(ended, 2.0), EndedRun(spec=ended.spec, state=there))
    here = started["device"]
    assert f"computed in {here['compute_dtype']} here, another there" in other.reason
    assert f"device {here['name']} here, GPU there" in other.reason


@pytest.mark.parametrize(
    "changed",
    [{"learning_rate": 1e-4}, {"alpha": 2.0}, {"bits": "int8"}, {"targets": "q+v"}, {"steps": 3}, {}],
)
def test_every_concept_that_a_verdict_names_is_in_the_map(
    ended: EndedRun, concepts: ConceptMap, changed: dict[str, Any]
) -> None:
    guess = RunGuess(percent=1, peak_bytes=1, rival="other", lower="this")
    for verdict in judge_guess(guess, losses(ended, 2.0), losses(ended, 1.0, **changed)):
        assert verdict.concepts
        assert set(verdict.concepts) <= set(concepts.by_id)


def test_what_the_run_did_not_come_to_is_not_judged() -> None:
    guess = RunGuess(percent=1, peak_bytes=1, rival="other", lower="this")
    nothing = EndedRun(spec=RunSpec(), state=RunState(status="failed"))
    assert judge_guess(guess, nothing, nothing) == []
    assert judge_guess(guess, nothing, None) == []


# ---- the form


def test_a_form_with_some_fields_left_empty_is_a_guess_about_the_others() -> None:
    assert parse_guess_form({"guess_percent": "1,5", "guess_mb": ""}) == RunGuess(percent=1.5)
    assert parse_guess_form({"guess_mb": " 412 "}) == RunGuess(peak_bytes=412e6)
    assert (
        parse_guess_form({"guess_mb": "1,200"})
        == parse_guess_form({"guess_mb": "1.2 GB"})
        == RunGuess(peak_bytes=1.2e9)
    )
    assert parse_guess_form({"lower": "that", "rival": "r"}) == RunGuess(rival="r", lower="that")
    assert parse_guess_form({"guess_percent": "1", "rival": "r"}) == RunGuess(percent=1)


@pytest.mark.parametrize("form", [{}, {"guess_percent": " "}, {"lower": "neither"}, {"lower": "this"}])
def test_a_form_with_nothing_guessed_says_so(form: dict[str, str]) -> None:
    with pytest.raises(LearnerError, match="Nothing is guessed yet"):
        parse_guess_form(form)


@pytest.mark.parametrize("written", ["0", "-1", "101", "nan", "inf", "much"])
def test_a_percentage_that_cannot_be_is_refused(written: str) -> None:
    with pytest.raises(LearnerError, match="Percent trainable must be a number above 0 and at most 100"):
        parse_guess_form({"guess_percent": written})


@given(st.one_of(st.none(), st.floats(0.01, 100)), st.one_of(st.none(), st.floats(1, 1e12)))
def test_a_guess_survives_the_store(percent: float | None, peak_bytes: float | None) -> None:
    guess = RunGuess(percent=percent, peak_bytes=peak_bytes)
    assert RunGuess(**asdict(guess)) == guess
