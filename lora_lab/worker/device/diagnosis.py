"""Why a card is not used: PyTorch built for the CPU, an old driver, a card too old or too new for the build.

Without this the lab would compute on the processor and say nothing, and the card would stay idle.
"""

import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from study.base.yaml_loader import load_yaml

_NOTICES = Path(__file__).with_name("notices.yaml")
_CASES: Mapping[str, Mapping[str, str]] = load_yaml(_NOTICES.read_text("utf-8"))

DRIVER_FOR_CUDA = {13: 580, 12: 525}
"""The oldest Linux driver for a CUDA major version (CUDA release notes, minor version compatibility)."""

LAST_BUILD_OF = {5: "cu126", 6: "cu126", 7: "cu126"}
"""The last build of PyTorch for a compute capability: CUDA 13 begins at 7.5, and the cu128 builds at 7.0."""

NEWEST_CAPABILITY_OF_CU126 = 9
"""The newest major compute capability with kernels in the build for an older driver (cu126)."""

OLDEST_CAPABILITY = (5, 0)
"""The oldest compute capability with kernels in a build of PyTorch that the app can use: cu126 has them."""

UNTRIED = {"mps": "Apple", "xpu": "Intel"}
"""GPUs that the lab uses only when they are chosen: their makers, by the name of PyTorch's module."""

INDEX = "https://download.pytorch.org/whl/"
SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is wrong, and the line that mends it."""

    what: str
    do_next: str


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What is installed: card, driver, and the build of PyTorch."""

    gpu: str
    """The card's name; empty when this machine has no NVIDIA card."""

    driver: str = ""
    """The driver's version; empty when it is unknown or missing."""

    capability: tuple[int, int] | None = None
    built_for: str | None = None
    """The CUDA version that PyTorch is built for; None for a build for the CPU."""

    architectures: Sequence[str] = ()
    """Those that PyTorch's kernels are compiled for, such as sm_80."""

    usable: bool = False
    """Whether PyTorch sees a device."""


def diagnose(setup: Setup, problem: str = "") -> Notice | None:
    """Say why the card is not used; None when it is, or when there is none.

    `problem` is the error of the first product on the device.
    """
    if not setup.gpu or (setup.usable and not problem):
        return None
    install, named = _install(build_for(setup)), _name_capability(setup.capability or ())
    values = asdict(setup) | {"named": named, "install": install}
    if setup.capability and setup.capability < OLDEST_CAPABILITY:
        return _describe("card-too-old", **values, oldest=_name_capability(OLDEST_CAPABILITY))
    if setup.built_for is None:
        return _describe("built-for-cpu", **values)
    if _lacks_kernels(setup):
        return _describe("no-kernels", **values)
    needed = DRIVER_FOR_CUDA.get(_parse_major(setup.built_for), 0)
    if setup.driver and _parse_major(setup.driver) < needed:
        update = "Update the driver." if _needs_cuda_13(setup) else f"Update the driver, or: {install}"
        return _describe("driver-too-old", **values, needed=needed, update=update)
    return _describe("fails" if problem else "unseen", **values, problem=problem)


def _describe(case: str, **values: object) -> Notice:
    return Notice(**{field: text.format_map(values) for field, text in _CASES[case].items()})


def list_untried() -> list[str]:
    """List the types of GPUs that PyTorch sees here and that the lab uses only when they are chosen."""
    return [kind for kind in UNTRIED if getattr(torch, kind).is_available()]


def diagnose_untried() -> Notice | None:
    """Say why a GPU is not used that PyTorch sees and that is none of CUDA's; None when there is none."""
    kinds = list_untried()
    return _describe("untried", maker=UNTRIED[kinds[0]]) if kinds else None


def warn_of_untried(kind: str) -> Notice | None:
    """Say what to beware of on a device of that type; None on those that the lab has been tested with."""
    return _describe("untried-and-chosen", maker=UNTRIED[kind]) if kind in UNTRIED else None


def build_for(setup: Setup) -> str:
    """Choose PyTorch's build for a card and its driver, in the spelling of its index."""
    major = setup.capability[0] if setup.capability else 8
    if major in LAST_BUILD_OF and setup.capability != (7, 5):
        return LAST_BUILD_OF[major]
    if _needs_cuda_13(setup):
        return "cu130"
    return "cu130" if not setup.driver or _parse_major(setup.driver) >= DRIVER_FOR_CUDA[13] else "cu126"


def read_setup() -> Setup:
    """Read the setup of this machine. Asks `nvidia-smi`, and without it looks for an NVIDIA display card."""
    name, driver, capability = _ask_driver() or (_find_pci_gpu(), "", None)
    usable = torch.cuda.is_available()
    return Setup(
        gpu=name,
        driver=driver,
        capability=torch.cuda.get_device_capability() if usable else capability,
        built_for=torch.version.cuda,
        architectures=torch.cuda.get_arch_list(),
        usable=usable,
    )


def parse_smi(line: str) -> tuple[str, str, tuple[int, int] | None] | None:
    """Parse one line of `nvidia-smi`: name, driver, compute capability. None when it is something else."""
    parts = [part.strip() for part in line.split(",")]
    if len(parts) != 3 or not re.fullmatch(r"\d+(\.\d+)+", parts[1]):
        return None
    digits = re.fullmatch(r"(\d+)\.(\d+)", parts[2])
    return parts[0], parts[1], (int(digits[1]), int(digits[2])) if digits else None


def _ask_driver() -> tuple[str, str, tuple[int, int] | None] | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = ["--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        found = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_smi(next(iter(found.splitlines()), ""))


def _find_pci_gpu(devices: Path = Path("/sys/bus/pci/devices")) -> str:
    """Look for a display card by NVIDIA, which has no driver if `nvidia-smi` is missing. Linux only."""
    for device in sorted(devices.glob("*")):
        try:
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
        except OSError:
            continue
        if vendor == "0x10de" and kind.startswith("0x03"):
            return "NVIDIA card"
    return ""


def _needs_cuda_13(setup: Setup) -> bool:
    """Return whether the card is too new for cu126, the other build that is proposed here."""
    return setup.capability is not None and setup.capability[0] > NEWEST_CAPABILITY_OF_CU126


def _lacks_kernels(setup: Setup) -> bool:
    """Return whether the card is older or newer than all that the build's kernels are compiled for."""
    compiled = [int(found[1]) for name in setup.architectures if (found := re.match(r"sm_(\d+)", name))]
    if not compiled or setup.capability is None:
        return False
    major, minor = setup.capability
    return major * 10 + minor < min(compiled) or major > max(compiled) // 10


def _name_capability(capability: Sequence[int]) -> str:
    return ".".join(map(str, capability))


def _install(build: str) -> str:
    python = ".venv\\Scripts\\python" if platform.system() == "Windows" else ".venv/bin/python"
    return f"`{python} -m pip install --force-reinstall torch --index-url {INDEX}{build}`, then start again."


def _parse_major(version: str) -> int:
    return int(version.split(".")[0])
