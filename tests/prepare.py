"""Writes the model files that tests share before two processes ask for them: `python -m tests.prepare`."""

import os
from pathlib import Path

import tests.conftest  # noqa: F401 - where these files are kept
from lora_lab.worker.model.load import prepare_embedded, write_tiny_model
from quizzes.grader.minilm import fetch_minilm

if __name__ == "__main__":
    folder = Path(os.environ["LORA_STUDY_MODELS"])
    folder.mkdir(parents=True, exist_ok=True)
    prepare_embedded(folder, print)
    write_tiny_model(folder)
    fetch_minilm(folder, print)
