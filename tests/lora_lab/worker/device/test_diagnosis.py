"""Why an NVIDIA card is not used, and the line that mends it."""

from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.worker.device.diagnosis import Setup, _find_pci_gpu, build_for, diagnose, parse_smi

H100 = Setup(
    gpu="NVIDIA H100",
    driver="580.65.06",
    capability=(9, 0),
    built_for="13.0",
    architectures=("sm_75", "sm_80", "sm_90", "sm_120"),
    usable=True,
)


def test_a_card_that_computes_and_a_machine_without_one_have_nothing_to_say() -> None:
    assert diagnose(H100) is None
    assert diagnose(Setup(gpu="")) is None


@pytest.mark.parametrize(
    ("setup", "problem", "what", "build"),
    [
        (
            replace(H100, built_for=None, architectures=(), usable=False),
            "",
            "the installed PyTorch is built for the CPU",
            "whl/cu130",
        ),
        (
            replace(H100, built_for=None, architectures=(), usable=False, driver="550.54"),
            "",
            "the installed PyTorch is built for the CPU",
            "whl/cu126",
        ),
        (replace(H100, driver="550.54", usable=False), "", "needs 580 or newer", "whl/cu126"),
        (
            replace(H100, gpu="Tesla V100", capability=(7, 0)),
            "CUDA error: no kernel image is available for execution on the device",
            "has compute capability 7.0, and the installed PyTorch (CUDA 13.0) has no kernels for it",
            "whl/cu126",
        ),
        (
            replace(H100, gpu="GeForce GTX 1080", capability=(6, 1), usable=True),
            "no kernel image",
            "compute capability 6.1",
            "whl/cu126",
        ),
    ],
)
def test_the_line_names_the_build_that_mends_it(setup: Setup, problem: str, what: str, build: str) -> None:
    notice = diagnose(setup, problem)
    assert notice is not None
    assert what in notice.what
    assert "-m pip install --force-reinstall torch --index-url" in notice.do_next
    assert build in notice.do_next


RTX_5090 = replace(H100, gpu="GeForce RTX 5090", capability=(12, 0))


def test_a_card_too_new_for_the_build_is_told_the_newest_one() -> None:
    """The builds for CUDA 12.6 end at 9.0: they are the wrong advice for this card, whatever its driver."""
    older = replace(RTX_5090, built_for="12.6", architectures=("sm_50", "sm_80", "sm_90"))
    notice = diagnose(older, "CUDA error: no kernel image is available for execution on the device")
    assert notice is not None
    assert "has compute capability 12.0, and the installed PyTorch (CUDA 12.6) has no kernels" in notice.what
    assert "whl/cu130" in notice.do_next
    assert build_for(replace(older, driver="570.86")) == "cu130"


def test_a_new_card_with_an_old_driver_is_told_to_update_it_and_nothing_else() -> None:
    notice = diagnose(replace(RTX_5090, driver="570.86", usable=False))
    assert notice is not None
    assert "needs 580 or newer" in notice.what
    assert notice.do_next == "Update the driver."


def test_a_card_that_fails_otherwise_is_named_with_its_error() -> None:
    notice = diagnose(H100, "CUDA error: out of memory")
    assert notice is not None
    assert notice.what == "The NVIDIA H100 did not compute (CUDA error: out of memory)."
    assert "Close other programs" in notice.do_next


def test_a_card_that_pytorch_does_not_see_is_named_too() -> None:
    notice = diagnose(replace(H100, usable=False))
    assert notice is not None
    assert "does not see this machine's NVIDIA H100" in notice.what
    assert "CUDA_VISIBLE_DEVICES" in notice.do_next


def test_a_card_without_kernels_in_any_build_is_told_to_install_nothing() -> None:
    for built_for in (None, "12.6"):
        notice = diagnose(
            replace(H100, gpu="Tesla K80", capability=(3, 7), built_for=built_for, usable=False)
        )
        assert notice is not None
        assert "has compute capability 3.7" in notice.what
        assert "pip install" not in notice.do_next


def test_a_turing_card_keeps_the_newest_build() -> None:
    assert build_for(replace(H100, capability=(7, 5))) == "cu130"


def test_the_answer_of_nvidia_smi_is_read() -> None:
    assert parse_smi("NVIDIA H100 80GB HBM3, 550.54.15, 9.0") == (
        "NVIDIA H100 80GB HBM3",
        "550.54.15",
        (9, 0),
    )
    assert parse_smi("Tesla K80, 470.57.02, [N/A]") == ("Tesla K80", "470.57.02", None)
    assert parse_smi("NVIDIA-SMI has failed because it couldn't communicate with the driver.") is None
    assert parse_smi("") is None


def test_a_card_without_a_driver_is_found_on_the_bus(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("0000:00:02.0", "0x8086", "0x030000"),
        ("0000:01:00.0", "0x10de", "0x030200"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    assert _find_pci_gpu(tmp_path) == "NVIDIA card"
    assert _find_pci_gpu(tmp_path / "0000:00:02.0") == ""
