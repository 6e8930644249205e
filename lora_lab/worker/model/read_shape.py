"""Reads a model's shape from its own code on the meta device: without weights, for any architecture."""

import json
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import mode
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
    AutoModelForTokenClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from lora_lab.memory.frameworks.config_traits import ATTENTION_DROPOUT, RESIDUAL_DROPOUT
from lora_lab.memory.frameworks.families import ACTIVATIONS
from lora_lab.parameters.shapes import Linear, ModelShape, Role
from lora_lab.worker.model.read_tree import read_model_tree
from study.base.yaml_loader import load_yaml
from study.io.process_limits import limit_cpu_time, limit_memory

_NAMES: dict[Role, list[str]] = load_yaml(Path(__file__).with_name("roles.yaml").read_text("utf-8"))
ROLES = {name: role for role, names in _NAMES.items() for name in names}
"""Names that published architectures give to one role; an unlisted name is "other"."""

# Published sizes of these count the encoder alone, without a language-model head.
ENCODERS = frozenset({"bert", "roberta"})
BUILDERS: dict[str, tuple[Any, ...]] = {
    "causal": (AutoModelForCausalLM, AutoModelForImageTextToText),
    "encoder": (AutoModel,),
    "base": (AutoModel,),
    "vlm": (AutoModelForImageTextToText, AutoModelForCausalLM),
    "imgcls": (AutoModelForImageClassification,),
    "seq2seq": (AutoModelForSeq2SeqLM,),
    "asr": (AutoModelForSpeechSeq2Seq, AutoModelForCTC),
    "seqcls": (AutoModelForSequenceClassification, AutoModelForImageClassification),
    "tokencls": (AutoModelForTokenClassification,),
    "qa": (AutoModelForQuestionAnswering,),
}
"""The classes that build a kind of model; the first one that knows the type is used."""

SETTINGS = tuple(dict.fromkeys((*ACTIVATIONS, *RESIDUAL_DROPOUT, *ATTENTION_DROPOUT, "num_experts_per_tok")))
"""Fields of a text model's configuration that memory depends on, and that no module shows."""

VISION_SETTINGS = (
    "model_type", "num_attention_heads", "num_heads", "hidden_act", "spatial_merge_size",
)  # fmt: skip

RUNTIME_FIELDS = ("quantization_config", "auto_map", "attn_implementation", "_attn_implementation")
"""Fields of a config.json that don't affect shapes and need packages or remote code."""

SHAPE_BYTES = 1_000_000_000
SHAPE_CPU_SECONDS = 60
"""Limits on one configuration. Switch-C has 61,440 experts, each a module: it takes 41 s and 200 MB."""


def build_model(config: dict[str, Any], kind: str | None) -> PreTrainedModel:
    """Build the model that `config` (with `model_type`) describes, on the meta device.

    Raises ValueError or KeyError from transformers on an unknown config.
    """
    values = {name: value for name, value in config.items() if name not in RUNTIME_FIELDS}
    parsed = AutoConfig.for_model(values.pop("model_type"), **values)
    kind = kind or _find_usual_kind(parsed)
    with torch.device("meta"):
        return find_builder(kind, parsed).from_config(parsed)


def _find_usual_kind(config: PretrainedConfig) -> str:
    """Find the kind that a type's name stands for: the first of the text models, otherwise without a head."""
    if config.model_type in ENCODERS:
        return "encoder"
    texts = ("causal", "seq2seq")
    return next((k for k in texts if any(type(config) in b._model_mapping for b in BUILDERS[k])), "encoder")


def find_builder(kind: str, config: PretrainedConfig) -> Any:
    choices = BUILDERS[kind]
    return next((each for each in choices if type(config) in each._model_mapping), choices[0])


def read_config_shape(
    config: dict[str, Any], *, name: str, kind: str | None = None, hub_id: str = ""
) -> ModelShape:
    """Read the shape of the model that `config` (with `model_type`) describes.

    Raises ValueError or KeyError from transformers on an unknown config.
    """
    model = build_model(config, kind)
    head = model.get_output_embeddings()
    # transformers 5.24 ties T5's head whatever its config says; released mT0 and Flan-T5 have an untied head.
    own_head = (
        config.get("tie_word_embeddings") is False
        and head is not None
        and head.weight is model.get_input_embeddings().weight
    )
    shape = read_model_shape(model, name=name, hub_id=hub_id, own_head=own_head)
    return replace(shape, head_parameters=head.weight.numel()) if own_head else shape


