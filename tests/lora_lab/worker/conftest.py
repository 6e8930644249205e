"""Warnings of the libraries that a run of the worker ends up in its log, not in front of a learner."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_lab.worker.training import generate

HERE = Path(__file__).parent
# PEFT 0.21 asks transformers 5.24 for a property under its old name.
LIBRARY_WARNING = "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every other warning is an error, here as everywhere."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(LIBRARY_WARNING))


@pytest.fixture(scope="session", autouse=True)
def short_answers() -> Iterator[None]:
    """Of 48 tokens, two answers of the tiny model take as long as its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "NEW_TOKENS", 8)
        yield
