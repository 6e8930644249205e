"""Merging of base and adapter into one plain model: dequantize, then merge, in fp32.

Merged into the 4-bit weights themselves, the update would be rounded to 16 levels (docs/traps.md 6); saved in
bf16, part of a small update would be rounded away.
"""

import os
import shutil
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel

from lora_lab.runs import failures
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.merged_model import Merged
from lora_lab.spec import Bits
from lora_lab.worker.device.number_type import DTYPES
from lora_lab.worker.model.load import load_model, load_tokenizer
from lora_lab.worker.model.quantization import decode_dense_weight, list_linears, put_weight
from lora_lab.worker.training.memory_meter import is_out_of_memory
from study.base.errors import LearnerError, first_line
from study.base.model_files import Progress, Report, ignore_progress


def merge_run(run: RunFolder, models_dir: Path) -> bool:
    """Write a run's merged model, with progress in `merged.json`. Return True when it is written."""
    merged = Merged(run)

    def report(progress: Progress) -> None:
        run.write_json(
            merged.state_path.name, {"state": "working", "text": progress.step, "pid": os.getpid()}
        )

    try:
        _write_model(run, models_dir, merged, report)
    except (LearnerError, OSError, MemoryError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(merged.partial, ignore_errors=True)  # first, to free disk space for the error message
        run.write_json(merged.state_path.name, {"state": "failed", "text": describe_error(error)})
        return False
    run.write_json(merged.state_path.name, {"state": "done", "text": ""})
    return True


def _write_model(run: RunFolder, models_dir: Path, merged: Merged, report: Report) -> None:
    spec = run.spec
    report(Progress(step="Loading the model"))
    model = load_base(run, models_dir, report)
    report(Progress(step="Merging"))
    whole = _with_adapter(model, run.adapter_path).merge_and_unload()
    report(Progress(step="Saving"))
    shutil.rmtree(merged.partial, ignore_errors=True)
    merged.partial.mkdir()  # fails where the run was deleted meanwhile
    whole.save_pretrained(merged.partial)
    load_tokenizer(spec.model, models_dir, report).save_pretrained(merged.partial)
    shutil.rmtree(merged.folder, ignore_errors=True)
    os.replace(merged.partial, merged.folder)


def _with_adapter(model: PreTrainedModel, folder: Path) -> PeftModel:
    try:
        return PeftModel.from_pretrained(model, str(folder))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise LearnerError(
            f"The run's adapter can't be read ({error}).", do_next="Start the run again."
        ) from error


def load_base(run: RunFolder, models_dir: Path, report: Report = ignore_progress) -> PreTrainedModel:
    """Load the base that a run trained on, which was rounded to the run's compute type before its bits, in
    plain fp32 layers on the CPU.
    """
    started = run.state().started
    compute_dtype = DTYPES[started["device"]["compute_dtype"]] if started else torch.float32
    return load_dequantized(run.spec.model, run.spec.bits, models_dir, report, compute_dtype=compute_dtype)


def load_dequantized(
    model: str,
    bits: Bits,
    models_dir: Path,
    report: Report = ignore_progress,
    *,
    compute_dtype: torch.dtype = torch.float32,
) -> PreTrainedModel:
    """Load the model with the numbers that `bits` and the compute type keep, in plain fp32 layers on the
    CPU.
    """

    def load(kind: Bits, dtype: torch.dtype) -> PreTrainedModel:
        cpu = torch.device("cpu")
        return load_model(model, kind, compute_dtype=dtype, device=cpu, models_dir=models_dir, report=report)

    plain, stored = load("fp32", torch.float32), load(bits, compute_dtype)
    kept, parameters = dict(stored.named_modules()), dict(stored.named_parameters())
    with torch.no_grad():
        for name, parameter in plain.named_parameters():  # embeddings, head, norms and biases
            if name in parameters and parameters[name].is_floating_point():
                parameter.copy_(parameters[name])
        for name, layer in list_linears(plain):
            put_weight(layer, decode_dense_weight(kept[name], torch.float32))
    return plain


def describe_error(error: Exception) -> str:
    """Describe an error of work on a whole model in fp32."""
    if is_out_of_memory(error):
        return "There was not enough memory: this holds the whole model in fp32, 4 bytes per parameter."
    if isinstance(error, OSError | SafetensorError):
        return f"{failures.describe_refusal('disk', error).what} Free some disk space."
    return str(error) if isinstance(error, LearnerError) else first_line(error)
