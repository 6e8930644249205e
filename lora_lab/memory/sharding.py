"""Bytes per GPU when a run's state is split over several GPUs.

ZeRO's stages as arXiv:1910.02054 section 5 and figure 1 count them: 16-bit weights and gradients, and 12
bytes per parameter for fp32 weights and Adam's two moments. Stage 3 is what FSDP's FULL_SHARD does.
"""

from lora_lab.memory.ledger import compute_constant_bytes, compute_stored_weight_bytes
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import Bits
from study.base.errors import LearnerError

WEIGHT_BYTES = GRADIENT_BYTES = 2  # per parameter, 16 bits each
OPTIMIZER_BYTES = 12  # per parameter: fp32 copy of the weight, momentum and variance, 4 bytes each
STAGES = (0, 1, 2, 3)


def compute_parts_per_gpu(*, parameters: int, gpus: int, stage: int) -> dict[str, float]:
    """Return the bytes of weights, gradients and optimizer state on each GPU, by name.

    Stage 0 copies all three, 1 splits the optimizer state, 2 the gradients too, 3 the weights as well.
    Raises LearnerError on another stage or on fewer than one GPU.
    """
    if stage not in STAGES or gpus < 1:
        raise LearnerError(
            f"Stage {stage} on {gpus} GPUs can't be computed.",
            do_next="Pick a stage of 0 to 3 and 1 GPU or more.",
        )
    sizes = {"optimizer": OPTIMIZER_BYTES, "gradients": GRADIENT_BYTES, "weights": WEIGHT_BYTES}
    return {
        name: parameters * size / (gpus if place < stage else 1)
        for place, (name, size) in enumerate(sizes.items())
    }


def zero_bytes_per_gpu(*, parameters: int, gpus: int, stage: int) -> float:
    """Return the bytes on each GPU of all three together."""
    return sum(compute_parts_per_gpu(parameters=parameters, gpus=gpus, stage=stage).values())


def base_bytes_per_gpu(shape: ModelShape, *, bits: Bits, gpus: int) -> float:
    """Return the bytes of a frozen base on each GPU when FSDP splits its weights evenly.

    The constants of the blocks are whole on every GPU: bitsandbytes keeps them as an attribute of the layer
    (`Linear4bit.quant_state`), neither parameter nor buffer, and FSDP splits parameters only.
    """
    return compute_stored_weight_bytes(shape, bits) / gpus + compute_constant_bytes(shape, bits)
