"""xray and microscope: what their pages show, as sentences or as one object."""

import json
from pathlib import Path

import pytest

from lora_lab.__main__ import main
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.microscope.panels import build_panels
from lora_lab.microscope.query import MicroscopeQuestion, QuantizationScheme
from study.base.settings import Settings
from tests.lora_lab import run_builders, xrays
from tests.lora_lab.cli.asking import said


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


def test_an_xray_describes_the_layer_and_the_matrix_that_were_asked_for_or_says_there_are_none(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_builders.finished(settings.runs_dir)
    xrays.looked_at(Lab(settings, LocalEngine(settings, warm=False)), run)
    where = ["xray", "--run", str(run.path), "--data-folder", str(settings.home)]
    assert main([*where, "--layer", "1"]) == 0
    assert "of q_proj in layer 1 " in capsys.readouterr().out
    assert main([*where, "--matrix", "mlp.down_proj"]) == 0
    assert "of down_proj in layer 0 " in capsys.readouterr().out
    for wrong, told in (
        (["--layer", "99"], "This run adapts no matrix in layer 99. It has the layers 0, 1 and the matrices"),
        (["--matrix", "nix"], "This run adapts no nix. It has the layers 0, 1 and the matrices"),
    ):
        assert main([*where, *wrong]) == 1
        assert capsys.readouterr().err.startswith(told)


def test_an_xray_of_no_run_is_said(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["xray", "--run", str(settings.home)]) == 1
    assert "isn't a run's folder" in capsys.readouterr().err


def test_the_microscope_tells_what_the_page_shows_and_looks_only_once(
    settings: Settings, models_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LORA_STUDY_MODELS", str(models_dir))
    asked = ["microscope", "--model", "tiny-random", "--matrix", "mlp.up_proj", "--second", "hqq4:128"]
    asked += ["--data-folder", str(settings.home)]
    assert main(asked) == 0
    first = capsys.readouterr()
    assert "Rounding moves these 128 × 64 weights by" in first.out
    assert "with every matrix in HQQ 4-bit, blocks of 128" in first.out
    # Later steps can pass between two looks on a fast machine; starting a process can't.
    assert "Starting the process that measures, about 10 s" in first.err
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
