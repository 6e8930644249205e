"""Answers before and after training: the same prompts, greedily, with the adapter off and on."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn

from lora_lab.worker.training.packing import render_prompt

NEW_TOKENS = 48


@torch.no_grad()
def generate_answers(
    model: nn.Module, tokenizer: Any, prompts: Sequence[str], autocast: AbstractContextManager[Any]
) -> list[str]:
    """Generate one greedy answer of at most 48 tokens per prompt, in one left-padded batch."""
    device = next(model.parameters()).device
    texts = [render_prompt(tokenizer, prompt) for prompt in prompts]
    batch = tokenizer(
        texts,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not tokenizer.chat_template,
    ).to(device)
    model.eval()
    with autocast, _head_reads_rows(model):
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


@contextmanager
def _head_reads_rows(model: nn.Module) -> Iterator[None]:
    """Give the head its inputs as one contiguous matrix. After the prompt it gets a part of a batch, which
    PyTorch 2.13 multiplies row by row: with a copy of the whole head per row, 57 MB on the embedded model.
    """
    head: nn.Module = model.get_output_embeddings()  # type: ignore[operator]
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))
    try:
        yield
    finally:
        hook.remove()
