"""What a worker's memory is after a job."""

import sys
from pathlib import Path

import psutil
import pytest
import torch

from lora_lab.worker.training.model_cache import ModelCache

TENSOR_NUMBERS = 25_000
"""100 kB each, which glibc takes from its heap and keeps when they are freed."""

FREED_BYTES = 2_000 * 4 * TENSOR_NUMBERS


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries have no malloc_trim")
def test_after_a_job_the_system_has_the_memory_between_what_stays(tmp_path: Path) -> None:
    made = [torch.ones(TENSOR_NUMBERS) for _ in range(2_200)]
    stays = made[::11]
    del made
    before = psutil.Process().memory_info().rss
    ModelCache(tmp_path).clear()
    assert before - psutil.Process().memory_info().rss < FREED_BYTES / 2, "nothing was loaded"
    ModelCache(tmp_path).take_back(torch.nn.Linear(2, 2))
    assert before - psutil.Process().memory_info().rss > FREED_BYTES / 2
    assert len(stays) == 200
