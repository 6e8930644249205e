"""Published configurations that are not in the catalogue: of each config.json, what decides shapes."""

from typing import Any

Config = dict[str, Any]

ROBERTA_LARGE: Config = {
    "model_type": "roberta",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
}

DEBERTA_V2_XXLARGE: Config = {
    "model_type": "deberta-v2",
    "hidden_size": 1536,
    "num_hidden_layers": 48,
    "num_attention_heads": 24,
    "intermediate_size": 6144,
    "vocab_size": 128100,
    "relative_attention": True,
}

GPT2_MEDIUM: Config = {"model_type": "gpt2", "n_embd": 1024, "n_layer": 24, "n_head": 16}
GPT2_LARGE: Config = {"model_type": "gpt2", "n_embd": 1280, "n_layer": 36, "n_head": 20}
GPT2_XL: Config = {"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25}

PHI_1_5: Config = {
    "model_type": "phi",
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 32,
    "intermediate_size": 8192,
    "vocab_size": 51200,
}

STABLELM_ALPHA_3B: Config = {
    "model_type": "gpt_neox",
    "hidden_size": 4096,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "intermediate_size": 16384,
    "vocab_size": 50688,
    "tie_word_embeddings": False,
}

QWEN2_5_3B: Config = {
    "model_type": "qwen2",
    "hidden_size": 2048,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "intermediate_size": 11008,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}

OPT_6_7B: Config = {
    "model_type": "opt",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "ffn_dim": 16384,
    "word_embed_proj_dim": 4096,
    "do_layer_norm_before": True,
    "vocab_size": 50272,
    "max_position_embeddings": 2048,
}

OPT_350M: Config = OPT_6_7B | {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "ffn_dim": 4096,
    "word_embed_proj_dim": 512,
    "do_layer_norm_before": False,
}

GPT_NEOX_20B: Config = {
    "model_type": "gpt_neox",
    "hidden_size": 6144,
    "num_hidden_layers": 44,
    "num_attention_heads": 64,
    "intermediate_size": 24576,
    "vocab_size": 50432,
    "tie_word_embeddings": False,
}

WHISPER_LARGE_V2: Config = {
    "model_type": "whisper",
    "d_model": 1280,
    "encoder_layers": 32,
    "decoder_layers": 32,
    "encoder_attention_heads": 20,
    "decoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "decoder_ffn_dim": 5120,
    "vocab_size": 51865,
    "num_mel_bins": 80,
}

MT0_LARGE: Config = {
    "model_type": "mt5",
    "d_model": 1024,
    "num_layers": 24,
    "num_heads": 16,
    "d_kv": 64,
    "d_ff": 2816,
    "vocab_size": 250112,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}

GEMMA_4_E2B: Config = {
    "model_type": "gemma4",
    "text_config": {
        "model_type": "gemma4_text",
        "hidden_size": 1536,
        "intermediate_size": 6144,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "global_head_dim": 512,
        "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 7,
        "num_kv_shared_layers": 20,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 256,
        "vocab_size": 262144,
        "vocab_size_per_layer_input": 262144,
    },
    "vision_config": {
        "model_type": "gemma4_vision",
        "hidden_size": 768,
        "head_dim": 64,
        "num_attention_heads": 12,
        "num_key_value_heads": 12,
        "use_clipped_linears": True,
    },
    "audio_config": {"model_type": "gemma4_audio"},
}
