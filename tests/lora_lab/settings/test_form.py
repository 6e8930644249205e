"""The lab's form and addresses: what is shown, what is linked, and what is started are one setting."""

from dataclasses import asdict
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.settings.run_form import (
    NAMES,
    OTHER,
    build_address,
    parse_spec_address,
    parse_spec_form,
    read_presets,
)
from lora_lab.spec import OWN_DATA, RunSpec
from study.base.errors import LearnerError
from tests.lora_lab.spec_strategies import any_spec


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


def form_of(spec: RunSpec) -> dict[str, list[str]]:
    return {name: [str(value)] for name, value in asdict(spec).items()}


@given(any_spec)
def test_an_address_opens_with_the_setting_it_was_made_for(spec: RunSpec) -> None:
    assert parse_spec_address(query_of(build_address(spec))) == spec


@given(any_spec)
def test_a_form_gives_the_setting_it_shows(spec: RunSpec) -> None:
    if spec.model == spec.model.strip() and spec.model != OTHER:
        assert parse_spec_form(form_of(spec)) == spec


def test_an_address_names_only_what_differs_from_the_first_preset() -> None:
    usual = read_presets()[0].spec
    assert build_address(usual) == "/lab"
    assert build_address(RunSpec(**asdict(usual) | {"rank": 2})) == "/lab?rank=2"
    assert build_address(usual, run_id="r1") == "/lab?run=r1"


@given(st.dictionaries(st.sampled_from((*NAMES, "preset", "run")), st.text()))
def test_no_address_is_an_error(query: dict[str, str]) -> None:
    assert isinstance(parse_spec_address(query), RunSpec)


def test_an_unreadable_part_of_an_address_leaves_the_presets_value() -> None:
    spec = parse_spec_address({"preset": "rank-1", "rank": "many", "steps": "99", "bits": "2bit"})
    assert (spec.rank, spec.alpha, spec.steps, spec.bits) == (1, 2.0, 99, RunSpec().bits)


def test_presets_differ_and_open_by_their_id() -> None:
    specs = [preset.spec for preset in read_presets()]
    assert len(set(specs)) == len(specs)
    for preset in read_presets():
        assert parse_spec_address({"preset": preset.id}) == preset.spec
        assert preset.name
        assert preset.about.endswith(".")


def test_another_model_is_read_from_the_box_below_the_list() -> None:
    form = form_of(RunSpec()) | {"model": [OTHER], "model_other": [" owner/name "]}
    assert parse_spec_form(form).model == "owner/name"


@pytest.mark.parametrize("other", [{}, {"model_other": [""]}, {"model_other": ["  "]}])
def test_another_model_without_a_name_is_said(other: dict[str, list[str]]) -> None:
    with pytest.raises(LearnerError, match=r"model is empty\. Enter a value\."):
        parse_spec_form(form_of(RunSpec()) | {"model": [OTHER]} | other)


def test_every_empty_field_is_named() -> None:
    with pytest.raises(LearnerError, match=r"rank and steps are empty\. Enter a value for each\."):
        parse_spec_form(form_of(RunSpec()) | {"rank": [""], "steps": ["  "]})


def test_every_field_out_of_its_limits_is_named() -> None:
    with pytest.raises(LearnerError, match=r"rank must be 1 to 256, got 999\. batch must be 1 to 64, got 0"):
        parse_spec_form(form_of(RunSpec()) | {"rank": ["999"], "batch": ["0"]})


def test_a_form_without_data_trains_on_the_apps_cards() -> None:
    assert parse_spec_form(form_of(RunSpec()) | {"data": [""]}).data == OWN_DATA
