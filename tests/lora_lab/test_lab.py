"""The lab's worker processes beside the engine's: one for each piece of work, and none after the app."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.spec import OWN_DATA, TINY_MODEL, RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.lora_lab.sweep_builders import finished_sweep, runs_of


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Processes that wait until they are ended, in the place of the lab's workers, as they are started."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*given: object, **named: object) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        return started[-1]

    monkeypatch.setattr("lora_lab.lab.start_worker", start)
    return started


def test_deleting_a_run_ends_what_merges_it(
    settings: Settings, started: list[subprocess.Popen[bytes]]
) -> None:
    lab = Lab(settings, LocalEngine(settings, warm=False))
    run, other = (run_builders.finished(settings.runs_dir, after_seconds=at) for at in (0, 1))
    lab.merge(run)
    lab.merge(other)
    lab.delete_run(run)
    assert [process.poll() is None for process in started] == [False, True]
    assert lab.runs() == [other]
    lab.close()


def test_deleting_a_grid_ends_what_merges_or_measures_its_runs(
    settings: Settings, started: list[subprocess.Popen[bytes]]
) -> None:
    lab = Lab(settings, LocalEngine(settings, warm=False))
    sweep = finished_sweep(settings)
    runs = runs_of(settings, sweep)
    runs[1].adapter_path.mkdir()
    (runs[1].adapter_path / "adapter_config.json").touch()
    lab.merge(runs[0])
    lab.measure_afterwards(sweep)
    assert len(started) == 2
    lab.delete_sweep(sweep)
    assert all(process.poll() is not None for process in started)
    assert lab.runs() == []
    lab.close()


def test_closing_the_lab_ends_what_tokenizes_and_merges(
    settings: Settings, started: list[subprocess.Popen[bytes]]
) -> None:
    lab = Lab(settings, LocalEngine(settings, warm=False))
    for _ in range(2):
        lab.read_data(TINY_MODEL, OWN_DATA)
    lab.merge(run_builders.finished(settings.runs_dir, RunSpec(model=TINY_MODEL)))
    other = run_builders.finished(settings.runs_dir, RunSpec(model=TINY_MODEL))
    thirds: list[Callable[[], None]] = [
        lambda: lab.read_data("another", OWN_DATA),
        lambda: lab.merge(other),
    ]
    for third in thirds:
        with pytest.raises(LearnerError, match=r"2 processes of the Lab are .* Wait until one of them ends"):
            third()
    assert lab.is_reading(TINY_MODEL, OWN_DATA)
    assert len(started) == 2
    started[1].kill()
    started[1].wait()
    lab.merge(other)  # there is room again, and what has ended isn't kept
    assert list(lab._workers.values()) == [started[0], started[2]]
    lab.close()
    assert not lab.is_reading(TINY_MODEL, OWN_DATA)
    assert all(process.poll() is not None for process in started)
