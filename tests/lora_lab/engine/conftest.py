"""What tests with real workers share: a template, so that only the first one imports torch."""

from collections.abc import Iterator

import pytest

from lora_lab.engine.template import WorkerTemplate
from tests.lora_lab.engine.real_runs import READ_LATE_IN_TESTS


@pytest.fixture(scope="session")
def shared_template() -> Iterator[WorkerTemplate]:
    """The template of all engines of this test process."""
    opened = WorkerTemplate(read_late=READ_LATE_IN_TESTS)
    yield opened
    opened.close()
