"""A fine-tuning run of the LoRA study app as one script on transformers, peft and bitsandbytes.

    pip install torch transformers peft bitsandbytes    (and hqq, if BITS begins with it)
    python run.py [--model FOLDER_OR_HUB_ID] [--out FOLDER]

It prints the loss of every step beside the one that the app measured, then the held-out loss before and
after, and saves the adapter. Settings and examples come first; what follows is the same for every run.
"""

import argparse
import random
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import bitsandbytes as bnb
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

# ---- settings of this run ----
MODEL: str = "HuggingFaceTB/SmolLM2-135M-Instruct"
BITS: str = "nf4-dq"
COMPUTE_DTYPE: torch.dtype = torch.float32
VARIANT: str = "lora"
RANK: int = 8
ALPHA: float = 16.0
TARGETS: str | list[str] = "all-linear"
STEPS: int = 40
BATCH: int = 4
SEQ_LEN_TOKENS: int = 128
LEARNING_RATE: float = 2e-3
OPTIMIZER: str = "adamw"
CHECKPOINTING: bool = False
SEED: int = 0
TRAIN: list[tuple[str, str]] = []
HELD_OUT: list[tuple[str, str]] = []
MEASURED_LOSSES: list[float] = []
# ---- the rest is the same for every run ----

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CLIP_NORM = 1.0
WARMUP_SHARE = 0.1
EVALUATION_BATCH = 8
IGNORED = -100
scale = 2.0**16 if torch.float16 == COMPUTE_DTYPE else 1.0

Example = tuple[list[int], int]  # token ids, and how many of the last ones are the answer


def load_model(source: str) -> Any:
    """Load the frozen base: linear layers in BITS, norms and the residual stream in fp32."""
    options: dict[str, Any] = {
        "dtype": {"bf16": torch.bfloat16, "fp32": torch.float32}.get(BITS, COMPUTE_DTYPE)
    }
    if BITS.startswith("hqq") and torch.float16 == COMPUTE_DTYPE:
        options["dtype"] = torch.float32  # fp16 would round the smallest bf16 weights
    if BITS == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    elif BITS in ("nf4", "nf4-dq", "fp4"):
        options["quantization_config"] = (
            BitsAndBytesConfig(  # its defaults are FP4, fp32, no double quantization
                load_in_4bit=True,
                bnb_4bit_quant_type="fp4" if BITS == "fp4" else "nf4",
                bnb_4bit_compute_dtype=COMPUTE_DTYPE,
                bnb_4bit_use_double_quant=BITS == "nf4-dq",
            )
        )
    options["device_map"] = {"": DEVICE}  # without it, transformers puts quantized weights on any GPU
    model = AutoModelForCausalLM.from_pretrained(
        source, use_safetensors=True, attn_implementation="sdpa", **options
    )
    if BITS.startswith("hqq"):
        quantize_with_hqq(model)
    elif BITS == "int8":
        multiply_decoded(model)
    model.requires_grad_(False)
    for outer in (model.get_input_embeddings(), model.get_output_embeddings()):
        outer.to(COMPUTE_DTYPE)
    for module in model.modules():
        if isinstance(module, bnb.nn.Linear4bit):
            module.support_avx512bf16_for_cpu = False  # else one evaluation spoils all later gradients
    for parameter in model.parameters():
        if parameter.ndim == 1 and parameter.is_floating_point():
            parameter.data = parameter.data.float()
    switch_dropout_off(model)
    model.get_input_embeddings().register_forward_hook(widen)
    return model


def switch_dropout_off(model: Any) -> None:
    """Set every dropout probability to zero, wherever a layer or the configuration keeps it."""
    for holder in (model.config.get_text_config(), *model.modules()):
        for name, value in vars(holder).items():
            if isinstance(value, float) and ("drop" in name or isinstance(holder, nn.Dropout)):
                setattr(holder, name, 0.0)


