"""The microscope's worker on a tiny model: order of results, numbers got in other ways, and refusals."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.microscope.query import MicroscopeQuestion, QuantizationScheme
from lora_lab.spec import TINY_MODEL
from lora_lab.worker.inspect import microscope
from lora_lab.worker.inspect.microscope import compute_error_map, inspect_matrix
from lora_lab.worker.inspect.rounding import round_weight
from lora_lab.worker.model.load import build_tiny_tokenizer
from lora_lab.worker.model.quantization import decode_dense_weight
from lora_lab.worker.training.loaded_model import open_model
from lora_lab.worker.training.loop import held_out_loss
from lora_lab.worker.training.packing import encode_example
from study.base.errors import LearnerError
from tests.lora_lab.worker.builders import CPU, machine, silent

QUESTION = MicroscopeQuestion(
    model=TINY_MODEL,
    layer=1,
    matrix="self_attn.k_proj",
    first=QuantizationScheme(bits="nf4-dq"),
    second=QuantizationScheme(bits="hqq4", block=2048),
)
"""The matrix has 32 × 64 weights: one block on the second side, which HQQ can't pack."""


class Watch:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.order: list[str] = []
        self.progress: list[tuple[int, int]] = []

    def __call__(self, doing: str = "", *, done: int = 0, total: int = 0, found: Any = None) -> None:
        self.order += [name for name in found or {} if name not in self.order]
        self.found |= found or {}
        self.progress += [(done, total)] if total else []


def looked(question: MicroscopeQuestion, models_dir: Path) -> Watch:
    watch = Watch()
    order = json.loads(json.dumps(question.order))
    watch.found |= inspect_matrix(order, models_dir, LabHome(models_dir), watch)
    json.dumps(watch.found)  # as it goes over the pipe
    return watch


@pytest.fixture(scope="module")
def found(models_dir: Path) -> Watch:
    return looked(replace(QUESTION, second=QuantizationScheme(bits="fp4", block=128)), models_dir)


def test_weights_come_before_what_runs_the_model(found: Watch) -> None:
    assert found.order == [
        "where", "matrix", "first", "second", "outliers", "double", "sweep", "output", "losses"
    ]  # fmt: skip
    assert found.progress == sorted(found.progress)
    assert found.progress[-1][0] == found.progress[-1][1]


def test_losses_are_those_of_models_loaded_in_the_scheme(found: Watch, models_dir: Path) -> None:
    losses = found.found["losses"]
    for variant, bits in (("base", "fp32"), ("all_first", "nf4-dq")):
        loaded = open_model(TINY_MODEL, bits, machine("fp32"), models_dir=models_dir, report=silent)  # type: ignore[arg-type]
        examples = [encode_example(loaded.tokenizer, example) for example in build_own_dataset().held_out]
        assert losses[variant] == pytest.approx(held_out_loss(loaded.base, examples, nullcontext), abs=2e-6)
    assert losses["answers"] == sum(example.answer_tokens for example in examples)
    assert len({losses[name] for name in ("base", "only_first", "only_second", "all_first")}) == 4


def test_the_output_moves_as_a_product_with_the_rounded_matrix_does(found: Watch, models_dir: Path) -> None:
    loaded = open_model(TINY_MODEL, "fp32", machine("fp32"), models_dir=models_dir, report=silent)
    layer = loaded.base.get_submodule("model.layers.1.self_attn.k_proj")
    examples = [encode_example(loaded.tokenizer, example) for example in build_own_dataset().held_out[:8]]
    entering = []
    hook = layer.register_forward_hook(lambda module, given, made: entering.append((given[0], made)))
    with torch.no_grad():
        for example in examples:  # one by one, where the worker packs them
            loaded.base(input_ids=torch.tensor([example.ids], device=CPU), use_cache=False)
    hook.remove()
    x, true = (torch.cat([one[at][0] for one in entering]) for at in (0, 1))
    stored = open_model(TINY_MODEL, "nf4-dq", machine("fp32"), models_dir=models_dir, report=silent)
    weight = decode_dense_weight(stored.base.get_submodule("model.layers.1.self_attn.k_proj"), torch.float32)
    moved = float((true - x @ weight.t()).norm() / true.norm())
    assert found.found["output"]["first"] == pytest.approx(moved, rel=1e-3)
    assert found.found["output"]["tokens"] == len(x)


