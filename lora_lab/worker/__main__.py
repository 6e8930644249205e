"""One worker process: gets ready, waits for jobs, does one after the other. Its end frees all memory.

    python -m lora_lab.worker --home H --models-dir M                  warm: loads the default model, waits
    python -m lora_lab.worker --home H --models-dir M --cold           loads nothing, waits
    python -m lora_lab.worker --home H --models-dir M --run FOLDER     one run at once
    python -m lora_lab.worker --home H --models-dir M --shape MODEL    reads a model's shape, ends
    python -m lora_lab.worker --home H --models-dir M --merge FOLDER   writes a run's merged model, ends
    python -m lora_lab.worker --home H --models-dir M --afterwards FOLDER...   measures finished runs, ends
    python -m lora_lab.worker --home H --models-dir M --read MODEL --data DIGEST    tokenizes a data set, ends
    python -m lora_lab.worker --home H --models-dir M --chat           answers questions, one per line
    python -m lora_lab.worker --home H --models-dir M --inspect        does inspections, one per line
    python -m lora_lab.worker --shapes                                 answers shape requests, one per line

A worker that waits reads jobs from standard input, one per line: a run's folder, or several with tabs between
them. It answers each with a line on standard output (engine/worker_process.py) once the last event is
written, and keeps its base model loaded for the next. When standard input closes, the app is gone, and so is
the worker. During a run, closing it means: stop after this step and keep the adapter.
"""

import argparse
import contextlib
import gc
import os
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue

import torch
from safetensors import SafetensorError

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.worker_process import DONE
from lora_lab.runs import failures
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import EMBEDDED_MODEL, OWN_DATA, Bits, RunSpec
from lora_lab.worker import extra_measurements
from lora_lab.worker.chat import serve_chat
from lora_lab.worker.device.gpu import get_gpu_api, live_bytes, on_gpu
from lora_lab.worker.device.machine import DEVICE_VARIABLE, Machine, find_device, find_machine
from lora_lab.worker.fork_server import start_fork_server
from lora_lab.worker.inspect.serve import serve_inspections
from lora_lab.worker.merge import merge_run
from lora_lab.worker.model.load import silence_libraries
from lora_lab.worker.model.read_shape import serve_shapes
from lora_lab.worker.training.group import AdapterGroup, attach_alone
from lora_lab.worker.training.loaded_model import LoadedModel, open_model
from lora_lab.worker.training.loop import answer_loss
from lora_lab.worker.training.memory_meter import is_out_of_memory
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.packing import encode_example, pack_examples
from lora_lab.worker.training.run import execute_group
from lora_lab.worker.training.tokenize import keep_read, read_dataset
from lora_lab.worker.training.work import find_or_read_shape
from study.base.command_line import build_module_parser
from study.base.errors import LearnerError, first_line
from study.base.json_lines import open_answers
from study.base.model_files import Progress

WARM_BITS: Bits = "nf4-dq"


def main() -> int:
    """Return the exit status: 0 the run ended well or none came, 1 it failed and reported it."""
    options = _read_options()
    silence_libraries()
    gc.freeze()  # what importing made stays to the end; looking for garbage in it takes 0.2 s after each job
    if options.fork_server is not None:
        forked = start_fork_server(options.fork_server, beside_gpu=torch.accelerator.is_available())
        if forked is not None:
            options = _read_options(forked)
    gc.enable()
    if options.memory_limit_bytes:
        _limit_memory(options.memory_limit_bytes)
    home, models_dir, well = LabHome(options.home), options.models_dir, True
    if options.shapes:
        serve_shapes()
    elif options.chat:
        serve_chat(models_dir, home)
    elif options.inspect:
        serve_inspections(models_dir, home)
    elif options.merge:
        well = merge_run(RunFolder(options.merge), models_dir)
    elif options.afterwards:
        runs = map(RunFolder, options.afterwards)
        measured = [extra_measurements.measure_run(run, models_dir) for run in runs]
        well = all(measured)
    elif options.shape:
        find_or_read_shape(options.shape, home)
    elif options.read:
        read_dataset(options.read, options.data, home, models_dir)
    elif options.run:
        app_is_gone = OrderReader().is_closed
        well = execute_group([RunFolder(options.run)], home, models_dir, app_is_gone=app_is_gone)
    else:
        return _serve(home, models_dir, warm=not options.cold)
    return 0 if well else 1


def _read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = build_module_parser("lora_lab.worker", __doc__)
    parser.add_argument("--home", type=Path, default=Path("."))
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--run", type=Path, help="do this run and end")
    parser.add_argument("--shape", help="read this model's shape and end")
    parser.add_argument("--shapes", action="store_true", help="answer shape requests on standard input")
    parser.add_argument("--chat", action="store_true", help="answer questions on standard input")
    parser.add_argument("--inspect", action="store_true", help="do inspections named on standard input")
    parser.add_argument("--merge", type=Path, help="merge this run's adapter into its base and end")
    parser.add_argument("--afterwards", type=Path, nargs="+", help="measure these finished runs and end")
    parser.add_argument("--read", help="tokenize a data set with this model's tokenizer and end")
    parser.add_argument("--data", default=OWN_DATA, help="which data set to tokenize")
    parser.add_argument("--cold", action="store_true", help="a run comes at once and loads its own model")
    parser.add_argument("--memory-limit-bytes", type=int, default=0, help="limit of the address space")
    parser.add_argument("--fork-server", type=int, help="the socket of a fork server that this worker brings")
    return parser.parse_args(arguments)


