"""The options of the lab's forms: models, bit widths, target matrices and data sets."""

from lora_lab.parameters.shapes import load_catalogue
from lora_lab.spec import BITS_LABELS, EMBEDDED_MODEL, TINY_MODEL, Bits

HUB_MODELS = (
    "smollm2-360m", "smollm2-1.7b", "qwen2.5-0.5b", "tinyllama-1.1b", "llama-3.2-1b", "llama-3.2-3b"
)  # fmt: skip
SHORT_TARGETS = {"q+v": "query + value", "attention": "all attention", "all-linear": "all linear"}
BITS_ORDER: tuple[Bits, ...] = (
    "nf4-dq", "nf4", "fp4", "int8", "bf16", "fp32", "hqq8", "hqq4", "hqq3", "hqq2", "hqq1"
)  # fmt: skip
BITS_CHOICES = [(bits, BITS_LABELS[bits]) for bits in BITS_ORDER]
BITS_WITH_SHORT_NAMES = [
    (bits, label if bits in label else f"{label} ({bits})") for bits, label in BITS_CHOICES
]
"""With the name by which titles, tables and commands call each; too long for the lab's narrow list."""


def group_model_choices(model: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the groups of the model list; `model` is always included."""
    here = [
        (EMBEDDED_MODEL, "SmolLM2-135M-Instruct (built in)"),
        (TINY_MODEL, "tiny random model (instant)"),
    ]
    hub = [(name, f"{load_catalogue()[name].hub_id} (from the hub)") for name in HUB_MODELS]
    if model not in {name for name, _ in here + hub}:
        here.append((model, model))
    return [("On this machine", here), ("Needs a download", hub)]
