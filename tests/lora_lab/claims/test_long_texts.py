"""Pasted texts made to take long: each is read in the time that a text of its length needs."""

import contextlib

import pytest

from lora_lab.claims.claim import parse_printed
from lora_lab.claims.contract import NEWER, OLDER
from lora_lab.claims.named_model import find_named_entry
from lora_lab.claims.pasted import record_of_text
from lora_lab.claims.service import LONGEST_TEXT
from study.base.errors import LearnerError
from tests.time_limit import cpu_time_limit

LINE = "\ntrainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"
SECONDS = 8
"""Of processor time. Ten of these took longer, one of them for ever; now each takes less than 1 s."""

TEXTS = {
    "rank": "rank" + " " * 59_000,
    "names": "a-" * 28_000,
    "slashes": "a-a/" * 14_000,
    "hub": "a/" * 28_000,
    "braces": "{" * 50_000,
    "json": '{"model_type":' * 4_000,
    "keys": '{"' * 29_000,
    "nested": '{"a":' * 900 + '"' + "x" * 50_000 + '"' + "}" * 900,
    "digits": 'LoraConfig(r=8, target_modules=["q_proj"])' + "1," * 20_000,
    "spaces": "trainable" + " " * 50_000 + "x",
    "brackets": "LoraConfig(r=8, target_modules=" + "[" * 20_000,
    "yaml": "target_modules:\n" + " -" * 25_000,
    "quotes": '"' * 50_000,
    "loaded": "from_pretrained(" * 3_500,
    "variables": "from_pretrained(x," * 3_200,
    "of": "1 of " * 11_000,
    "calls": "LoraConfig(" * 5_300,
    "one word": "a" * 59_000,
    "one word as an argument": "LoraConfig(! " + "a" * 59_000 + ")",
    "open lists": "LoraConfig(! " + "a=[" * 19_000 + ")",
    "empty lines": "LoraConfig(r=8," + "\n" * 58_000 + ")",
    "a rank without a value": "LoraConfig(r=x)\nx" + " " * 58_000,
    "an annotation": "LoraConfig(r=x)\nx:" + " " * 29_000 + "y" + " " * 29_000,
    "open assignments": "LoraConfig(r=x)" + "x=[" * 19_000,
    "assignments": "LoraConfig(r=x)" + "x=y\n" * 14_000,
    "arguments": "LoraConfig(" + "aa=b," * 11_000 + ")",
    "suffixes": '"model": "' + "-v0" * 12_000 + "-hf" + ".1" * 9_000 + '"',
    "options": "lora_r=[" * 7_300,
    "modules": "on q_proj" + ", v_proj" * 7_000,
    "one module": "on " + "_proj" * 11_000 + "x",
    "sentences about modules": "on q_proj. " * 5_000,
    "words before modules": "on " + "the " * 14_000,
    "spaces before modules": "on" + " " * 58_000,
    "full stops": "r=" + "." * 58_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_made_to_take_long_does_not(text: str) -> None:
    text = f"llama-2-7b {text}{LINE}"
    assert len(text) <= LONGEST_TEXT
    with cpu_time_limit(SECONDS), contextlib.suppress(LearnerError):  # some name no model
        record_of_text(text)


def test_neither_do_the_fields_of_a_record() -> None:
    with cpu_time_limit(SECONDS):
        with pytest.raises(LearnerError, match="must be a percentage"):
            parse_printed({"pct": "1" * 60_000 + "x"})
        said = "<" + " " * 60_000
        assert not NEWER.search(said)
        assert not OLDER.search(said)
        assert find_named_entry("-v0" * 20_000 + "-hf" + ".1" * 20_000) is None


def test_an_object_after_many_that_are_none_is_still_found() -> None:
    config = '{"model_type": "gpt2", "n_layer": 12}'
    text = 'x = {"a": torch.float32}\n' * 200 + config + "\nLoraConfig(r=8)" + LINE
    assert record_of_text(text)["model"]["config"]["n_layer"] == 12


def test_the_last_call_before_the_line_counts() -> None:
    text = f"llama-2-7b LoraConfig(r=4)\nLoraConfig(r=8, lora_alpha=f(x))\n{LINE}\nLoraConfig(r=16)"
    assert record_of_text(text)["lora"]["r"] == 8
