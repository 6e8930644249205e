"""What every variant trains, against PEFT itself, and how its names are matched."""

import re
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import AdaLoraConfig, IA3Config, LoraConfig, PeftConfig, VeraConfig, get_peft_model

from lora_lab.parameters.adapter_config import ADAPTER_VARIANTS, AdapterSetting, UnsupportedCase
from lora_lab.parameters.catalogue import read_entries
from lora_lab.parameters.counts import Count, count_adapter
from lora_lab.parameters.legacy_module_names import build_older_tree
from lora_lab.parameters.shapes import ModelShape, find_shape, parse_shape
from lora_lab.parameters.target_matching import find_adaptation
from lora_lab.worker.model.read_shape import build_model, read_config_shape
from study.base.errors import LearnerError
from tests.lora_lab.families import (
    FAMILIES,
    KINDS,
    NO_TRANSFORMERS,
    PEFT_WARNINGS,
    build_once,
    config_of,
    shape_of,
)

pytestmark = PEFT_WARNINGS

CLASSIFIERS = ("llama", "phi3", "gpt2", "falcon", "bert", "roberta", "deberta-v2", "distilbert", "vit", "t5")
ON_CPU = ("vera", "adalora")
"""Variants that draw random numbers when they are built, which the meta device has none of."""


def case(family: str, kind: str | None = None) -> tuple[dict[str, Any], str]:
    return config_of(family), kind or KINDS.get(family, "causal")


def counted(family: str, setting: AdapterSetting, *, rank: int = 4, kind: str | None = None) -> Count:
    return count_adapter(shape_of(family, kind), setting, rank=rank)


def peft_counts(family: str, setting: AdapterSetting, *, rank: int = 4, kind: str | None = None) -> Count:
    config, kind = case(family, kind)
    model = build_once(config, kind)
    on_cpu = setting.variant in ON_CPU
    if on_cpu:
        model = model.to_empty(device="cpu")
        model.tie_weights()
    with nullcontext() if on_cpu else torch.device("meta"):
        adapted = get_peft_model(model, peft_config(setting, rank))
    trainable, total = adapted.get_nb_trainable_parameters()
    return Count(trainable=trainable, total=total)


def peft_config(setting: AdapterSetting, rank: int) -> PeftConfig:
    targets = setting.targets
    shared: dict[str, Any] = {
        "target_modules": list(targets) if isinstance(targets, tuple) else targets,
        "modules_to_save": list(setting.modules_to_save) or None,
        "task_type": setting.task_type,
    }
    if setting.excluded:  # VeraConfig has no such field
        shared["exclude_modules"] = list(setting.excluded)
    if setting.variant == "ia3":
        given = setting.feedforward
        return IA3Config(feedforward_modules=list(given) if isinstance(given, tuple) else given, **shared)
    shared["bias"] = setting.bias
    if setting.lora_bias:
        shared["lora_bias"] = True
    if setting.variant == "vera":
        return VeraConfig(r=rank, **shared)
    if setting.variant == "adalora":
        return AdaLoraConfig(init_r=rank, total_step=10, **shared)
    return LoraConfig(
        r=rank, use_dora=setting.variant == "dora", use_rslora=setting.variant == "rslora", **shared
    )


# ---- PEFT is the oracle


