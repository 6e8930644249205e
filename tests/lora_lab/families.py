"""Tiny configurations of many architectures: built in milliseconds, with the real modules and names."""

import copy
import json
from typing import Any

import pytest
from transformers import PreTrainedModel

from lora_lab.parameters.shapes import ModelShape
from lora_lab.worker.model.read_shape import build_model, read_config_shape

PEFT_WARNINGS = [
    pytest.mark.filterwarnings(f"ignore:{text}")
    for text in (
        ".is_gradient_checkpointing. is deprecated",
        "Model has .tie_word_embeddings=True",
        "fan_in_fan_out is set to",
        "The following (rank|alpha)_pattern keys",
        "Note that `r` is not used in AdaLora",
    )
]
"""PEFT 0.21 asks transformers 5.24 under a name that it has given up, and warns where a head is tied.

It doubles the rank of gate and up together, and says so where only one of its two names matches.
"""

_COMMON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
_GROUPED = _COMMON | {"num_key_value_heads": 2}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64, "bos_token_id": 0, "eos_token_id": 1}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _GROUPED | {"tie_word_embeddings": False},
    "mistral": _GROUPED,
    "qwen2": _GROUPED | {"tie_word_embeddings": True},
    "qwen3": _GROUPED | {"head_dim": 16},
    "gemma2": _GROUPED | {"head_dim": 16},
    "gemma4_text": _GROUPED
    | {"num_hidden_layers": 6, "head_dim": 8, "global_head_dim": 16}  # the sixth layer's heads are wider
    | {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64},
    "phi": _COMMON,
    "phi3": _GROUPED,
    "gpt2": _GPT | {"n_positions": 32},
    "gptj": _GPT | {"rotary_dim": 8},
    "gpt_neox": _COMMON,
    "opt": _COMMON | {"ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 64},
    "falcon": _COMMON,
    "bert": _COMMON,
    "roberta": _COMMON,
    "deberta-v2": _COMMON,
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "vocab_size": 64},
    "mixtral": _GROUPED | {"num_local_experts": 4},
    "qwen2_moe": _GROUPED
    | {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 24},
    "vit": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48},
    "whisper": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48,
        "vocab_size": 64,
        "num_mel_bins": 8,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
    },
    "llava": {
        "text_config": _GROUPED | {"model_type": "llama"},
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 32,
            "patch_size": 16,
            "projection_dim": 32,
        },
    },
    "t5": {"d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "d_kv": 8, "vocab_size": 64},
}
NO_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 64},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "vocab_size": 64},
    "swin": {"embed_dim": 16, "depths": [1, 1], "num_heads": [2, 4], "image_size": 32},
    "segformer": {"hidden_sizes": [8, 16, 24, 32]},
    "wav2vec2": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
    },
}
"""Without the usual fields of a configuration, or with tensors of the model's own beside its layers."""

MIXTURES: dict[str, dict[str, Any]] = {
    "gpt_oss": _GROUPED | {"head_dim": 8, "intermediate_size": 24, "num_local_experts": 4},
    "qwen3_moe": _GROUPED | {"head_dim": 8, "num_experts": 4, "moe_intermediate_size": 16},
}
"""More mixtures whose experts are one tensor; PEFT knows older names of Qwen3-MoE's and none of gpt-oss's."""

KINDS = {
    **dict.fromkeys(("swin", "segformer", "wav2vec2"), "encoder"),
    "bert": "encoder",
    "roberta": "encoder",
    "deberta-v2": "encoder",
    "distilbert": "encoder",
    "t5": "seq2seq",
    "vit": "encoder",
    "whisper": "asr",
}


def config_of(family: str) -> dict[str, Any]:
    """A whole config for the shape reader."""
    return (FAMILIES | NO_TRANSFORMERS | MIXTURES)[family] | {"model_type": family}


def shape_of(family: str, kind: str | None = None) -> ModelShape:
    """What the lab reads of it, as another kind of model where one is given."""
    return read_shape_once(config_of(family), family, kind or KINDS.get(family, "causal"))


_SHAPES: dict[str, ModelShape] = {}


def read_shape_once(config: dict[str, Any], name: str, kind: str) -> ModelShape:
    """Once for each configuration and kind: hundreds of tests ask for the same few, and reading one builds
    its model.
    """
    key = json.dumps([config, name, kind], sort_keys=True)
    if key not in _SHAPES:
        _SHAPES[key] = read_config_shape(config, name=name, kind=kind)
    return _SHAPES[key]


def model_of(family: str) -> PreTrainedModel:
    """The model itself, without weights."""
    return build_once(config_of(family), KINDS.get(family, "causal"))


_MODELS: dict[str, PreTrainedModel] = {}


def build_once(config: dict[str, Any], kind: str) -> PreTrainedModel:
    """A model without weights, to be changed at will: copying takes a quarter of the time of building."""
    key = json.dumps([config, kind], sort_keys=True)
    if key not in _MODELS:
        _MODELS[key] = build_model(config, kind)
    return copy.deepcopy(_MODELS[key])
