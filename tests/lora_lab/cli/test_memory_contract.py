"""The memory contract: the lab's own loop, other frameworks, every kind of model, and why one is not said."""

from dataclasses import replace
from typing import Any

import pytest

from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.memory import ledger
from lora_lab.papers.published_memory import PublishedMemory, read_published_memory
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Bits, Compute, RunSpec
from tests.lora_lab.cli.asking import weighed
from tests.lora_lab.families import config_of


def test_memory_is_what_the_lab_predicts_for_its_own_loop(reader: ShapeReader) -> None:
    answer = weighed(
        reader,
        id="m",
        model="smollm2-135m",
        method="qlora",
        quant="nf4",
        double_quant=True,
        lora={"r": 8, "targets": "all-linear"},
        seq_len=128,
        micro_batch=4,
    )
    spec = RunSpec(seq_len_tokens=128, batch=4)
    predicted = ledger.predict_ledger(find_shape("smollm2-135m"), spec, ledger.find_upper_bound(spec), "bf16")
    assert answer["bytes"] == predicted.total_bytes
    assert answer["components"]["quantization"] == predicted.constants


@pytest.mark.parametrize(
    ("told", "graph"),
    [
        ({}, False),
        ({"framework": "lora_lab", "device": "cpu", "measure": "live storage"}, False),
        ({"device": "cpu"}, True),
        ({"device": "cpu", "measure": "live storage", "loss": "answer positions"}, True),
        ({"optimizer": "adamw8bit"}, True),
        ({"method": "dora"}, True),
    ],
    ids=str,
)
def test_only_the_labs_own_run_is_predicted_without_pytorchs_graph(
    reader: ShapeReader, told: dict[str, Any], graph: bool
) -> None:
    """A record of where or how it was measured, without the lab's name, is of somebody else's loop."""
    record = {"model": "smollm2-135m", "quant": "nf4", "lora": {"r": 8, "targets": "all-linear"}, **told}
    answer = weighed(reader, **record, seq_len=128, micro_batch=4)
    shape, spec = find_shape("smollm2-135m"), RunSpec(seq_len_tokens=128, batch=4, bits="nf4")
    changed = replace(
        spec,
        optimizer=told.get("optimizer", "adamw"),
        variant="dora" if told.get("method") == "dora" else "lora",
    )
    predicted = ledger.predict_ledger(shape, changed, ledger.find_upper_bound(spec), "bf16", graph=graph)
    assert answer["bytes"] == predicted.total_bytes


def test_components_have_the_contracts_names_and_add_up(reader: ShapeReader) -> None:
    answer = weighed(reader, model="llama-3.1-8b", quant="int8", base_dtype="bf16")
    names = "weights quantization adapters gradients optimizer activations logits scratch fixed"
    assert list(answer["components"]) == names.split()
    assert sum(answer["components"].values()) == answer["bytes"]


@pytest.mark.parametrize(
    ("quantized", "bits"),
    [
        ({}, "bf16"),
        ({"base_dtype": "fp32"}, "fp32"),
        ({"quant": "int8"}, "int8"),
        ({"quant": "fp4"}, "fp4"),
        ({"quant": "nf4"}, "nf4"),
        ({"method": "qlora"}, "nf4"),
        ({"quant": "nf4", "double_quant": True}, "nf4-dq"),
    ],
)
def test_the_stored_width_follows_from_the_record(
    reader: ShapeReader, quantized: dict[str, Any], bits: Bits
) -> None:
    answer = weighed(reader, model="llama-7b", **quantized)
    compute: Compute = "fp32" if bits == "fp32" else "bf16"
    assert answer["components"]["weights"] == ledger.weight_bytes(find_shape("llama-7b"), bits, compute)
    assert answer["components"]["quantization"] == ledger.compute_constant_bytes(find_shape("llama-7b"), bits)


