"""python -m lora_lab: the same numbers as the page, one answer a line, and errors in sentences."""

import io
import json
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given

from lora_lab.__main__ import _build_parser, main
from lora_lab.data.datasets import own_dataset
from lora_lab.data.uploads import Uploads
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.memory import ledger
from lora_lab.memory.ledger import predict_ledger
from lora_lab.microscope.panels import build_panels
from lora_lab.microscope.query import MicroscopeQuestion, QuantizationScheme
from lora_lab.papers.published_memory import published_memory
from lora_lab.parameters.counts import count_parameters, format_formula
from lora_lab.parameters.shapes import find_shape, load_catalogue
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.run_file import read_run_file
from lora_lab.runs.summary import summarize
from lora_lab.settings.run_form import command_of
from lora_lab.spec import BITS, OWN_DATA, TARGET_SETS, Bits, RunSpec, TargetSet, spec_from
from study.base.settings import Settings
from study.base.units import as_bytes, as_count, as_percent
from tests.golden.counts import EMBEDDED
from tests.lora_lab import run_builders, xrays
from tests.lora_lab.run_builders import PREDICTED
from tests.lora_lab.runs.test_run_folder import NOW
from tests.lora_lab.spec_strategies import any_spec

ROOT = Path(__file__).parents[3]


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 0
    return capsys.readouterr().out


# ---- one case as flags


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
    row, compute = ledger.upper_bound(spec), "fp32" if bits == "fp32" else "bf16"
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
    row = next(row for row in published_memory() if row.id == "litgpt-hub-llama-2-7b-qlora")
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


def test_every_option_says_what_it_is() -> None:
    (commands,) = (action for action in _build_parser()._actions if isinstance(action.choices, dict))
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
            "The framework 'nonsense' is not modelled. Known: lora_lab, litgpt, lit-gpt, torchtune, unsloth",
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
        (["count", "--model", "gpt5"], "'gpt5' is not in the catalogue. Known models: tiny-random"),
        (["count", "--rank", "0"], "got 0"),
        (["count", "--targets", "w_pack"], "No module of this model is named w_pack. It has: down_proj"),
        (["memory", "--batch", "-1"], "micro_batch must be a whole number from 1"),
        (["train", "--rank", "many"], "rank must be a whole number, got 'many'"),
        (
            ["train", "--rank", "999", "--steps", "0"],
            "rank must be 1 to 256, got 999. steps must be 1 to 2000",
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


# ---- JSON lines


def answers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, *lines: str
) -> tuple[int, list[dict[str, Any]]]:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    status = main([command, "--jsonl"])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("command", ["count", "memory"])
def test_bad_lines_answer_with_an_error_and_never_stop_the_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    good = '{"id": "g", "model": "gpt2"}'
    bad = [
        "?",
        "[]",
        "null",
        "{",
        '{"model": "gpt5"}',
        "[" * 100_000,
        "1" * 5000,
        '{"r": ' + "9" * 4299 + "}",
    ]
    status, found = answers(capsys, monkeypatch, command, *[line for one in bad for line in (one, good)])
    assert status == 1
    assert len(found) == 2 * len(bad)
    assert all("error" in answer for answer in found[::2])
    assert all(answer["id"] == "g" and "error" not in answer for answer in found[1::2])


def test_no_claim_stops_the_batch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "trainable params: 294,912 || all params: 124,734,720"
    texts = [
        "gpt2 LoraConfig(r=8) trainable params: 1,234,567K || all params: 5M",
        f"gpt2 LoraConfig(r=8) trainable params: {'1' * 5000}K",
        f"gpt2 LoraConfig(r=8) {line} || trainable%: 1e-9999999999",
        f"gpt2\nlora_r: ²\n{line}",
        f"gpt2\nlora_r: {'1' * 5000}\n{line}",
        f"gpt2 LoraConfig(r=args.rank) --rank {'1' * 5000} {line}",
        f"gpt2 LoraConfig(r=8, x={'1+' * 500}1) {line}",
        f"gpt2 LoraConfig(r=8, x={'1+' * 5000}1) {line}",
        f"gpt2 LoraConfig(r=8, x={'-' * 50_000}1) {line}",
        f'gpt2 LoraConfig(r=8, x="(") + g(")") {line}',
        f"gpt2 LoraConfig(r=8, x='\ud800') {line}",
        f"gpt2 LoraConfig(r=8, target_modules='{'(' * 5000}') {line}",
        f"gpt2 LoraConfig(r=8, target_modules='a{{99999999999}}') {line}",
        f'gpt2 {{"a":{"[" * 20_000} LoraConfig(r=8) {line}',
    ]
    numbers = ["²", float("nan"), float("inf"), "1" * 5000, 1e300]
    good = {"model": "gpt2", "lora": {"r": 8}, "printed": {"trainable": 294_912}}
    bad = [*({"text": text} for text in texts), *(good | {"printed": {"trainable": one}} for one in numbers)]
    lines = [json.dumps(line) for one in bad for line in (one, good)]
    _, found = answers(capsys, monkeypatch, "claim", *lines)
    assert len(found) == len(lines)
    assert all(answer["verdict"] == "possible" for answer in found[1::2])
    assert all("must be a whole number" in answer["error"] for answer in found[2 * len(texts) :: 2])