def quantize_with_hqq(model: Any) -> None:
    """Quantize every linear layer except the head with HQQ; 64 weights share a scale and a zero point."""
    from hqq.core.quantize import BaseQuantizeConfig, HQQLinear  # here: other bit widths do without it

    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and layer is not model.get_output_embeddings():
            config = BaseQuantizeConfig(nbits=int(BITS.removeprefix("hqq")), group_size=64, axis=1)
            # On the CPU, as in the app: a GPU rounds differently and finds other codes.
            coded = HQQLinear(layer.cpu(), config, compute_dtype=torch.float32, device="cpu")
            coded.cuda(str(DEVICE))  # the library's name for a move to any device
            coded.forward = coded.forward_pytorch  # the default's own backward does not work under autocast
            model.set_submodule(name, coded)


def multiply_decoded(model: Any) -> None:
    """Decode int8 weights for each product, as the app does: bitsandbytes' own product also rounds the
    activations to 8 bits (LLM.int8, arXiv:2208.07339), so its losses are others.
    """
    for layer in model.modules():
        if isinstance(layer, bnb.nn.Linear8bitLt):

            def forward(x: Tensor, layer: Any = layer) -> Tensor:
                state, weight = layer.state, layer.weight
                codes = weight.data if weight.CB is None else weight.CB
                scales = weight.SCB if weight.SCB is not None else state.SCB
                decoded = (codes.float() * (scales.view(-1, 1) / 127)).to(x.dtype)
                return F.linear(x, decoded, None if layer.bias is None else layer.bias.to(x.dtype))

            layer.forward = forward


