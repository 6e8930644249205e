"""Export of a run as one plain Python script: `worker/standalone.py` with this run's settings and data."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from lora_lab.data import datasets, embedded_model
from lora_lab.data.datasets import Example
from lora_lab.data.lab_folder import LabHome
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL, RunSpec
from study.base.errors import LearnerError

TEMPLATE = Path(__file__).parents[1] / "worker" / "standalone.py"
BLOCK = re.compile(r"(?<=# ---- settings of this run ----\n).*(?=# ---- the rest is the same)", re.DOTALL)


def build_script(run: RunFolder, home: LabHome, models_dir: Path) -> str:
    """Build the script's text. Raises LearnerError for a run that never began."""
    spec, state = run.spec, run.state()
    if state.started is None:
        raise LearnerError(
            "This run never began, so its number type is not known.", do_next="Export a run that has trained."
        )
    block = "".join(_write_settings(spec, state, home, models_dir)) + "".join(_write_data(run, state))
    text, replaced = BLOCK.subn(lambda _: block, TEMPLATE.read_text("utf-8"))
    assert replaced == 1
    return text


def _write_settings(spec: RunSpec, state: RunState, home: LabHome, models_dir: Path) -> Iterable[str]:
    started = cast(dict[str, Any], state.started)
    device = started["device"]
    versions = ", ".join(f"{name} {version}" for name, version in started["versions"].items())
    shape = home.find_shape(spec.model)
    yield f"# Measured on {device['name']} with {versions}.\n"
    if spec.model == EMBEDDED_MODEL:
        yield f"# The app's copy, once rounded to 4 bits; {shape.hub_id} holds the untouched weights.\n"
    yield f"MODEL: str = {json.dumps(_find_source(spec.model, models_dir))}\n"
    yield f"BITS: str = {json.dumps(spec.bits)}\n"
    yield f"COMPUTE_DTYPE: torch.dtype = {TORCH_NAMES[device['compute_dtype']]}\n"
    yield f"VARIANT: str = {json.dumps(spec.variant)}\n"
    yield f"RANK: int = {spec.rank}\nALPHA: float = {spec.alpha!r}\n"
    yield f"TARGETS: str | list[str] = {json.dumps(shape.list_target_modules(spec.targets))}\n"
    yield f"STEPS: int = {spec.steps}\nBATCH: int = {spec.batch}\n"
    yield f"SEQ_LEN_TOKENS: int = {spec.seq_len_tokens}\n"
    yield f"LEARNING_RATE: float = {spec.learning_rate!r}\n"
    yield f"OPTIMIZER: str = {json.dumps(spec.optimizer)}\n"
    yield f"CHECKPOINTING: bool = {spec.checkpointing}\nSEED: int = {spec.seed}\n"


TORCH_NAMES = {"fp32": "torch.float32", "bf16": "torch.bfloat16", "fp16": "torch.float16"}


def _write_data(run: RunFolder, state: RunState) -> Iterable[str]:
    dataset = datasets.load_saved(run.path)
    for name, examples in (("TRAIN", dataset.train), ("HELD_OUT", dataset.held_out)):
        yield f"{name}: list[tuple[str, str]] = [\n{''.join(map(_format_pair, examples))}]\n"
    losses = "".join(f"    {step['loss']!r},\n" for step in state.steps)
    yield f"MEASURED_LOSSES: list[float] = [\n{losses}]\n"


def _format_pair(example: Example) -> str:
    # A JSON string is also a Python string, except lone surrogates, which a data set never contains.
    return f"    ({json.dumps(example.prompt)}, {json.dumps(example.answer)}),\n"


def _find_source(model: str, models_dir: Path) -> str:
    """Return what transformers opens: a folder of this machine, or a hub id."""
    if model == EMBEDDED_MODEL:
        return str(embedded_model.find_model_folder(models_dir))
    if model == TINY_MODEL:
        return str(models_dir / TINY_MODEL)
    try:
        return find_shape(model).hub_id
    except LearnerError:
        return str(Path(model).expanduser()) if Path(model).expanduser().is_dir() else model
