"""What tests of the worker share."""

from collections.abc import Iterator

import pytest

from lora_lab.worker.training import generate


@pytest.fixture(scope="session", autouse=True)
def short_answers() -> Iterator[None]:
    """Of 48 tokens, two answers of the tiny model take as long as its training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "NEW_TOKENS", 8)
        yield
