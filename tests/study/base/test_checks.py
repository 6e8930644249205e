"""Claims in content: a closed list of quantities, evaluated and compared, never executed as code."""

import pytest

from study.base.checks import Check, check_holds, evaluate, prints_number, register_quantity
from study.base.errors import LearnerError
from study.content.evidence import read_checks
from study.content.yaml_reader import Fields, LocatedMapping, Problem


def double(number: float) -> float:
    return 2 * number


register_quantity("test-double", double)


def check(expect: float, *, tolerance: float = 0.0, quantity: str = "test-double") -> Check:
    return Check(quantity=quantity, arguments={"number": 21}, expect=expect, tolerance=tolerance)


def test_a_claim_holds_when_the_computed_number_is_the_written_one() -> None:
    assert check_holds(check(42))
    assert not check_holds(check(41.999))
    assert check_holds(check(41.9, tolerance=0.11))


def test_an_unknown_quantity_says_which_are_known() -> None:
    with pytest.raises(LearnerError, match=r"No quantity is called 'os.system'.* test-double"):
        evaluate(check(1, quantity="os.system"))


def test_two_functions_cannot_share_a_name() -> None:
    register_quantity("test-double", double)
    with pytest.raises(ValueError, match="two quantities"):
        register_quantity("test-double", abs)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("It trains 37,748,736 parameters.", 37_748_736),
        ("About 37.7M parameters", 37_748_736),
        ("780 GB of memory", 780_000_000_000),
        ("saves 0.373 bits", 0.373),
        ("4.5 bits a weight", 4.5),
        ("levels from -1 to 1", -1),
    ],
)
def test_a_number_counts_as_printed_in_full_or_rounded(text: str, number: float) -> None:
    assert prints_number(text, check(number))


@pytest.mark.parametrize("text", ["about 37M", "37,748,737", "37.8M", "38 layers", "no number"])
def test_another_number_does_not(text: str) -> None:
    assert not prints_number(text, check(37_748_736))


def test_what_is_computed_can_be_read() -> None:
    named = Check(quantity="lora_parameters", arguments={"rank": 8, "targets": ["q", "v"]}, expect=1)
    assert named.call == "lora_parameters(rank=8, targets=q+v)"
    assert named.given == "rank 8, targets q+v"


@pytest.mark.parametrize(
    "written", ["rank", {"expect": 1}, {"quantity": "x", "expect": "1"}, {"quantity": "x", "expect": None}]
)
def test_a_malformed_check_is_noted(written: object) -> None:
    problems: list[Problem] = []
    fields = Fields(LocatedMapping(id="c", check=written), file="f.yaml", kind="card", problems=problems)
    assert read_checks(fields) == ()
    assert len(problems) == 1