def test_a_batch_without_errors_ends_well_even_where_a_case_is_unsupported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        '{"id": 1, "model": "llama-7b"}',
        "",
        "  ",
        '{"id": 2, "model": "gpt2", "gpus": 8}',
    ]
    status, found = answers(capsys, monkeypatch, "memory", *lines)
    assert status == 0
    assert [answer["id"] for answer in found] == [1, 2]
    assert found[1]["unsupported"] is True


def test_bytes_that_are_no_text_spoil_their_own_line_only() -> None:
    good = b'{"id": "caf\xc3\xa9", "model": "gpt2"}\n'
    done = subprocess.run(
        [sys.executable, "-m", "lora_lab", "count", "--jsonl"],
        input=good + b'{"id": "caf\xe9", "model": "gpt2"}\n' + good,
        capture_output=True,
        cwd=ROOT,
        timeout=60,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert ["error" in answer for answer in found] == [False, True, False]
    assert found[0] == found[2]
    assert found[0]["id"] == "café"


# ---- train


@given(any_spec)
def test_the_command_on_the_page_starts_the_run_on_the_page(spec: RunSpec) -> None:
    assume(not spec.model.startswith("-"))
    words = shlex.split(command_of(spec, data_file="my file.jsonl"))
    assert words[:4] == ["python", "-m", "lora_lab", "train"]
    values = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(words[4::2], words[5::2], strict=True)
    }
    assert values.pop("data", OWN_DATA) == (OWN_DATA if spec.data == OWN_DATA else "my file.jsonl")
    assert spec_from(values | {"data": spec.data}) == spec


def test_every_setting_of_a_run_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    for field in fields(RunSpec):
        assert f"--{field.name.replace('_', '-')} " in shown


@pytest.fixture
def run(settings: Settings) -> RunFolder:
    """A run that has begun."""
    made = create_run(settings.runs_dir, RunSpec(), own_dataset(), now=NOW)
    made.emit("queued")
    made.emit(
        "started",
        trainable=EMBEDDED[0],
        total=EMBEDDED[1],
        predicted=PREDICTED,
        predicted_bytes=1000,
        row={"lengths": [10] * 4, "answer_tokens": 12},
        device={"name": "CPU, 2 threads", "compute_dtype": "fp32"},
        versions={},
    )
    for number, loss in ((1, 3.5), (2, 2.5)):
        made.emit("step", step=number, loss=loss, tokens=300, seconds=2.0, peak_bytes=990, live_bytes=1)
    return made


def test_the_summary_has_every_field_of_its_contract(run: RunFolder) -> None:
    run.emit("evaluated", loss_before=3.4, loss_after=2.4)
    run.emit("finished", step=2)
    summary = summarize(run)
    contract = (
        "run_dir trainable total loss_first loss_last eval_loss_before eval_loss_after peak_bytes "
        "predicted_bytes tokens_per_second seconds device compute_dtype"
    )
    assert set(contract.split()) == summary.keys()
    assert (summary["trainable"], summary["total"]) == EMBEDDED
    assert (summary["loss_first"], summary["loss_last"]) == (3.5, 2.5)
    assert (summary["eval_loss_before"], summary["eval_loss_after"]) == (3.4, 2.4)
    assert (summary["peak_bytes"], summary["tokens_per_second"]) == (990, 150)
    assert summary["seconds"] >= 0
    assert (summary["device"], summary["compute_dtype"]) == ("CPU, 2 threads", "fp32")
    assert json.loads(json.dumps(summary)) == summary


