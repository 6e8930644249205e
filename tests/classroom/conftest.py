"""What tests of classes with runs share: a lab whose engine trains."""

from collections.abc import Iterator

import pytest

from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from study.base.settings import Settings


@pytest.fixture
def lab(settings: Settings) -> Iterator[Lab]:
    engine = LocalEngine(settings, warm=False)
    engine.start()
    opened = Lab(settings, engine)
    yield opened
    opened.close()
