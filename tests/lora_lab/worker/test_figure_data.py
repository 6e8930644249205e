"""What the live figures show of weights and tokens is what bitsandbytes and the worker make of them."""

from pathlib import Path

import bitsandbytes.functional as bnb
import pytest
import torch

from lora_lab.datasets import Example
from lora_lab.figures.recorded import recorded
from lora_lab.figures.trained_tokens import ANSWER, PROMPT
from lora_lab.levels import FP4_LEVELS, LEVELS
from lora_lab.spec import EMBEDDED_MODEL
from lora_lab.tokens import EmbeddedTokenizer
from lora_lab.worker.data import encode
from lora_lab.worker.figure_training import Timeline
from lora_lab.worker.figure_weights import BLOCK_SIZES, rounded
from lora_lab.worker.models import load_tokenizer, prepare_embedded
from study.settings import load_settings

OWN_WORDS = [(PROMPT, ANSWER), ("Was ist ΔW?\nKurz.", "B·A, naïvely <|im_end|> 🦙"), ("1", "  two  spaces")]


def silent(progress: object) -> None:
    return None


@pytest.fixture(scope="module")
def models_dir() -> Path:
    folder = load_settings().models_dir
    prepare_embedded(folder, silent)
    return folder


def test_the_levels_of_fp4_are_those_of_bitsandbytes() -> None:
    table = bnb.get_4bit_type("fp4", device="cpu").tolist()
    assert tuple(sorted({value + 0.0 for value in table})) == FP4_LEVELS


@pytest.mark.parametrize("size", BLOCK_SIZES)
def test_a_matrix_whose_rows_are_no_whole_blocks_is_rounded_rightly(size: int) -> None:
    """bitsandbytes 0.50.2 decodes such a matrix wrongly on a CPU unless it is given a block a row."""
    weight = torch.randn(128, 576, generator=torch.Generator().manual_seed(0))
    blocks = weight.reshape(-1, size)
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    levels = torch.tensor(LEVELS["nf4"])
    by_hand = levels[((blocks / absmax)[..., None] - levels).abs().argmin(-1)] * absmax
    torch.testing.assert_close(rounded(weight, "nf4", size), by_hand.reshape(weight.shape))


def test_a_timeline_has_a_sample_for_every_operator_and_misses_no_peak() -> None:
    with Timeline([]) as watch:
        total = torch.ones(1000) + torch.ones(1000)
        del total
        torch.ones(10).sum()
    assert len(watch.samples) == 5
    assert max(watch.samples) == watch.peak_bytes == 3 * 4000


@pytest.mark.embedded
@pytest.mark.parametrize(("prompt", "answer"), OWN_WORDS)
def test_own_words_become_the_tokens_that_the_worker_trains_on(
    models_dir: Path, prompt: str, answer: str
) -> None:
    tokenizer = load_tokenizer(EMBEDDED_MODEL, models_dir, silent)
    wanted = encode(tokenizer, Example(prompt=prompt, answer=answer))
    found = EmbeddedTokenizer(models_dir).read(prompt, answer)
    assert found.pieces == tuple(tokenizer.decode([token]) for token in wanted.ids)
    assert found.answer_tokens == wanted.answer_tokens


@pytest.mark.embedded
def test_the_recorded_example_is_what_the_tokenizer_makes_of_it(models_dir: Path) -> None:
    found = EmbeddedTokenizer(models_dir).read(PROMPT, ANSWER)
    assert list(found.pieces) == recorded("tokens")["pieces"]
    assert found.answer_tokens == recorded("tokens")["answer_tokens"]
