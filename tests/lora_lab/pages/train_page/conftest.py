"""A Lab page whose engine queues and never begins, and a learner's browser on it."""

import pytest

from lora_lab.lab import Lab
from lora_lab.pages.train import LabPage
from study.ports.context import Context
from tests.lora_lab.pages.lab_visits import Visitor, asked


@pytest.fixture
def ana(context: Context, lab: Lab) -> Visitor:
    """A learner's browser."""
    return Visitor(LabPage(context, lab, ask_for_cards=asked))
