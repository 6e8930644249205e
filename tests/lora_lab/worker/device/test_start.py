"""A device that fails: the worker goes on with what works and says why."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from lora_lab.data.lab_folder import CHOSEN_VARIABLE, LabHome
from lora_lab.data.machine import computes_on_processor, is_gpu, name_device
from lora_lab.engine.worker_process import build_device_environment, build_worker_environment
from lora_lab.spec import TINY_MODEL, Bits, RunSpec
from lora_lab.worker import __main__ as worker_main
from lora_lab.worker.__main__ import start_failure
from lora_lab.worker.device import machine as this_machine
from lora_lab.worker.device.gpu import choose_kernels
from lora_lab.worker.device.machine import (
    DEVICE_VARIABLE,
    find_device,
    find_machine,
    list_devices,
    try_products,
)
from lora_lab.worker.model.load import load_model
from lora_lab.worker.training.loop import build_optimizer
from lora_lab.worker.training.memory_meter import is_out_of_memory
from study.base.errors import LearnerError
from tests.lora_lab.worker.builders import silent

ROOT = Path(__file__).parents[4]
CPU = torch.device("cpu")


def test_a_device_that_cannot_compute_is_tried_before_it_is_used() -> None:
    """A build for the CPU has no CUDA: the product fails as it does on a busy or unknown card."""
    assert try_products(torch.device("cuda", 0))


def test_a_named_device_that_cannot_compute_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("cuda:0", "no-such-device"):
        monkeypatch.setenv(DEVICE_VARIABLE, named)
        find_device.cache_clear()
        with pytest.raises(LearnerError, match=f"{DEVICE_VARIABLE} names {named}") as raised:
            find_device()
        assert "Set LORA_STUDY_DEVICE to cpu" in raised.value.do_next
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    find_device.cache_clear()
    assert find_device() == (CPU, None)
    find_device.cache_clear()


@pytest.mark.usefixtures("nothing_found_yet")
@pytest.mark.parametrize(
    ("module", "kind", "maker"), [(torch.mps, "mps", "Apple"), (torch.xpu, "xpu", "Intel")]
)
def test_a_gpu_by_another_maker_is_used_only_when_it_is_chosen(
    module: Any, kind: str, maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "is_available", lambda: True)
    device, notice = find_device()
    assert device == CPU
    assert notice is not None
    assert notice.what.startswith(f"This machine's GPU by {maker} is not used, because ")
    assert list_devices() == [{"id": kind, "name": f"GPU by {maker}"}, {"id": "cpu", "name": "Processor"}]

    monkeypatch.setattr(this_machine, "try_products", lambda _device: "")
    monkeypatch.setenv(CHOSEN_VARIABLE, kind)
    find_device.cache_clear()
    device, notice = find_device()
    assert device == torch.device(kind)
    assert notice is not None
    assert notice.what.endswith(f"never on one by {maker}.")


@pytest.mark.usefixtures("nothing_found_yet")
def test_an_apple_gpu_shares_the_processors_memory_and_computes_in_fp32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(this_machine, "try_products", lambda _device: "")
    monkeypatch.setenv(DEVICE_VARIABLE, "mps")
    described = find_machine().with_free_bytes()
    assert (described["type"], described["name"]) == ("mps", "GPU by Apple")
    assert described["memory_bytes"] == psutil.virtual_memory().total
    assert described["compute_dtype"] == "fp32"
    assert not is_gpu(described)
    assert not computes_on_processor(described)
    assert name_device(described) == "GPU by Apple"


@pytest.mark.usefixtures("nothing_found_yet")
@pytest.mark.parametrize(("has_bf16", "compute"), [(True, "bf16"), (False, "fp32")])
def test_an_intel_gpu_is_asked_for_its_number_type_and_its_own_memory(
    has_bf16: bool, compute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(name="Arc B580", total_memory=12 * 2**30)
    stats = {"reserved_bytes.all.current": 3 * 2**20, "allocated_bytes.all.current": 2**20}
    for name, value in {
        "is_bf16_supported": lambda *, including_emulation: has_bf16,
        "get_device_properties": lambda _device: properties,
        "get_device_capability": lambda _device: {"version": "1.6"},
        "mem_get_info": lambda _device: (11 * 2**30, 12 * 2**30),
        "memory_stats": lambda _device: stats,
    }.items():
        monkeypatch.setattr(torch.xpu, name, value)
    monkeypatch.setattr(this_machine, "try_products", lambda _device: "")
    monkeypatch.setenv(DEVICE_VARIABLE, "xpu")
    described = find_machine().with_free_bytes()
    assert (described["name"], described["memory_bytes"]) == ("Arc B580", 12 * 2**30)
    assert described["free_bytes"] == 11 * 2**30 + 2 * 2**20
    assert described["compute_dtype"] == compute
    assert "capability" not in described
    assert is_gpu(described)


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_what_this_build_of_pytorch_cannot_use_is_an_error_in_words(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, kind)
    find_device.cache_clear()
    with pytest.raises(LearnerError, match=f"{DEVICE_VARIABLE} names {kind}"):
        find_device()
    find_device.cache_clear()


def test_moments_in_8_bits_are_refused_on_an_apple_gpu() -> None:
    parameter: Any = SimpleNamespace(device=torch.device("mps"))
    with pytest.raises(LearnerError, match="8 bits on an Apple GPU") as raised:
        build_optimizer([parameter], RunSpec(model=TINY_MODEL, optimizer="adamw8bit"))
    assert raised.value.do_next.startswith("Choose AdamW in 32 bits")


def test_what_pytorch_lacks_on_an_apple_gpu_runs_on_the_processor() -> None:
    assert build_worker_environment()["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_only_a_device_of_this_machine_can_be_chosen(tmp_path: Path) -> None:
    home = LabHome(tmp_path)
    assert build_device_environment(tmp_path) == {}
    devices = [{"id": "cuda:7", "name": "A card"}, {"id": "cpu", "name": "Processor"}]
    with pytest.raises(LearnerError, match="no device cpu") as raised:
        home.choose_device("cpu")
    assert raised.value.do_next == "Wait until the worker is ready."
    home.write_worker_state(state="ready", device={"type": "cuda", "name": "A card", "devices": devices})
    with pytest.raises(LearnerError, match="no device cuda:1"):
        home.choose_device("cuda:1")

    home.choose_device("cuda:7")
    assert build_device_environment(tmp_path) == {CHOSEN_VARIABLE: "cuda:7"}


@pytest.fixture
def nothing_found_yet() -> Iterator[None]:
    """Devices are looked for once per process: forget them before and after."""
    for looked in (find_device, list_devices):
        looked.cache_clear()
    yield
    for looked in (find_device, list_devices):
        looked.cache_clear()


@pytest.mark.usefixtures("nothing_found_yet")
def test_a_chosen_device_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOSEN_VARIABLE, "cpu")
    assert (find_machine().device, find_machine().notice) == (CPU, None)


@pytest.mark.usefixtures("nothing_found_yet")
def test_a_chosen_device_that_is_gone_is_named_and_another_one_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(CHOSEN_VARIABLE, "cuda:7")
    machine = find_machine()
    assert machine.device == CPU
    assert machine.notice is not None
    assert machine.notice.what.startswith("cuda:7, which you chose, can't compute (")
    assert machine.description["devices"] == [{"id": "cpu", "name": "Processor"}]


@pytest.mark.usefixtures("nothing_found_yet")
def test_a_card_that_fails_when_it_is_named_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_place: int) -> str:
        raise RuntimeError("CUDA driver error")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    assert list_devices() == [{"id": "cpu", "name": "Processor"}]


def test_a_disk_that_refuses_the_model_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "a-file"
    in_the_way.touch()
    where = ["--home", str(tmp_path), "--models-dir", str(in_the_way / "models")]
    monkeypatch.setattr(sys, "argv", ["worker", *where])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(worker_main, "open_answers", io.BytesIO)
    worker_main.main()
    state = LabHome(tmp_path).read_worker_state()
    assert (state["state"], state["text"]) == (
        "no-model",
        "A file could not be read or written (Not a directory).",
    )
    assert state["do_next"] == "Free some disk space, then try again."


def test_a_worker_that_cannot_start_says_so_and_takes_jobs(tmp_path: Path, models_dir: Path) -> None:
    """ "Preparing: Starting" must not be its last word."""
    command = [sys.executable, "-m", "lora_lab.worker", "--home", str(tmp_path), "--models-dir"]
    done = subprocess.run(
        [*command, str(models_dir)],
        cwd=ROOT,
        env=build_worker_environment() | {DEVICE_VARIABLE: "cuda:0"},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-1000:]
    state = LabHome(tmp_path).read_worker_state()
    assert state["state"] == "no-model"
    assert "cuda:0" in state["text"]
    assert state["do_next"]


def test_an_error_of_the_device_at_the_start_is_put_in_words() -> None:
    out = start_failure(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"))
    assert out.what == "There was not enough memory to load the default model."
    busy = start_failure(
        RuntimeError("CUDA error: all CUDA-capable devices are busy\nCUDA kernel errors ...")
    )
    assert busy.what.endswith("could not start (CUDA error: all CUDA-capable devices are busy).")
    assert f"{DEVICE_VARIABLE}=cpu" in busy.do_next


def test_the_drivers_own_lack_of_memory_is_known() -> None:
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_attention_has_no_plans_by_length_and_sums_stay_wide() -> None:
    choose_kernels()
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    assert not torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction


@pytest.mark.parametrize("bits", ["nf4-dq", "int8"])
def test_a_model_asked_for_on_the_cpu_stays_there_beside_a_gpu(
    bits: Bits, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a device map transformers loads quantized weights onto `cuda:0` as soon as there is one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    model = load_model(
        TINY_MODEL, bits, compute_dtype=torch.float32, device=CPU, models_dir=models_dir, report=silent
    )
    assert {p.device for p in model.parameters()} == {CPU}
