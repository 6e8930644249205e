"""A cache of the one base model that a worker process keeps loaded, replaced when a job needs another."""

import ctypes
import gc
import sys
from contextlib import suppress
from pathlib import Path

from peft import PeftModel

from lora_lab.data.lab_folder import LabHome
from lora_lab.spec import RunSpec
from lora_lab.worker.device.gpu import empty_cache
from lora_lab.worker.device.machine import Machine, find_machine
from lora_lab.worker.training.loaded_model import LoadedModel, open_model
from study.base.model_files import Report


class ModelCache:
    """A cache that lends a loaded base and takes it back without its adapter, unchanged for the next job.

    With the lab's folder, `auto` is the number type that is kept there.
    """

    def __init__(
        self, models_dir: Path, ready: LoadedModel | None = None, *, home: LabHome | None = None
    ) -> None:
        self.models_dir = models_dir
        self._loaded = ready
        self._home = home

    def lend(self, spec: RunSpec, report: Report) -> LoadedModel:
        """Return the loaded base if it fits `spec`; otherwise load the one that `spec` needs.

        Raises LearnerError when it cannot be loaded.
        """
        machine = self.choose_machine(spec)
        if self._loaded is None or not self._loaded.fits(spec, machine):
            self.clear()
            self._loaded = open_model(
                spec.model, spec.bits, machine, models_dir=self.models_dir, report=report
            )
        return self._loaded

    @property
    def machine(self) -> Machine | None:
        """The machine of the loaded base; None when nothing is loaded."""
        return self._loaded.machine if self._loaded else None

    def choose_machine(self, spec: RunSpec) -> Machine:
        """Find the machine with the number type that `spec` asks for."""
        return find_machine(spec.compute_dtype, self._home)

    def take_back(self, model: PeftModel) -> None:
        """Remove the adapter again, only after a job that ended normally; after anything else, `clear`."""
        if self._loaded is not None:
            self._loaded.base = model.unload()
        free_unused_memory()

    def clear(self) -> None:
        """Free the base, whatever its state."""
        ended, self._loaded = self._loaded, None
        if ended is not None:
            device = ended.machine.device
            del ended
            free_unused_memory()
            empty_cache(device)


def free_unused_memory() -> None:
    """Free modules, which refer to their forwards and back, and return unused memory to the system.

    glibc keeps it for the next tensors, between small things that stay: after 40 steps of three cells that is
    3.1 GB, of which 1.5 are in use. Other C libraries have no such call.
    """
    gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
