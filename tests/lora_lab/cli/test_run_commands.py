"""train and export: the run of the page, a summary with every field, and a script or JSON of it."""

import json
import shlex
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import assume, given

from lora_lab.__main__ import main
from lora_lab.cli.progress import Watcher
from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.uploads import Uploads
from lora_lab.runs.folder import RunFolder, create_run, list_runs
from lora_lab.runs.run_file import read_run_file
from lora_lab.runs.summary import summarize
from lora_lab.settings.run_form import format_command
from lora_lab.spec import OWN_DATA, RunSpec, parse_spec
from study.base.settings import Settings
from tests.golden.counts import EMBEDDED
from tests.lora_lab import run_builders
from tests.lora_lab.runs.test_run_folder import NOW
from tests.lora_lab.spec_strategies import any_spec
from tests.lora_lab.worker.builders import full_disk


@given(any_spec)
def test_the_command_on_the_page_starts_the_run_on_the_page(spec: RunSpec) -> None:
    assume(not spec.model.startswith("-"))
    words = shlex.split(format_command(spec, data_file="my file.jsonl"))
    assert words[:4] == ["python", "-m", "lora_lab", "train"]
    values = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(words[4::2], words[5::2], strict=True)
    }
    assert values.pop("data", OWN_DATA) == (OWN_DATA if spec.data == OWN_DATA else "my file.jsonl")
    assert parse_spec(values | {"data": spec.data}) == spec


def test_every_setting_of_a_run_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    for field in fields(RunSpec):
        assert f"--{field.name.replace('_', '-')} " in shown


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
    made = create_run(settings.runs_dir, RunSpec(), build_own_dataset(), now=NOW)
    made.emit("queued")
    made.emit("failed", step=0, cause="settings", what="No model.", do_next="Choose one.")
    summary = summarize(made)
    assert summary["trainable"] is summary["loss_first"] is summary["device"] is None


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


def test_a_run_that_failed_at_once_prints_what_is_known_and_why(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create_run(settings.runs_dir, RunSpec(), build_own_dataset(), now=NOW)
    made.emit("failed", step=0, cause="settings", what="No model.", do_next="Choose one.")
    monkeypatch.setattr("lora_lab.cli.runs.run_now", lambda *given, **named: made)
    assert main(["train", "--data-folder", str(settings.home)]) == 1
    assert capsys.readouterr().out == f"run_dir: {made.path}\nerror: No model. Choose one.\n"


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_full_disk_is_said_in_words(
    command: str, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--model", "tiny-random", "--data-folder", str(settings.home), "--json"]
    with full_disk(largest_file_bytes=100):
        assert main([command, *where]) == 1
    assert json.loads(capsys.readouterr().out)["error"].startswith("The disk is full")
    assert not list(list_runs(settings.runs_dir))


def test_ctrl_c_ends_what_merges(run: RunFolder, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Merging(subprocess.Popen[bytes]):
        is_interrupted = False

        def wait(self, timeout: float | None = None) -> int:
            if self.is_interrupted:
                return super().wait(timeout)
            self.is_interrupted = True
            raise KeyboardInterrupt

    with Merging([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        monkeypatch.setattr("lora_lab.__main__.start_worker", lambda *given, **named: worker)
        where = ["--run", str(run.path), "--data-folder", str(settings.home)]
        with pytest.raises(KeyboardInterrupt):
            main(["export", "--format", "merged", *where])
        assert worker.poll() is not None


def test_a_step_without_its_peak_is_printed_without_one(settings: Settings) -> None:
    begun = run_builders.queued(settings.runs_dir)
    run_builders.emit_step(begun, 1)
    run_builders.emit_step(begun, 2, peak_bytes=990_000)
    run_builders.emit_step(begun, 3, shared_by=3, group_peak_bytes=1_990_000)
    run_builders.emit_step(begun, 4, shared_by=3)
    printed: list[str] = []
    Watcher(printed.append).say(begun.state())
    assert printed[:4] == [
        "step 1  loss 3.875  0.50 s",
        "step 2  loss 3.750  0.50 s  peak 990 kB",
        "step 3  loss 3.625  0.50 s  peak of 3 runs together 1.99 MB",
        "step 4  loss 3.500  0.50 s",
    ]
