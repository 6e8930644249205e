"""Tests that need a CUDA device; `make test` leaves them out, `make gpu-check` runs nothing else."""

from pathlib import Path

import pytest

from tests.lora_lab.conftest import LIBRARY_WARNING, embedded_dir, models_dir

__all__ = ["embedded_dir", "models_dir"]
HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def _a_gpu_is_there() -> None:
    """Fails, and never skips: whoever asks for these tests wants to know."""
    import torch  # not above: tests.conftest sets the environment that torch reads first

    if not torch.cuda.is_available():
        pytest.fail("No CUDA device was found: these tests need a machine with an NVIDIA GPU.", pytrace=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """As for the worker's tests on a CPU."""
    for item in items:
        if HERE in item.path.parents:
            # Warnings of CUDA's libraries differ by card and driver, and are no failures of the lab.
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.filterwarnings(LIBRARY_WARNING))
