"""python -m lora_lab with one case as flags: the same numbers as the page, and errors in sentences."""

import json
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.cli.options import build_parser
from lora_lab.memory import ledger
from lora_lab.memory.ledger import predict_ledger
from lora_lab.microscope.query import MicroscopeQuestion
from lora_lab.papers.published_memory import read_published_memory
from lora_lab.parameters.counts import count_parameters, format_formula
from lora_lab.parameters.shapes import find_shape, load_catalogue
from lora_lab.spec import BITS, TARGET_SETS, Bits, RunSpec, TargetSet
from study.base.settings import Settings
from study.base.units import as_bytes, as_count, as_percent
from tests.golden.counts import EMBEDDED
from tests.lora_lab.cli.asking import said


def test_count_prints_the_numbers_and_the_formula(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "count", "--model", "smollm2-135m", "--rank", "8", "--targets", "all-linear")
    trainable, total = EMBEDDED
    assert out.splitlines()[0] == f"{as_count(trainable)} trainable of {as_count(total)} (1.78 %)"
    assert out.splitlines()[1].endswith("= 2,442,240")


@pytest.mark.parametrize("model", load_catalogue())
@pytest.mark.parametrize("targets", TARGET_SETS)
def test_count_agrees_with_the_page(
    capsys: pytest.CaptureFixture[str], model: str, targets: TargetSet
) -> None:
    shape = find_shape(model)
    on_page = count_parameters(shape, rank=16, targets=targets)
    out = said(capsys, "count", "--model", model, "--rank", "16", "--targets", targets)
    assert f"{as_count(on_page.trainable)} trainable of {as_count(on_page.total)}" in out
    assert as_percent(on_page.percent) in out
    assert format_formula(shape, rank=16, targets=targets) in out


