"""A run's adapter and merged model as others load them: base by hub id, and a card of the training."""

import json
from collections.abc import Iterable
from typing import Any

from lora_lab.charts.run_view import list_setting_rows
from lora_lab.data import datasets
from lora_lab.data.embedded_model import PACKAGE
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import EMBEDDED_MODEL, VARIANT_NAMES
from study.base.errors import LearnerError

CONFIG = "adapter_config.json"
CARD = "README.md"
FROM_MODEL = "AutoModelForCausalLM.from_pretrained"
ASK = """\
tokenizer = AutoTokenizer.from_pretrained(base)

question = "Your question"
text = f"Question: {question}\\nAnswer: "
if tokenizer.chat_template:
    chat = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
tokens = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)
answer = model.generate(**tokens, max_new_tokens=48, do_sample=False)
print(tokenizer.decode(answer[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))""".splitlines()
"""The rest of a program that asks the model as the lab does: in the form in which it was trained."""


def read_adapter_files(run: RunFolder, home: LabHome) -> dict[str, bytes]:
    """Read the files of an adapter, with a base and a card that mean something on another machine.

    PEFT saves the folder that the base was loaded from: told a hub id, it would ask the hub at every save.
    """
    files = {path.name: path.read_bytes() for path in sorted(run.adapter_path.iterdir())}
    try:
        config = json.loads(files[CONFIG])
    except (KeyError, ValueError):
        config = None  # PEFT will say what is wrong with it
    if isinstance(config, dict):
        config["base_model_name_or_path"] = _name_base(run, home)
        files[CONFIG] = json.dumps(config, indent=2, sort_keys=True).encode()
    return files | {CARD: write_adapter_card(run, home).encode(errors="replace")}


def write_adapter_card(run: RunFolder, home: LabHome) -> str:
    base = _name_base(run, home)
    name = f"{VARIANT_NAMES[run.spec.variant]} adapter of rank {run.spec.rank}"
    return _format_card(
        run,
        base,
        library="peft",
        title=f"{name} for {base}",
        imports=["from peft import PeftModel"],
        model=f'PeftModel.from_pretrained({FROM_MODEL}(base), "adapter")',
    )


def write_merged_card(run: RunFolder, home: LabHome) -> str:
    """Build the card of base and adapter merged into one model."""
    base = _name_base(run, home)
    return _format_card(
        run,
        base,
        library="transformers",
        title=f"{base} with its adapter of rank {run.spec.rank} merged",
        model=f'{FROM_MODEL}("merged")',
        note="The stored base weights were dequantized, then the adapter was added, in fp32.",
    )


def _name_base(run: RunFolder, home: LabHome) -> str:
    """Name the base by its hub id; a model of one's own folder has only that folder."""
    try:
        return home.find_shape(run.spec.model).hub_id or run.spec.model
    except LearnerError:
        return run.spec.model


def _format_card(
    run: RunFolder,
    base: str,
    *,
    library: str,
    title: str,
    model: str,
    imports: Iterable[str] = (),
    note: str = "",
) -> str:
    """Format the card; `imports` and `model` are of the program that loads the model."""
    state = run.state()
    front = [
        "---",
        f"base_model: {json.dumps(base)}",
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        "tags:",
        "- lora",
        "---",
    ]
    notes = [note, _say_stored(run)]
    rows = [*_list_training(run, state), *_list_versions(state)]
    table = [
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {_join_lines(value)} |" for name, value in rows),
    ]
    parts = [
        front,
        [f"# {_join_lines(title)}"],
        ["Trained with LoRA study's lab."],
        *([text] for text in notes if text),
        ["```python", *imports, "from transformers import AutoModelForCausalLM, AutoTokenizer"],
        [f"base = {json.dumps(base)}", f"model = {model}", *ASK, "```"],
        ["## Training"],
        table,
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _say_stored(run: RunFolder) -> str:
    if run.spec.model != EMBEDDED_MODEL:
        return ""
    return (
        "It was trained on a copy of the base whose weights had been rounded to 4 bits before "
        f"(Q4_1, from the package {PACKAGE.name} {PACKAGE.version}): on the untouched base its loss differs."
    )


def _list_training(run: RunFolder, state: RunState) -> Iterable[tuple[str, str]]:
    yield from (
        (name, value) for name, value in list_setting_rows(run.spec) if name not in ("model", "steps")
    )
    yield "steps", f"{len(state.steps)} of {run.spec.steps}"
    yield "data", _describe_data(run)
    if state.steps:
        first, last = state.steps[0]["loss"], state.steps[-1]["loss"]
        yield "training loss", f"{first:.4f} at step 1, {last:.4f} at step {len(state.steps)}"
    if state.loss_before is not None and state.loss_after is not None:
        yield "held-out loss", f"{state.loss_before:.4f} before, {state.loss_after:.4f} after"


def _describe_data(run: RunFolder) -> str:
    try:
        dataset = datasets.load_saved(run.path)
    except LearnerError:
        return "no longer known"
    held_out = f"{len(dataset.held_out)} held out"
    return f"{dataset.label}: {len(dataset.train)} examples, {held_out} (digest {dataset.digest})"


def _list_versions(state: RunState) -> Iterable[tuple[str, str]]:
    started: dict[str, Any] = state.started or {"device": {}, "versions": {}}
    if device := started["device"]:
        yield "device", f"{device['name']}, computing in {device['compute_dtype']}"
    yield from started["versions"].items()


def _join_lines(text: str) -> str:
    """Keep a label that a learner chose inside its cell."""
    return " ".join(text.replace("|", "\\|").split())