def test_the_summary_of_a_failed_run_says_what_happened_and_what_to_try(run: RunFolder) -> None:
    run.emit("failed", step=2, cause="killed", what="The process was killed.", do_next="Start again.")
    summary = summarize(run)
    assert summary["error"] == "The process was killed. Start again."
    assert summary["loss_last"] == 2.5


def test_the_summary_of_a_run_that_never_began_has_no_invented_numbers(settings: Settings) -> None:
    made = create_run(settings.runs_dir, RunSpec(), own_dataset(), now=NOW)
    made.emit("queued")
    made.emit("failed", step=0, cause="settings", what="No model.", do_next="Choose one.")
    summary = summarize(made)
    assert summary["trainable"] is summary["loss_first"] is summary["device"] is None


# ---- export


def test_a_run_is_printed_as_a_script_or_as_json(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = run_builders.finished(settings.runs_dir)
    where = ["--run", str(finished.path), "--data-folder", str(settings.home)]
    assert main(["export", "--format", "script", *where]) == 0
    compile(capsys.readouterr().out, "run.py", "exec")
    assert main(["export", "--format", "json", *where]) == 0
    printed = capsys.readouterr().out.encode()
    assert read_run_file("run.json", printed, Uploads(settings.home))[0] == finished.spec


def test_a_folder_that_is_no_run_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--format", "json", "--run", str(settings.home)]) == 1
    assert "isn't a run's folder" in capsys.readouterr().err


# ---- xray


def test_an_xray_is_printed_as_sentences_or_as_one_object(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_builders.finished(settings.runs_dir)
    other = run_builders.finished(settings.runs_dir, after_seconds=5)
    lab = Lab(settings, LocalEngine(settings, warm=False))
    xrays.looked_at(lab, run)
    xrays.looked_at(lab, run, other)
    where = ["--run", str(run.path), "--beside", str(other.path), "--data-folder", str(settings.home)]
    assert main(["xray", *where, "--layer", "1", "--matrix", "mlp.down_proj"]) == 0
    printed = capsys.readouterr().out
    assert "2 of 4 directions carry 90 % of the update of down_proj in layer 1" in printed
    assert "All 4 and 8 directions overlap by 50 %, 8.0 times what chance gives on average" in printed
    assert "the update of down_proj in layer 1 has a norm of 4.61 and W one of 2.00" in printed
    assert main(["xray", *where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["xray"]["modules"]) == len(found["overlap"]["modules"]) == 6


def test_an_xray_of_no_run_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xray", "--run", str(settings.home)]) == 1
    assert "isn't a run's folder" in capsys.readouterr().err


# ---- under the microscope


def test_the_microscope_tells_what_the_page_shows_and_looks_only_once(
    settings: Settings, models_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORA_STUDY_MODELS", str(models_dir))
    asked = ["microscope", "--model", "tiny-random", "--matrix", "mlp.up_proj", "--second", "hqq4:128"]
    asked += ["--data-folder", str(settings.home)]
    assert main(asked) == 0
    first = capsys.readouterr()
    assert "Rounding moves these 128 × 64 weights by" in first.out
    assert "every matrix: HQQ 4-bit, blocks of 128" in first.out
    # Later steps can pass between two looks on a fast machine; starting a process can't.
    assert "Starting its process" in first.err
    found = json.loads(said(capsys, *asked, "--json"))
    question = MicroscopeQuestion(
        model="tiny-random", matrix="mlp.up_proj", second=QuantizationScheme(bits="hqq4", block=128)
    )
    assert first.out.splitlines() == [
        f"{panel.title}: {panel.shown.finding}" for panel in build_panels(question, found)
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--first", "nf5"], "nf5 isn't a scheme"),
        (["--first", "nf4:65"], "nf4:65 isn't a scheme"),
        (["--layer", "2"], "no matrix in layer 2"),
        (["--matrix", "mlp.up"], "no mlp.up in layer 0"),
        (["--second", "nf4"], "Both sides are NF4"),
    ],
)
def test_what_the_microscope_can_not_look_at_is_said(
    settings: Settings, capsys: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    asked = ["microscope", "--model", "tiny-random", "--data-folder", str(settings.home), *words]
    assert main(asked) == 1
    assert problem in capsys.readouterr().err
