"""What the live figures show of weights and tokens is what bitsandbytes and the worker make of them."""

from pathlib import Path
from types import SimpleNamespace

import bitsandbytes.functional as bnb
import pytest
import torch
from safetensors import safe_open
from torch import nn

from lora_lab.data.datasets import Example
from lora_lab.data.embedded_model import find_model_folder
from lora_lab.data.tokenizer import EmbeddedTokenizer
from lora_lab.figures.recorded import read_recording
from lora_lab.figures.training.trained_tokens import ANSWER, PROMPT
from lora_lab.memory.ledger import BLOCK_SIZE, BLOCK_SIZES
from lora_lab.parameters.quantization_levels import FP4_LEVELS, LEVELS
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL
from lora_lab.worker.model.load import build_tiny_tokenizer, load_model, load_tokenizer, prepare_embedded
from lora_lab.worker.model.quantization import copy_weight, list_linears
from lora_lab.worker.record import first_steps, merging
from lora_lab.worker.record.training import Timeline
from lora_lab.worker.record.weights import ROLES, round_weight
from lora_lab.worker.training.packing import encode_example
from study.base.settings import load_settings

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
    torch.testing.assert_close(round_weight(weight, "nf4", size), by_hand.reshape(weight.shape))


def test_a_timeline_has_a_sample_for_every_operator_and_misses_no_peak() -> None:
    with Timeline([]) as watch:
        total = torch.ones(1000) + torch.ones(1000)
        del total
        torch.ones(10).sum()
    assert len(watch.samples) == 5
    assert max(watch.samples) == watch.peak_bytes == 3 * 4000


def test_an_exact_merge_leaves_the_logits_and_quantizing_again_does_not(tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    plain = load_model(
        TINY_MODEL, "fp32", compute_dtype=torch.float32, device=cpu, models_dir=tmp_path, report=silent
    )
    rng = torch.Generator().manual_seed(0)
    layers = dict(list_linears(plain))
    base = {name: copy_weight(layer) for name, layer in layers.items()}
    update = {name: 0.01 * torch.randn(weight.shape, generator=rng) for name, weight in base.items()}
    held_out = [encode_example(build_tiny_tokenizer(), Example(prompt="Why?", answer="Because."))]
    found = merging.MergeMeasurement(plain, layers, base, held_out).measure(update)["ways"]
    assert found["fp32"]["weight_error_over_update"] == 0
    assert found["fp32"]["logit_error"] < 1e-5 < found["bf16"]["logit_error"] < found["nf4"]["logit_error"]


@pytest.mark.embedded
def test_an_adapter_is_measured_against_its_matrix_and_against_its_first_a() -> None:
    torch.manual_seed(0)
    base, a = torch.randn(48, 48), torch.randn(2, 48)
    base_layer, first_a, first_b = (nn.Linear(*size, bias=False) for size in ((48, 48), (48, 2), (2, 48)))
    for layer, weight in ((base_layer, base), (first_a, a), (first_b, torch.zeros(48, 2))):
        layer.weight.data.copy_(weight)
    adapted = SimpleNamespace(
        base_layer=base_layer,
        lora_A=nn.ModuleDict({"default": first_a}),
        lora_B=nn.ModuleDict({"default": first_b}),
        scaling={"default": 2.0},
    )
    measured = first_steps.MeasuredAdapter(adapted)
    start = measured.measure(0)
    assert (start["update_over_base"], start["a_moved"], start["b_norm"]) == (0, 0, 0)
    assert (len(start["b"]), len(start["b"][0]), len(start["a"]), len(start["a"][0])) == (24, 2, 2, 24)
    assert start["a"][1][3] == pytest.approx(float(a[1, 6:8].pow(2).mean().sqrt()), rel=0.01)
    first_b.weight.data[:, 0] = 0.5
    first_a.weight.data *= 1.1
    then = measured.measure(1)
    assert then["a_moved"] == pytest.approx(0.1)
    assert then["b"] == [[0.5, 0]] * 24
    update = 2 * torch.outer(torch.full((48,), 0.5), 1.1 * a[0])
    assert then["update_over_base"] == pytest.approx(float(update.norm() / base.norm()), rel=0.01)


def test_recorded_blocks_are_weights_of_the_model(models_dir: Path) -> None:
    with safe_open(find_model_folder(models_dir) / "model.safetensors", framework="pt") as stored:
        for matrix in read_recording("weights")["matrices"]:
            role, layer = ROLES[matrix["role"]], matrix["layer"]
            weight = stored.get_tensor(f"model.layers.{layer}.{role}.weight").float().reshape(-1, BLOCK_SIZE)
            for block in matrix["blocks"]:
                assert weight[block["number"]].tolist() == pytest.approx(block["weights"], rel=1e-6)


@pytest.mark.embedded
@pytest.mark.parametrize(("prompt", "answer"), OWN_WORDS)
def test_own_words_become_the_tokens_that_the_worker_trains_on(
    models_dir: Path, prompt: str, answer: str
) -> None:
    tokenizer = load_tokenizer(EMBEDDED_MODEL, models_dir, silent)
    wanted = encode_example(tokenizer, Example(prompt=prompt, answer=answer))
    found = EmbeddedTokenizer(models_dir).read(prompt, answer)
    assert found.pieces == tuple(tokenizer.decode([token]) for token in wanted.ids)
    assert found.answer_tokens == wanted.answer_tokens


@pytest.mark.embedded
def test_the_recorded_example_is_what_the_tokenizer_makes_of_it(models_dir: Path) -> None:
    found = EmbeddedTokenizer(models_dir).read(PROMPT, ANSWER)
    assert list(found.pieces) == read_recording("tokens")["pieces"]
    assert found.answer_tokens == read_recording("tokens")["answer_tokens"]