def widen(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Cast the embedding's output to fp32, so the residual stream is fp32."""
    return output.float()


def adapted(model: Any) -> Any:
    """Add a fresh adapter: A random from SEED, B zero; under DoRA the magnitudes are the rows' norms."""
    torch.manual_seed(SEED)
    config = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=TARGETS,
        use_rslora=VARIANT == "rslora",
        use_dora=VARIANT == "dora",
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    with_adapter = get_peft_model(model, config)
    if BITS == "bf16" and torch.float32 == COMPUTE_DTYPE:
        # The stored numbers, widened: plain layers multiply equal types only. Not before, because PEFT draws
        # A in the number type of the base.
        with_adapter.float()
    if CHECKPOINTING:  # keep what enters each layer, compute the rest again in the backward pass
        model.activation_checkpointing_enable({"use_reentrant": False})
    return with_adapter


def encode(tokenizer: Any, prompt: str, answer: str) -> Example:
    """Encode prompt tokens, then the answer and the end-of-turn token, cut at SEQ_LEN_TOKENS."""
    if tokenizer.chat_template:
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
    else:
        asked = f"Question: {prompt}\nAnswer: "
    ids = tokenizer(asked, add_special_tokens=not tokenizer.chat_template)["input_ids"]
    said = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    lost = max(0, len(ids) + len(said) - SEQ_LEN_TOKENS)
    return (ids + said)[:SEQ_LEN_TOKENS], len(said) - lost


def encoded(tokenizer: Any, pairs: list[tuple[str, str]]) -> list[Example]:
    """Encode all examples that keep some of their answer."""
    examples = [encode(tokenizer, prompt, answer) for prompt, answer in pairs]
    return [example for example in examples if example[1] > 0]


def packed(examples: list[Example]) -> tuple[dict[str, Any], Tensor]:
    """Pack one row without padding; also return the targets. Positions restart, which separates examples."""
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    for tokens, answer_tokens in examples:
        ids += tokens
        positions += range(len(tokens))
        prompt_tokens = len(tokens) - answer_tokens
        labels += [IGNORED] * (prompt_tokens - 1) + tokens[prompt_tokens:] + [IGNORED]
    shifted = torch.tensor(labels, device=DEVICE)
    keep = (shifted != IGNORED).nonzero()[:, 0]
    row = {
        "input_ids": torch.tensor([ids], device=DEVICE),
        "position_ids": torch.tensor([positions], device=DEVICE),
        "logits_to_keep": keep,  # the head runs on the positions that are trained on
        "use_cache": False,  # with a cache the packed examples would see each other
    }
    return row, shifted[keep]


def answer_loss(model: nn.Module, examples: list[Example]) -> tuple[Tensor, int]:
    """Compute the mean loss over the answer tokens, and their number."""
    row, targets = packed(examples)
    with autocast():
        logits = model(**row).logits[0]
    return F.cross_entropy(logits.float(), targets), len(targets)


def autocast() -> AbstractContextManager[Any]:
    """Use narrow products under bf16 and fp16; nothing under fp32."""
    return nullcontext() if torch.float32 == COMPUTE_DTYPE else torch.autocast(DEVICE.type, COMPUTE_DTYPE)


def batches(examples: list[Example]) -> list[list[Example]]:
    """Plan the steps: seeded shuffles, one after another, cut into batches."""
    rng = random.Random(SEED)
    stream: list[int] = []
    while len(stream) < BATCH * STEPS:
        epoch = list(range(len(examples)))
        rng.shuffle(epoch)
        stream += epoch
    return [[examples[i] for i in stream[at : at + BATCH]] for at in range(0, BATCH * STEPS, BATCH)]


def compute_learning_rate(step: int) -> float:
    """Compute linear warm-up over the first tenth, then linear decay."""
    warmup = max(1, round(WARMUP_SHARE * STEPS))
    if step <= warmup:
        return LEARNING_RATE * step / warmup
    return LEARNING_RATE * (STEPS - step + 1) / (STEPS - warmup + 1)


def build_optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Build AdamW; its moments are in 8 bits, and paged out of a full GPU, where OPTIMIZER says so."""
    if OPTIMIZER == "adamw":
        return torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    paged = OPTIMIZER == "paged_adamw8bit" and DEVICE.type == "cuda"
    made: torch.optim.Optimizer = bnb.optim.AdamW8bit(
        parameters, lr=LEARNING_RATE, weight_decay=0.0, is_paged=paged
    )
    return made


def backward(model: nn.Module, batch: list[Example], parameters: list[nn.Parameter]) -> Tensor:
    """Compute the loss and clipped gradients. fp16 scales the loss, and halves the scale on an overflow."""
    global scale
    while True:
        loss, _ = answer_loss(model, batch)
        (loss * scale).backward()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad /= scale
        norm = nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        if bool(norm.isfinite()) or not bool(loss.isfinite()) or scale == 1:
            return loss
        scale /= 2
        for parameter in parameters:
            parameter.grad = None


def train(model: nn.Module, examples: list[Example]) -> None:
    """Run the training loop."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = build_optimizer(parameters)
    model.train()
    for step, batch in enumerate(batches(examples), start=1):
        for group in optimizer.param_groups:
            group["lr"] = compute_learning_rate(step)
        loss = backward(model, batch, parameters)
        optimizer.step()
        optimizer.zero_grad()
        app = f"   in the app {MEASURED_LOSSES[step - 1]:.6f}" if step <= len(MEASURED_LOSSES) else ""
        print(f"step {step}   loss {loss.item():.6f}{app}", flush=True)


@torch.no_grad()
def held_out_loss(model: nn.Module, examples: list[Example]) -> float:
    """Compute the mean loss over all answer tokens of the held-out examples."""
    model.eval()
    total = tokens = 0.0
    for at in range(0, len(examples), EVALUATION_BATCH):
        loss, count = answer_loss(model, examples[at : at + EVALUATION_BATCH])
        total, tokens = total + loss.item() * count, tokens + count
    return total / tokens


def main() -> None:
    """Load, train, compare, save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=MODEL, help="a folder or hub id")
    parser.add_argument("--out", type=Path, default=Path("adapter"), help="where the adapter is saved")
    options = parser.parse_args()

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = adapted(load_model(options.model))
    model.print_trainable_parameters()
    train(model, encoded(tokenizer, TRAIN))
    held_out = encoded(tokenizer, HELD_OUT)
    with model.disable_adapter():
        before = held_out_loss(model, held_out)
    print(f"held-out loss {before:.6f} -> {held_out_loss(model, held_out):.6f}")
    model.save_pretrained(options.out)
    print(f"adapter saved in {options.out}")


if __name__ == "__main__":
    main()