@pytest.mark.parametrize("flag", ["--quantization", "--quantisation"])
def test_a_claim_of_flags_is_judged_in_words(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    line = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"
    setting = ("--model", "llama-2-7b", "--rank", "8", "--targets", "q_proj,v_proj")
    assert said(capsys, "claim", *setting, flag, "none", "--line", line).startswith("possible: ")


def test_targets_may_be_names_separated_by_commas(capsys: pytest.CaptureFixture[str]) -> None:
    by_name = said(capsys, "count", "--model", "llama-7b", "--targets", "q_proj,v_proj")
    assert by_name.startswith("4,194,304 trainable")
    assert by_name == said(capsys, "count", "--model", "llama-7b", "--targets", "q,v")


@pytest.mark.parametrize("bits", BITS)
def test_memory_agrees_with_the_page(capsys: pytest.CaptureFixture[str], bits: Bits) -> None:
    spec = RunSpec(bits=bits, rank=16, batch=2, seq_len_tokens=256)
    row, compute = ledger.find_upper_bound(spec), "fp32" if bits == "fp32" else "bf16"
    on_page = predict_ledger(find_shape(spec.model), spec, row, compute)  # type: ignore[arg-type]
    size = ("--rank", "16", "--batch", "2", "--seq-len", "256")
    out = said(capsys, "memory", "--bits", bits, *size)
    assumed, peak, *_ = out.splitlines()
    assert assumed.startswith(
        "Assumed: the lab's own loop; a CPU; r = 16 on all-linear; a batch of 2 times 256"
    )
    assert peak.startswith(f"{as_bytes(on_page.total_bytes)} at the peak of a step")
    assert f"{ledger.bits_per_param(bits):.3f} bits each" in out
    for field, label in ledger.COMPONENTS:
        assert (label in out) == bool(getattr(on_page, field))


def test_memorys_flags_ask_what_a_line_of_its_contract_asks(capsys: pytest.CaptureFixture[str]) -> None:
    row = next(row for row in read_published_memory() if row.id == "litgpt-hub-llama-2-7b-qlora")
    flags = "--framework litgpt --device cuda --method qlora --bits nf4 --adapter-dtype bf16 --rank 32 "
    flags += "--targets q,v --batch 2 --seq-len 512 --attention sdpa/flash --measure"
    out = said(capsys, "memory", "--model", "llama-2-7b", *flags.split(), "max allocated")
    assumed, peak, *_ = out.splitlines()
    assert assumed.startswith("Assumed: litgpt; a GPU; ")
    assert peak == f"{as_bytes(row.predicted_bytes)} at the peak of a step; weights at 4.500 bits each"
    checkpointed = said(
        capsys, "memory", "--model", "llama-2-7b", *flags.split(), "max allocated", "--checkpointing"
    )
    assert checkpointed != out


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-14b", "qwen3-8b"])
def test_without_a_framework_every_model_is_asked_about_in_the_labs_own_loop(
    capsys: pytest.CaptureFixture[str], model: str
) -> None:
    asked = ("memory", "--model", model, "--bits", "nf4-dq", "--rank", "16")
    out = said(capsys, *asked)
    assert out.startswith("Assumed: the lab's own loop; a CPU; ")
    assert "; a batch of 4 times 128 tokens; no checkpointing; adamw;" in out
    assert out == said(capsys, *asked, "--framework", "lora_lab")


def test_memory_takes_the_spellings_of_train_and_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    long = said(capsys, "memory", "--seq-len-tokens", "64", "--checkpointing", "true")
    assert "times 64 tokens; layers checkpointed;" in long
    assert said(capsys, "memory", "--checkpointing", "--seq-len", "64") == long
    assert said(capsys, "memory", "--seq-len", "64", "--checkpointing", "false") != long


def test_the_flags_of_the_microscope_have_the_defaults_of_its_question() -> None:
    options, usual = build_parser("").parse_args(["microscope"]), MicroscopeQuestion()
    assert (options.model, options.layer, options.matrix) == (usual.model, usual.layer, usual.matrix)
    assert (options.first, options.second) == (usual.first.bits, usual.second.bits)


def test_every_option_says_what_it_is() -> None:
    (commands,) = (action for action in build_parser("")._actions if isinstance(action.choices, dict))
    silent = {
        f"{name} {action.option_strings[0]}"
        for name, command in dict(commands.choices or {}).items()
        for action in command._actions
        if action.option_strings and not action.help
    }
    assert silent == set()


def test_a_model_that_the_lab_does_not_train_is_asked_about_in_peft(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said(capsys, "memory", "--model", "bert-base", "--bits", "bf16").startswith(
        "Assumed: peft; a GPU; "
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (
            ["memory", "--framework", "nonsense"],
            "The framework 'nonsense' is not modelled. "
            "Name one of: lora_lab, litgpt, lit-gpt, torchtune, unsloth",
        ),
        (
            ["memory", "--model", "gpt3-175b", "--kind", "seqcls"],
            "gpt3-175b has no configuration to build it from.",
        ),
        (
            ["count", "--model", "vit-base", "--variant", "vera", "--targets", "projection"],
            "This is not computed: vera on embeddings.patch_embeddings.projection is not counted. "
            "Choose another model, task or framework; `--help` lists them.",
        ),
        (["memory", "--optimizer", "muon"], "What 'muon' keeps is not known"),
        (["count", "--model", "gpt5"], "'gpt5' is not in the catalogue. Known models: gpt2"),
        (["count", "--rank", "0"], "got 0"),
        (["count", "--targets", "w_pack"], "No module of this model is named w_pack. It has: down_proj"),
        (["memory", "--batch", "-1"], "micro_batch must be a whole number from 1"),
        (["train", "--rank", "many"], "rank must be a whole number, got 'many'"),
        (
            ["train", "--rank", "999", "--steps", "0"],
            "rank must be 1 to 256, got 999. steps must be 1 to 2,000",
        ),
        (["train", "--data", "missing.jsonl"], "missing.jsonl can't be read (No such file or directory)"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_status_1(
    capsys: pytest.CaptureFixture[str], settings: Settings, arguments: list[str], problem: str
) -> None:
    if arguments[0] == "train":
        arguments = [*arguments, "--data-folder", str(settings.home)]
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert problem in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (None, "can't be read (No such file or directory)"),
        ("[" * 200_000, "That is not JSON ("),
        ("[]", "A config.json is a JSON object. Give a model's whole config.json."),
        ("{}", "That has no model_type."),
    ],
    ids=["missing", "nested", "list", "empty"],
)
def test_a_config_that_is_none_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, written: str | None, problem: str
) -> None:
    config = tmp_path / "config.json"
    if written is not None:
        config.write_text(written)
    assert main(["count", "--config", str(config)]) == 1
    assert problem in capsys.readouterr().err


def test_with_json_a_mistake_is_an_object(capsys: pytest.CaptureFixture[str], settings: Settings) -> None:
    home = ["--data-folder", str(settings.home)]
    assert main(["train", "--json", "--batch", "0", *home]) == 1
    assert "batch must be 1 to 64, got 0" in json.loads(capsys.readouterr().out)["error"]


def test_a_damaged_data_file_names_its_lines_before_anything_starts(
    capsys: pytest.CaptureFixture[str], settings: Settings, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text("{}\n?\n")
    assert main(["train", "--data", str(mine), "--data-folder", str(settings.home)]) == 1
    assert "line 1: prompt is missing or empty; line 2: not JSON" in capsys.readouterr().err
    assert not settings.runs_dir.exists()
