"""Every misconception has an experiment that opens, shows what it promises, and has no number of its own."""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from lora_lab.figures import FIGURES
from lora_lab.settings.run_form import NAMES as RUN_FIELDS
from lora_lab.settings.run_form import read_address
from lora_lab.views.memory_form import CHOICES, DEFAULTS, read_fields
from quizzes.bank.experiments import Refutation, load_experiments
from quizzes.bank.misconceptions import load_misconceptions
from quizzes.parts import find_misconception
from study.content.yaml_reader import ContentError
from study.figures.controls import list_controls, parse_settings
from study.ports.learn import RecurringMiss
from study.text.templates import render
from tests.arithmetic import value_of
from tests.data_folder import settings_in
from tests.visits import words
from tests.whole_app import WholeApp, whole_app

EXPERIMENTS = load_experiments()
SEEN = sorted({address for each in EXPERIMENTS.values() for address in each.excerpts})
NUMBER = re.compile(r"(?<![\w.,/-])[-−]?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?(?![\w])(?!-\w)")
UNITS = {"1", "2", "3", "4", "8", "10", "100", "1,000,000"}
"""Factors that a sum may use without a page that prints them: bytes, bits, percent, millions."""

BITS = ("bits", "scheme", "compute")
"""Settings whose values have their bits in the name: bf16, nf4."""

_opened: dict[str, str] = {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeApp]:
    home = tmp_path_factory.mktemp("experiments")
    settings = settings_in(home)
    with whole_app(settings) as served:
        yield served


def read_page(site: WholeApp, address: str) -> str:
    """Return the text of a page that is opened once for all tests."""
    if address not in _opened:
        parts = urlsplit(address)
        _opened[address] = words(site.open(parts.path, **dict(parse_qsl(parts.query))))
    return _opened[address]


def list_numbers(text: str) -> list[str]:
    return [found.strip(",") for found in NUMBER.findall(text)]


def test_every_misconception_has_an_experiment() -> None:
    assert set(EXPERIMENTS) == {each.id for each in load_misconceptions()}


def test_no_two_experiments_say_the_same() -> None:
    assert len({each.do for each in EXPERIMENTS.values()}) == len(EXPERIMENTS)


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_an_experiment_shows_what_it_promises(site: WholeApp, experiment: Refutation) -> None:
    for address, excerpts in experiment.excerpts.items():
        text = read_page(site, address)
        for excerpt in excerpts:
            whole = rf"(?<![\w.,]){re.escape(excerpt)}(?!\w)(?![.,]\d)"
            assert re.search(whole, text), f"{excerpt!r} is not at {address}"


@pytest.mark.parametrize("address", SEEN)
def test_the_page_has_every_field_of_an_address_and_takes_its_value(address: str) -> None:
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    match parts.path:
        case "/figures":
            figure = FIGURES[query.pop("figure")]
            assert set(query) <= {name for name, _ in list_controls(figure.settings)}
            parse_settings(figure.settings, query)
        case "/memory":
            assert set(query) <= set(DEFAULTS)
            fields, problems = read_fields(query)
            assert not problems
            assert all(query[name] in dict(CHOICES[name]) for name in set(query) & set(CHOICES))
            assert {name: fields[name] for name in query} == query
        case "/lab":
            assert set(query) <= set(RUN_FIELDS)
            assert read_address(query)[1] == []
        case "/concept":
            assert set(query) == {"id", "mode"}
        case "/tasks" | "/projects":
            assert set(query) == {"id"}
        case _:
            assert (parts.path, query) == ("/papers", {})


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_number_of_an_experiment_is_seen_set_or_summed(experiment: Refutation) -> None:
    known: set[str] = set()
    for address, excerpts in experiment.excerpts.items():
        for name, value in parse_qsl(urlsplit(address).query):
            known.update(re.findall(r"\d+", value) if name in BITS else [value])
        for excerpt in excerpts:
            known.update(list_numbers(excerpt))
    known |= {f"{int(number):,}" for number in known if number.isdigit()}
    for line in experiment.sums:
        left, _, right = line.partition(" = ")
        assert set(list_numbers(left)) <= known | UNITS, line
        exact, printed = value_of(left.replace(",", "")), Decimal(right.replace(",", ""))
        assert abs(Decimal(float(exact)) - printed) <= Decimal(10) ** int(printed.as_tuple().exponent) / 2
        known.add(right)
    assert [number for number in list_numbers(experiment.do) if number not in known] == []


def test_a_number_in_an_experiment_is_found() -> None:
    said = "At r = 8, alpha 16: −0.25 and 1,024 tokens, 2.0e-06, 50.0 % (3 × 4) of SmolLM2-135M in 4-bit NF4."
    assert list_numbers(said) == ["8", "16", "−0.25", "1,024", "2.0e-06", "50.0", "3", "4"]


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(
        "- {misconception: no-such-thing, do: Look., at: lab, sees: {rank=8: []}}\n"
        "- {misconception: alpha-size, do: Look., at: /lab, sees: [rank=8]}\n"
        "- {misconception: alpha-size, do: Look., at: /lab, sees: {rank=8: [alpha]}}\n",
        "utf-8",
    )
    with pytest.raises(ContentError) as caught:
        load_experiments(tmp_path)
    said = str(caught.value)
    for problem in (
        "no misconception 'no-such-thing'",
        "must begin with a slash",
        "nothing is seen at",
        "by setting",
        "already",
    ):
        assert problem in said


def test_the_first_setting_is_what_the_link_opens() -> None:
    assert EXPERIMENTS["scale-ignores-rank"].address == "/figures?figure=scaling-over-ranks&alpha=16&rank=8"


def test_a_concept_has_the_experiments_of_its_misconceptions(site: WholeApp) -> None:
    text = read_page(site, "/concept?id=lora-alpha&mode=try")
    for each in load_misconceptions():
        assert (f"Do you {each.name}? See for yourself {EXPERIMENTS[each.id].do}" in text) == (
            each.concept == "lora-alpha"
        )


def test_what_recurs_in_misses_comes_with_its_experiment() -> None:
    found = find_misconception("scale-ignores-rank")
    assert found
    miss = RecurringMiss(misconception=found, count=2, total=5, where="2 cards", questions="/quiz")
    html = render("study/shared/recurring.html", heading="h2", recurring=[miss])
    experiment = EXPERIMENTS["scale-ignores-rank"]
    assert experiment.do in words(html)
    assert f'href="{experiment.address.replace("&", "&amp;")}"' in html
    assert "Solve" not in words(html)
