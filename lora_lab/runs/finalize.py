"""Writes the terminal event of a run whose process ended without one."""

from dataclasses import asdict

from lora_lab.runs import failures
from lora_lab.runs.failures import Failure
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState

LOG_TAIL_BYTES = 4000


def write_terminal_event(run: RunFolder, exit_code: int) -> RunState:
    """Return the final state; a worker that ended without a terminal event is a failed run with a cause."""
    state = run.state()
    if state.ended:
        return state
    failure = failures.describe_early_end(
        run.spec,
        exit_code=exit_code,
        step=len(state.steps),
        saved_step=state.saved_step,
        last_lines=_log_tail(run),
    )
    run.emit("failed", step=len(state.steps), **asdict(failure))
    return run.state()


def cut_off(run: RunFolder, failure: Failure | None = None) -> None:
    """Mark a run as failed because its worker went away, by default with the app; as stopped, if a learner
    had stopped it before.
    """
    state = run.state()
    step, measured = len(state.steps), state.loss_after is not None
    what = failures.say_cut_short(saved_step=state.saved_step, measured=measured) if step else ""
    _end_without_worker(run, state, what, failure or failures.describe("closed-app", step=step))


def end_refused(run: RunFolder, error: Exception) -> None:
    """Mark a run as failed because the app itself could not go on with it."""
    state = run.state()
    if not state.ended:
        run.emit("failed", step=len(state.steps), **asdict(failures.describe_refusal("refused", error)))


def fail_silent_run(run: RunFolder, seconds: int) -> None:
    """End a run whose process the app ended because a run in it did not end after a stop."""
    state = run.state()
    measured = state.loss_after is not None
    what = failures.say_silent(seconds, saved_step=state.saved_step, measured=measured)
    _end_without_worker(run, state, what, failures.describe("lost-worker", step=len(state.steps)))


def _end_without_worker(run: RunFolder, state: RunState, what: str, failure: Failure) -> None:
    if state.ended:
        return
    if run.stop_path.exists():
        run.emit("stopped", step=len(state.steps), what=what)
    else:
        run.emit("failed", step=len(state.steps), cut_off=True, **asdict(failure))


def _log_tail(run: RunFolder) -> str | None:
    """Read the end of the run's log; None when no worker has written one."""
    try:
        return run.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError:
        return None