def test_the_model_is_as_before_for_the_next_look_and_blocks_hqq_can_not_pack_are_said(
    found: Watch, models_dir: Path
) -> None:
    again = looked(replace(QUESTION, second=QuantizationScheme(bits="hqq4", block=1024)), models_dir)
    losses = again.found["losses"]
    assert losses["base"] == found.found["losses"]["base"]
    assert losses["all_first"] == found.found["losses"]["all_first"]
    assert "all_second" in losses
    refused = looked(replace(QUESTION, matrix="self_attn.q_proj"), models_dir).found["losses"]
    assert "model.layers.0.self_attn.k_proj has 2,048 weights" in refused["cannot_second"]
    assert "all_second" not in refused


def test_a_model_of_transposed_layers_is_looked_at_the_right_way_round(
    models_dir: Path, tmp_path: Path
) -> None:
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=300, eos_token_id=256, bos_token_id=257)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "gpt2")
    build_tiny_tokenizer().save_pretrained(tmp_path / "gpt2")
    question = MicroscopeQuestion(
        model=str(tmp_path / "gpt2"), matrix="mlp.c_fc", second=QuantizationScheme(bits="hqq8", block=64)
    )
    found = looked(question, models_dir).found
    assert (found["matrix"]["d_out"], found["matrix"]["d_in"]) == (128, 32)
    weight = model.transformer.h[0].mlp.c_fc.weight.t().detach()
    decoded = round_weight(weight.contiguous(), "nf4", 64).decoded
    assert found["first"]["error"] == pytest.approx(
        float((weight - decoded).norm() / weight.norm()), rel=1e-4
    )
    assert "transposed layers such as transformer.h.0.attn.c_attn" in found["losses"]["cannot_second"]
    assert found["losses"]["all_first"] != found["losses"]["base"]


def test_a_table_of_errors_has_the_chosen_ones_and_leaves_out_what_can_not_be_packed(found: Watch) -> None:
    errors = found.found["sweep"]["errors"]
    assert errors["nf4-dq"]["64"] == found.found["first"]["error"]
    assert errors["fp4"]["128"] == found.found["second"]["error"]
    assert list(errors["int8"]) == ["64"]  # weights in a row
    assert "2048" not in errors["hqq4"]
    assert errors["hqq4"]["64"] < errors["hqq3"]["64"] < errors["hqq2"]["64"]


def test_outliers_are_found_with_their_place_and_their_blocks_share_of_the_error() -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    weight[5, 7] = -40
    sides = {side: round_weight(weight, "nf4", 64) for side in ("first", "second")}
    found = microscope._find_outliers(weight, sides)  # type: ignore[arg-type]
    assert (found["count"], found["with_any"]) == (1, 1)
    assert found["largest"][0]["row"] == 5
    assert found["largest"][0]["column"] == 7
    assert found["columns"] == [{"column": 7, "count": 1}]
    missed = (weight - sides["first"].decoded).square()
    assert found["first"]["with_outliers"] == 1
    assert found["first"]["blocks"] == 64
    assert found["first"]["error_share"] == pytest.approx(float(missed[5].sum() / missed.sum()), rel=1e-4)


def test_a_cell_of_the_map_is_the_mean_of_its_weights() -> None:
    missed = torch.rand(100, 50)
    cells = compute_error_map(missed)
    assert cells.shape == (34, 25)  # three rows and two columns a cell; the last row of cells has one row
    torch.testing.assert_close(cells[2, 3], missed[6:9, 6:8].mean())
    torch.testing.assert_close(cells[33, 0], missed[99, 0:2].mean())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layer": 7}, "no self_attn.k_proj in layer 7"),
        ({"matrix": "up"}, "Layer 1 has self_attn.q_proj"),
    ],
)
def test_a_layer_or_matrix_that_there_is_not_is_said(
    changed: dict[str, Any], said: str, models_dir: Path
) -> None:
    with pytest.raises(LearnerError, match=said):
        looked(replace(QUESTION, **changed), models_dir)
