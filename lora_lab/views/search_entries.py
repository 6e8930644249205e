"""What a search finds in the lab: its pages, the labels of settings, and models."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

from lora_lab.memory.ledger import bits_per_param
from lora_lab.settings.run_form import build_address, read_presets
from lora_lab.settings.urls import CLAIMS, COMPARE, GRID, LAB, MEMORY, MICROSCOPE, MODELS, PAPERS, XRAY
from lora_lab.spec import BITS_LABELS, TARGET_LABELS, VARIANT_LABELS, VARIANT_NAMES, RunSpec
from lora_lab.views import memory_form
from study.base.units import as_short
from study.content.search import SearchEntry

PAGES = (
    ("Lab: train a model", LAB, "fine-tune run start rank slider memory loss"),
    ("Grid: every rank at every bit width", GRID, "sweep heat map seeds experiment"),
    ("Compare runs", COMPARE, "side by side chat base tuned answers"),
    ("X-ray of a run", XRAY, "svd singular values directions update"),
    ("Will it fit?", MEMORY, "does it fit on my gpu card memory vram 8 12 16 24 48 80 gb context"),
    ("Models of the lab", MODELS, "catalogue add config.json"),
    ("Check a claim", CLAIMS, "trainable params printed line"),
    ("Published numbers", PAPERS, "papers tables recomputed"),
    ("Microscope: one weight matrix in two schemes", MICROSCOPE, "quantization error levels outliers"),
)


def list_pages() -> Iterator[SearchEntry]:
    for title, address, text in PAGES:
        yield SearchEntry(kind="Lab", title=title, address=address, text=text)


def list_settings() -> Iterator[SearchEntry]:
    """List the number type, and the labels in the names of runs; those lead to the form filled in."""
    yield SearchEntry(
        kind="Settings of a run",
        title="Number type of the lab",
        address=LAB,
        about="bf16 or fp32, decided once by the processor or GPU: press the device's name in the Lab.",
    )
    usual = read_presets()[0].spec
    labels: list[tuple[str, RunSpec, str]] = [
        (bits, replace(usual, bits=bits), f"{label}: {bits_per_param(bits):.4g} bits per weight")
        for bits, label in BITS_LABELS.items()
    ]
    labels += [
        (name, replace(usual, variant=variant), VARIANT_LABELS[variant].removeprefix(f"{name}: "))
        for variant, name in VARIANT_NAMES.items()
    ]
    labels += [
        (targets, replace(usual, targets=targets), f"Adapters on {label}")
        for targets, label in TARGET_LABELS.items()
    ]
    for title, spec, about in labels:
        yield SearchEntry(kind="Settings of a run", title=title, address=build_address(spec), about=about)


def list_models() -> Iterator[SearchEntry]:
    """List the models that Will it fit? offers; each leads there with it chosen."""
    for shape in memory_form.list_models():
        yield SearchEntry(
            kind="Models",
            title=f"{shape.name} ({as_short(shape.total_parameters)} parameters): does it fit?",
            address=f"{MEMORY}?{urlencode({'model': shape.name})}",
            text="gpu gb vram",
        )
