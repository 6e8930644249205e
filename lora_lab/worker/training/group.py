"""Adapters on one frozen model, trained side by side; a run that is alone is a group of one.

    step:   W of layer 1 decoded   cell 1, cell 2, ... through layer 1
            W of layer 2 decoded   cell 1, cell 2, ... through layer 2      ... and back the same way

Every cell has its own rows, its own A and B, its own loss, clipping, learning rate and optimizer state; cells
share the frozen weights and the cost of decoding them. A cell that ends does not affect the others.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor

from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import RunSpec
from lora_lab.worker.device.gpu import GpuMemory
from lora_lab.worker.model.quantization import put_beside_base
from lora_lab.worker.training.cell_adapter import CellAdapter, read_numbers
from lora_lab.worker.training.generate import generate_answers
from lora_lab.worker.training.group_attention import Positions, positions_of, written_out
from lora_lab.worker.training.group_layer import (
    Factors,
    GroupedLayer,
    Norm,
    Saved,
    answer_losses,
)
from lora_lab.worker.training.loop import EVALUATION_BATCH, answer_loss
from lora_lab.worker.training.lora_matmul import ADAPTER, Decoder, install_forwards, unflatten_rows
from lora_lab.worker.training.packing import Encoded, PackedRow, pack_examples, shared_beginning
from lora_lab.worker.training.session import ModelSession, adapter_config

TRIAL_EXAMPLES = 8
TRIAL_TOLERANCE = 0.02
"""Tolerance of a loss, which a different formula exceeds. Rounding does not: over 48 examples of the embedded
model in bf16, losses of 8 differed by at most 0.007, those of 2 by up to 0.027.
"""


class CellActivations:
    """One cell's row on its way through the layers and back, with its activations."""

    def __init__(
        self, cell: CellAdapter | None, row: PackedRow, embedded: Tensor, positions: Positions
    ) -> None:
        self.row, self.state = row, embedded
        self.grad: Tensor | None = None
        self._cell, self._positions = cell, positions
        self._checkpointing = cell is not None and cell.spec.checkpointing
        self._tape: list[Tensor | Saved] = []

    def forward(self, layer: GroupedLayer, number: int, *, keep: bool) -> None:
        """Run one layer forward; with `keep`, save what its backward pass needs."""
        x = self.state
        self.state, saved = layer.forward(x, self._factors(layer, number), self._positions)
        if keep:
            self._tape.append(x if self._checkpointing else saved)

    def backward(self, layer: GroupedLayer, number: int) -> None:
        """Run the most recent layer backward."""
        factors, saved = self._factors(layer, number), self._tape.pop()
        if isinstance(saved, Tensor):
            saved = layer.forward(saved, factors, self._positions)[1]
        assert self.grad is not None
        self.grad = layer.backward(self.grad, saved, factors, self._positions)

    def end_forward(self, grad: Tensor) -> None:
        """Take the gradient (answers, hidden) of the answers' rows of the last layer's output, and free that
        output, which the backward pass doesn't need.
        """
        size = self.state.shape
        del self.state
        self.grad = grad.new_zeros(size).index_copy_(0, self.row.keep, grad)

    def _factors(self, layer: GroupedLayer, number: int) -> tuple[Factors, ...]:
        return layer.unadapted if self._cell is None else self._cell.factors[number]


def shared_in(examples: Sequence[Encoded], device: torch.device) -> int:
    """Count the tokens of a shared prefix, such as a system prompt, that a row computes once.

    0 where the fused kernel attends, which doesn't support it: for a long example, and on GPUs.
    """
    longest = max(len(item.ids) for item in examples)
    return shared_beginning(examples) if written_out(device, longest) else 0