@pytest.mark.parametrize("variant", ADAPTER_VARIANTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_variant_on_all_linear_layers_is_what_peft_trains(family: str, variant: Any) -> None:
    if family == "mixtral" and variant == "dora":
        with pytest.raises(LearnerError, match="no DoRA for the fused tensor"):
            counted(family, AdapterSetting(targets="all-linear", variant=variant))
        return
    setting = AdapterSetting(
        targets="all-linear", variant=variant, feedforward=() if variant == "ia3" else None
    )
    assert counted(family, setting) == peft_counts(family, setting)


@pytest.mark.parametrize("variant", ["lora", "vera", "ia3"])
@pytest.mark.parametrize("family", NO_TRANSFORMERS)
def test_models_without_the_usual_fields_or_with_tensors_of_their_own_are_counted_too(
    family: str, variant: Any
) -> None:
    names = tuple(sorted({group.suffix for group in tree_names(family)} - {"out_proj"})[:3])
    setting = AdapterSetting(
        targets=names, variant=variant, feedforward=names[:1] if variant == "ia3" else None
    )
    assert counted(family, setting) == peft_counts(family, setting)
    assert parse_shape(shape_of(family).to_json()) == shape_of(family)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
@pytest.mark.parametrize("family", FAMILIES)
def test_trained_biases_are_counted(family: str, bias: Any) -> None:
    names = sorted({group.suffix for group in tree_names(family)})[:3]
    setting = AdapterSetting(targets=tuple(names), bias=bias)
    assert counted(family, setting) == peft_counts(family, setting)


def tree_names(family: str) -> Any:
    return shape_of(family).modules.linears


@pytest.mark.parametrize("variant", ["lora", "dora", "ia3"])
@pytest.mark.parametrize("family", CLASSIFIERS)
def test_a_classification_task_trains_its_head_too(family: str, variant: Any) -> None:
    names = tuple(sorted({group.suffix for group in tree_names(family)} - {"classifier"})[:2])
    setting = AdapterSetting(
        targets=names,
        variant=variant,
        task_type="SEQ_CLS",
        feedforward=names[:1] if variant == "ia3" else None,
    )
    found = counted(family, setting, kind="seqcls")
    assert found == peft_counts(family, setting, kind="seqcls")
    without = counted(family, replace(setting, task_type=None), kind="seqcls")
    has_known_name = family != "t5"  # whose head is called classification_head
    assert (found.trainable > without.trainable) == has_known_name


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "opt", "t5", "mixtral"])
def test_a_saved_head_and_embedding_are_copied_and_counted_again(family: str) -> None:
    names = ("lm_head", "wte", "embed_tokens", "shared")
    setting = AdapterSetting(targets="all-linear", modules_to_save=names)
    found = counted(family, setting)
    assert found == peft_counts(family, setting)
    assert found.total > counted(family, AdapterSetting(targets="all-linear")).total + 64 * 32 - 1


