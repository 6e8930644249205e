"""python -m lora_lab train with a real worker process: one object at the end, progress meanwhile."""

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from lora_lab.runs.folder import RunFolder, list_runs
from lora_lab.runs.state import fold_events
from lora_lab.spec import TINY_MODEL
from tests.lora_lab.engine.real_runs import ROOT


def test_train_prints_the_contracts_object_and_shows_progress_meanwhile(
    tmp_path: Path, models_dir: Path
) -> None:
    command = [sys.executable, "-m", "lora_lab", "train", "--model", TINY_MODEL, "--steps", "3", "--json"]
    done = subprocess.run(
        [*command, "--data-folder", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"LORA_STUDY_MODELS": str(models_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    summary = json.loads(line)
    contract = (
        "run_dir trainable total loss_first loss_last eval_loss_before eval_loss_after peak_bytes "
        "predicted_bytes tokens_per_second seconds device compute_dtype"
    )
    assert set(summary) == set(contract.split())
    assert all(value is not None for value in summary.values())
    assert summary["eval_loss_after"] < summary["eval_loss_before"]
    steps = fold_events(RunFolder(Path(summary["run_dir"])).events()).steps
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert (steps[0]["loss"], steps[-1]["loss"]) == (summary["loss_first"], summary["loss_last"])
    assert [line.split()[:2] for line in done.stderr.splitlines() if line.startswith("step ")] == [
        ["step", "1"],
        ["step", "2"],
        ["step", "3"],
    ]
    assert all(a["at"] <= b["at"] for a, b in pairwise(steps))


def test_ctrl_c_stops_a_run_and_says_how_far_it_came(tmp_path: Path, models_dir: Path) -> None:
    command = [sys.executable, "-m", "lora_lab", "train", "--model", TINY_MODEL, "--steps", "2000", "--json"]
    process = subprocess.Popen(
        [*command, "--data-folder", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"LORA_STUDY_MODELS": str(models_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("step 2 "):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
            break
    out, said = process.communicate()
    assert process.returncode == 130
    (run,) = list_runs(tmp_path / "runs")
    assert run.state().status == "stopped"
    assert run.has_adapter
    assert json.loads(out)["run_dir"] == str(run.path)
    lines = said.splitlines()
    assert "Stopping after this step." in lines
    assert lines[-1] == f"Stopped after step {len(run.state().steps)}"
