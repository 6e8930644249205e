"""Rows of single tokens, PEFT's `trainable_token_indices`, against PEFT itself."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.counts import build_adaptation
from lora_lab.parameters.json_fields import parse_adapter_setting
from lora_lab.parameters.shapes import find_shape
from lora_lab.parameters.token_rows import find_input_embedding
from lora_lab.parameters.worked_count import work_count
from lora_lab.worker.model.read_shape import build_model
from study.base.errors import LearnerError
from tests.lora_lab.families import PEFT_WARNINGS, shape_of
from tests.lora_lab.parameters.peft_oracle import counted, peft_counts

pytestmark = [
    *PEFT_WARNINGS,
    pytest.mark.filterwarnings("ignore:.*ensure_weight_tying"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type"),
]

UNTIED, TIED = "llama", "qwen2"
QUERY: dict[str, Any] = {"target_modules": ["q_proj"]}


def rows(of: Any, **fields: Any) -> dict[str, Any]:
    return QUERY | {"trainable_token_indices": of} | fields


COUNTED: list[tuple[str, dict[str, Any]]] = [
    *((family, rows([1, 2, 3])) for family in (UNTIED, TIED, "gpt_oss", "qwen3_moe", "mixtral", "gemma2")),
    *((family, rows([1, 2, 3])) for family in ("gemma4_text", "opt", "llava", "whisper")),
    ("gpt2", rows([5], target_modules=["c_attn"])),
    ("t5", rows([5], target_modules=["q"])),
    ("deberta-v2", rows([5], target_modules=["query_proj"])),
    ("bert", rows({"word_embeddings": [1, 2], "position_embeddings": [1]}, target_modules=["query"])),
    *((family, rows({"embed_tokens": [1, 2]})) for family in (UNTIED, TIED)),
    *((family, rows({"lm_head": [1, 2]})) for family in (UNTIED, TIED, "phi")),
    *((family, rows({"embed_tokens": [1, 2], "lm_head": [1, 2]})) for family in (UNTIED, TIED)),
    *((family, rows({"embed_tokens": [1, 2], "lm_head": [3]})) for family in (UNTIED, TIED)),
    (TIED, rows({"embed_tokens": [1, 2], "lm_head": [2, 1]})),  # another order is another list
    (TIED, rows({"model.embed_tokens": [1, 2], "lm_head": [1, 2]}, ensure_weight_tying=True)),
    (TIED, rows({"embed_tokens": [1], "head": [1]})),  # tied, but not by its full name
    (UNTIED, rows({"embed_tokens": [1], "model.embed_tokens": [2, 3]})),  # the first one counts
    (UNTIED, rows({"tokens": [1, 2]})),  # the end of a name may begin within a part
    (UNTIED, rows([0, 0, -1, -64])),
    (UNTIED, rows([])),
    (UNTIED, rows({})),
    (UNTIED, rows({"embed_tokens": []})),
    (UNTIED, rows({"v_proj": [1, 2]})),  # a linear layer has rows too
    (UNTIED, rows([1, 2], modules_to_save=["embed_tokens"])),  # both, by another name than the list's
    (TIED, rows([1, 2], modules_to_save=["lm_head"])),
    (TIED, rows([1, 2], target_modules=["lm_head"])),
    (UNTIED, rows([1, 2], ensure_weight_tying=True)),
    (UNTIED, rows([1, 2], use_dora=True, bias="all")),
    ("phi", rows({"lm_head": [1, 2]}, bias="all")),
    ("gpt_oss", rows([1, 2], target_modules=[], target_parameters=["experts.gate_up_proj"])),
]


@pytest.mark.parametrize(("family", "fields"), COUNTED, ids=str)
def test_each_token_trains_one_row(family: str, fields: dict[str, Any]) -> None:
    assert counted(family, fields) == peft_counts(family, fields)


@pytest.mark.parametrize("family", [UNTIED, TIED])
def test_a_classifier_trains_rows_beside_its_head(family: str) -> None:
    fields = rows([1, 2], task_type="SEQ_CLS")
    assert counted(family, fields, kind="seqcls") == peft_counts(family, fields, kind="seqcls")


def test_a_tied_head_shares_the_rows_and_an_untied_one_does_not() -> None:
    both = rows({"embed_tokens": [1, 2], "lm_head": [1, 2]})
    for tied in (True, False):
        found = counted(TIED, both, tie_word_embeddings=tied)
        assert found == peft_counts(TIED, both, tie_word_embeddings=tied)
        more = found.trainable - counted(TIED, QUERY, tie_word_embeddings=tied).trainable
        assert more == (2 if tied else 4) * 32


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (UNTIED, rows([64]), "model.embed_tokens has 64 rows, and none for 64"),
    (UNTIED, rows([-65]), "none for -65"),
    (UNTIED, rows({"wte": [1]}), "No layer of this model is named wte"),
    (UNTIED, rows({"embed_tokens": [1], "wte": [1]}), "No layer of this model is named wte"),
    (UNTIED, rows({"norm": [1]}), "neither an embedding nor a linear layer"),
    ("gpt2", rows({"c_fc": [1]}, target_modules=["c_attn"]), "neither an embedding nor a linear layer"),
    (UNTIED, rows({"q_proj": [1]}), "has an adapter, and single rows of it"),
    (UNTIED, rows([1], target_modules=["embed_tokens"]), "has an adapter, and single rows of it"),
    (UNTIED, rows([1], target_modules=[], target_parameters=["embed_tokens.weight"]), "has an adapter"),
    (UNTIED, rows({"embed_tokens": [1]}, modules_to_save=["embed_tokens"]), "to be saved whole, and single"),
    (UNTIED, rows([1], modules_to_save=["model.embed_tokens"]), "to be saved whole, and single rows"),
    (TIED, rows({"embed_tokens": [1], "lm_head": [2]}, ensure_weight_tying=True), "are tied, and different"),
    (UNTIED, rows([1], target_modules=[]), "No module of this model is named nothing"),
    (UNTIED, rows("12"), "must hold lists of whole numbers"),
]


@pytest.mark.parametrize(("family", "fields", "said"), REFUSED, ids=str)
def test_rows_that_peft_refuses_are_refused_with_a_reason(
    family: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises((ValueError, TypeError, IndexError, AttributeError)):
        peft_counts(family, fields)
    with pytest.raises(LearnerError, match=re.escape(said)):
        counted(family, fields)


@pytest.mark.parametrize("of", [3, [1.5], [True], {"embed_tokens": 3}], ids=str)
def test_tokens_that_are_not_whole_numbers_are_named(of: Any) -> None:
    with pytest.raises(LearnerError, match="trainable_token_indices must hold lists of whole numbers"):
        counted(UNTIED, rows(of))


def test_a_thousand_layers_are_not_looked_up() -> None:
    with pytest.raises(LearnerError, match="names 1,000 layers"):
        counted(UNTIED, rows({f"layer{number}": [0] for number in range(1000)}))


@pytest.mark.parametrize(
    ("family", "fields", "said"),
    [
        ("vit", rows([1]), "which of this model's layers reads its tokens isn't known"),
        ("bert", rows([1], target_modules=["query"], modules_to_save=["embeddings"]), "is to be saved whole"),
        (UNTIED, rows([1], variant="adalora"), "with adalora"),
        (UNTIED, rows([1], variant="ia3", feedforward_modules=[]), "with ia3"),
    ],
)
def test_rows_whose_count_is_not_known_are_not_guessed(
    family: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnsupportedCase, match=said):
        counted(family, fields)


def test_the_count_of_rows_is_written_out() -> None:
    shape, setting = shape_of(UNTIED), parse_adapter_setting(rows([1, 2, 3]), targets="target_modules")
    assert work_count(build_adaptation(shape, setting), setting, rank=4)[1:] == (
        "model.embed_tokens, rows of tokens: 3 × 32 = 96",
        "trainable: 512 + 96 = 608",
    )


WITH_TOKENS = [
    entry for entry in read_entries() if entry.config["model_type"] not in ("vit", "t5", "umt5", "mt5")
]
SMALLEST_OF_TYPE = {entry.config["model_type"]: entry for entry in reversed(WITH_TOKENS)}


@pytest.mark.parametrize("model_type", SMALLEST_OF_TYPE)
def test_the_embedding_that_reads_tokens_is_that_of_the_model(model_type: str) -> None:
    entry = SMALLEST_OF_TYPE[model_type]
    model = build_model(dict(entry.config), entry.kind)
    [name] = [name for name, module in model.named_modules() if module is model.get_input_embeddings()]
    assert find_input_embedding(find_shape(entry.name).modules) == name


ENDS = ("embed_tokens", "model.embed_tokens", "lm_head", "head", "v_proj", "tokens")


@given(
    family=st.sampled_from([UNTIED, TIED, "gpt_oss"]),
    of=st.lists(st.integers(-66, 65), min_size=1, max_size=3)
    | st.dictionaries(st.sampled_from(ENDS), st.lists(st.integers(0, 2), min_size=1, max_size=2), max_size=3),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "target_modules": st.sampled_from(
                ["all-linear", ["v_proj", "embed_tokens"], ["lm_head", "q_proj"]]
            ),
            "modules_to_save": st.sampled_from([["lm_head"], ["embed_tokens"], ["norm"]]),
            "ensure_weight_tying": st.just(True),
            "bias": st.just("all"),
        },
    ),
)
def test_any_rows_are_counted_or_refused_as_in_peft(family: str, of: Any, fields: dict[str, Any]) -> None:
    asked = rows(of, **fields)
    try:
        found = counted(family, asked)
    except UnsupportedCase:
        return
    except LearnerError:
        with pytest.raises((ValueError, TypeError, IndexError, AttributeError)):
            peft_counts(family, asked)
        return
    assert found == peft_counts(family, asked)
