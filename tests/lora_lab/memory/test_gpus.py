"""The workspaces that cuBLAS keeps on a GPU."""

import pytest

from lora_lab.memory.gpus import compute_workspace_bytes


@pytest.mark.parametrize(
    ("major", "config", "each_bytes"),
    [
        (7, "", 8_519_680),  # "always occupies this fixed size": discuss.pytorch.org/t/178671
        (8, "", 8_519_680),
        (9, "", 32 * 2**20),
        (12, "", 32 * 2**20),
        (9, ":4096:8", 32 * 2**20),
        (8, ":4096:2:16:8", 8_519_680),  # the default, written out as in cuBLAS' documentation
        (8, ":16:8", 128 * 1024),
        (8, "something else", 8_519_680),
    ],
)
def test_each_of_two_threads_keeps_a_workspace(major: int, config: str, each_bytes: int) -> None:
    assert compute_workspace_bytes(major, config) == 2 * each_bytes