def test_roles_and_groups_of_roles_may_name_the_targets(reader: ShapeReader) -> None:
    by_role = weighed(reader, model="llama-7b", lora={"targets": ["mlp", "q"]})
    by_name = weighed(
        reader, model="llama-7b", lora={"targets": ["gate_proj", "up_proj", "down_proj", "q_proj"]}
    )
    assert by_role == by_name
    assert "error" not in by_role


@pytest.mark.parametrize(
    "other",
    [
        {"method": "full"},
        {"base_dtype": "fp16"},
        {"adapter_dtype": "bf16"},
        {"attention": "eager"},
        {"measure": "max reserved"},
        {"loss": "chunked cross-entropy"},
        {"phase": "generate"},
        {"gpus": 2},
        {"quant": "fp4", "double_quant": True},
        {"kind": "seq2seq"},
    ],
)
def test_what_the_labs_loop_does_not_do_is_not_estimated_for_it(
    reader: ShapeReader, other: dict[str, Any]
) -> None:
    answer = weighed(reader, model="llama-7b", framework="lora_lab", **other)
    assert answer.keys() == {"unsupported", "why"}
    assert len(answer["why"]) > 20


@pytest.mark.parametrize("row", read_published_memory(), ids=[row.id for row in read_published_memory()])
def test_every_published_setting_is_answered(reader: ShapeReader, row: PublishedMemory) -> None:
    answer = weighed(reader, id=row.id, **row.record)
    assert answer["bytes"] == row.predicted_bytes == sum(answer["components"].values())


@pytest.mark.parametrize(
    "setting",
    [
        {"framework": "artidoro/qlora", "method": "qlora", "adapter_dtype": "bf16"},
        {"framework": "axolotl", "quant": "int8"},
        {"framework": "unsloth", "method": "qlora", "gradient_checkpointing": True},
        {"framework": "LLaMA-Factory", "method": "dora"},
        {"framework": "transformers Trainer", "optimizer": "paged_adamw_8bit", "base_dtype": "fp16"},
        {"framework": "trl SFTTrainer", "lora": {"r": 64, "targets": ["mlp", "q", "head"]}},
        {"framework": "transformers", "phase": "load", "quant": "fp4", "double_quant": True},
        {"framework": "transformers + peft", "measure": "live storage", "device": "cpu"},
        {"method": "full", "optimizer": "adafactor"},
        {"attention": "eager", "loss": "chunked cross-entropy"},
    ],
)
def test_other_frameworks_and_settings_are_answered(reader: ShapeReader, setting: dict[str, Any]) -> None:
    record = {"model": "llama-2-7b", "device": "cuda", "seq_len": 512, "micro_batch": 2} | setting
    answer = weighed(reader, **record)
    assert answer["bytes"] == sum(answer["components"].values())
    assert answer["bytes"] > 3e9


KINDS_OF_STEPS = [
    ("bert", "seqcls"),
    ("roberta", "seqcls"),
    ("deberta-v2", "seqcls"),
    ("distilbert", "tokencls"),
    ("bert", "encoder"),
    ("t5", "seq2seq"),
    ("whisper", "asr"),
    ("vit", "imgcls"),
    ("llava", "vlm"),
    ("llama", "seqcls"),
    ("gpt2", "causal"),
]


@pytest.mark.parametrize(("family", "kind"), KINDS_OF_STEPS)
@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"method": "full", "attention": "eager"},
        {"quant": "nf4", "gradient_checkpointing": True},
        {"method": "layernorm-tuning", "loss": "chunked cross-entropy"},
        {"phase": "generate"},
        {"phase": "load", "measure": "max reserved at load"},
    ],
)
def test_a_step_of_every_kind_of_model_is_answered(
    reader: ShapeReader, family: str, kind: str, setting: dict[str, Any]
) -> None:
    asked = {"config": config_of(family), "kind": kind, "device": "cuda", "seq_len": 16, **setting}
    once, twice = (weighed(reader, **asked, micro_batch=batch) for batch in (1, 2))
    assert once["bytes"] == sum(once["components"].values()) > 0
    assert min(once["components"].values()) >= 0
    assert twice["bytes"] >= once["bytes"]


