"""The lab's own app, which has a finished run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import CopyRuns, Visit, starter
from tests.browser.lab.lab_page import INSTANT, open_lab


@pytest.fixture(scope="package")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the lab's own app."""
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="package")
def finished_run(finished_runs: CopyRuns, lab_folder: Path) -> str:
    """The id of a run that had ended before the app was opened; a second one has another rank."""
    return finished_runs(lab_folder, "rank 2", "rank 8")[-1]


@pytest.fixture(scope="package")
def lab_address(
    tmp_path_factory: pytest.TempPathFactory, lab_folder: Path, finished_run: str
) -> Iterator[str]:
    """An app whose workers start when a run asks for one, so that runs share no state."""
    with starter(tmp_path_factory) as start:
        yield start("--no-worker", folder=lab_folder)


@pytest.fixture
def lab(look: Visit, lab_address: str) -> Page:
    """The Lab page, drawn."""
    return open_lab(look, lab_address, INSTANT)