SETTINGS = [
    ("llama", AdapterSetting(targets=("q_proj", "lm_head"))),
    ("qwen2", AdapterSetting(targets=("lm_head", "embed_tokens"))),
    ("qwen2", AdapterSetting(targets=("embed_tokens",), variant="dora")),
    ("llama", AdapterSetting(targets=r".*\.0\.self_attn\.(q|v)_proj")),
    ("llama", AdapterSetting(targets=r"model\.layers\.\d+\.mlp\..*_proj")),
    ("llama", AdapterSetting(targets=("layers.1.self_attn.q_proj", "0.mlp.up_proj"))),
    ("llama", AdapterSetting(targets=("model.layers.0.self_attn.q_proj",))),
    ("llama", AdapterSetting(targets=("q_proj", "w_pack"))),
    ("llama", AdapterSetting(targets=("q_proj", "v_proj"), modules_to_save=("v_proj",))),
    ("phi3", AdapterSetting(targets=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"))),
    ("gpt2", AdapterSetting(targets=("c_proj",))),
    ("gpt2", AdapterSetting(targets=("attn.c_proj", "wte"))),
    ("bert", AdapterSetting(targets=("output.dense",))),
    ("bert", AdapterSetting(targets=("dense",), bias="all")),
    ("vit", AdapterSetting(targets=("q_proj", "projection"))),
    ("whisper", AdapterSetting(targets=("conv1", "q_proj"))),
    ("whisper", AdapterSetting(targets=r".*decoder.*(q_proj|v_proj)")),
    ("llava", AdapterSetting(targets=("q_proj", "v_proj"))),
    ("mixtral", AdapterSetting(targets=("w1", "w2", "w3"))),
    ("mixtral", AdapterSetting(targets=("q_proj", "w2", "gate"))),
    ("mixtral", AdapterSetting(targets=("q_proj", "gate_proj", "up_proj", "down_proj"))),
    ("mixtral", AdapterSetting(targets=r".*experts.*(w1|w2|w3)")),
    ("qwen2_moe", AdapterSetting(targets=("gate_proj", "up_proj", "down_proj"))),
    ("roberta", AdapterSetting(targets=None, variant="ia3")),
    ("llama", AdapterSetting(targets=None, variant="ia3")),
    ("t5", AdapterSetting(targets=None, variant="adalora")),
    ("phi", AdapterSetting(targets=None, variant="vera")),
    ("t5", AdapterSetting(targets=("q", "wo"), variant="ia3", feedforward=("wo",))),
    ("roberta", AdapterSetting(targets=("dense",), variant="ia3", feedforward=("dense",))),
]


@pytest.mark.parametrize(("family", "setting"), SETTINGS, ids=lambda each: str(each)[:60])
def test_names_match_as_peft_matches_them(family: str, setting: AdapterSetting) -> None:
    assert counted(family, setting) == peft_counts(family, setting)


FULL_SIZE = [
    ("llama-3-8b", "all-linear", "lora"),
    ("gemma-2-2b", ("q_proj", "v_proj"), "dora"),
    ("flan-t5-base", None, "rslora"),
    ("whisper-small", "all-linear", "ia3"),
    ("falcon-7b", "all-linear", "lora"),
    ("mixtral-8x7b", ("q_proj", "w1", "w2", "w3"), "lora"),
]


@pytest.mark.parametrize(("model", "targets", "variant"), FULL_SIZE, ids=[each[0] for each in FULL_SIZE])
def test_models_at_their_own_size_are_what_peft_trains(model: str, targets: Any, variant: Any) -> None:
    entry = next(each for each in read_entries() if each.name == model)
    setting = AdapterSetting(targets=targets, variant=variant, feedforward=() if variant == "ia3" else None)
    with torch.device("meta"):
        adapted = get_peft_model(build_model(dict(entry.config), entry.kind), peft_config(setting, 16))
    trainable, total = adapted.get_nb_trainable_parameters()
    own_head = 0  # transformers ties Flan-T5's head, the released one is its own
    if entry.config.get("tie_word_embeddings") is False and entry.kind == "seq2seq":
        own_head = entry.config["vocab_size"] * entry.config["d_model"]
    found = count_adapter(find_shape(model), setting, rank=16)
    assert (found.trainable, found.total) == (trainable, total + own_head)


REFUSED = [
    (
        "llama",
        AdapterSetting(targets=("c_attn",)),
        "No module of this model is named c_attn. It has: down_proj",
    ),
    ("llama", AdapterSetting(targets="q_proj"), "No module of this model is named q_proj"),
    ("llama", AdapterSetting(targets=()), "No module of this model is named nothing"),
    ("llama", AdapterSetting(targets="("), "isn't a regular expression"),
    ("llama", AdapterSetting(targets=("q_proj", "mlp")), "mlp isn't a layer that lora can adapt"),
    ("llama", AdapterSetting(targets=("embed_tokens",), variant="vera"), "isn't a layer that vera can adapt"),
    ("llama", AdapterSetting(targets=("q_proj",), modules_to_save=("q_proj",)), "No module of this model"),
    ("llama", AdapterSetting(targets=("lm_head",), modules_to_save=("layers",)), "is a list of modules"),
    ("phi3", AdapterSetting(targets=None), "no default lora targets"),
    ("distilbert", AdapterSetting(targets=None, variant="ia3"), "no default ia3 targets"),
    ("mamba", AdapterSetting(targets=("in_proj", "out_proj")), "PEFT refuses out_proj here"),
    ("mixtral", AdapterSetting(targets=("w1",)), "w1, w3 are one fused tensor"),
    ("llama", AdapterSetting(targets=("k_proj",), variant="ia3", feedforward=("up_proj",)), "must be among"),
    ("llama", AdapterSetting(targets=("q_proj",), excluded=("q_proj",)), "No module of this model"),
]


@pytest.mark.parametrize(("family", "setting", "said"), REFUSED, ids=lambda each: str(each)[:60])
def test_what_peft_refuses_is_refused_with_a_reason(family: str, setting: AdapterSetting, said: str) -> None:
    with pytest.raises(LearnerError, match=re.escape(said)):
        counted(family, setting)
    with pytest.raises((ValueError, TypeError, re.error)):
        peft_counts(family, setting)


@pytest.mark.parametrize(("task", "kind", "head"), [("TOKEN_CLS", "tokencls", "classifier"),
                                                    ("QUESTION_ANS", "qa", "qa_outputs")])  # fmt: skip
def test_only_a_sequence_classifiers_head_is_left_out_of_the_targets(task: str, kind: str, head: str) -> None:
    adapted = AdapterSetting(targets="all-linear", task_type=task)
    with pytest.raises(LearnerError, match=f"{head} is to be saved whole, but it is an adapted layer"):
        counted("bert", adapted, kind=kind)
    with pytest.raises(TypeError, match="modules_to_save cannot be applied"):
        peft_counts("bert", adapted, kind=kind)
    named = replace(adapted, modules_to_save=(head,))
    assert counted("bert", named, kind=kind) == peft_counts("bert", named, kind=kind)
    in_sequences = replace(adapted, task_type="SEQ_CLS")
    assert counted("bert", in_sequences, kind="seqcls") == peft_counts("bert", in_sequences, kind="seqcls")


def test_single_layers_need_a_list_of_names_as_in_peft() -> None:
    with pytest.raises(LearnerError, match="layers_to_transform only with a list"):
        counted("llama", AdapterSetting(targets="all-linear", layers=(0,)))
    with pytest.raises(ValueError, match="cannot be used when `target_modules` is a str"):
        LoraConfig(target_modules="all-linear", layers_to_transform=[0])


def test_distilberts_classifier_name_also_ends_pre_classifier() -> None:
    shape = read_config_shape(config_of("distilbert"), name="d", kind="seqcls")
    adapted = find_adaptation(shape.modules, AdapterSetting(targets=("q_lin",), task_type="SEQ_CLS"))
    assert [module.name for module in adapted.saved] == ["pre_classifier", "classifier"]
    with pytest.raises(LearnerError, match="pre_classifier is to be saved whole, but it is an adapted layer"):
        find_adaptation(shape.modules, AdapterSetting(targets="all-linear", task_type="SEQ_CLS"))


@pytest.mark.parametrize(
    ("family", "kind", "task", "saved"),
    [
        ("roberta", "seqcls", "SEQ_CLS", ("out_proj",)),
        ("roberta", "seqcls", "SEQ_CLS", ("dense",)),
        ("roberta", "seqcls", "SEQ_CLS", ("classifier.out_proj",)),
        ("roberta", "seqcls", None, ("classifier", "dense")),
        ("llama", "causal", "CAUSAL_LM", ("mlp", "down_proj", "gate_proj")),
        ("llama", "seqcls", "SEQ_CLS", ("mlp", "down_proj")),
        ("llama", "tokencls", "TOKEN_CLS", ("mlp", "down_proj")),
        ("llama", "qa", "QUESTION_ANS", ("mlp", "down_proj")),
    ],
)
def test_a_module_saved_inside_a_saved_one_is_counted_as_peft_does(
    family: str, kind: str, task: str | None, saved: tuple[str, ...]
) -> None:
    targets = ("query",) if family == "roberta" else ("q_proj",)
    setting = AdapterSetting(targets=targets, task_type=task, modules_to_save=saved)
    assert counted(family, setting, kind=kind) == peft_counts(family, setting, kind=kind)


def test_a_module_saved_deep_inside_a_saved_one_is_not_guessed() -> None:
    with pytest.raises(UnsupportedCase, match="saved twice"):
        counted("llama", AdapterSetting(targets=("q_proj",), modules_to_save=("layers.0", "down_proj")))


@pytest.mark.parametrize(("family", "kind"), [("gpt2", "causal"), ("bert", "seqcls"), ("llama", "causal")])
@pytest.mark.parametrize("variant", ["lora", "rslora"])
@pytest.mark.filterwarnings("ignore:.lora_bias=True. was passed but the targeted layer")
def test_an_adapters_own_bias_is_a_number_per_output(family: str, kind: str, variant: Any) -> None:
    task = "SEQ_CLS" if kind == "seqcls" else None
    setting = AdapterSetting(targets="all-linear", lora_bias=True, variant=variant, task_type=task)
    assert counted(family, setting, kind=kind) == peft_counts(family, setting, kind=kind)


# ---- earlier names


def test_mixtrals_experts_one_by_one_before_release_5() -> None:
    shape = find_shape("mixtral-8x7b")
    older = build_older_tree(shape)
    assert older is not None
    assert older.base_parameters == shape.modules.base_parameters
    experts = find_adaptation(older, AdapterSetting(targets=("w1", "w2", "w3")))
    assert experts.trainable.at(8) == 32 * 8 * 3 * 8 * (4096 + 14336)
    everything = find_adaptation(older, AdapterSetting(targets="all-linear"))
    assert everything.trainable.at(16) == 242_225_152  # printed in PEFT issue 1594


def test_vits_query_and_value_still_mean_what_they_did() -> None:
    setting = AdapterSetting(targets=("query", "value"))
    assert counted("vit", setting) == counted("vit", replace(setting, targets=("q_proj", "v_proj")))
    assert build_older_tree(find_shape("llama-7b")) is None


# ---- what must always hold

SHAPES = [find_shape(name) for name in ("llama-7b", "gpt2", "t5-small", "roberta-base", "mixtral-8x7b")]


@given(st.sampled_from(SHAPES), st.sampled_from(["lora", "rslora", "adalora"]), st.integers(1, 256))
def test_twice_the_rank_trains_twice_as_much(shape: ModelShape, variant: Any, rank: int) -> None:
    setting = AdapterSetting(targets="all-linear", variant=variant)
    once, twice = (count_adapter(shape, setting, rank=each).trainable for each in (rank, 2 * rank))
    assert twice == 2 * once


@given(st.sampled_from(SHAPES), st.sampled_from(ADAPTER_VARIANTS[:2]), st.integers(1, 64), st.data())
def test_names_add_up_to_their_union(shape: ModelShape, variant: Any, rank: int, data: st.DataObject) -> None:
    tree = build_older_tree(shape) or shape.modules
    names = data.draw(st.sets(st.sampled_from(tree.linear_names), min_size=1))
    together = find_adaptation(tree, AdapterSetting(targets=tuple(names), variant=variant)).trainable.at(rank)
    alone = [
        find_adaptation(tree, AdapterSetting(targets=(name,), variant=variant)).trainable.at(rank)
        for name in names
    ]
    assert together == sum(alone)


def test_a_curve_over_200_ranks_matches_its_names_once() -> None:
    shape, setting = find_shape("llama-3.1-405b"), AdapterSetting(targets="all-linear")
    first = find_adaptation(shape.modules, setting)
    curve = [count_adapter(shape, setting, rank=rank).trainable for rank in range(1, 201)]
    assert find_adaptation(shape.modules, setting) is first
    assert curve == [rank * curve[0] for rank in range(1, 201)]
