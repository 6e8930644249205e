"""What tests of classes share: a lab whose engine trains, and a class behind its routes."""

from collections.abc import Iterator

import pytest

from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from study.base.settings import Settings
from study.ports.context import Context
from tests.classroom.rooms import School


@pytest.fixture
def lab(settings: Settings) -> Iterator[Lab]:
    engine = LocalEngine(settings, warm=False)
    engine.start()
    opened = Lab(settings, engine)
    yield opened
    opened.close()


@pytest.fixture
def school(context: Context) -> School:
    """The routes of a class on the test's own store."""
    return School(context)
