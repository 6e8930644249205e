"""The JSON-lines contracts: one answer a line, never a guess, and no line that spoils another."""

import json
from dataclasses import replace
from typing import Any

import psutil
import pytest

from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.memory import ledger
from lora_lab.papers.published_memory import PublishedMemory, published_memory
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import Bits, Compute, RunSpec
from study.base.errors import LearnerError
from tests.golden.claims import CLAIMS, Claim
from tests.lora_lab.families import config_of

COMPUTE = {"count": contracts.count_answer, "memory": contracts.memory_answer}


def counted(reader: ShapeReader, **record: Any) -> dict[str, Any]:
    return contracts.answer_record(record, contracts.count_answer, reader)


def weighed(reader: ShapeReader, **record: Any) -> dict[str, Any]:
    return contracts.answer_record(record, contracts.memory_answer, reader)


# ---- counting


@pytest.mark.parametrize("claim", CLAIMS, ids=[claim.id for claim in CLAIMS])
def test_the_numbers_that_public_code_printed_are_counted(reader: ShapeReader, claim: Claim) -> None:
    model = (
        {"model": claim.model}
        if isinstance(claim.model, str)
        else {"config": claim.model, "kind": claim.kind}
    )
    answer = counted(
        reader,
        id=claim.id,
        r=claim.rank,
        targets=list(claim.targets) if isinstance(claim.targets, tuple) else claim.targets,
        variant=claim.variant,
        task_type=claim.task_type,
        modules_to_save=None,
        bias="none",
        **model,
    )
    expected = {"id": claim.id, "trainable": claim.trainable, "total": claim.total}
    assert answer == expected | {"percent": pytest.approx(100 * claim.trainable / claim.total)}, claim.source


def test_absent_fields_take_pefts_defaults(reader: ShapeReader) -> None:
    shape = find_shape("llama-7b")
    eight = count_parameters(shape, rank=8, targets=["q_proj", "v_proj"])
    answer = counted(reader, model="llama-7b")
    assert (answer["trainable"], answer["total"]) == (eight.trainable, eight.total)


def test_the_model_can_be_named_by_its_hub_id(reader: ShapeReader) -> None:
    by_id = counted(reader, model="HuggingFaceTB/SmolLM2-135M-Instruct", targets="all-linear")
    assert (by_id["trainable"], by_id["total"]) == (2_442_240, 136_957_248)


def test_rank_stabilized_lora_trains_as_many(reader: ShapeReader) -> None:
    assert counted(reader, model="gpt2", variant="rslora") == counted(reader, model="gpt2")


def test_names_of_another_family_adapt_what_they_match_as_in_peft(reader: ShapeReader) -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    llama_names = counted(reader, config=config_of("phi3"), targets=names, r=4)
    assert llama_names == counted(reader, config=config_of("phi3"), targets=["o_proj", "down_proj"], r=4)
    assert llama_names["trainable"] > 0


def test_names_that_match_nothing_at_all_list_what_there_is(reader: ShapeReader) -> None:
    error = counted(reader, model="gpt2", targets=["q_proj", "v_proj"])["error"]
    assert "No module of this model is named q_proj, v_proj. It has: c_attn, c_fc, c_proj." in error


