"""Bytes of the keys and values that generation keeps, from a model's shape alone.

Each layer stores one key and one value of `head_dim` numbers per key-value head and token (arXiv:2305.13245
section 2 for shared heads; arXiv:2309.06180 section 3 prints 800 KB per token for OPT-13B in fp16).
"""

from lora_lab.parameters.shapes import ModelShape

KEY_AND_VALUE = 2


def kv_cache_bytes(shape: ModelShape, *, tokens: int, batch: int = 1, bytes_per_value: int = 2) -> int:
    """Return the bytes of a cache over `tokens` positions of `batch` sequences.

    Counts full attention in every layer. Models with a sliding window keep fewer positions in some layers.
    """
    per_token = KEY_AND_VALUE * shape.layers * shape.key_width * bytes_per_value
    return per_token * tokens * batch
