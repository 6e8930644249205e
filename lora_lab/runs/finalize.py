"""The final entry in a run's events, where the process that worked on it left none."""

from dataclasses import asdict

from lora_lab.runs import failures
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState

LOG_TAIL_BYTES = 4000


def close_the_books(run: RunFolder, exit_code: int) -> RunState:
    """The run's final state; a worker that ended without saying how is a failed run with a cause in words."""
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
    """The app went away, and took the worker with it."""
    state = run.state()
    if not state.ended:
        failure = failures.app_closed(len(state.steps))
        run.emit("failed", step=len(state.steps), cut_off=True, **asdict(failure))


def _log_tail(run: RunFolder) -> str:
    try:
        return (run.path / "stdout.log").read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""
