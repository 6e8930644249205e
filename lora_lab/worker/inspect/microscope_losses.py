"""The microscope's held-out losses: a model as it is, with one matrix rounded, with every matrix rounded.

Only weights are rounded. The model computes in fp32 throughout, so nothing but the scheme differs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_lab.memory.ledger import BLOCK_SIZE
from lora_lab.microscope.query import SIDES, QuantizationScheme, Side, can_hold
from lora_lab.spec import HQQ_BITS
from lora_lab.worker.inspect.json_lines import ProgressCallback
from lora_lab.worker.inspect.rounding import round_weight
from lora_lab.worker.model.load import load_model
from lora_lab.worker.model.quantization import copy_weight, decode_dense_weight, list_linears, put_weight
from lora_lab.worker.training.loaded_model import LoadedModel
from lora_lab.worker.training.loop import EVALUATION_BATCH, held_out_loss
from lora_lab.worker.training.packing import Encoded

VARIANTS = ("base", *(f"{how}_{side}" for how in ("only", "all") for side in SIDES))
"""The variants whose loss is measured: the base, this matrix in a scheme, every matrix in a scheme."""


class Losses:
    """A measurement of five variants' held-out losses that reports progress after each batch."""

    def __init__(
        self, loaded: LoadedModel, examples: Sequence[Encoded], report: ProgressCallback, models_dir: Path
    ) -> None:
        self._loaded, self._examples, self._models_dir = loaded, examples, models_dir
        self._report = report
        self._found: dict[str, float | str] = {}
        self._batches = -(-len(examples) // EVALUATION_BATCH)
        self._done = 0

    def measure(
        self,
        layer: nn.Module,
        weight: Tensor,
        decoded: Mapping[Side, Tensor],
        schemes: Mapping[Side, Mapping[str, Any]],
    ) -> None:
        """Report each variant's loss once it is measured; the model's weights are restored at the end."""
        names = {side: QuantizationScheme(**scheme).name for side, scheme in schemes.items()}
        self._measure_variant("base", "as it is")
        for side in SIDES:
            put_weight(layer, decoded[side])
            self._measure_variant(f"only_{side}", f"this matrix in {names[side]}")
        put_weight(layer, weight)
        for side in SIDES:
            problem = self._explain_refusal(schemes[side])
            if problem:
                self._found[f"cannot_{side}"] = problem
                self._done += self._batches
                self._say(f"{names[side]} can't hold every matrix")
                continue
            kept = dict(self._replace_all(schemes[side]))
            self._measure_variant(f"all_{side}", f"every matrix in {names[side]}")
            for changed, original in kept.items():
                put_weight(changed, original.float())

    def _measure_variant(self, variant: str, words: str) -> None:
        before = self._done

        def note_measured(done: int) -> None:
            self._done = before + -(-done // EVALUATION_BATCH)
            self._say(f"Held-out loss, {words}: {done} of {len(self._examples)} examples")

        note_measured(0)
        self._found[variant] = held_out_loss(self._loaded.base, self._examples, nullcontext, note_measured)
        self._say(f"Held-out loss, {words}: measured")

    def _say(self, doing: str) -> None:
        about = {"examples": len(self._examples), "answers": sum(e.answer_tokens for e in self._examples)}
        total = len(VARIANTS) * self._batches
        self._report(doing, done=self._done, total=total, found={"losses": about | self._found})

    def _explain_refusal(self, scheme: Mapping[str, Any]) -> str:
        """Describe a matrix that the scheme can't hold; return an empty string when it can hold all."""
        for name, layer in list_linears(self._loaded.base):
            if isinstance(layer, Conv1D) and scheme["bits"] in HQQ_BITS:
                return f"HQQ has no form for transposed layers such as {name}"
            assert isinstance(layer.weight, Tensor)
            if not can_hold(scheme["bits"], scheme["block"], layer.weight.numel()):
                return f"{name} has {layer.weight.numel():,} weights, no number of blocks that HQQ can pack"
        return ""

    def _replace_all(self, scheme: Mapping[str, Any]) -> Iterator[tuple[nn.Module, Tensor]]:
        """Round every linear layer in place; yield it and its original weight, in 16 bits where exact."""
        layers = list(list_linears(self._loaded.base))
        decoded_of = self._build_decoder(scheme)
        for number, (name, layer) in enumerate(layers, start=1):
            if number % 10 == 1:
                self._say(
                    f"Rounding every matrix to {QuantizationScheme(**scheme).name}: {number} of {len(layers)}"
                )
            original = copy_weight(layer)
            put_weight(layer, decoded_of(name, original))
            short = original.bfloat16()
            yield layer, short if torch.equal(short.float(), original) else original

    def _build_decoder(self, scheme: Mapping[str, Any]) -> Callable[[str, Tensor], Tensor]:
        """Build a rounding function. HQQ's search takes minutes, so its cached result is used if it fits."""
        bits, block = scheme["bits"], scheme["block"]
        if bits in HQQ_BITS and block == BLOCK_SIZE:
            self._say("Loading the model as HQQ keeps it; the first time, its search takes minutes")
            stored = load_model(
                self._loaded.model_name,
                bits,
                compute_dtype=torch.float32,
                device=torch.device("cpu"),
                models_dir=self._models_dir,
            )
            return lambda name, weight: decode_dense_weight(stored.get_submodule(name), torch.float32)
        return lambda name, weight: round_weight(weight, bits, block).decoded