def serve_shapes() -> None:
    """Read one JSON request per line, `{"config": ..., "kind": ...}`; answer with a shape or an error.

    The process ends at a configuration that reaches a limit.
    """
    limit_memory(SHAPE_BYTES)
    for line in sys.stdin:
        limit_cpu_time(SHAPE_CPU_SECONDS)
        request = json.loads(line)
        name = str(request["config"].get("_name_or_path") or "this model")
        try:
            shape = read_config_shape(request["config"], name=name, kind=request["kind"])
            answer = {"shape": shape.to_json()}
        except MemoryError:
            return  # with what it holds the process could read nothing else
        except Exception as error:
            # Any architecture's own code runs here; any exception is an answer about this one config.
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def read_model_shape(
    model: PreTrainedModel, *, name: str, hub_id: str = "", own_head: bool = False
) -> ModelShape:
    """Read the shape of a built model, on any device and unquantized."""
    text: Any = model.config.get_text_config()
    head = model.get_output_embeddings()
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding)]
    # T5's encoder and decoder read the same table, which is counted once, as `parameters()` does.
    embedding_parameters = sum({id(m.weight): m.weight.numel() for m in embeddings}.values())
    tied = head is None or any(head.weight is m.weight for m in embeddings)
    linears = _list_linears(model, head)
    total = sum(p.numel() for p in model.parameters())
    head_parameters = 0 if tied or head is None else head.weight.numel()
    in_linears = sum(linear.parameters for linear in linears)
    heads, hidden = _read_number(text, "num_attention_heads"), _read_number(text, "hidden_size")
    tree = read_model_tree(model, own_head=own_head)
    defaults = tree.defaults.get("lora", ())
    return ModelShape(
        name=name,
        model_type=model.config.model_type,
        hub_id=hub_id,
        licence="",
        linears=linears,
        embedding_parameters=embedding_parameters,
        head_parameters=head_parameters,
        other_parameters=total - in_linears - embedding_parameters - head_parameters,
        layers=_read_number(text, "num_hidden_layers"),
        hidden=hidden,
        intermediate=_read_intermediate(text),
        heads=heads,
        kv_heads=_read_number(text, "num_key_value_heads") or heads,
        head_dim=_read_number(text, "head_dim") or hidden // max(1, heads),
        vocab=_read_number(text, "vocab_size"),
        fused_experts=any(p.ndim > 2 and "expert" in path for path, p in model.named_parameters()),
        default_targets=() if isinstance(defaults, str) else defaults,
        settings=_read_settings(model.config, text),
        tree=tree,
    )


def _read_settings(config: Any, text: Any) -> dict[str, Any]:
    """Read what modules don't show, with the library's defaults; the models inside by their own name."""
    said: dict[str, Any] = {
        name: value for name in SETTINGS if isinstance(value := _read_field(text, name), str | int | float)
    }
    for inner, fields in (("text_config", ("model_type",)), ("vision_config", VISION_SETTINGS)):
        if part := getattr(config, inner, None):
            said[inner] = {name: value for name in fields if (value := getattr(part, name, None))}
    pooled = {name: getattr(config, name, None) for name in ("mm_tokens_per_image", "scale_factor")}
    return said | {name: value for name, value in pooled.items() if value}


def _list_linears(model: PreTrainedModel, head: nn.Module | None) -> tuple[Linear, ...]:
    found: Counter[tuple[str, int, int]] = Counter()
    for path, module in model.named_modules():
        if module is head or not isinstance(module, nn.Linear | Conv1D):
            continue
        d_out, d_in = module.weight.shape
        if isinstance(module, Conv1D):  # stored transposed, (d_in, d_out)
            d_in, d_out = d_out, d_in
        found[re.sub(r"\.\d+(?=\.|$)", ".*", path), d_in, d_out] += 1
    return tuple(
        Linear(name=path, role=_find_role(path), d_in=d_in, d_out=d_out, count=times)
        for (path, d_in, d_out), times in found.items()
    )


def _find_role(path: str) -> Role:
    """Find a path's role by its longest listed suffix; heads outside the layers have none."""
    if "*" not in path:
        return "other"
    parts = path.split(".")
    for length in (3, 2, 1):
        role = ROLES.get(".".join(parts[-length:]))
        if role:
            return role
    return "other"


def _read_intermediate(text: Any) -> int:
    for name in ("intermediate_size", "ffn_dim", "n_inner", "d_ff"):
        if value := _read_number(text, name):
            return value
    return 4 * _read_number(text, "hidden_size")


def _read_number(text: Any, name: str) -> int:
    """Return a field of a configuration; 0 where it is missing (Mamba's heads) or a list (Swin's).

    Where layers differ in it (Gemma 4's head_dim), transformers 5.24 raises a RuntimeError: then it is what
    most layers have. Counts need only the modules; memory is estimated for families that have all fields.
    """
    value = _read_field(text, name)
    return value if isinstance(value, int) else 0


def _read_field(text: Any, name: str) -> Any:
    try:
        return getattr(text, name, None)
    except RuntimeError:
        return mode(getattr(layer, name, None) for layer in text.per_layer_config)
