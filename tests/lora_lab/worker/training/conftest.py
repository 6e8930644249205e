"""Fixtures of the tests on a simulated GPU."""

import gc
from collections.abc import Iterator

import pytest

from lora_lab.worker.device.gpu import workspace_bytes
from tests.simulated_gpu.device import DEVICE, SimulatedGpu, load


@pytest.fixture(scope="module")
def gpu() -> SimulatedGpu:
    """The simulated GPU; without a C++ compiler every test here fails with a sentence that says so."""
    try:
        return load()
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def emptied_gpu(gpu: SimulatedGpu) -> Iterator[None]:
    workspace_bytes(DEVICE)
    yield
    gc.collect()
    gpu.empty_cache()