@pytest.mark.parametrize(
    ("record", "trainable", "total"),
    [
        ({"model": "roberta-base", "task_type": "SEQ_CLS", "targets": ["query", "value"]},
         887_042, 125_534_212),
        ({"model": "llama-3.2-3b", "r": 32, "variant": "dora"}, 9_289_728, 3_222_039_552),
        ({"model": "llama-3.2-3b", "variant": "vera"}, 129_024, 3_212_878_848),
        ({"model": "llama-3.2-3b", "r": 64, "variant": "adalora"}, 18_353_664, 3_231_103_544),
        ({"model": "llama-3.2-3b", "init_r": 64, "variant": "adalora"}, 18_353_664, 3_231_103_544),
        ({"model": "llama-3.2-3b", "variant": "ia3"}, 286_720, 3_213_036_544),
        ({"model": "llama-7b", "modules_to_save": ["lm_head"]}, 135_266_304, 6_873_681_920),
        ({"model": "gpt2", "bias": "lora_only"}, 322_560, 124_734_720),
        ({"model": "gpt2", "bias": "all"}, 397_056, 124_734_720),
        ({"model": "llama-7b", "targets": ["q_proj", "lm_head"]}, 2_385_920 , 6_740_801_536),
        ({"model": "llama-7b", "targets": r".*layers\.(0|1)\..*(q|v)_proj"}, 262_144, 6_738_677_760),
        ({"model": "mixtral-8x7b", "targets": ["q_proj", "v_proj"]}, 3_407_872, 46_706_200_576),
    ],
)  # fmt: skip
def test_variants_heads_biases_and_patterns_are_counted(
    reader: ShapeReader, record: dict[str, Any], trainable: int, total: int
) -> None:
    answer = counted(reader, **record)
    assert (answer.get("trainable"), answer.get("total")) == (trainable, total), answer


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"variant": "lokr"}, "variant must be one of lora, rslora"),
        ({"bias": "some"}, "bias must be one of none, all, lora_only"),
        ({"task_type": "CLM"}, "task_type must be one of CAUSAL_LM"),
        ({"modules_to_save": "lm_head"}, "modules_to_save must be a list"),
        ({"modules_to_save": [7]}, "modules_to_save must be a list"),
        ({"variant": "ia3", "bias": "all"}, "IA3 has no bias setting"),
        ({"variant": ["lora"]}, "variant must be one of"),
    ],
)
def test_a_field_that_peft_does_not_take_is_named(
    reader: ShapeReader, record: dict[str, Any], said: str
) -> None:
    assert said in counted(reader, **{"model": "llama-7b"} | record)["error"]


def test_what_is_not_counted_says_why_instead_of_guessing(reader: ShapeReader) -> None:
    answer = counted(
        reader, id=1, config=config_of("whisper"), kind="asr", targets=["conv1"], variant="adalora"
    )
    assert (answer.pop("id"), answer.pop("unsupported")) == (1, True)
    assert "conv1 is not counted" in answer.pop("why")
    assert answer == {}


# ---- memory


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
    predicted = ledger.predict_ledger(find_shape("smollm2-135m"), spec, ledger.upper_bound(spec), "bf16")
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
    predicted = ledger.predict_ledger(shape, changed, ledger.upper_bound(spec), "bf16", graph=graph)
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
    assert answer["components"]["quantization"] == ledger.constant_bytes(find_shape("llama-7b"), bits)


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


@pytest.mark.parametrize("row", published_memory(), ids=[row.id for row in published_memory()])
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


def test_a_role_of_a_fused_matrix_adapts_the_whole_matrix_as_peft_would(reader: ShapeReader) -> None:
    by_role, by_name = (
        weighed(reader, config=config_of("gpt2"), framework="transformers", lora={"targets": [name]})
        for name in ("q", "c_attn")
    )
    assert by_role == by_name


# ---- bad input


@pytest.mark.parametrize("name", COMPUTE)
@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "must hold one JSON object"),
        ([], "must hold one JSON object"),
        ("gpt2", "must hold one JSON object"),
        ({}, "needs a model or a config"),
        ({"model": 7}, "needs a model or a config"),
        ({"model": ""}, "is not in the catalogue"),
        ({"model": "gpt5"}, "is not in the catalogue. Known models: "),
        ({"config": "gpt2"}, "needs a model or a config"),
    ],
)
def test_a_line_without_a_model_is_an_error(reader: ShapeReader, name: str, record: Any, said: str) -> None:
    answer = contracts.answer_record(record, COMPUTE[name], reader)
    assert said in answer["error"]
    assert "trainable" not in answer


@pytest.mark.parametrize("rank", [0, -8, 1.5, "8", True, [], 10**400])
def test_a_rank_that_is_none_is_an_error_with_its_id(reader: ShapeReader, rank: object) -> None:
    for answer in (
        counted(reader, id="x", model="gpt2", r=rank),
        weighed(reader, id="x", model="llama-7b", lora={"r": rank}),
    ):
        assert answer["id"] == "x"
        assert answer["error"].startswith("r must be a whole number from 1 to 1,000,000,000, got ")


