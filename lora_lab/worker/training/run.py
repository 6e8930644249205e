"""Execution of runs: those that can share a frozen base side by side, the others one by one."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lora_lab.data.lab_folder import LabHome
from lora_lab.memory.written_out import is_written_out
from lora_lab.runs import grouping
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec
from lora_lab.worker.training.group_run import GroupedRuns
from lora_lab.worker.training.loop import never_stop
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.work import execute_with_graph, find_or_read_shape, say_waiting


def execute_group(
    runs: Sequence[RunFolder],
    home: LabHome,
    models_dir: Path,
    *,
    cache: ModelCache | None = None,
    app_is_gone: Callable[[], bool] = never_stop,
) -> bool:
    """Do the runs; every way each can end is an event. Return True unless one of them failed.

    With a model cache, its loaded base is used if it fits, and stays loaded for the next runs.
    """
    cache = cache or ModelCache(models_dir, home=home)
    turns: list[tuple[list[RunFolder], bool]] = []
    for places in grouping.group_by_base([run.spec for run in runs]):
        together = [runs[place] for place in places]
        shares = _takes_written_layer(together[0].spec, home, cache)
        turns += [(together, True)] if shares else [([run], False) for run in together]
    for later, _ in turns[1:]:
        for run in later:
            say_waiting(run)
    well = True
    for turn, shares in turns:
        if shares:
            well &= GroupedRuns(turn, home, app_is_gone).execute(cache)
        else:
            well &= execute_with_graph(turn[0], home, cache, app_is_gone=app_is_gone)
    return well


def _takes_written_layer(spec: RunSpec, home: LabHome, cache: ModelCache) -> bool:
    """Return whether runs like `spec` can train through worker/training/group_layer.py here."""
    try:
        shape, compute = find_or_read_shape(spec.model, home), cache.choose_machine(spec).compute_name
    except Exception:  # the run itself meets it again, and says why
        return False
    return is_written_out(shape.model_type, compute, variant=spec.variant, optimizer=spec.optimizer)