def test_a_classifier_trains_its_head_beside_the_adapters(reader: ShapeReader) -> None:
    asked = {"config": config_of("roberta"), "lora": {"r": 8, "targets": ["q", "v"]}, "device": "cuda"}
    adapters = 2 * 2 * 8 * (32 + 32)
    head = 32 * 32 + 32 + 2 * 32 + 2
    assert weighed(reader, kind="seqcls", **asked)["components"]["adapters"] == 4 * (adapters + head)
    assert weighed(reader, kind="encoder", **asked)["components"]["adapters"] == 4 * adapters


def test_an_unlisted_decoder_is_estimated_and_the_answer_says_from_what(reader: ShapeReader) -> None:
    config = config_of("llama") | {"model_type": "olmo"}
    answer = weighed(reader, config=config, framework="peft", device="cuda")
    assert answer["bytes"] > 0
    assert answer["basis"] == "the layer of olmo as its matrices and norms show it"
    assert "basis" not in weighed(reader, config=config_of("llama"), framework="peft", device="cuda")


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"gpus": 8}, "several GPUs"),
        ({"model": "roberta-base", "framework": "litgpt"}, "litgpt trains decoders"),
        ({"model": "roberta-base", "framework": "lora_lab"}, "trains decoders, and roberta is another"),
        ({"config": config_of("mamba")}, "can't be derived from its matrices"),
        ({"lora": {"variant": "oft"}}, "saves other tensors than LoRA"),
    ],
)
def test_what_cannot_be_said_says_why(reader: ShapeReader, setting: dict[str, Any], why: str) -> None:
    answer = weighed(reader, **{"model": "llama-2-7b", "framework": "transformers"} | setting)
    assert answer["unsupported"]
    assert why in answer["why"]


@pytest.mark.parametrize(
    ("earlier", "today"),
    [
        (["query", "value"], ["q_proj", "v_proj"]),
        (["attention.output.dense"], ["o_proj"]),
        (["query", "intermediate.dense"], ["q_proj", "fc1"]),
    ],
)
def test_names_of_earlier_releases_mean_todays_matrices_as_in_counts(
    reader: ShapeReader, earlier: list[str], today: list[str]
) -> None:
    asked = {"config": config_of("vit"), "kind": "imgcls", "device": "cuda"}
    before, now = (weighed(reader, **asked, lora={"targets": names}) for names in (earlier, today))
    assert before == now
    assert before["bytes"]


SEES = config_of("llava")
BLIP_2 = {
    "model_type": "blip-2",
    "text_config": config_of("opt"),
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "qformer_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
}


@pytest.mark.parametrize(
    ("config", "targets", "why"),
    [
        (SEES | {"text_config": config_of("llama") | {"model_type": "olmo"}}, "all-linear", "olmo"),
        (SEES | {"text_config": config_of("llama") | {"model_type": "cohere2"}}, ["q_proj"], "cohere2"),
        (SEES | {"text_config": config_of("phi")}, ".*vision_tower.*q_proj", "of its language model"),
        (BLIP_2, ["q_proj", "v_proj"], "of its language model"),
    ],
)
def test_a_language_model_beside_a_vision_tower_that_is_not_modelled_is_named(
    reader: ShapeReader, config: dict[str, Any], targets: Any, why: str
) -> None:
    answer = weighed(reader, config=config, kind="vlm", device="cuda", seq_len=16, lora={"targets": targets})
    assert answer.get("unsupported"), answer
    assert why in answer["why"]


def test_a_role_of_a_fused_matrix_adapts_the_whole_matrix_as_peft_would(reader: ShapeReader) -> None:
    by_role, by_name = (
        weighed(reader, config=config_of("gpt2"), framework="transformers", lora={"targets": [name]})
        for name in ("q", "c_attn")
    )
    assert by_role == by_name
