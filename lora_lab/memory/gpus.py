"""What common cards hold: the memory that PyTorch reports for one of each size, in bytes.

A card sold with 24 GB has 24 GiB, about 25.8 GB. The driver keeps some of it, and error
correction in GDDR memory a sixteenth; what is left is the total that PyTorch prints when memory runs out.
Reports from Linux, because Windows shows what the driver keeps as well.
"""

from dataclasses import dataclass

from study.base.units import GB

CUDA_OVERHEAD_BYTES = round(1.4 * GB)
"""What must stay free beside what the allocator reserves, for the driver and PyTorch's runtime: the fixed
share of Unsloth's estimate, calibrated by them on an RTX 5070 Ti (unslothai/unsloth,
studio/backend/utils/hardware/VRAM_ESTIMATION.md). More than the context alone, which
frameworks/forecast.CONTEXT_BYTES counts in what a driver shows: a verdict "it fits" needs room for the worst.
"""


@dataclass(frozen=True, kw_only=True)
class GpuModel:
    """One size of cards."""

    gb: int
    """The size that people call it by."""

    names: str
    reported: str
    """The card of that size whose report is counted."""

    gib: float
    source: str

    @property
    def total_bytes(self) -> int:
        """What a process can take of it, its own CUDA context included."""
        return round(self.gib * 2**30)


_GPUS = (
    GpuModel(
        gb=6, names="RTX 2060", reported="RTX 2060", gib=5.79, source="facebookresearch/meshrcnn issue 92"
    ),
    GpuModel(gb=8, names="RTX 4060", reported="RTX 4060", gib=7.75, source="ESRSchao/EdgeRegNet issue 2"),
    GpuModel(
        gb=12,
        names="RTX 3060, 4070",
        reported="RTX 3060",
        gib=11.75,
        source="PromtEngineer/localGPT-Vision issue 14",
    ),
    GpuModel(gb=15, names="T4", reported="T4", gib=14.56, source="Zheng-Chong/CatVTON issue 133"),
    GpuModel(
        gb=16, names="RTX A4000, 4080", reported="RTX A4000", gib=15.61, source="DengKaiCQ/VGGT-Long issue 6"
    ),
    GpuModel(
        gb=24, names="RTX 3090, 4090", reported="RTX 4090", gib=23.64, source="ali-vilab/VGen issue 104"
    ),
    GpuModel(gb=32, names="RTX 5090", reported="RTX 5090", gib=31.37, source="Wan-Video/Wan2.1 issue 465"),
    GpuModel(gb=45, names="L40S", reported="L40S", gib=44.42, source="stepfun-ai/Step-Video-T2V issue 8"),
    GpuModel(
        gb=48,
        names="A6000, RTX 8000",
        reported="RTX 8000",
        gib=47.46,
        source="Victarry/stable-dreambooth issue 8",
    ),
    GpuModel(gb=80, names="A100, H100", reported="H100", gib=79.11, source="vllm-project/vllm issue 27508"),
    GpuModel(gb=141, names="H200", reported="H200", gib=139.81, source="vllm-project/vllm issue 34553"),
)
GPUS: dict[int, GpuModel] = {gpu.gb: gpu for gpu in _GPUS}
"""By the size that people call them by, smallest first."""
