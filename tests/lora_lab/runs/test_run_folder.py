"""A run is a folder: made whole, found by its id alone; nothing outside the runs folder is opened."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.datasets import build_own_dataset, load_saved
from lora_lab.runs import folder
from lora_lab.runs.events import Event, read_events
from lora_lab.runs.folder import (
    RUN_ID,
    RunFolder,
    create_run,
    delete_run,
    list_runs,
    list_with_damaged,
    open_run,
)
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.io.set_aside import set_aside
from tests.lora_lab.spec_strategies import any_spec

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
NO_RUN = r"There is no run with that name\. Choose one from the list of runs"


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """A runs folder that is not there yet, inside a data folder."""
    return tmp_path / "home" / "runs"


@pytest.fixture
def run(runs_dir: Path) -> RunFolder:
    """A run that was just made."""
    return create_run(runs_dir, RunSpec(), build_own_dataset(), now=NOW)


def test_of_more_runs_than_are_kept_only_the_oldest_are_read_again(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [
        create_run(runs_dir, RunSpec(), build_own_dataset(), now=NOW + timedelta(minutes=minute))
        for minute in range(3)
    ]
    for run in runs:
        run.emit("queued")
    read: list[Path] = []

    def read_and_note(path: Path, *, offset_bytes: int) -> tuple[list[Event], int]:
        read.append(path)
        return read_events(path, offset_bytes=offset_bytes)

    monkeypatch.setattr(folder, "KEPT_STATES", 2)
    monkeypatch.setattr(folder, "_STATES", folder._States())
    monkeypatch.setattr(folder, "read_events", read_and_note)
    newest_first = list(list_runs(runs_dir))
    for run in newest_first * 2:
        assert run.state().status == "queued"
    assert read == [run.events_path for run in (*newest_first, newest_first[-1])]


def test_a_new_run_holds_its_spec_and_the_exact_data(run: RunFolder) -> None:
    assert run.spec == RunSpec()
    assert load_saved(run.path) == build_own_dataset()
    assert run.events() == []
    assert run.samples() == []


@given(any_spec)
def test_every_setting_makes_a_run_that_is_found_by_its_id(
    tmp_path_factory: pytest.TempPathFactory, spec: RunSpec
) -> None:
    runs_dir = tmp_path_factory.mktemp("runs")
    made = create_run(runs_dir, spec, build_own_dataset(), now=NOW)
    assert RUN_ID.fullmatch(made.run_id)
    assert open_run(runs_dir, made.run_id).spec == spec
    assert [path.name for path in runs_dir.iterdir()] == [made.run_id]


def test_an_id_tells_what_was_run(run: RunFolder) -> None:
    assert run.run_id.startswith("20260304-100000")
    assert "-smollm2-135m-r8-nf4-dq-" in run.run_id


def test_equal_runs_in_one_moment_are_two_runs(runs_dir: Path) -> None:
    one, other = (create_run(runs_dir, RunSpec(), build_own_dataset(), now=NOW) for _ in range(2))
    assert one.run_id != other.run_id


def test_runs_are_listed_newest_first(runs_dir: Path) -> None:
    moments = [timedelta(0), timedelta(milliseconds=3), timedelta(seconds=1), timedelta(days=1)]
    specs = [RunSpec(model="z"), RunSpec(model="a"), RunSpec(rank=64), RunSpec(rank=1)]
    made = [
        create_run(runs_dir, spec, build_own_dataset(), now=NOW + after)
        for spec, after in zip(specs, moments, strict=True)
    ]
    assert list(list_runs(runs_dir)) == made[::-1]


def test_without_a_folder_there_are_no_runs(runs_dir: Path) -> None:
    assert list(list_runs(runs_dir)) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "/etc", "notes", "spec.json"])
def test_a_name_that_is_no_id_opens_nothing(runs_dir: Path, run: RunFolder, name: str) -> None:
    (runs_dir.parent / "spec.json").write_text(RunSpec().to_json())
    with pytest.raises(LearnerError, match=NO_RUN):
        open_run(runs_dir, name)


@pytest.mark.parametrize(
    "wrap", ["../{}", "../runs/{}", "x/../{}", "{}/", "{}\n", "{}/.", "./{}", " {}", "{}\x00"]
)
def test_a_detour_to_a_real_run_opens_nothing(runs_dir: Path, run: RunFolder, wrap: str) -> None:
    with pytest.raises(LearnerError, match=NO_RUN):
        open_run(runs_dir, wrap.format(run.run_id))


@given(st.text())
def test_no_text_leads_out_of_the_runs_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    with pytest.raises(LearnerError, match=NO_RUN):
        open_run(tmp_path_factory.getbasetemp(), name)


def test_a_link_out_of_the_runs_folder_is_no_run(runs_dir: Path, run: RunFolder, tmp_path: Path) -> None:
    outside = create_run(tmp_path / "elsewhere", RunSpec(), build_own_dataset(), now=NOW)
    (runs_dir / outside.run_id).symlink_to(outside.path, target_is_directory=True)
    assert list(list_runs(runs_dir)) == [run]
    with pytest.raises(LearnerError, match=NO_RUN):
        open_run(runs_dir, outside.run_id)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"rank": 0}', b'{"epochs": 3}'])
def test_a_run_whose_settings_cant_be_read_hides_no_other(
    runs_dir: Path, run: RunFolder, damage: bytes
) -> None:
    other = create_run(runs_dir, RunSpec(rank=1), build_own_dataset(), now=NOW)
    (other.path / "spec.json").write_bytes(damage)
    assert list(list_runs(runs_dir)) == [run]
    with pytest.raises(LearnerError, match=NO_RUN):
        open_run(runs_dir, other.run_id)


def test_what_else_lies_in_the_folder_is_not_listed(runs_dir: Path, run: RunFolder) -> None:
    (runs_dir / f".{run.run_id}").mkdir()
    (runs_dir / run.run_id.replace("2026", "2027")).mkdir()
    (runs_dir / "notes.txt").write_text("mine")
    assert list(list_runs(runs_dir)) == [run]


def test_a_deleted_run_is_gone_with_all_its_files(runs_dir: Path, run: RunFolder) -> None:
    kept = create_run(runs_dir, replace(RunSpec(), rank=1), build_own_dataset(), now=NOW)
    run.adapter_path.mkdir()
    (run.adapter_path / "adapter_model.safetensors").write_bytes(b"x")
    delete_run(run)
    assert not run.path.exists()
    assert list(list_runs(runs_dir)) == [kept]
    with pytest.raises(LearnerError, match=NO_RUN):
        open_run(runs_dir, run.run_id)


def test_events_go_to_the_runs_own_log(run: RunFolder) -> None:
    run.emit("queued")
    run.emit("step", step=1, loss=2.5)
    assert [event["kind"] for event in RunFolder(run.path).events()] == ["queued", "step"]


def test_asking_twice_to_stop_is_asking_once(run: RunFolder) -> None:
    assert not run.stop_path.exists()
    run.ask_to_stop()
    run.ask_to_stop()
    assert run.stop_path.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"samples": 3}', "null"])
def test_damaged_answers_count_as_not_written_yet(run: RunFolder, damage: str) -> None:
    (run.path / "samples.json").write_text(damage)
    assert run.samples() == []


def test_answers_are_read_as_they_were_written(run: RunFolder) -> None:
    answers = [{"prompt": "p", "reference": "r", "base": "b", "tuned": "t"}]
    (run.path / "samples.json").write_text(json.dumps({"samples": answers}))
    assert run.samples() == answers


def test_the_state_reads_on_where_it_stopped(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    offsets: list[int] = []

    def noted(path: Path, *, offset_bytes: int = 0) -> tuple[list[Event], int]:
        offsets.append(offset_bytes)
        return read_events(path, offset_bytes=offset_bytes)

    monkeypatch.setattr(folder, "read_events", noted)
    run.emit("queued")
    assert run.state().status == "queued"
    assert run.state() is run.state()
    size_bytes = run.events_path.stat().st_size
    run.emit("status", text="Loading")
    assert run.state().doing == "Loading"
    assert offsets == [0, size_bytes]


def test_events_that_were_replaced_are_read_from_the_start(run: RunFolder) -> None:
    run.emit("queued")
    run.emit("status", text="Loading")
    assert run.state().doing == "Loading"
    run.events_path.write_text('{"kind": "queued", "at": 1}\n')
    assert run.state().doing == "Waiting"
    run.events_path.unlink()
    assert run.state().queued_at == 0


def test_half_a_line_is_read_once_it_is_whole(run: RunFolder) -> None:
    with run.events_path.open("a") as file:
        file.write('{"kind": "status", "at": 1, ')
        file.flush()
        assert run.state().status == "queued"
        file.write('"text": "Loading"}\n')
    assert run.state().doing == "Loading"


def test_only_damaged_folders_are_set_aside_and_none_is_overwritten(runs_dir: Path, run: RunFolder) -> None:
    damaged = create_run(runs_dir, RunSpec(), build_own_dataset(), now=NOW + timedelta(seconds=1))
    for content in ("null", "[", "5"):
        damaged.path.mkdir(exist_ok=True)
        (damaged.path / "spec.json").write_text(content)
        assert list_with_damaged(runs_dir)[1] == [damaged.path]
        set_aside([*list_with_damaged(runs_dir)[1], runs_dir / "gone"], runs_dir.parent)
    assert [kept.path for kept in list_runs(runs_dir)] == [run.path]
    aside = runs_dir.parent / "set-aside" / "runs"
    kept = [aside / f"{damaged.run_id}{again}" / "spec.json" for again in ("", "-2", "-3")]
    assert [path.read_text() for path in kept] == ["null", "[", "5"]


def test_the_name_of_a_runs_data_is_read_again_only_when_its_file_changes(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each poll asks for it."""
    assert run.data_label == build_own_dataset().label
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", lambda path, *_: pytest.fail(f"{path} was read"))
        assert run.data_label == build_own_dataset().label
    for at_seconds, (text, label) in enumerate(
        [('{"label": "mine.jsonl"}', "mine.jsonl"), ("{", "app-cards")]
    ):
        (run.path / "data.json").write_text(text)
        os.utime(run.path / "data.json", (at_seconds, at_seconds))
        assert run.data_label == label
