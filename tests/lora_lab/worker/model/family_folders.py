"""Folders of other families' tiny models, as anybody would save them, and runs on them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import create_run
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import RunSpec
from lora_lab.worker.model.load import (
    build_tiny_tokenizer,
)
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.worker.builders import (
    never_stop,
    small_dataset,
)

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
# As the tiny tokenizer needs it: one token a byte, and two special ones.
BYTES_AS_TOKENS = {"vocab_size": 258, "eos_token_id": 256, "pad_token_id": 256, "bos_token_id": 257}


def folder_of(family: str, config: dict[str, Any], folder: Path, **changes: Any) -> Path:
    """A tiny untrained model as anybody would save it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(family, **config | BYTES_AS_TOKENS | changes)
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    build_tiny_tokenizer().save_pretrained(folder)
    return folder


def run_in(folder: Path, spec: RunSpec, models_dir: Path) -> RunState:
    run = create_run(folder / "runs", spec, small_dataset(), now=NOW)
    execute_group([run], LabHome(folder), models_dir, app_is_gone=never_stop)
    return fold_events(run.events())
