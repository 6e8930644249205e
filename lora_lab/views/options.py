"""The options of the lab's forms: models and data sets."""

from typing import TypedDict

from lora_lab.data.uploads import Uploads
from lora_lab.parameters.shapes import load_catalogue
from lora_lab.spec import EMBEDDED_MODEL, OWN_DATA, TINY_MODEL

HUB_MODELS = (
    "smollm2-360m",
    "smollm2-1.7b",
    "qwen2.5-0.5b",
    "tinyllama-1.1b",
    "llama-3.2-1b",
    "llama-3.2-3b",
)


class DataChoices(TypedDict):
    """The variables of `lora_lab/shared/data.html`."""

    choices: list[tuple[str, str]]
    chosen: str


def model_choices(model: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the groups of the model list; `model` is always included."""
    here = [
        (EMBEDDED_MODEL, "SmolLM2-135M-Instruct (built in)"),
        (TINY_MODEL, "tiny random model (untrained, instant)"),
    ]
    hub = [(name, f"{load_catalogue()[name].hub_id} (from the hub)") for name in HUB_MODELS]
    if model not in {name for name, _ in here + hub}:
        here.append((model, model))
    return [("On this machine", here), ("Needs a download", hub)]


def data_choices(uploads: Uploads, chosen: str) -> DataChoices:
    """Return the app's cards, then the learner's uploads, newest first."""
    own = uploads.find(OWN_DATA)
    choices = [(OWN_DATA, f"{own.label} ({len(own.train)} + {len(own.held_out)} held out)")]
    return {"choices": choices + uploads.labels(), "chosen": OWN_DATA if chosen == own.digest else chosen}
