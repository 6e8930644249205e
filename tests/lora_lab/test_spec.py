"""A run's settings: kept as JSON without loss, and refused in words that say what to change."""

from contextlib import suppress
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.spec import (
    BITS,
    BITS_LABELS,
    OPTIMIZER_LABELS,
    OPTIMIZERS,
    TARGET_LABELS,
    TARGET_SETS,
    VARIANT_LABELS,
    VARIANT_NAMES,
    VARIANTS,
    RunSpec,
    parse_spec,
)
from study.base.errors import LearnerError
from tests.lora_lab.spec_strategies import any_spec


@given(any_spec)
def test_a_spec_survives_its_json(spec: RunSpec) -> None:
    assert RunSpec.from_json(spec.to_json()) == spec


@given(any_spec)
def test_a_spec_survives_being_typed_into_a_form(spec: RunSpec) -> None:
    assert parse_spec({name: str(value) for name, value in asdict(spec).items()}) == spec


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rank": 0}, "rank must be 1 to 256, got 0."),
        ({"rank": 257}, "rank must be 1 to 256, got 257."),
        ({"steps": 0}, "steps must be 1 to 2,000, got 0."),
        ({"steps": 2001}, "steps must be 1 to 2,000, got 2,001."),
        ({"batch": 65}, "batch must be 1 to 64, got 65."),
        ({"seq_len_tokens": 15}, "seq_len_tokens must be 16 to 4,096, got 15."),
        ({"seed": -1}, "seed must be 0 to 4,294,967,295, got -1."),
        ({"seed": 2**32}, "seed must be 0 to 4,294,967,295, got 4,294,967,296."),
        ({"alpha": 0.0}, "alpha must be a number above 0, got 0.0."),
        ({"alpha": float("inf")}, "alpha must be a number above 0, got inf."),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0, got nan."),
        ({"learning_rate": -1e-3}, "learning_rate must be a number above 0, got -0.001."),
        ({"model": " "}, "model must be named."),
        ({"bits": "4bit"}, f"bits must be one of {', '.join(BITS)}, got '4bit'."),
        ({"variant": "vera"}, "variant must be one of lora, rslora, dora, got 'vera'."),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, adamw8bit, paged_adamw8bit, got 'sgd'."),
        ({"targets": " "}, "targets must be 1 to 300 characters."),
        ({"compute_dtype": "fp8"}, "compute_dtype must be one of auto, fp32, bf16, fp16, got 'fp8'."),
    ],
)
def test_a_value_out_of_its_limits_is_named_with_what_to_do(values: dict[str, Any], said: str) -> None:
    with pytest.raises(LearnerError) as caught:
        RunSpec(**values)
    assert caught.value.what == said
    assert caught.value.do_next.startswith(f"Set {next(iter(values))} to ")


@pytest.mark.parametrize(
    ("values", "do_next"),
    [
        ({"rank": 0}, "Set rank to a whole number from 1 to 256, for example 8."),
        ({"seq_len_tokens": 15}, "Set seq_len_tokens to a whole number from 16 to 4,096, for example 128."),
        ({"alpha": 0.0}, "Set alpha to a number above 0, for example 16."),
        ({"bits": "4bit"}, "Set bits to one of these, for example nf4-dq."),
        (
            {"targets": " "},
            "Set targets to a target set, module names or a regular expression, for example all-linear.",
        ),
        (
            {"model": " "},
            "Set model to a catalogue name, a local folder or a hub id, for example smollm2-135m.",
        ),
        (
            {"rank": 0, "alpha": -1.0},
            "Set rank to a whole number from 1 to 256, for example 8. "
            "Set alpha to a number above 0, for example 16.",
        ),
    ],
)
def test_what_to_do_names_the_field_and_what_it_allows(values: dict[str, Any], do_next: str) -> None:
    with pytest.raises(LearnerError) as caught:
        RunSpec(**values)
    assert caught.value.do_next == do_next


@pytest.mark.parametrize(
    "limit", [{"rank": 1}, {"rank": 256}, {"steps": 2000}, {"batch": 64}, {"seq_len_tokens": 16}]
)
def test_the_limits_themselves_are_allowed(limit: dict[str, Any]) -> None:
    RunSpec(**limit)


def test_every_bad_value_is_named_at_once() -> None:
    with pytest.raises(LearnerError, match=r"rank .* 0\. batch .* 99\. bits .* '3bit'"):
        RunSpec(rank=0, batch=99, bits="3bit")  # type: ignore[arg-type]
    with pytest.raises(LearnerError, match=r"rank must be a whole number, got 'many'\. steps .* got '1\.5'"):
        parse_spec({"rank": "many", "steps": "1.5"})


@pytest.mark.parametrize(
    ("name", "value"),
    [("rank", "eight"), ("rank", 8.5), ("rank", None), ("steps", "1e400"), ("seed", 10**400), ("alpha", [])],
)
def test_what_is_no_number_is_said_with_its_value(name: str, value: object) -> None:
    with pytest.raises(LearnerError, match=rf"{name} must be a .*number"):
        parse_spec({name: value})


def test_numbers_may_be_typed_as_people_type_them() -> None:
    spec = parse_spec({"rank": " 8 ", "learning_rate": "2e-4", "steps": "1e2", "alpha": "16"})
    assert (spec.rank, spec.learning_rate, spec.steps, spec.alpha) == (8, 2e-4, 100, 16.0)


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(LearnerError, match=r"Unknown setting: epochs, r\. Use only: model, bits, rank"):
        parse_spec({"r": 8, "epochs": 3})


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "not JSON"), ("[]", "a JSON object"), ("null", "a JSON object"), ('{"rank": "x"}', "got 'x'")],
)
def test_a_file_that_is_no_spec_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(LearnerError, match=said):
        RunSpec.from_json(text)


@given(st.text())
def test_no_text_in_the_place_of_a_spec_is_a_bug(text: str) -> None:
    with suppress(LearnerError):
        RunSpec.from_json(text)


def test_a_spec_cannot_be_changed_under_a_run() -> None:
    with pytest.raises(FrozenInstanceError):
        RunSpec().rank = 16  # type: ignore[misc]


def test_every_choice_has_words_for_a_learner() -> None:
    assert set(BITS_LABELS) == set(BITS)
    assert set(TARGET_LABELS) == set(TARGET_SETS)
    assert set(VARIANT_LABELS) == set(VARIANT_NAMES) == set(VARIANTS)
    assert set(OPTIMIZER_LABELS) == set(OPTIMIZERS)


def test_the_update_is_scaled_by_alpha_over_rank() -> None:
    assert RunSpec(alpha=16, rank=8).scaling == 2.0
