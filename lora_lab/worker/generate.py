"""Answers before and after: the same prompts, greedily, with the adapter off and on."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from lora_lab.worker.data import prompt_text

NEW_TOKENS = 48


@torch.no_grad()
def answers(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], autocast: AbstractContextManager[Any]
) -> list[str]:
    """One greedy answer of at most 48 tokens for each prompt, in one left-padded batch."""
    device = next(model.parameters()).device
    texts = [prompt_text(tokenizer, prompt) for prompt in prompts]
    batch = tokenizer(
        texts,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not tokenizer.chat_template,
    ).to(device)
    model.eval()
    with autocast:
        output = model.generate(  # type: ignore[operator]
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            use_cache=True,
            pad_token_id=tokenizer.pad_token_id,
        )
    new_tokens = output[:, batch["input_ids"].shape[1] :]
    return [text.strip() for text in tokenizer.batch_decode(new_tokens, skip_special_tokens=True)]
