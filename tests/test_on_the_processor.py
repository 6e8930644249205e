"""A suite run on a machine with a GPU stays on its CPU, unless the GPU's own tests are asked for."""

import os
from types import SimpleNamespace

import pytest

from tests.conftest import pytest_configure


@pytest.mark.parametrize(
    ("asked", "visible"),
    [
        ("", ""),
        ("not gpu and not browser", ""),
        ("simulated_gpu", ""),
        ("gpu", "0"),
        ("gpu and not x", "0"),
    ],
)
def test_only_the_gpu_marker_shows_the_gpu_to_tests_and_apps(
    monkeypatch: pytest.MonkeyPatch, asked: str, visible: str
) -> None:
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    options = {"markexpr": asked, "--postgres": False}
    pytest_configure(SimpleNamespace(getoption=options.get))  # type: ignore[arg-type]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