def _limit_memory(limit_bytes: int) -> None:
    import resource  # not on Windows, where the option is refused with an ImportError

    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def _serve(home: LabHome, models_dir: Path, *, warm: bool) -> int:
    """Do the jobs that standard input names until it closes; `warm` loads the default model while idle."""
    answers = open_answers()
    orders = OrderReader()
    loaded = None
    try:
        if warm:
            loaded = _get_ready(home, models_dir)
        else:
            _say_ready(home, find_machine(home=home))
    except (LearnerError, RuntimeError, MemoryError, OSError, SafetensorError) as error:
        # Loading and the warm-up use the device for the first time. Jobs are still taken: each loads its own
        # model and says in its own events what fails.
        if not isinstance(error, LearnerError):
            traceback.print_exc()
        failed = start_failure(error)
        home.write_worker_state(pid=os.getpid(), state="no-model", text=failed.what, do_next=failed.do_next)
    cache = ModelCache(models_dir, loaded, home=home)
    del loaded  # the cache alone decides how long the base stays loaded
    well = True
    while job := orders.read_next():
        try:
            _log_into(job)
            well = execute_group(job, home, models_dir, cache=cache, app_is_gone=orders.is_closed)
            if not well:
                _check_device()
        except Exception:
            # The outermost frame: the engine turns an exit without a terminal event into a failed run.
            traceback.print_exc()
            return 2
        machine = cache.machine
        if machine is not None and machine.on_gpu:  # what is free has changed, and predictions use it
            _say_ready(home, machine)
        with contextlib.suppress(OSError):  # the app is gone; `OrderReader` notices
            answers.write(DONE)
            answers.flush()
    return 0 if well else 1


def _check_device() -> None:
    """Raise RuntimeError where a GPU takes no more work from this process.

    After an error in a kernel, such as an index out of range, every later CUDA call of the process fails. The
    next process works again.
    """
    with contextlib.suppress(LearnerError):  # the device that LORA_STUDY_DEVICE names: each run says so
        device, _ = find_device()
        if on_gpu(device):
            get_gpu_api(device).synchronize(device)


def _get_ready(home: LabHome, models_dir: Path) -> LoadedModel:
    """Load the default model and warm it up with one step, so a run's first step is an ordinary one."""

    def report(progress: Progress) -> None:
        values = asdict(progress)
        home.write_worker_state(pid=os.getpid(), state="preparing", text=values.pop("step"), **values)

    report(Progress(step="Starting"))
    machine = find_machine(home=home)
    loaded = open_model(EMBEDDED_MODEL, WARM_BITS, machine, models_dir=models_dir, report=report)
    report(Progress(step="Warming up"))
    _warm_up(loaded, home)
    _say_ready(home, machine)
    return loaded


def start_failure(error: Exception) -> LearnerError:
    """Say why the worker could not load and try the default model."""
    if isinstance(error, LearnerError):
        return error
    if is_out_of_memory(error):
        return LearnerError(
            "There was not enough memory to load the default model.",
            do_next="Close other programs that use the device, then try again.",
        )
    if isinstance(error, OSError | SafetensorError):
        failure = failures.describe_refusal("disk", error)
        return LearnerError(failure.what, do_next="Free some disk space, then try again.")
    return LearnerError(
        f"The training worker could not start ({first_line(error)}).",
        do_next=f"Try again; with {DEVICE_VARIABLE}=cpu set, the lab computes on the processor.",
    )


def _say_ready(home: LabHome, machine: Machine) -> None:
    """Write the ready state with the device, whose number type every estimate on the page needs."""
    held_bytes = live_bytes(machine.device) if machine.on_gpu else 0
    device = machine.with_free_bytes(held_bytes)
    home.write_worker_state(pid=os.getpid(), state="ready", text="Ready", device=device)


def _warm_up(loaded: LoadedModel, home: LabHome) -> None:
    """Run one forward and backward pass on a temporary adapter."""
    dataset = build_own_dataset()
    encoded = [encode_example(loaded.tokenizer, example) for example in dataset.train]
    keep_read(home, loaded.model_name, dataset, loaded.tokenizer, encoded)
    spec = RunSpec(model=loaded.model_name, bits=loaded.bits)
    adapted = attach_alone(loaded, spec, find_or_read_shape(loaded.model_name, home), encoded)
    row = pack_examples(encoded[: spec.batch], loaded.machine.device)
    if isinstance(adapted, AdapterGroup):
        adapted.compute_gradients(adapted.cells, [row])
    else:
        answer_loss(adapted.model, row, loaded.machine.autocast()).backward()
    loaded.base = adapted.model.unload()
    gc.collect()


class OrderReader:
    """Jobs from standard input, read by a thread that notices its end even during a run."""

    def __init__(self) -> None:
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._closed = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def read_next(self) -> list[RunFolder]:
        """Read the next job's runs; empty once the app is gone, so no further job is started."""
        line = self._lines.get()
        return [RunFolder(Path(name)) for name in line.split("\t")] if line and not self.is_closed() else []

    def is_closed(self) -> bool:
        """Return whether the app that started this process is gone."""
        return self._closed.is_set()

    def _read(self) -> None:
        while line := sys.stdin.readline().strip():
            self._lines.put(line)
        self._closed.set()
        self._lines.put("")


def _log_into(job: list[RunFolder]) -> None:
    """Redirect everything that this process prints from here on to the log of the job's runs."""
    descriptor = open_log(job)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def open_log(job: list[RunFolder]) -> int:
    """Open one file that is the log in each run's folder; return its descriptor."""
    descriptor = os.open(job[0].log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for run in job[1:]:
        with contextlib.suppress(OSError):  # a file system without links: the first folder has the log
            os.link(job[0].log_path, run.log_path)
    return descriptor


if __name__ == "__main__":
    sys.exit(main())
