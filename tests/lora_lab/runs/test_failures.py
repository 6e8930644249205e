"""Every way a run can fail says what happened, what is safe and what to try, in plain words."""

import signal
from pathlib import Path

import pytest

from lora_lab.runs import failures
from lora_lab.runs.failures import Failure
from lora_lab.runs.finalize import cut_off, write_terminal_event
from lora_lab.spec import RunSpec
from tests.lora_lab import run_builders

HEAVY = RunSpec(rank=64, batch=8, seq_len_tokens=512, bits="bf16")
LIGHT = RunSpec(rank=1, batch=1, seq_len_tokens=64, bits="nf4-dq")


def ended(exit_code: int, *, step: int = 12, saved_step: int = 10, last_lines: str = "") -> Failure:
    return failures.describe_early_end(
        HEAVY, exit_code=exit_code, step=step, saved_step=saved_step, last_lines=last_lines
    )


def test_out_of_memory_says_what_is_kept_and_what_to_lower_in_order() -> None:
    failure = failures.describe_out_of_memory(HEAVY, step=12, saved_step=10)
    assert failure.cause == "out-of-memory"
    assert failure.what == "Ran out of memory at step 12. The adapter of step 10 is saved."
    assert failure.do_next == (
        "Try a batch of 4 instead of 8, or sequences of 256 tokens, or a rank of 8, or 4-bit weights."
    )


def test_nothing_is_suggested_that_would_not_help() -> None:
    failure = failures.describe_out_of_memory(LIGHT, step=1, saved_step=0)
    assert failure.do_next == "Close other programs or choose a smaller model."
    assert "No adapter had been saved yet; your settings are kept." in failure.what


@pytest.mark.parametrize(
    ("spec", "suggested"),
    [
        (RunSpec(batch=2, seq_len_tokens=64), "a batch of 1 instead of 2"),
        (RunSpec(batch=1, seq_len_tokens=65), "sequences of 32 tokens"),
        (RunSpec(batch=1, seq_len_tokens=64, rank=9), "a rank of 8"),
        (RunSpec(batch=1, seq_len_tokens=64, bits="int8"), "4-bit weights"),
    ],
)
def test_each_suggestion_comes_where_it_applies(spec: RunSpec, suggested: str) -> None:
    assert failures.describe_out_of_memory(spec, step=1, saved_step=0).do_next == f"Try {suggested}."


def test_a_loss_that_is_no_number_names_the_learning_rate() -> None:
    failure = failures.describe_non_finite(RunSpec(learning_rate=50), step=4, saved_step=3)
    assert failure.cause == "non-finite"
    assert failure.what == "The loss stopped being a number at step 4. The adapter of step 3 is saved."
    assert "Lower the learning rate: 50 is probably too high here. Try 0.002." in failure.do_next
    assert "alpha (now 16)" in failure.do_next


@pytest.mark.parametrize(
    "text",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "torch.AcceleratorError: CUDA error: out of memory",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "RuntimeError: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Error out of memory at line 383 in file /src/csrc/ops.cu",
        "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory",
        "MemoryError",
    ],
)
def test_every_librarys_word_for_a_failed_allocation_is_known(text: str) -> None:
    assert ended(1, last_lines=f"Traceback\n{text}").cause == "out-of-memory"


@pytest.mark.parametrize(
    "text", ["CUDA error: device-side assert triggered", "CUDA error: no kernel image is available", ""]
)
def test_other_errors_of_a_gpu_are_no_lack_of_memory(text: str) -> None:
    assert ended(1, last_lines=text).cause == "crash"


@pytest.mark.parametrize(("rate", "tried"), [(1e30, "0.002"), (2e-3, "0.0002"), (1e-4, "1e-05")])
def test_the_rate_to_try_is_always_lower(rate: float, tried: str) -> None:
    assert (
        f"Try {tried}."
        in failures.describe_non_finite(RunSpec(learning_rate=rate), step=4, saved_step=3).do_next
    )


def test_at_the_first_step_nothing_was_learnt_yet() -> None:
    failure = failures.describe_non_finite(RunSpec(), step=1, saved_step=0)
    assert failure.what.endswith("The adapter had not learnt anything yet.")
    assert "learning rate" not in failure.do_next, "no update has happened that it could have spoilt"
    assert failure.do_next.startswith("Compute in fp32")
    assert "alpha (now 16)" in failure.do_next


@pytest.mark.parametrize("exit_code", [-signal.SIGKILL, 137])
def test_a_killed_worker_names_both_reasons_and_what_to_try(exit_code: int) -> None:
    failure = ended(exit_code)
    assert failure.cause == "killed"
    assert "killed from outside after step 12" in failure.what
    assert "probably ran out of memory" in failure.what
    assert "The adapter of step 10 is saved." in failure.what
    assert "a batch of 4 instead of 8" in failure.do_next


@pytest.mark.parametrize(
    "last_lines", ["MemoryError", "RuntimeError: ... DefaultCPUAllocator: can't allocate"]
)
def test_an_allocators_last_words_are_out_of_memory(last_lines: str) -> None:
    failure = ended(1, last_lines=f"Traceback ...\n{last_lines}\n")
    assert failure == failures.describe_out_of_memory(HEAVY, step=13, saved_step=10)


@pytest.mark.parametrize("exit_code", [0, 1, -signal.SIGSEGV])
def test_any_other_end_gives_the_status_and_where_to_look(exit_code: int) -> None:
    failure = ended(exit_code, last_lines="ValueError: what a learner need not read")
    assert failure.cause == "crash"
    assert f"ended with status {exit_code} after step 12" in failure.what
    assert "ValueError" not in failure.what + failure.do_next
    assert "stdout.log" in failure.do_next


def test_a_worker_that_died_before_the_job_has_written_to_the_other_log(tmp_path: Path) -> None:
    run = run_builders.queued(tmp_path)
    assert "worker.log in the data folder" in write_terminal_event(run, 1).failure_text


def test_a_stop_before_the_app_was_closed_stays_a_stop(tmp_path: Path) -> None:
    """A cut-off cell would be trained again at the next start."""
    begun, loading = run_builders.training(tmp_path), run_builders.queued(tmp_path, after_seconds=1)
    loading.emit("status", text="Loading the model", worker_pid=0)
    for run in (begun, loading):
        run.ask_to_stop()
        cut_off(run)
        assert (run.state().status, run.state().cut_off) == ("stopped", False)
    assert begun.state().note.startswith("Its process ended before it had its held-out loss.")
    assert not loading.state().note


def test_a_closed_app_is_said_and_offers_a_new_start() -> None:
    failure = failures.describe("closed-app", step=5)
    assert failure.what == "The app was closed after step 5 of this run."
    assert failure.do_next == "Start it again with the same settings."


def test_what_to_try_after_a_second_kill_reads_as_one_sentence() -> None:
    assert "Start again. If it happens again, try " in ended(-signal.SIGKILL).do_next


def test_no_failure_scolds_or_shouts() -> None:
    everyone = [
        failures.describe_out_of_memory(HEAVY, step=1, saved_step=0),
        failures.describe_non_finite(HEAVY, step=2, saved_step=0),
        failures.describe("closed-app", step=1),
        ended(-signal.SIGKILL),
        ended(1),
    ]
    for failure in everyone:
        assert failure.what.endswith(".")
        assert failure.do_next.endswith(".")
        assert "!" not in failure.what + failure.do_next
