"""A worker process that runs out of memory goes on, and a warm one takes the first run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lora_lab.data.datasets import Example, split_examples
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.worker_process import WorkerProcess
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import fold_events
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from study.base.settings import Settings
from tests.lora_lab.engine.real_runs import (
    DEADLINE_SECONDS,
    NOW,
    SHORT,
    ended,
    is_gone,
    log_tail,
    settings_in,
    sums,
    wait_until,
)
from tests.waiting import wait_for

LIMIT_BYTES = 12 * 10**9
"""Of address space: enough for the libraries, not for an attention mask of 69 GB."""


# ---- memory


@dataclass
class TightMemory:
    """Three runs in one process whose address space is limited; the second one asks for too much."""

    before: RunFolder
    refused: RunFolder
    after: RunFolder
    survived: bool


@pytest.fixture(scope="module")
def tight_memory(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, shared_fork_server: ForkServer
) -> TightMemory:
    """With PyTorch's graph, a row of 64 long examples asks for a mask of some 69 GB."""
    settings = settings_in(tmp_path_factory.mktemp("tight-memory"), models_dir)
    words = "word " * 780
    long = split_examples(
        [Example(prompt=f"{number} {words}", answer="yes") for number in range(70)], label="long"
    )
    too_much = replace(SHORT, batch=64, seq_len_tokens=4096, rank=16, bits="int8", optimizer="adamw8bit")
    before, after = (create_run(settings.runs_dir, SHORT, sums(), now=NOW) for _ in range(2))
    refused = create_run(settings.runs_dir, too_much, long, now=NOW)
    limit = ["--cold", "--memory-limit-bytes", str(LIMIT_BYTES)]
    worker = WorkerProcess(settings, limit, fork_server=shared_fork_server)
    answers = [worker.do([run]) for run in (before, refused, after)]
    survived = worker.is_alive and answers == [None, None, None]
    worker.finish(DEADLINE_SECONDS)
    return TightMemory(before, refused, after, survived)


def test_a_run_that_exceeds_its_memory_says_so_and_what_to_lower(tight_memory: TightMemory) -> None:
    state = fold_events(tight_memory.refused.events())
    assert state.failure is not None
    assert state.failure["cause"] == "out-of-memory", log_tail(tight_memory.refused)
    assert state.failure["what"].startswith("Ran out of memory at step 1. No adapter had been saved yet")
    assert state.failure["do_next"] == (
        "Try a batch of 32 instead of 64, or sequences of 2048 tokens, or a rank of 8, or 4-bit weights."
    )
    assert state.started is not None
    assert state.started["predicted_bytes"] > LIMIT_BYTES, "it could have been known before"


def test_after_it_the_process_goes_on_and_gets_the_same_losses(tight_memory: TightMemory) -> None:
    assert tight_memory.survived
    before, after = (fold_events(run.events()) for run in (tight_memory.before, tight_memory.after))
    assert after.status == "finished"
    assert [step["loss"] for step in after.steps] == [step["loss"] for step in before.steps]
    assert after.loss_after == before.loss_after


# ---- the warm worker


@pytest.mark.embedded
def test_a_warm_worker_takes_the_first_run_and_another_one_is_warmed_up_after_it(
    tmp_path: Path, embedded_dir: Path, shared_fork_server: ForkServer
) -> None:
    settings = settings_in(tmp_path, embedded_dir)
    spec = RunSpec(model=EMBEDDED_MODEL, steps=1, batch=1)
    engine = LocalEngine(settings, warm=True, fork_server=shared_fork_server)
    engine.start()
    ready = worker_state(settings, "ready")
    run = engine.submit(spec, sums(), now=NOW)
    state = wait_until(run, ended)
    next_pid = another_worker(settings, than=ready["pid"])
    engine.close()

    assert state.status == "finished"
    assert state.worker_pid == ready["pid"], "the run had to wait for a worker of its own"
    assert "Loading the model" not in [event.get("text") for event in run.events()]
    assert state.started is not None
    assert state.started["trainable"] == 2_442_240
    assert is_gone(next_pid)


def worker_state(settings: Settings, wanted: str) -> dict[str, Any]:
    state = wait_for(
        LabHome(settings.home).read_worker_state,
        lambda state: state["state"] in (wanted, "no-model"),
        seconds=DEADLINE_SECONDS,
    )
    assert state["state"] == wanted, state
    return state


def another_worker(settings: Settings, *, than: int) -> int:
    """The process that waits for the next run."""
    read = LabHome(settings.home).read_worker_state
    state = wait_for(read, lambda state: state.get("pid", than) != than, seconds=DEADLINE_SECONDS)
    return int(state["pid"])
