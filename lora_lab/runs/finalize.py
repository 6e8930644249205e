"""Writes the terminal event of a run whose process ended without one."""

from dataclasses import asdict

from lora_lab.runs import failures
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState

LOG_TAIL_BYTES = 4000


def close_the_books(run: RunFolder, exit_code: int) -> RunState:
    """Return the final state; a worker that ended without a terminal event is a failed run with a cause."""
    state = run.state()
    if state.ended:
        return state
    failure = failures.ended_early(
        run.spec,
        exit_code=exit_code,
        step=len(state.steps),
        saved_step=state.saved_step,
        last_lines=_log_tail(run),
    )
    run.emit("failed", step=len(state.steps), **asdict(failure))
    return run.state()


def cut_off(run: RunFolder) -> None:
    """Mark a run as failed because the app went away, and the worker with it."""
    state = run.state()
    if not state.ended:
        failure = failures.app_closed(len(state.steps))
        run.emit("failed", step=len(state.steps), cut_off=True, **asdict(failure))


def end_silent(run: RunFolder, seconds: int) -> None:
    """End a run whose process the app ended because a run in it did not end after a stop."""
    state = run.state()
    if state.ended:
        return
    step = len(state.steps)
    if run.stop_path.exists():
        what = failures.say_silent(
            seconds, saved_step=state.saved_step, measured=state.loss_after is not None
        )
        run.emit("stopped", step=step, what=what)
    else:
        run.emit("failed", step=step, cut_off=True, **asdict(failures.ended_with_another(step)))


def _log_tail(run: RunFolder) -> str:
    try:
        return (run.path / "stdout.log").read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""
