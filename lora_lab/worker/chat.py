"""Chat with a base model and adapters on it: all answer the same prompt, one token each per round.

A question is a line as worker/inspect/json_lines.py reads it:

    {"job": "7", "runs": ["/path/to/run"], "prompt": "...", "seed": 0, "temperature": 0.0}

and the messages so far are `{"job", "doing"}` while a model is loaded and `{"job", "texts": {"base": "...",
run id: "..."}}` while it answers.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hqq.core.quantize import HQQLinear
from peft import PeftModel
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.chat import BASE, NEW_TOKENS
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import Bits, ComputeType
from lora_lab.worker.device.gpu import free_bytes
from lora_lab.worker.device.machine import find_machine
from lora_lab.worker.inspect.json_lines import End, Say, serve_orders
from lora_lab.worker.model.quantization import decode_dense_weight, keep_row_scales, put_beside_base
from lora_lab.worker.training.loaded_model import LoadedModel, open_model
from lora_lab.worker.training.packing import render_prompt
from study.base.errors import LearnerError

DENSE_SHARE = 0.25
"""The share of free memory below which weights are decoded once and not for every token."""

Wanted = tuple[str, Bits, ComputeType]
"""A base model, its bit width, and the number type to compute in."""


def serve_chat(models_dir: Path, home: LabHome) -> None:
    """Answer questions until standard input closes."""
    model = ChatModel(models_dir, home)

    def answer(ask: dict[str, Any], say: Say, is_stopped: Callable[[], bool]) -> End:
        runs = [RunFolder(Path(folder)) for folder in ask["runs"]]
        names = model.load_models(runs, say)
        for texts in model.generate_answers(
            names, ask["prompt"], seed=ask["seed"], temperature=ask["temperature"]
        ):
            say(texts=texts)
            if is_stopped():
                return "stopped"
        return "done"

    serve_orders(answer, "The models could not answer", do_next="Choose fewer runs.")


@dataclass
class ChatAnswer:
    """One model's answer in progress, with its KV cache."""

    name: str
    ids: Tensor  # (1, new) tokens that the model has not processed yet
    cache: DynamicCache
    rng: torch.Generator
    tokens: list[int]
    ended: bool = False


