"""The microscope without a page: questions, guesses and their verdicts, and what the panels say."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from lora_lab.microscope.panels import build_panels
from lora_lab.microscope.pictures import FAMILIES
from lora_lab.microscope.query import (
    NAMES,
    SCHEMES,
    MicroscopeQuestion,
    QuantizationScheme,
    build_microscope_address,
    can_hold,
    check_question,
    list_matrices,
    parse_question,
    settle_question,
)
from lora_lab.microscope.weights import compute_signal_to_noise_db
from lora_lab.parameters.shapes import find_shape, load_catalogue
from lora_lab.predictions.judging import QUANTITY_CONCEPTS, GuessVerdict
from lora_lab.predictions.of_microscope import (
    MicroscopeGuess,
    judge_microscope_guess,
    name_error_quantity,
    parse_guess_form,
)
from lora_lab.spec import BITS
from study.base.errors import LearnerError
from study.content.concepts import load_concepts
from tests.lora_lab.microscope_findings import FOUND, TINY
from tests.visits import words

SHAPE = find_shape("tiny-random")


def test_every_bit_width_that_rounds_is_a_scheme_with_a_name() -> None:
    assert set(SCHEMES) == set(BITS) - {"fp32", "bf16"} == set(NAMES)


@pytest.mark.parametrize(
    "second", [QuantizationScheme(bits="int8"), QuantizationScheme(bits="hqq2", block=128)]
)
def test_a_form_and_an_address_say_the_same_question(second: QuantizationScheme) -> None:
    question = replace(TINY, layer=1, second=second)
    assert parse_question(question.address) == question
    address = build_microscope_address("/microscope", question, look="abc")
    query = dict(part.split("=") for part in address.partition("?")[2].split("&"))
    assert query.pop("look") == "abc"
    assert parse_question(query) == question
    assert build_microscope_address("/microscope", MicroscopeQuestion()) == "/microscope"
    assert json.loads(json.dumps(question.order))["second"] == {"bits": second.bits, "block": second.block}


def test_what_an_address_can_not_mean_is_left_at_its_default() -> None:
    typed = {"layer": "-1", "first": "3bit", "second_block": "65", "second": "fp4", "matrix": "x" * 900}
    found = parse_question(typed | {"model": "other", "model_other": " /some/folder "})
    assert (found.layer, found.first, found.second) == (
        0,
        QuantizationScheme(bits="nf4"),
        QuantizationScheme(bits="fp4"),
    )
    assert found.model == "/some/folder"
    assert settle_question(replace(found, layer=99), SHAPE).layer == 1
    assert settle_question(found, SHAPE).matrix == "self_attn.q_proj"


@pytest.mark.parametrize("block", ["0000641", pytest.param("000064" + "1" * 5000, id="long"), "６４"])
def test_a_block_size_that_no_form_writes_is_left_at_its_default(block: str) -> None:
    assert parse_question({"first": "nf4", "first_block": block}).first == QuantizationScheme(bits="nf4")


def test_only_questions_that_can_be_looked_into_are_let_through() -> None:
    assert check_question(TINY, SHAPE) == TINY
    with pytest.raises(LearnerError, match="Both sides are NF4, blocks of 64"):
        check_question(replace(TINY, second=TINY.first), SHAPE)
    with pytest.raises(LearnerError, match=r"HQQ 1-bit can't pack 64 × 64 weights in blocks of 1,024"):
        check_question(replace(TINY, second=QuantizationScheme(bits="hqq1", block=1024)), SHAPE)


def test_every_causal_model_of_the_catalogue_offers_its_matrices_by_its_own_names() -> None:
    offered = {
        name: [each.path_in_layer for each in list_matrices(shape)]
        for name, shape in load_catalogue().items()
    }
    assert offered["smollm2-135m"] == [
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    ]  # fmt: skip
    assert offered["gpt2"] == ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    with pytest.raises(LearnerError, match="no linear matrices"):
        settle_question(MicroscopeQuestion(model="t5-small"), find_shape("t5-small"))


@pytest.mark.parametrize(
    ("bits", "block", "numbers", "holds"),
    [("nf4", 4096, 100, True), ("int8", 64, 7, True), ("hqq8", 64, 100, False), ("hqq4", 64, 192, False),
     ("hqq4", 64, 128, True), ("hqq3", 64, 64, True), ("hqq1", 64, 256, False), ("hqq1", 64, 512, True)],
)  # fmt: skip
def test_hqq_takes_whole_blocks_and_packs_several_side_by_side(
    bits: str, block: int, numbers: int, holds: bool
) -> None:
    assert can_hold(bits, block, numbers) is holds


def test_a_guess_is_read_and_an_empty_or_odd_one_is_said_in_words() -> None:
    assert parse_guess_form({"smaller": "second", "rise": " 0,25 "}) == MicroscopeGuess(
        smaller="second", rise=0.25
    )
    assert parse_guess_form({"rise": "-0.1"}) == MicroscopeGuess(rise=-0.1)
    with pytest.raises(LearnerError, match="look without a guess"):
        parse_guess_form({"smaller": "neither", "rise": " "})
    with pytest.raises(LearnerError, match="got 'much'"):
        parse_guess_form({"rise": "much"})
    with pytest.raises(LearnerError, match="got 'nan'"):
        parse_guess_form({"rise": "nan"})


def judged(guess: MicroscopeGuess, question: MicroscopeQuestion = TINY, **changed: Any) -> list[GuessVerdict]:
    return judge_microscope_guess(guess, question, FOUND | changed)


def test_a_smaller_error_is_judged_with_a_reason_that_fits_the_comparison() -> None:
    wrong = judged(MicroscopeGuess(smaller="second"))[0]
    assert not wrong.right
    assert wrong.result == "NF4, blocks of 64 (10 % against 20 %)"
    assert judged(MicroscopeGuess(smaller="first"))[0].right
    near = FOUND["first"] | {"error": 0.1005}
    tie = judged(MicroscopeGuess(smaller="second"), first=near, second=near | {"error": 0.101})[0]
    assert tie.right
    assert tie.result.startswith("practically equal (")
    block = replace(TINY, second=QuantizationScheme(bits="nf4", block=256))
    assert "4.5 per weight against 4.125" in judged(MicroscopeGuess(smaller="first"), block)[0].reason
    double = replace(TINY, second=QuantizationScheme(bits="nf4-dq"))
    assert (
        "rounds only the constants, which are then off by 0.50 %"
        in judged(MicroscopeGuess(smaller="first"), double)[0].reason
    )
    other = replace(TINY, first=QuantizationScheme(bits="hqq4"), second=QuantizationScheme(bits="int8"))
    kinds = [name_error_quantity(question) for question in (TINY, block, double, other)]
    assert kinds == ["error-nf4", "error-block", "error-double", "error-levels"]
    counted = judged(
        MicroscopeGuess(smaller="first"), other, second=FOUND["second"] | {"levels": [0.0] * 255}
    )
    assert counted[0].reason == "HQQ 4-bit has 3 levels, and int8 has 255."


@pytest.mark.parametrize(
    ("rise", "right"), [(0.1, True), (0.12, True), (0.076, True), (0.2, False), (-0.1, False)]
)
def test_a_rise_is_right_within_a_quarter_of_it(rise: float, right: bool) -> None:
    found = judged(MicroscopeGuess(rise=rise))[0]
    assert (found.right, found.result) == (right, "+0.100")
    assert "from 2.000 to 2.100 on 40 answer tokens" in found.reason


def test_nothing_is_judged_before_it_is_measured() -> None:
    guess = MicroscopeGuess(smaller="first", rise=0.1)
    assert judge_microscope_guess(guess, TINY, {}) == []
    without = {name: value for name, value in FOUND.items() if name != "losses"}
    assert [one.quantity for one in judge_microscope_guess(guess, TINY, without)] == ["error-nf4"]


def test_guesses_are_about_concepts_that_there_are() -> None:
    known = load_concepts().by_id
    assert all(concept in known for concepts in QUANTITY_CONCEPTS.values() for concept in concepts)


def said(question: MicroscopeQuestion = TINY, **changed: Any) -> dict[str, str]:
    return {panel.id: panel.shown.finding for panel in build_panels(question, FOUND | changed)}


def test_panels_come_as_their_results_do() -> None:
    assert list(build_panels(TINY, {})) == []
    some = {name: FOUND[name] for name in ("where", "matrix", "first", "second")}
    assert [panel.id for panel in build_panels(TINY, some)] == ["weights", "map"]
    losses = {"examples": 3, "answers": 40, "base": 2.0}
    assert said(losses=losses)["losses"].endswith("2.000; the others follow.")
    assert (
        "−0.0001 with this matrix in NF4, blocks of 64"
        in said(losses=losses | {"only_first": 1.9999})["losses"]
    )


def test_findings_say_the_numbers() -> None:
    found = said()
    assert "10.0 % with NF4, blocks of 64 and 20.0 % with FP4, blocks of 64" in found["weights"]
    assert (
        "by 25 on average and 40 at most with NF4" in found["map"]
    )  # the mean of 0.1, 0.2, 0.3, 0.4 and their largest
    assert "NF4 in blocks of 64 has the smallest error on this matrix: 10.0 %, in 4.5 bits" in found["errors"]
    assert "2 of 24 weights (0.00152 if they were normal)" in found["outliers"]  # 24 · erfc(4 / √2)
    assert "Column 5 holds 2 of them" in found["outliers"]
    assert "Of the squared error, their blocks hold " in found["outliers"]
    outliers = next(panel for panel in build_panels(TINY, FOUND) if panel.id == "outliers").shown
    assert dict(outliers.numbers)["columns with most"] == "5 (2)"
    assert "from 10 % to 10.04 %, and 0.373 bits per weight are saved" in found["double"]
    assert "moves by 4.00 % with NF4" in found["output"]
    assert "+0.4000 with every matrix in FP4, blocks of 64" in found["losses"]


def test_the_chosen_schemes_are_marked_in_the_table() -> None:
    table = next(panel for panel in build_panels(TINY, FOUND) if panel.id == "errors").shown.table
    assert table is not None
    assert [row[:2] for row in table.rows if "chosen" in row[0]] == [
        ("NF4 (chosen)", "64"), ("FP4 (chosen)", "64")
    ]  # fmt: skip


def test_the_least_error_within_the_chosen_bits_may_be_a_third_schemes() -> None:
    wide = replace(TINY, second=QuantizationScheme(bits="hqq4", block=64))  # 5 bits
    assert "HQQ 4-bit in blocks of 64 has the smallest error on this matrix: 9.00 %" in said(wide)["errors"]


@pytest.mark.parametrize("bits", SCHEMES)
def test_every_scheme_is_drawn_with_its_levels_and_its_alternative_text(bits: Any) -> None:
    levels = [float(level) for level in range(2 ** {"hqq8": 8, "int8": 8}.get(bits, 4))]
    side = FOUND["second"] | {"levels": levels}
    question = replace(TINY, second=QuantizationScheme(bits=bits, block=128))
    for panel in build_panels(question, FOUND | {"second": side}):
        assert "<svg" in panel.shown.picture
        assert re.search(r"\d", panel.shown.alt)
        assert "nan" not in panel.shown.picture
        assert panel.limit.endswith(".")
        assert panel.shown.origins[0].kind == "measured"
    weights = next(build_panels(question, FOUND | {"second": side}))
    assert weights.shown.picture.count('class="line good thin"') == 3 + len(levels)


def test_what_the_embedded_model_can_not_show_is_said() -> None:
    embedded = replace(TINY, model="smollm2-135m")
    limits = {panel.id: panel.limit for panel in build_panels(embedded, FOUND)}
    assert "those in this file were once rounded to 4 bits before" in limits["weights"]
    assert limits["map"].endswith("is averaged into one colour.")
    assert "finds" not in limits["errors"]  # before that was measured
    sweep = {"errors": {"nf4": {"64": 0.1}, "hqq4": {"32": 0.004}}, "rows": {"hqq4": 2}}
    later = {panel.id: panel.limit for panel in build_panels(embedded, FOUND | {"sweep": sweep})}
    assert "finds those values again, with an error of 0.40 %" in later["errors"]
    assert "first 2 of 4 rows" in limits["errors"]
    cannot = FOUND["losses"] | {"cannot_second": "x has 7 weights"}
    last = list(build_panels(TINY, FOUND | {"losses": cannot}))[-1]
    assert "Every matrix in FP4, blocks of 64 could not be measured: x has 7 weights." in last.limit


def test_each_kind_of_scheme_has_a_colour_and_a_mark_of_its_own() -> None:
    errors = {bits: {"64": 0.1, "128": 0.12} for bits in ("nf4", "nf4-dq", "fp4", "hqq4")}
    sweep = {"errors": errors | {"int8": {"64": 0.01}}, "rows": {}}
    picture = next(p for p in build_panels(TINY, FOUND | {"sweep": sweep}) if p.id == "errors").shown.picture
    assert len({family.look for family in FAMILIES}) == len({family.shape for family in FAMILIES})
    for family in FAMILIES:
        assert family.name in words(picture)
        assert f'class="line {family.look} thin"' in picture
    assert picture.count('class="line ink" stroke-dasharray') == 2, "around the second scheme, and its key"


def test_the_two_maps_share_one_scale() -> None:
    panel = next(p for p in build_panels(TINY, FOUND) if p.id == "map")
    assert "the darkest is 70 %" in panel.shown.alt
    assert "70" in words(panel.shown.picture)


def test_signal_to_noise_is_twenty_decibels_at_a_tenth() -> None:
    assert compute_signal_to_noise_db(0.1) == pytest.approx(20)
    assert compute_signal_to_noise_db(1.0) == 0
