"""The lab's own app, which has a finished run."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest
from playwright.sync_api import Page

from lora_lab.data.datasets import own_dataset
from lora_lab.engine.own_worker import run_now
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import TINY_MODEL, RunSpec
from study.base.settings import load_settings
from tests.browser.conftest import Visit, starter
from tests.browser.lab.lab_page import INSTANT, open_lab


@pytest.fixture(scope="package")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the lab's own app."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="package")
def finished_run(lab_folder: Path) -> str:
    """The id of a run that had ended before the app was opened; a second one has another rank."""
    settings = load_settings(home=lab_folder)
    specs = [RunSpec(model=TINY_MODEL, steps=4, rank=2), RunSpec(model=TINY_MODEL, steps=40, seed=7)]
    runs = [
        run_now(settings, spec, own_dataset(), now=datetime.now(UTC), watch=wait_a_moment) for spec in specs
    ]
    return runs[-1].run_id


def wait_a_moment(run: RunFolder) -> None:
    """Nothing to show while the fixture's runs work."""
    Event().wait(0.1)


@pytest.fixture(scope="package")
def lab_address(
    tmp_path_factory: pytest.TempPathFactory, lab_folder: Path, finished_run: str
) -> Iterator[str]:
    """An app whose workers start when a run asks for one, so that runs share no state."""
    with starter(tmp_path_factory) as start:
        yield start("--no-worker", folder=lab_folder)


@pytest.fixture
def lab(visit: Visit, lab_address: str) -> Page:
    """The Lab page, drawn."""
    return open_lab(visit, lab_address, INSTANT)