class ChatModel:
    """A base model that stays loaded between questions, with the adapters of the runs asked so far."""

    def __init__(self, models_dir: Path, home: LabHome | None = None) -> None:
        self._models_dir = models_dir
        self._home = home
        self._base: Wanted | None = None
        self._loaded: LoadedModel | None = None
        self._model: PeftModel | None = None

    def load_models(self, runs: list[RunFolder], say: Say) -> list[str]:
        """Load what is missing; return the names of the models that will answer, the base first.

        Raises LearnerError for a run that was deleted meanwhile, and where the models can't answer together.
        """
        if not all(run.path.is_dir() for run in runs):
            raise LearnerError(
                "A run that was asked was deleted meanwhile.", do_next="Ask again without that run."
            )
        spec = runs[0].spec
        wanted = (spec.model, spec.bits, spec.compute_dtype)
        if any((run.spec.model, run.spec.bits) != wanted[:2] for run in runs):
            raise LearnerError("These runs have different base models.", do_next="Ask runs of one base.")
        if self._loaded is None or self._base != wanted:
            self._loaded = self._model = None  # freed before the next one is loaded
            self._loaded = self._open(wanted, say)
            self._base = wanted
        for run in runs:
            self._attach(run, say)
        return [BASE, *(run.run_id for run in runs)]

    def _open(self, wanted: Wanted, say: Say) -> LoadedModel:
        model, bits, compute = wanted
        machine = find_machine(compute, self._home)
        loaded = open_model(
            model,
            bits,
            machine,
            models_dir=self._models_dir,
            report=lambda progress: say(doing=progress.step),
        )
        decode_once(loaded.base, machine.compute_dtype)
        keep_row_scales(loaded.base)  # for layers that stayed quantized for lack of memory
        return loaded

    def _attach(self, run: RunFolder, say: Say) -> None:
        assert self._loaded is not None
        name = _name_adapter(run.run_id)
        if self._model is not None and name in self._model.peft_config:
            return
        say(doing="Loading the adapters")
        try:
            if self._model is None:
                base = self._loaded.base
                self._model = PeftModel.from_pretrained(base, str(run.adapter_path), adapter_name=name)
            else:
                self._model.load_adapter(str(run.adapter_path), adapter_name=name)
                put_beside_base(self._model, name)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            self._loaded = self._model = None  # an adapter of zeros may be attached already
            raise LearnerError(
                f"The adapter of {run.run_id} can't be read ({error}).", do_next="Leave that run out."
            ) from error

    @property
    def _cache_name(self) -> str:
        """The keyword for the KV cache in the loaded base's forward."""
        assert self._loaded is not None
        given = inspect.signature(self._loaded.base.forward).parameters
        return "cache" if "cache" in given else "past_key_values"

    @torch.no_grad()
    def generate_answers(
        self, names: list[str], prompt: str, *, seed: int, temperature: float
    ) -> Iterator[dict[str, str]]:
        """Generate each model's text after every round of one token each. Temperature 0 is greedy."""
        assert self._loaded is not None
        assert self._model is not None
        self._model.eval()
        tokenizer, device = self._loaded.tokenizer, self._loaded.machine.device
        text = render_prompt(tokenizer, prompt)
        given = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)
        ids = given["input_ids"].to(device)
        going = [
            ChatAnswer(name, ids, DynamicCache(), torch.Generator().manual_seed(seed), []) for name in names
        ]
        ends = _end_tokens(self._model, tokenizer)
        for _ in range(NEW_TOKENS):
            for answer in going:
                if not answer.ended:
                    self._step(answer, temperature, ends)
            yield {
                answer.name: tokenizer.decode(answer.tokens, skip_special_tokens=True).strip()
                for answer in going
            }
            if all(answer.ended for answer in going):
                return

    def _step(self, answer: ChatAnswer, temperature: float, ends: set[int]) -> None:
        assert self._loaded is not None
        with self._loaded.machine.autocast():
            # (vocab,), drawn from on the CPU: the same seed gives the same answer on every device.
            logits = self._forward(answer).logits[0, -1].float().cpu()
        if temperature == 0:
            chosen = logits.argmax()[None]
        else:
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=answer.rng)
        answer.ids = chosen[None].to(answer.ids.device)
        answer.ended = int(chosen) in ends
        answer.tokens.append(int(chosen))

    def _forward(self, answer: ChatAnswer) -> Any:
        model = self._model
        assert model is not None
        inputs = {
            "input_ids": answer.ids,
            self._cache_name: answer.cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        if answer.name == BASE:
            with model.disable_adapter():
                return model(**inputs)
        model.set_adapter(_name_adapter(answer.name))
        return model(**inputs)


def decode_once(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Replace quantized layers, and those of 16 bits under a model that computes in fp32, by plain ones in
    `dtype`, where the memory allows, so an answer decodes them once.
    """
    narrow = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear | HQQLinear)
        and (type(layer) is not nn.Linear or layer.weight.dtype.itemsize < dtype.itemsize)
    ]
    needed_bytes = sum(layer.in_features * layer.out_features * dtype.itemsize for _, layer in narrow)
    if needed_bytes > DENSE_SHARE * free_bytes(next(model.parameters()).device):
        for _, layer in narrow:
            if type(layer) is nn.Linear:  # a quantized layer widens its weight by itself
                layer.forward = partial(_widen_and_multiply, layer)  # type: ignore[method-assign]
        return
    for name, layer in narrow:
        plain = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        plain.weight = nn.Parameter(decode_dense_weight(layer, dtype), requires_grad=False)
        if layer.bias is not None:
            plain.bias = nn.Parameter(layer.bias.detach().to(dtype), requires_grad=False)
        model.set_submodule(name, plain)


def _widen_and_multiply(layer: nn.Linear, x: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(x.dtype)
    return functional.linear(x, layer.weight.to(x.dtype), bias)


def _end_tokens(model: PeftModel, tokenizer: Any) -> set[int]:
    named = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])}


def _name_adapter(run_id: str) -> str:
    return run_id.replace(".", "-")  # a dot would split the module's name
