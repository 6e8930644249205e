"""What the Claims page asks: texts, the form, examples."""

import pytest

from lora_lab.claims.service import LONGEST_TEXT, ClaimService, read_examples, record_of_form
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.pages.claims import ClaimsPage, _list_rows
from study.base.errors import LearnerError
from tests.visits import opened, words

LINE = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"


@pytest.fixture(scope="module")
def service(reader: ShapeReader) -> ClaimService:
    return ClaimService(reader)


@pytest.mark.parametrize(
    ("example", "answer"),
    [
        ("falcon-4bit", "possible"),
        ("llama3-attention", "impossible"),
        ("llama2-copied", "impossible"),
        ("open-setting", "underdetermined"),
        ("classifier", "possible"),
    ],
)
def test_the_examples_show_each_verdict(service: ClaimService, example: str, answer: str) -> None:
    [text] = [each.text for each in read_examples() if each.id == example]
    assert service.check_text(text).verdict.answer == answer
    assert len(read_examples()) == 5


def test_the_form_is_read_like_a_record_and_what_is_empty_stays_open(service: ClaimService) -> None:
    form = {"model": "llama-7b", "line": LINE, "rank": "8", "targets": "q_proj, v_proj"}
    assert service.check_form(form).verdict.answer == "possible"
    assert service.check_form(form | {"rank": ""}).verdict.answer == "underdetermined"
    assert service.check_form(form | {"rank": "1" * 5000}).verdict.answer == "underdetermined"
    assert service.check_form(form | {"targets": ""}).verdict.answer == "underdetermined"
    assert service.check_form(form | {"targets": "default"}).verdict.answer == "possible"
    assert service.check_form(form | {"targets": r".*\.(q|v)_proj"}).verdict.answer == "possible"
    assert service.check_form(form | {"rank": "16"}).verdict.answer == "impossible"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"line": ""}, "printed line is missing"),
        ({"line": "trainable params: many"}, "printed line is missing"),
        ({"model": "gpt5"}, "not in the catalogue"),
        ({"variant": "lokr"}, "variant must be one of"),
    ],
)
def test_a_form_that_can_not_be_read_says_what_is_wrong(
    service: ClaimService, change: dict[str, str], said: str
) -> None:
    with pytest.raises(LearnerError, match=said):
        service.check_form({"model": "llama-7b", "line": LINE} | change)


def test_a_whole_book_is_not_read(service: ClaimService) -> None:
    with pytest.raises(LearnerError, match="60,000 are read at most"):
        service.check_text("x" * (LONGEST_TEXT + 1))


def test_a_form_names_no_rank_where_none_is_typed() -> None:
    assert record_of_form({"model": "gpt2", "line": LINE, "rank": "eight"})["lora"]["r"] == "unknown"


def test_the_page_sets_printed_beside_expected(service: ClaimService) -> None:
    rows = _list_rows(
        service.check_form({"model": "llama-7b", "line": LINE, "rank": "16", "targets": "q_proj,v_proj"})
    )
    assert rows == [
        ("trainable params", "4,194,304", "8,388,608", False),
        ("all params", "6,742,609,920", "6,746,804,224", False),
        ("trainable%", "0.0622", "0.1243", False),
    ]


def test_a_share_of_two_wrong_numbers_is_not_marked_right(service: ClaimService) -> None:
    wrong = next(example.text for example in read_examples() if example.id == "llama3-attention")
    assert _list_rows(service.check_text(wrong))[-1] == ("trainable%", "0.26", "0.1695", False)


def test_a_share_by_another_accounting_is_right_where_the_line_is(service: ClaimService) -> None:
    halved = next(example.text for example in read_examples() if example.id == "falcon-4bit")
    checked = service.check_text(halved)
    assert _list_rows(checked) == [
        ("trainable params", "4,718,592", "4,718,592", True),
        ("all params", "3,613,463,424", "3,613,463,424", True),
        ("trainable%", "0.13058363808693696", "0.1306", True),
    ]
    html = ClaimsPage(service).act({"act": "text", "fields": {"text": [halved]}}, opened("ana"))["parts"][
        "verdict"
    ]
    ending = (
        "all: 6,921,720,704 + 4,718,592 = 6,926,439,296",
        "share: 100 × 4,718,592 / 6,926,439,296 = 0.0681",
        "4-bit weights were counted as stored, two to a byte:",
        "6,926,439,296 − 6,625,951,744 / 2 = 3,613,463,424",
        "share: 100 × 4,718,592 / 3,613,463,424 = 0.1306",
    )
    assert words(html).endswith(" ".join(ending))
    assert checked.verdict.to_json()["expected"]["total"] == 6_926_439_296, "the contract's is the full count"


@pytest.mark.parametrize(
    ("quantization", "line", "rows"),
    [
        # Llama 2 7B: 6,476,005,376 weights are packed at half, or some of them stay whole
        (
            "4bit_partial",
            "trainable params: 4,194,304 || all params: 5,000,000,000 || trainable%: 0.0839",
            [("3,504,607,232 to 6,742,609,920", True), ("0.0839", True)],
        ),
        (
            "aqlm",
            "trainable params: 4,194,304 || all params: 2,000,000,000 || trainable%: 0.2097",
            [("not checked", True), ("0.2097", True)],
        ),
        (
            "4bit",
            "trainable params: 4,194,305 || all params: 3,504,607,232 || trainable%: 0.1197",
            [("3,504,607,232", True), ("0.1197", True)],
        ),
    ],
)
def test_the_expected_numbers_follow_the_accounting(
    service: ClaimService, quantization: str, line: str, rows: list[tuple[str, bool]]
) -> None:
    form = {"model": "llama-7b", "rank": "8", "targets": "q_proj, v_proj"}
    found = _list_rows(service.check_form(form | {"quantisation": quantization, "line": line}))
    assert [(expected, fits) for _, _, expected, fits in found[1:]] == rows


@pytest.mark.parametrize(
    ("act", "fields", "said"),
    [
        ("text", {"text": ["LoraConfig(r=8) on llama-7b"]}, "There is no printed line in this text"),
        ("form", {"model": ["llama-7b"], "line": ["none"]}, "The printed line is missing."),
    ],
)
def test_an_unreadable_claim_is_said_beside_its_field(
    service: ClaimService, act: str, fields: dict[str, list[str]], said: str
) -> None:
    parts = ClaimsPage(service).act({"act": act, "fields": fields}, opened("ana"))["parts"]
    assert said in words(parts[f"{act}-problem"])
    assert parts["verdict"] == ""


@pytest.mark.parametrize(
    "setting",
    [
        'target_modules="(.*)*x"',
        'target_modules=["q_proj"], exclude_modules="(.*)*x"',
        'target_modules=["q_proj"], rank_pattern={"(.*)*x": 4}',
        'target_modules=find_them(), exclude_modules="(.*)*x"',
    ],
)
def test_an_expression_that_takes_too_long_is_no_verdict(service: ClaimService, setting: str) -> None:
    with pytest.raises(LearnerError, match="takes too long"):
        service.check_text(f"llama-2-7b LoraConfig(r=8, {setting})\n{LINE}")
    with pytest.raises(LearnerError, match="takes too long"):
        service.check_form({"model": "llama-7b", "line": LINE, "rank": "8", "targets": "(.*)*y"})
