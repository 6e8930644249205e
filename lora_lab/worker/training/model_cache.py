"""Workbench: the one base model a worker process keeps loaded, changed when a job wants another."""

import gc
from pathlib import Path

import torch
from peft import PeftModel

from lora_lab.data.embedded_model import Report
from lora_lab.spec import RunSpec
from lora_lab.worker.training.session import Machine, Session, find_machine, open_session


class Workbench:
    """Hands out a loaded base and takes it back without its adapter, so that the next job finds it as new."""

    def __init__(self, models_dir: Path, ready: Session | None = None) -> None:
        self.models_dir = models_dir
        self._session = ready
        self._fastest: Machine | None = ready.machine if ready else None

    def session_for(self, spec: RunSpec, report: Report) -> Session:
        """The loaded base where `spec` wants that one, else the one it wants in its place.

        Raises LearnerError when it cannot be had.
        """
        if self._session is None or not self._session.fits(spec):
            self.clear()
            self._session = open_session(
                spec.model, spec.bits, self._machine(spec), models_dir=self.models_dir, report=report
            )
        return self._session

    def take_back(self, model: PeftModel) -> None:
        """Strip the adapter off again. Only of a job that ended in order; after anything else, `clear`."""
        if self._session is not None:
            self._session.base = model.unload()
        gc.collect()  # modules and their forwards refer to each other

    def clear(self) -> None:
        """Let the base go, whatever state it is in."""
        self._session = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _machine(self, spec: RunSpec) -> Machine:
        """`auto` is decided once a process, so that all cells of a grid compute in one number type."""
        if spec.compute_dtype != "auto":
            return find_machine(spec.compute_dtype)
        self._fastest = self._fastest or find_machine()
        return self._fastest
