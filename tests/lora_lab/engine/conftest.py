"""What tests with real workers share: a fork server, so that only the first one imports torch."""

from collections.abc import Iterator

import pytest

from lora_lab.engine.fork_server import ForkServer
from tests.lora_lab.engine.real_runs import READ_LATE_IN_TESTS


@pytest.fixture(scope="session")
def shared_fork_server() -> Iterator[ForkServer]:
    """The fork server of all engines of this test process."""
    opened = ForkServer(read_late=READ_LATE_IN_TESTS)
    yield opened
    opened.close()
