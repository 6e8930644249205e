"""A simulated GPU, and runs in the process of their test."""

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import bitsandbytes as bnb
import pytest
import torch

from lora_lab.worker.device.gpu import measure_workspace_bytes
from tests.lora_lab.worker.training.single_run import RunIt, do_run
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
    measure_workspace_bytes(DEVICE)
    # bitsandbytes keeps one table of codes per process, on the device that asks first: a test that runs alone
    # would count its 1,024 bytes as its own (.2004 % beside a limit of .2).
    bnb.functional.quantize_blockwise(torch.zeros(64, device=DEVICE))
    yield
    gc.collect()
    gpu.empty_cache()


@pytest.fixture
def run_it(tmp_path: Path, models_dir: Path) -> RunIt:
    """Do one run in this process, in a data folder of the test's own."""

    return partial(do_run, tmp_path, models_dir)
