"""A cache of the one base model that a worker process keeps loaded, replaced when a job needs another."""

import gc
from pathlib import Path

import torch
from peft import PeftModel

from lora_lab.data.embedded_model import Report
from lora_lab.spec import RunSpec
from lora_lab.worker.training.session import Machine, Session, find_machine, open_session


class Workbench:
    """A cache that lends a loaded base and takes it back without its adapter, unchanged for the next job."""

    def __init__(self, models_dir: Path, ready: Session | None = None) -> None:
        self.models_dir = models_dir
        self._session = ready
        self._fastest: Machine | None = ready.machine if ready else None

    def session_for(self, spec: RunSpec, report: Report) -> Session:
        """Return the loaded base if it fits `spec`; otherwise load the one that `spec` needs.

        Raises LearnerError when it cannot be loaded.
        """
        if self._session is None or not self._session.fits(spec):
            self.clear()
            self._session = open_session(
                spec.model, spec.bits, self._machine(spec), models_dir=self.models_dir, report=report
            )
        return self._session

    def take_back(self, model: PeftModel) -> None:
        """Remove the adapter again, only after a job that ended normally; after anything else, `clear`."""
        if self._session is not None:
            self._session.base = model.unload()
        gc.collect()  # modules and their forwards refer to each other

    def clear(self) -> None:
        """Free the base, whatever its state."""
        self._session = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _machine(self, spec: RunSpec) -> Machine:
        """Find the machine; `auto` is decided once per process, so a grid's cells use one number type."""
        if spec.compute_dtype != "auto":
            return find_machine(spec.compute_dtype)
        self._fastest = self._fastest or find_machine()
        return self._fastest