@pytest.mark.parametrize("targets", [7, {}, ["q", 7], [], ["w_pack"], "w_pack", "", [""]])
def test_targets_that_name_nothing_are_an_error(reader: ShapeReader, targets: object) -> None:
    assert counted(reader, model="llama-7b", targets=targets)["error"]
    assert weighed(reader, model="llama-7b", lora={"targets": targets})["error"]


@pytest.mark.parametrize("adapter", ["r8", 8, ["q"], True])
def test_lora_that_is_no_object_is_an_error(reader: ShapeReader, adapter: object) -> None:
    assert "lora must be an object" in weighed(reader, model="llama-7b", lora=adapter)["error"]


@pytest.mark.parametrize("field", ["seq_len", "micro_batch"])
def test_a_size_that_is_no_number_is_named(reader: ShapeReader, field: str) -> None:
    assert f"{field} must be a whole number" in weighed(reader, model="llama-7b", **{field: "long"})["error"]


@pytest.mark.parametrize("where", [{}, {"device": "cuda"}, {"framework": "litgpt"}])
def test_without_a_lora_object_the_fields_of_count_are_taken(
    reader: ShapeReader, where: dict[str, str]
) -> None:
    adapter = {"r": 64, "targets": ["q_proj", "v_proj"], "variant": "dora"}
    assert weighed(reader, model="llama-7b", **where, **adapter) == weighed(
        reader, model="llama-7b", **where, lora=adapter
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gradient_checkpointing": "no"}, "gradient_checkpointing must be true or false"),
        ({"double_quant": 1, "quant": "nf4"}, "double_quant must be true or false"),
        ({"device": "tpu"}, "device must be one of cuda, cpu"),
    ],
)
@pytest.mark.parametrize("framework", ["lora_lab", "peft"])
def test_a_word_where_yes_or_no_belongs_is_an_error(
    reader: ShapeReader, framework: str, change: dict[str, Any], said: str
) -> None:
    assert said in weighed(reader, model="llama-7b", framework=framework, **change)["error"]


@pytest.mark.parametrize(
    "config",
    [{}, {"model_type": "no-such-model"}, {"model_type": 7}, {"model_type": "llama", "hidden_size": -1}],
)
def test_a_config_that_describes_no_model_is_an_error_and_the_next_one_is_read(
    reader: ShapeReader, config: dict[str, Any]
) -> None:
    assert "describes no model" in counted(reader, config=config)["error"]
    assert counted(reader, config=config_of("llama"))["trainable"] > 0


def test_an_unknown_kind_lists_the_known_ones(reader: ShapeReader) -> None:
    error = counted(reader, config=config_of("llama"), kind="vision")["error"]
    assert "kind must be one of causal, encoder, base, seq2seq, asr, seqcls, imgcls, vlm, " in error


@pytest.mark.parametrize("given", [7, "a", None, ["x"], {"a": 1}, 1.5, False])
def test_any_id_is_given_back(reader: ShapeReader, given: object) -> None:
    for record in ({"model": "gpt2"}, {"model": "gpt5"}, {"model": "gpt2", "bias": "all"}):
        assert counted(reader, id=given, **record)["id"] == given
    assert "id" not in counted(reader, model="gpt2")


def test_every_answer_can_be_written_as_one_line(reader: ShapeReader) -> None:
    for answer in (
        counted(reader, model="gpt2"),
        weighed(reader, model="gpt2"),
        counted(reader, model="é\n"),
    ):
        assert "\n" not in json.dumps(answer)


def test_a_reader_that_was_killed_fails_one_line_and_starts_again(reader: ShapeReader) -> None:
    before = counted(reader, config=config_of("gpt2"))
    [worker] = [child for child in psutil.Process().children() if "--shapes" in child.cmdline()]
    worker.kill()
    worker.wait()
    with pytest.raises(LearnerError, match=r"ended unexpectedly\. Try again"):
        reader.read(config_of("gpt2") | {"n_layer": 3})
    assert counted(reader, config=config_of("gpt2")) == before


def test_closing_a_reader_that_never_read_is_nothing() -> None:
    ShapeReader().close()
