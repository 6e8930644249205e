"""Bad records: an error with its id for each, and no line that spoils another."""

import json
from typing import Any

import psutil
import pytest

from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from tests.lora_lab.cli.asking import counted, weighed
from tests.lora_lab.families import config_of

COMPUTE = {"count": contracts.count_answer, "memory": contracts.answer_memory}


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


def test_an_error_that_nothing_foresees_spoils_its_own_line_only(
    reader: ShapeReader, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(record: Any, reader: ShapeReader) -> dict[str, Any]:
        raise KeyError("olmo")

    answer = contracts.answer_record({"id": "x"}, broken, reader)
    assert answer == {"id": "x", "error": "The app failed at this line (KeyError: 'olmo'). Please report it."}
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("rank", [0, -8, 1.5, "8", True, [], 10**400])
def test_a_rank_that_is_none_is_an_error_with_its_id(reader: ShapeReader, rank: object) -> None:
    for answer in (
        counted(reader, id="x", model="gpt2", r=rank),
        weighed(reader, id="x", model="llama-7b", lora={"r": rank}),
    ):
        assert answer["id"] == "x"
        assert answer["error"].startswith("r must be a whole number from 1 to 1,000,000,000, got ")


@pytest.mark.parametrize(
    ("flag", "value", "example"),
    [
        ("rank", 64, '"lora": {"r": 8}'),
        ("batch", 16, '"micro_batch": 4'),
        ("seq_len_tokens", 4096, '"seq_len": 128'),
        ("bits", "nf4", '"quant": "nf4", or "base_dtype": "bf16"'),
        ("checkpointing", False, '"gradient_checkpointing": true'),
    ],
)
def test_a_flags_name_is_no_field_and_no_answer_is_given_for_the_default(
    reader: ShapeReader, flag: str, value: object, example: str
) -> None:
    answer = weighed(reader, id="x", model="llama-7b", **{flag: value})
    said = f"{flag} is a flag, not a field of a line. Write {example}."
    assert answer == {"id": "x", "error": said}
    whole = {"lora": {"r": 8}, "micro_batch": 4, "seq_len": 128, "quant": "nf4"}
    whole["gradient_checkpointing"] = False
    assert weighed(reader, model="llama-7b", **whole, **{flag: value})["bytes"]  # a note of the record's


def test_a_count_for_another_rank_than_was_meant_is_not_given(reader: ShapeReader) -> None:
    said = 'rank is a flag, not a field of a line. Write "r": 8.'
    assert counted(reader, model="llama-7b", rank=64) == {"error": said}
    assert weighed(reader, model="llama-7b", lora={"rank": 64}) == {"error": said}
    assert counted(reader, model="llama-7b", r=64, rank=8) == counted(reader, model="llama-7b", r=64)


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
    [
        {},
        {"model_type": "no-such-model"},
        {"model_type": 7},
        {"model_type": ["llama"]},
        {"model_type": "llama", "hidden_size": -1},
    ],
)
def test_a_config_that_describes_no_model_is_an_error_and_the_next_one_is_read(
    reader: ShapeReader, config: dict[str, Any]
) -> None:
    assert "describes no model" in counted(reader, config=config)["error"]
    assert counted(reader, config=config_of("llama"))["trainable"] > 0


@pytest.mark.parametrize(
    "config",
    [{"model_type": "chatglm", "hidden_size": 64}, {"model_type": "ours", "auto_map": {"AutoModel": "m.M"}}],
)
def test_a_type_whose_code_is_beside_its_weights_is_unsupported(
    reader: ShapeReader, config: dict[str, Any]
) -> None:
    answer = counted(reader, config=config)
    assert answer["unsupported"] is True
    assert f"{config['model_type']} brings its own code" in answer["why"]


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


def test_after_its_worker_was_killed_a_reader_starts_another_one(reader: ShapeReader) -> None:
    before = counted(reader, config=config_of("gpt2"))
    [worker] = [child for child in psutil.Process().children() if "--shapes" in child.cmdline()]
    worker.kill()
    worker.wait()
    assert reader.read(config_of("gpt2") | {"n_layer": 3}).layers == 3
    assert counted(reader, config=config_of("gpt2")) == before


def test_closing_a_reader_that_never_read_is_nothing() -> None:
    ShapeReader().close()
