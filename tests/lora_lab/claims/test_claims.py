"""Claims: verdicts on published lines and on systematic variations, with their arithmetic."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.claims.accountings import percent_fits
from lora_lab.claims.contract import answer_claim
from lora_lab.claims.inversion import MOST_NAMES, MOST_SETTINGS, find_explanations
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.parameters.adapter_config import AdapterSetting
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.counts import count_adapter
from lora_lab.parameters.name_patterns import MatchingRefused
from lora_lab.parameters.shapes import find_shape
from lora_lab.parameters.target_matching import find_adaptation
from tests.arithmetic import value_of
from tests.golden.claim_cases import CASES, Case

GIVEN = json.loads((Path(__file__).parents[2] / "golden" / "claims_given.json").read_text("utf-8"))
ASKED = ("id", "model", "lora", "quantisation", "printed", "line")
ANSWERED = ("verdict", "verdict_trainable", "failing", "expected")


def judged(reader: ShapeReader, record: dict[str, Any]) -> dict[str, Any]:
    return contracts.answer_record(record, answer_claim, reader)


def record_of(case: Case) -> dict[str, Any]:
    model: dict[str, Any] = {"name": case.model, **dict(case.extra)}
    if case.kind:
        entry = next(each for each in read_entries() if each.name == case.model)
        model |= {"kind": case.kind, "config": {**entry.config, "num_labels": case.labels}}
    targets = list(case.targets) if isinstance(case.targets, tuple) else case.targets
    trainable, total, percent = case.printed
    return {
        "id": case.id,
        "model": model,
        "lora": {"r": case.r, "target_modules": targets, **dict(case.lora)},
        "quantisation": case.quantisation,
        "printed": {"trainable": trainable, "all": total, "pct": percent},
    }


@pytest.mark.parametrize("given", GIVEN, ids=[given["id"] for given in GIVEN])
def test_the_published_lines_that_came_with_the_contract(reader: ShapeReader, given: dict[str, Any]) -> None:
    answer = judged(reader, {name: given[name] for name in ASKED})
    assert {name: answer[name] for name in ANSWERED} == {name: given[name] for name in ANSWERED}
    for setting in given.get("same_model_settings_giving_number", []):
        assert setting in answer["explanations"]


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_the_verdict_names_what_fails_and_why(reader: ShapeReader, case: Case) -> None:
    answer = judged(reader, record_of(case))
    assert (answer.get("verdict"), tuple(answer.get("failing", ()))) == (case.verdict, case.failing), answer
    assert answer["verdict_trainable"] == (case.trainable or case.verdict)
    assert case.says in answer["why"]


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.verdict == "possible"], ids=lambda case: case.id
)
def test_a_possible_claim_shows_arithmetic_that_ends_in_the_expected_numbers(
    reader: ShapeReader, case: Case
) -> None:
    answer = judged(reader, record_of(case))
    lines = [line for line in answer["arithmetic"] if "=" in line]
    written = {int(line.rpartition("= ")[2].replace(",", "")) for line in lines if "share" not in line}
    assert {answer["expected"]["trainable"], answer["expected"]["total"]} <= written | {
        answer["expected"]["trainable"]
    }
    for line in lines:
        assert worked_out(line), line


def worked_out(line: str) -> bool:
    """Whether the right side of a line of arithmetic is what its left side gives."""
    left, _, right = line.rpartition(" = ")
    expression = (
        left.rpartition(": ")[2].replace(",", "").replace("×", "*").replace("[", "(").replace("]", ")")
    )
    assert re.fullmatch(r"[\d+*/(). ]+", expression), expression
    given = value_of(expression)
    return f"{float(given):.4f}" == f"{float(right.replace(',', '')):.4f}"


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.verdict == "underdetermined"], ids=lambda case: case.id
)
def test_every_listed_setting_prints_the_number_and_the_stated_one_is_among_them(
    reader: ShapeReader, case: Case
) -> None:
    record = record_of(case)
    answer = judged(reader, record)
    assert answer["explanations"]
    for setting in answer["explanations"][:40]:
        stated = {"r": setting["r"], "target_modules": setting["target_modules"]}
        closed = record | {"lora": record["lora"] | stated}
        assert judged(reader, closed)["verdict"] == "possible", setting


def test_the_known_answer_is_among_the_settings_found() -> None:
    tree = find_shape("llama-2-7b").modules
    found = find_explanations(tree, AdapterSetting(), 4_194_304, saved=0)
    assert [(each.rank, each.targets) for each in found[:4]] == [
        (16, ("k_proj",)), (16, ("o_proj",)), (16, ("q_proj",)), (16, ("v_proj",)),
    ]  # fmt: skip
    assert (8, ("q_proj", "v_proj")) in [(each.rank, each.targets) for each in found]


NAMES = find_shape("llama-3-8b").modules.linear_names


@given(st.integers(1, 512), st.sets(st.sampled_from(NAMES), min_size=1))
def test_a_count_solved_backwards_finds_the_setting_it_came_from(rank: int, names: set[str]) -> None:
    shape = find_shape("llama-3-8b")
    number = count_adapter(shape, AdapterSetting(targets=tuple(names)), rank=rank).trainable
    found = find_explanations(shape.modules, AdapterSetting(), number, saved=0)
    assert (rank, tuple(sorted(names))) in {(each.rank, each.targets) for each in found}
    for each in found:
        again = find_adaptation(shape.modules, AdapterSetting(targets=each.targets))
        assert again.trainable.at(each.rank or 0) == number


LLAMA = {"model": "llama-2-7b", "lora": {"r": "unknown", "target_modules": ["q_proj", "v_proj"]}}
OPEN = LLAMA | {"lora": {"r": "unknown", "target_modules": "unknown"}}


@pytest.mark.parametrize(
    ("claim", "settings"),
    [
        (LLAMA | {"printed": {"pct": "0.0622"}}, [{"r": 8, "target_modules": ["q_proj", "v_proj"]}]),
        (OPEN | {"printed": {"pct": "0.0622"}}, [{"r": 8, "target_modules": ["q_proj", "v_proj"]}]),
        (OPEN | {"printed": {"pct": "0.0855133"}}, [{"r": 11, "target_modules": ["q_proj", "v_proj"]}]),
        (
            LLAMA | {"quantisation": "4bit_partial", "printed": {"all": 3_504_607_233}},
            [{"r": rank, "target_modules": ["q_proj", "v_proj"]} for rank in (8, 7, 1)],
        ),
        (
            {"model": "llama-2-7b", "lora": {"variant": "ia3", "target_modules": "unknown"}}
            | {"printed": {"pct": "0.0058"}},
            [{"r": None, "target_modules": ["k_proj", "o_proj", "q_proj"]}],
        ),
        (  # k_proj and v_proj at their output, 32 x 4,096 each, and down_proj at its input, 32 x 11,008
            {
                "model": "llama-2-7b",
                "lora": {"variant": "ia3", "target_modules": "unknown", "feedforward_modules": ["down_proj"]},
                "printed": {"trainable": 614_400, "all": 6_739_030_016},
            },
            [{"r": None, "target_modules": ["down_proj", "k_proj", "v_proj"]}],
        ),
    ],
    ids=str,
)
def test_a_line_without_a_count_of_the_adapters_lists_what_fits(
    reader: ShapeReader, claim: dict[str, Any], settings: list[dict[str, Any]]
) -> None:
    answer = judged(reader, claim)
    assert answer["verdict"] == answer["verdict_trainable"] == "underdetermined", answer
    assert [setting for setting in settings if setting not in answer["explanations"]] == []


@pytest.mark.parametrize(
    "claim",
    [
        LLAMA | {"printed": {"pct": "0.0650"}},
        OPEN | {"printed": {"pct": "99"}},
        LLAMA | {"quantisation": "4bit_partial", "printed": {"all": 5001}},
    ],
    ids=str,
)
def test_a_share_or_range_that_no_setting_gives_is_impossible(
    reader: ShapeReader, claim: dict[str, Any]
) -> None:
    assert judged(reader, claim)["verdict"] == "impossible"


@pytest.mark.parametrize(
    "name", ["Llama-2-7b-chat-hf", "meta-llama/Llama-2-7b-chat-hf", "unsloth/llama-2-7b"]
)
def test_a_model_may_be_named_as_in_a_text(reader: ShapeReader, name: str) -> None:
    claim = {"model": {"name": name}, "lora": {"r": 8}, "printed": {"trainable": 4_194_304}}
    assert judged(reader, claim)["verdict"] == "possible"


MANY = {f"part_{number}": [64 * number, 64] for number in range(1, 20)} | {"q_proj": [4096, 1024]}
"""A layer of twenty names; the one that tutorials target comes last."""


@pytest.mark.parametrize("rank", [16, "unknown"])
def test_names_of_a_model_with_many_are_all_tried(reader: ShapeReader, rank: int | str) -> None:
    model = {"name": "tower", "module_layout": {"layers": 2, "modules": MANY}, "base_total": 10**8}
    claim = {
        "model": model,
        "lora": {"r": rank, "target_modules": "unknown"},
        "printed": {"trainable": 2 * 16 * (4096 + 1024), "all": 10**8 + 163_840},
    }
    answer = judged(reader, claim)
    assert answer["verdict"] == "underdetermined"
    assert {"r": 16, "target_modules": ["q_proj"]} in answer["explanations"]


def test_equal_matrices_are_not_listed_in_every_combination(reader: ShapeReader) -> None:
    modules = {f"part_{number}": [64, 64] for number in range(MOST_NAMES)}
    model = {"name": "tower", "module_layout": {"layers": 1, "modules": modules}, "base_total": 10**6}
    claim = {
        "model": model,
        "lora": {"r": 8, "target_modules": "unknown"},
        "printed": {"trainable": 12 * 8 * 128},
    }
    assert len(judged(reader, claim)["explanations"]) == MOST_SETTINGS  # of 2,704,156


def test_more_names_than_are_tried_give_no_verdict_of_impossible(reader: ShapeReader) -> None:
    modules = {f"part_{number}": [64 * number, 64] for number in range(1, MOST_NAMES + 2)}
    model = {"name": "tower", "module_layout": {"layers": 2, "modules": modules}, "base_total": 10**8}
    claim = {"model": model, "lora": {"r": 8, "target_modules": "unknown"}, "printed": {"trainable": 12_345}}
    assert "of its 25 module names, only sets of 24 are tried" in judged(reader, claim)["why"]


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 16))
def test_a_share_rounded_or_cut_anywhere_fits_and_two_off_does_not(part: int, rest: int, digits: int) -> None:
    total = part + rest
    share = f"{100 * part / total:.{digits}f}"
    assert percent_fits(share, part, total)
    cut = f"{100 * part / total:.18f}"[: -(18 - digits)] if digits < 18 else share
    assert percent_fits(cut, part, total)
    assert not percent_fits(f"{100 * part / total + 2.5 * 10 ** -min(digits, 9):.{digits}f}", part, total)


def test_other_models_that_print_the_number_are_named(reader: ShapeReader) -> None:
    case = next(case for case in CASES if case.id == "r16-prints-r8")
    names = {each["model"] for each in judged(reader, record_of(case))["other_models"]}
    assert "opt-6.7b" in names


QWEN = {
    "model": {"name": "qwen3-8b"},
    "lora": {"r": 16, "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]},
    "printed": {"trainable": 43_646_976, "all": 8_234_382_336, "pct": "0.53"},
}
"""The line of all linear layers under a configuration that names the attention layers alone."""


def test_the_claimed_rank_on_a_common_set_of_targets_leads_the_settings(reader: ShapeReader) -> None:
    answer = judged(reader, QWEN)
    first, second = answer["explanations"][:2]
    assert (first["r"], len(first["target_modules"]), second["r"]) == (16, 7, 32)
    assert answer["why"].endswith(" Most likely: r = 16 on all linear layers prints exactly this line.")


def test_two_likely_settings_are_both_named_and_neither_is_called_the_likeliest(reader: ShapeReader) -> None:
    lora = {"r": 16, "target_modules": ["q_proj", "v_proj"]}
    why = judged(reader, LLAMA | {"lora": lora, "printed": {"trainable": 16_777_216}})["why"]
    assert "; the printed number is what r = 32 gives on the same targets." in why
    assert why.endswith(" Likely: r = 16 on the attention layers prints exactly this line.")


def test_a_setting_that_gives_the_count_only_without_its_saved_head_is_not_called_likely(
    reader: ShapeReader,
) -> None:
    lora = {"r": 8, "target_modules": ["q_proj", "v_proj"], "modules_to_save": ["lm_head"]}
    answer = judged(reader, LLAMA | {"lora": lora, "printed": {"trainable": 19_988_480}})
    assert answer["verdict_trainable"] == "impossible"
    assert "ikely" not in answer["why"]


def test_a_rank_that_nobody_sets_is_no_cause_where_the_claimed_rank_gives_the_count(
    reader: ShapeReader,
) -> None:
    """Four equal matrices at r = 6 count what two of them do at r = 12, a rank that no recipe has."""
    lora = {"r": 6, "target_modules": ["q_proj", "v_proj"]}
    why = judged(reader, LLAMA | {"lora": lora, "printed": {"trainable": 6_291_456}})["why"]
    assert "r = 12" not in why
    assert why.endswith(" Most likely: r = 6 on the attention layers prints exactly this line.")


def test_an_open_claim_is_explained_by_the_rank_and_targets_of_recipes_first(reader: ShapeReader) -> None:
    answer = judged(reader, OPEN | {"printed": {"trainable": 4_194_304}})
    assert answer["explanations"][0] == {"r": 8, "target_modules": ["q_proj", "v_proj"]}
    assert "for example r = 8 on q_proj, v_proj" in answer["why"]


@pytest.mark.parametrize("field", ["trainable", "all"])
def test_numbers_may_come_as_text_with_separators(reader: ShapeReader, field: str) -> None:
    record = record_of(next(case for case in CASES if case.id == "no-percent"))
    record["printed"][field] = f"{record['printed'][field]:,}"
    assert judged(reader, record)["verdict"] == "possible"


@pytest.mark.parametrize("percent", ["0,0622", "0.0622 %", 0.0622, "6.22e-2"])
def test_a_share_may_be_written_as_people_write_it(reader: ShapeReader, percent: str | float) -> None:
    record = record_of(next(case for case in CASES if case.id == "no-percent"))
    record["printed"]["pct"] = percent
    assert judged(reader, record)["verdict"] == "possible"


def test_a_wrong_share_is_compared_with_numbers_that_are_there(reader: ShapeReader) -> None:
    record = record_of(next(case for case in CASES if case.id == "no-percent"))
    record["printed"] |= {"all": None, "pct": "50.00"}
    assert "50.00 is not 100 × 4,194,304 / 6,742,609,920." in judged(reader, record)["why"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"printed": None},
            'must be an object, got None. Write it as an object, such as "printed": {"trainable": ',
        ),
        ({"printed": {}}, "no printed number"),
        ({"printed": {"trainable": "many"}}, "printed.trainable must be a whole number"),
        ({"printed": {"trainable": 8, "pct": "x"}}, "printed.pct must be a percentage, got 'x'"),
        ({"printed": {"trainable": 8, "pct": "~0.06"}}, "printed.pct must be a percentage"),
        ({"printed": {"trainable": 8, "pct": "<0.1"}}, "printed.pct must be a percentage"),
        ({"printed": {"trainable": 8, "pct": True}}, "printed.pct must be a percentage"),
        ({"model": 7}, "model must be an object"),
        ({"model": {}}, 'needs a model with its config or name. Add "model": {"name": "llama-2-7b"}'),
        ({"model": {"name": "gpt5"}}, "not in the catalogue"),
        ({"lora": []}, "lora must be an object"),
        ({"lora": {"r": 0}}, "r must be a whole number"),
        ({"lora": {"r": "eight"}}, "r must be a whole number"),
        ({"lora": {"target_modules": 5}}, "target_modules must be a list"),
        ({"lora": {"variant": "lokr"}}, "variant must be one of"),
        ({"quantisation": "3bit"}, "quantisation must be one of"),
    ],
)
def test_a_claim_that_can_not_be_read_says_which_field(
    reader: ShapeReader, change: dict[str, Any], said: str
) -> None:
    record = record_of(replace(CASES[0], id="x")) | change
    answer = judged(reader, record)
    assert answer["id"] == "x"
    assert said in answer["error"]


def test_a_halved_trainable_count_is_named_where_targets_are_open(reader: ShapeReader) -> None:
    # artidoro/qlora issue 260: qlora.py halves the adapters' own count on a 4-bit base
    answer = judged(
        reader,
        {
            "model": {"name": "llama-7b"},
            "lora": {"r": 64, "target_modules": "unknown"},
            "quantisation": "4bit",
            "printed": {"trainable": 79_953_920, "all": 3_660_320_768},
        },
    )
    assert (answer["verdict"], answer["failing"]) == ("impossible", ["trainable", "all"])
    assert "exactly half of what r = 64 on down_proj, gate_proj, k_proj" in answer["why"]


def test_an_expression_that_can_not_be_matched_is_not_taken_for_a_refusal_of_peft(
    reader: ShapeReader,
) -> None:
    """Under the earlier names it matches nothing at once, under today's it never ends."""
    record = {
        "model": {"name": "mixtral-8x7b", "module_layout": "transformers 4"},
        "lora": {"r": 8, "target_modules": r"(?=.*\.mlp\.)(.*)*x"},
        "printed": {"trainable": 4_194_304},
    }
    with pytest.raises(MatchingRefused, match="takes too long"):
        answer_claim(record, reader)
