"""A learner's regular expressions: they mean what they mean to `re`, and none of them holds the app up."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lora_lab.parameters import name_patterns
from lora_lab.parameters.adapter_config import AdapterSetting
from lora_lab.parameters.name_patterns import MatchingRefused, find_first_matches
from lora_lab.parameters.shapes import find_shape
from lora_lab.parameters.target_matching import find_adaptation
from lora_lab.settings.run_form import parse_spec_address
from study.base.errors import LearnerError
from study.base.settings import Settings
from study.base.short_queue import ShortQueue
from tests.lora_lab import run_builders
from tests.whole_app import whole_app

LLAMA = find_shape("llama-2-7b")
NAMES = [name for group in LLAMA.modules.groups for name in group.names]
LONG = ["a" * 190, "x" * 190]

ENDLESS = (
    "(.*)*x", "([a-z_.0-9]*)*!", r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)\1\2\3x",
    "(?i)" + "[\x01-\U0010ffff]" * 3000,  # compiling it takes minutes
)  # fmt: skip
ENDLESS_ON_LONG_NAMES = ("(a|a)*b", "([a-z_.]*)*!", "(a|aa)+$!", "(.*a){20}!", "(x+x+)+y", "(a*)*b")
"""On the names of a real model these have an answer at once."""

HANGS_SECONDS = 60
"""Far more than a busy machine needs for half a second of its time; without the limit it takes hours."""


@contextmanager
def ends() -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < HANGS_SECONDS


@pytest.mark.parametrize("pattern", ENDLESS, ids=lambda pattern: pattern[:20])
def test_an_expression_that_takes_too_long_is_refused_in_words(pattern: str) -> None:
    with ends(), pytest.raises(MatchingRefused, match=r"takes too long .* Name the modules instead"):
        find_first_matches(NAMES, (pattern,))
    assert find_first_matches(NAMES, (r".*\.q_proj",)) == {
        name: 0 for name in NAMES if name.endswith(".q_proj")
    }


@pytest.mark.parametrize("pattern", ENDLESS_ON_LONG_NAMES)
def test_short_names_have_an_answer_and_long_ones_a_refusal(pattern: str) -> None:
    find_first_matches(["model.layers.0.q_proj"], (pattern,))
    with ends(), pytest.raises(MatchingRefused):
        find_first_matches(LONG, (pattern,))


@pytest.mark.parametrize(
    "pattern",
    [
        r".*\.(q|v)_proj", "(?i).*Q_PROJ", r".*layers\.[0-3]\..*", "(?!.*lm_head).*proj", "q_proj", "",
        r".*(?P<kind>[qv])_proj", r"model\.layers\.(\d+)\..*_proj", ".*{e<=1}", "[[:alpha:]_.]*q_proj",
        r"(.*)\.(\w)\w*\.\2_proj",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_every_other_expression_means_what_it_means_to_re(pattern: str) -> None:
    expected = [name for name in NAMES if re.fullmatch(pattern, name)]
    assert list(find_first_matches(NAMES, (pattern,))) == expected


def test_the_first_pattern_that_matches_counts() -> None:
    found = find_first_matches(["a.q", "a.v", "a.k"], ("v", "q|v", ".*q"), within=r"(.*\.)?({})$")
    assert found == {"a.q": 1, "a.v": 0}


@pytest.mark.parametrize(
    "setting",
    [
        AdapterSetting(targets="(.*)*x"),
        AdapterSetting(targets=("q_proj",), excluded="(.*)*x"),
        AdapterSetting(targets=("q_proj",), rank_pattern=(("(.*)*x", 4),)),
        AdapterSetting(targets=("q_proj",), modules_to_save=("(.*)*x",)),
        AdapterSetting(targets=("q_proj",), variant="ia3", feedforward="(.*)*x"),
    ],
    ids=["targets", "excluded", "rank pattern", "modules to save", "feed-forward"],
)
def test_wherever_a_configuration_holds_it(setting: AdapterSetting) -> None:
    with ends(), pytest.raises(MatchingRefused):
        find_adaptation(LLAMA.modules, setting)


def test_an_expression_that_is_none_is_still_named() -> None:
    with pytest.raises(LearnerError, match=r"isn't a regular expression \(unterminated character set"):
        find_first_matches(NAMES, ("[q",))
    with pytest.raises(LearnerError, match="repetition number is too large"):
        find_first_matches(NAMES, ("a{99999999999}",))


def test_other_threads_go_on_meanwhile() -> None:
    def ask() -> None:
        with pytest.raises(MatchingRefused):
            find_first_matches(NAMES, ("(.*)*y",))

    waiting = threading.Thread(target=ask)
    waiting.start()
    turns = 0
    while waiting.is_alive() and turns < 20:
        time.sleep(0.001)
        turns += 1
    waiting.join(HANGS_SECONDS)
    assert turns == 20  # in this process `re` would have let nobody else run
    assert not waiting.is_alive()


def test_few_wait_and_the_others_are_told() -> None:
    queue = ShortQueue("Others", places=2, wait_seconds=0.05)
    with queue.turn():
        with (
            pytest.raises(LearnerError, match="Others are being read at the moment"),
            queue.turn(),
        ):
            pass
        with queue._places, pytest.raises(LearnerError, match="Try again in a moment"), queue.turn():
            pass
    with queue.turn():
        pass


def test_the_lab_says_so_by_its_address_and_of_an_imported_run(settings: Settings) -> None:
    spec = parse_spec_address({"model": "smollm2-135m", "targets": ENDLESS[1]})
    run = run_builders.finished(settings.runs_dir, spec)
    with whole_app(settings) as app, ends():
        assert "takes too long" in app.open("/lab", targets=ENDLESS[1], model="smollm2-135m")
        assert "smollm2" in app.open("/lab", run=run.run_id, model="smollm2-135m")
        assert "takes too long" in app.open("/grid", targets=ENDLESS[1], model="smollm2-135m")


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> None:
    name_patterns._answer.cache_clear()
    find_adaptation.cache_clear()
