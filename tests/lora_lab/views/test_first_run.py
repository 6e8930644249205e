"""The introduction's first run, which the learners of a server share."""

from types import SimpleNamespace
from typing import Any

from lora_lab.lab import Lab
from lora_lab.views.first_run import FirstRun
from tests.lora_lab.run_builders import NOW


def test_a_first_run_is_shown_to_the_next_learner_unless_somebody_has_stopped_it(lab: Lab) -> None:
    first_run = FirstRun(lab)
    visit: Any = SimpleNamespace(now=NOW)
    begun = first_run.start(visit, anew=False)
    assert first_run.start(visit, anew=False) == begun
    lab.engine.stop(begun)
    assert first_run.start(visit, anew=False) != begun