class AdapterGroup:
    """A loaded model with one fresh adapter per cell."""

    def __init__(self, session: ModelSession, specs: Sequence[RunSpec], shape: ModelShape) -> None:
        self._session = session
        self._dtype = session.machine.compute_dtype
        self._decoder = Decoder(self._dtype)
        self._asked: dict[Any, tuple[Tensor, Tensor]] = {}
        self.memory_on_gpu: GpuMemory | None = None
        """The figures of a GPU's memory at the peak of training; None on a CPU."""

        session.base.config._name_or_path = shape.hub_id or session.model_name
        names = [ADAPTER] if len(specs) == 1 else [f"cell{number}" for number in range(len(specs))]
        self.model = _with_adapters(session, specs, names, shape)
        install_forwards(self.model, self._decoder, adapted=self._routed)
        self._body, self._head = session.base.get_decoder(), session.base.get_output_embeddings()
        self._norm = Norm(self._body.norm.weight, self._body.norm.variance_epsilon, self._dtype)
        layers = list(self._body.layers)
        self._score_scale = float(layers[0].self_attn.scaling)
        self._layers = [GroupedLayer(layer, self._decoder.weight, self._dtype) for layer in layers]
        self.cells = [
            CellAdapter(spec, name, layers, self._dtype) for spec, name in zip(specs, names, strict=True)
        ]
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)  # gradients go straight into the cells' buffers

    def agrees_with_library(self, examples: Sequence[Encoded]) -> bool:
        """Return whether the layer implemented here is this model's, which is tried on one row without
        adapters, once per loaded model; its sliding window, if it has one, must not cut an example.
        """
        window = getattr(self._body.config, "sliding_window", None)
        if window is not None and max(len(item.ids) for item in examples) > window:
            return False
        if self._session.written_out is None:
            tried = examples[:TRIAL_EXAMPLES]
            row = pack_examples(tried, self._session.machine.device)
            with torch.no_grad():
                theirs = float(answer_loss(self.model, row, self._session.machine.autocast()))
            ours = self.held_out_losses([None], tried)[0]
            self._session.written_out = abs(theirs - ours) < TRIAL_TOLERANCE
        return self._session.written_out

    @torch.no_grad()
    def gradients(self, cells: Sequence[CellAdapter], rows: Sequence[PackedRow]) -> list[float]:
        """Compute each cell's loss on its own row. Where it is finite, the gradient has replaced the copies
        of A and B, from where `clip_gradients` takes it.
        """
        for cell in cells:
            cell.narrow()
        strands = [self._strand(cell, row) for cell, row in zip(cells, rows, strict=True)]
        self._forward(strands, keep=True)
        losses = read_numbers([self._turn(strand) for strand in strands])
        going = [strand for strand, loss in zip(strands, losses, strict=True) if math.isfinite(loss)]
        for number, layer in reversed(list(enumerate(self._layers))):
            with self._decoded_once_for(going):
                for strand in going:
                    strand.backward(layer, number)
        return losses

    @torch.no_grad()
    def held_out_losses(
        self,
        cells: Sequence[CellAdapter | None],
        examples: Sequence[Encoded],
        on_batch: Callable[[int], None] | None = None,
    ) -> list[float]:
        """Compute each cell's mean loss over all answer tokens of `examples`; None is the base model.

        `on_batch` is told how many examples are done.
        """
        for cell in cells:
            if cell is not None:
                cell.narrow()
        totals, count, shared = [0.0] * len(cells), 0, shared_in(examples, self._session.machine.device)
        for start in range(0, len(examples), EVALUATION_BATCH):
            together = examples[start : start + EVALUATION_BATCH]
            row = pack_examples(together, self._session.machine.device, shared=shared)
            strands = [self._strand(cell, row) for cell in cells]
            self._forward(strands, keep=False)
            for place, strand in enumerate(strands):
                normed, _ = self._norm.forward(strand.state[row.keep])
                totals[place] += float(answer_losses(normed @ self._head_weight.t(), row.targets).sum())
            count += row.targets.numel()
            if on_batch is not None:
                on_batch(min(start + EVALUATION_BATCH, len(examples)))
        return [total / count for total in totals]

    def answers(self, cells: Sequence[CellAdapter], prompts: Sequence[str]) -> list[list[str]]:
        """Generate each cell's greedy answers in one batch; the base model's when `cells` is empty."""
        for layer in self.model.modules() if cells else ():
            if isinstance(layer, LoraLayer):
                self._asked[layer] = _stack_adapters(layer, cells, self._dtype)
        asked = list(prompts) * max(1, len(cells))
        with self._decoder.kept_if_it_fits(self.model):
            found = generate_answers(
                self.model, self._session.tokenizer, asked, self._session.machine.autocast()
            )
        self._asked.clear()
        return [found[start : start + len(prompts)] for start in range(0, len(asked), len(prompts))]

    def save(self, cell: CellAdapter, folder: Path) -> None:
        """Write a cell's adapter as PEFT does, to a folder that doesn't exist yet."""
        own = {n: p.contiguous() for n, p in self.model.state_dict().items() if f".{cell.name}." in n}
        if cell.name == ADAPTER:
            self.model.save_pretrained(folder, state_dict=own)
            return
        inside = folder.with_name(folder.name + ".cells")
        self.model.save_pretrained(inside, selected_adapters=[cell.name], state_dict=own)
        (inside / "README.md").rename(inside / cell.name / "README.md")
        (inside / cell.name).rename(folder)
        shutil.rmtree(inside)

    def _strand(self, cell: CellAdapter | None, row: PackedRow) -> CellActivations:
        embedded = self._body.embed_tokens(row.input_ids)
        cos, sin = self._body.rotary_emb(embedded, position_ids=row.position_ids)
        config = self._body.config
        positions = positions_of(
            cos[0],
            sin[0],
            row.example_lengths,
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            scale=self._score_scale,
            shared=row.shared,
        )
        return CellActivations(cell, row, embedded[0], positions)

    def _forward(self, strands: Sequence[CellActivations], *, keep: bool) -> None:
        for number, layer in enumerate(self._layers):
            with self._decoded_once_for(strands):
                for strand in strands:
                    strand.forward(layer, number, keep=keep)

    def _decoded_once_for(self, strands: Sequence[CellActivations]) -> AbstractContextManager[None]:
        """Keep a layer's decoded weights for the next strand. One strand alone uses each once."""
        return self._decoder.kept() if len(strands) > 1 else nullcontext()

    def _turn(self, strand: CellActivations) -> Tensor:
        """Compute the loss (one number) and its gradient with respect to the last layer's output.

        Cells are processed one after another, so only one cell's logits exist at a time.
        """
        loss, grad = self._loss_and_gradient(strand.state[strand.row.keep], strand.row.targets)
        strand.end_forward(grad)
        return loss

    def _loss_and_gradient(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute x (answers, hidden) and targets (answers,) -> mean loss and its gradient, like x."""
        normed, scale = self._norm.forward(x)
        logits = normed @ self._head_weight.t()  # (answers, vocab)
        loss = answer_losses(logits, targets).mean()
        # `answer_losses` has replaced the logits by their gradient.
        return loss, self._norm.backward(logits @ self._head_weight, x, scale)

    @property
    def _head_weight(self) -> Tensor:
        return self._head.weight.detach().to(self._dtype)  # type: ignore[no-any-return]

    def _routed(self, layer: Any, decoder: Decoder) -> Callable[[Tensor], Tensor]:
        """Make a gradient-free forward that applies each asked cell's adapter to its share of the batch."""
        base = layer.get_base_layer()

        def forward(x: Tensor) -> Tensor:
            rows = x.to(decoder.compute_dtype).reshape(-1, x.shape[-1])
            weight = decoder.weight(base).t()
            if layer not in self._asked:
                return unflatten_rows(rows @ weight, x, base)
            a, b = self._asked[layer]
            update = rows.view(len(a), -1, rows.shape[1]) @ a @ b  # (cells, rows of each, d_out)
            return unflatten_rows(update.flatten(0, 1).addmm_(rows, weight), x, base)  # rounds once

        return forward


def _stack_adapters(layer: Any, cells: Sequence[CellAdapter], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return Aᵀ (cells, d_in, rank) and scaled Bᵀ (cells, rank, d_out), compute type, zeros beyond a rank."""
    widest = max(cell.spec.rank for cell in cells)
    pairs = []
    for cell in cells:
        missing = (0, 0, 0, widest - cell.spec.rank)
        a, b = layer.lora_A[cell.name].weight, layer.lora_B[cell.name].weight
        pairs.append((F.pad(a, missing).t(), F.pad((b * cell.spec.scaling).t(), missing)))
    return torch.stack([a for a, _ in pairs]).to(dtype), torch.stack([b for _, b in pairs]).to(dtype)


def _with_adapters(
    session: ModelSession, specs: Sequence[RunSpec], names: Sequence[str], shape: ModelShape
) -> PeftModel:
    """Add the adapters, each initialized from its own seed, as in a run that is alone."""
    model: PeftModel | None = None
    for spec, name in zip(specs, names, strict=True):
        torch.manual_seed(spec.seed)
        if model is None:
            model = get_peft_model(session.base, adapter_config(spec, shape), adapter_name=name)
        else:
            model.add_adapter(name, adapter_config(spec, shape))
            put_beside_base(model, name)
    assert model is not None
    return model
