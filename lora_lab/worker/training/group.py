"""Adapters on one frozen model, trained side by side; a run that is alone is a group of one.

    step:   layer 1: x of cell 1, cell 2, ... times W, decoded once   each cell's A, B, attention and norms
            layer 2: x of cell 1, cell 2, ... times W, decoded once   ...               and back the same way

On a GPU, which waits for the next operator more than it computes, cells also share the rest of a layer
(adapter_stack.py).

Every cell has its own rows, its own A and B, its own loss, clipping, learning rate and optimizer state; cells
share the frozen weights, their decoding and their products. A cell that ends does not affect the others.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor

from lora_lab.memory.group_memory import split_stacks
from lora_lab.memory.written_out import is_written_out
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import RunSpec
from lora_lab.worker.device.gpu import GpuMemory, on_gpu
from lora_lab.worker.model.quantization import NestedConstants, put_beside_base
from lora_lab.worker.training.adapter_stack import (
    AdapterStack,
    CellAdapter,
    adapts_all_layers_alike,
    clip_gradients,
    read_numbers,
)
from lora_lab.worker.training.generate import generate_answers
from lora_lab.worker.training.group_attention import build_positions, is_unfused
from lora_lab.worker.training.group_layer import Activations, GroupedLayer, Norm, RowStart, answer_losses
from lora_lab.worker.training.loaded_model import Adapted, LoadedModel, attach_adapter, build_adapter_config
from lora_lab.worker.training.loop import EVALUATION_BATCH, answer_loss
from lora_lab.worker.training.lora_matmul import ADAPTER, Decoder, install_forwards, unflatten_rows
from lora_lab.worker.training.packing import Encoded, PackedRow, find_shared_beginning, pack_examples

TRIAL_EXAMPLES = 8
TRIAL_TOLERANCE = 0.02
"""Tolerance of a loss, which a different formula exceeds. Rounding does not: over 48 examples of the embedded
model in bf16, losses of 8 differed by at most 0.007, those of 2 by up to 0.027.
"""


def count_shared_tokens(examples: Sequence[Encoded], device: torch.device) -> int:
    """Count the tokens of a shared prefix, such as a system prompt, that a row computes once.

    0 where the fused kernel attends, which doesn't support it: for a long example, and on GPUs.
    """
    longest = max(len(item.ids) for item in examples)
    return find_shared_beginning(examples) if is_unfused(device, longest) else 0


class AdapterGroup:
    """A loaded model with one fresh adapter per cell."""

    def __init__(self, loaded: LoadedModel, specs: Sequence[RunSpec], shape: ModelShape) -> None:
        self._loaded, self.machine = loaded, loaded.machine
        self._dtype = self.machine.compute_dtype
        self._decoder = Decoder(self._dtype)
        self._asked: dict[Any, tuple[Tensor, Tensor]] = {}
        self.memory_on_gpu: GpuMemory | None = None
        """The figures of a GPU's memory at the peak of training; None on a CPU."""

        loaded.base.config._name_or_path = shape.hub_id or loaded.model_name
        names = [ADAPTER] if len(specs) == 1 else [f"cell{number}" for number in range(len(specs))]
        self.model = _with_adapters(loaded, specs, names, shape)
        install_forwards(self.model, self._decoder, adapted=self._route)
        self._body, self._head = loaded.base.get_decoder(), loaded.base.get_output_embeddings()
        self._norm = Norm(self._body.norm.weight, self._body.norm.variance_epsilon, self._dtype)
        layers = list(self._body.layers)
        self._score_scale = float(layers[0].self_attn.scaling)
        self._layers = [GroupedLayer(layer, self._decoder.decode_weight, self._dtype) for layer in layers]
        self._nested = (
            {layer: NestedConstants(layer.matrices) for layer in self._layers}
            if on_gpu(loaded.machine.device)
            else {}
        )
        self.cells = [CellAdapter(spec, name, layers) for spec, name in zip(specs, names, strict=True)]
        ranks, width = [spec.rank for spec in specs], self._body.config.hidden_size
        stacked = on_gpu(loaded.machine.device) and adapts_all_layers_alike(layers)
        self._stacks = [
            AdapterStack(self.cells[part], layers, self._dtype)
            for part in split_stacks(ranks, hidden=width, stacked=stacked)
        ]
        self._stack_of = {cell: stack for stack in self._stacks for cell in stack.cells}
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)  # gradients go straight into the cells' buffers

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors that stay between two steps, without moments."""
        own = (tensor for cell in self.cells for tensor in (cell.flat.data, cell.grad))
        return (*own, *(stack.buffer for stack in self._stacks))

    def agrees_with_library(self, examples: Sequence[Encoded]) -> bool:
        """Return whether the layer implemented here is this model's, which is tried on one row without
        adapters, once per loaded model; its sliding window, if it has one, must not cut an example.
        """
        window = getattr(self._body.config, "sliding_window", None)
        if window is not None and max(len(item.ids) for item in examples) > window:
            return False
        if self._loaded.written_out is None:
            tried = examples[:TRIAL_EXAMPLES]
            row = pack_examples(tried, self.machine.device)
            with torch.no_grad():
                theirs = float(answer_loss(self.model, row, self.machine.autocast()))
            ours = self.compute_base_loss(tried)
            self._loaded.written_out = abs(theirs - ours) < TRIAL_TOLERANCE
        return self._loaded.written_out

    @torch.no_grad()
    def compute_gradients(
        self, cells: Sequence[CellAdapter], rows: Sequence[PackedRow]
    ) -> tuple[list[float], list[float]]:
        """Compute each cell's loss on its own row and leave its clipped gradient in `cell.grad`; return the
        losses and the gradients' norms before clipping. Where either is not finite, the norm is not, and the
        gradient has no meaning.
        """
        losses, norms = self._compute_once(cells, rows)
        if all(map(math.isfinite, norms)) or len(self._group_by_stack(cells)) == len(cells):
            return losses, norms
        # Zero times infinity: one cell's overflow has reached the gradients of those it is stacked with.
        alone = [self._compute_once([cell], [row]) for cell, row in zip(cells, rows, strict=True)]
        return [loss for (loss,), _ in alone], [norm for _, (norm,) in alone]

    def _compute_once(
        self, cells: Sequence[CellAdapter], rows: Sequence[PackedRow]
    ) -> tuple[list[float], list[float]]:
        """Compute losses and gradients, where an overflow in one cell spoils its whole stack."""
        together = self._group_by_stack(cells)
        for stack, members in together:
            stack.narrow(members)
        left = iter(rows)
        starts = [
            self._join_rows(stack, members, [next(left) for _ in members]) for stack, members in together
        ]
        activations = Activations(starts, checkpointing=cells[0].spec.checkpointing)
        self._forward(activations, keep=True)
        losses = read_numbers(self._start_backward(activations))
        for number, layer in reversed(list(enumerate(self._layers))):
            with self._decoding(layer):
                activations.backward(layer, number)
        for stack, members in together:
            stack.widen(members)
        norms = clip_gradients(cells)
        finite = map(math.isfinite, losses)
        return losses, [
            norm if is_finite else math.nan for norm, is_finite in zip(norms, finite, strict=True)
        ]

    @torch.no_grad()
    def compute_held_out_losses(
        self,
        cells: Sequence[CellAdapter],
        examples: Sequence[Encoded],
        on_batch: Callable[[int], None] | None = None,
    ) -> list[float]:
        """Compute each cell's mean loss over all answer tokens of `examples`.

        `on_batch` is told how many examples are done.
        """
        together = self._group_by_stack(cells)
        for stack, members in together:
            stack.narrow(members)
        widest = max(len(members) for _, members in together)
        losses = self._mean_losses(
            lambda row: [
                self._join_rows(stack, members, [row] * len(members)) for stack, members in together
            ],
            examples,
            on_batch,
            batch=max(1, EVALUATION_BATCH // widest),
        )
        if all(map(math.isfinite, losses)) or widest == 1:
            return losses
        return [loss for cell in cells for loss in self.compute_held_out_losses([cell], examples, on_batch)]

    @torch.no_grad()
    def compute_base_loss(
        self, examples: Sequence[Encoded], on_batch: Callable[[int], None] | None = None
    ) -> float:
        """Compute the same for the model without any adapter."""
        (loss,) = self._mean_losses(lambda row: [self._join_rows(None, [], [row])], examples, on_batch)
        return loss

    def _mean_losses(
        self,
        build_rows: Callable[[PackedRow], Sequence[RowStart]],
        examples: Sequence[Encoded],
        on_batch: Callable[[int], None] | None,
        *,
        batch: int = EVALUATION_BATCH,
    ) -> list[float]:
        totals: list[float] = []
        count, shared = 0, count_shared_tokens(examples, self.machine.device)
        once = len(examples) <= batch  # so each weight is decoded once anyway
        with nullcontext() if once else self._decoder.cache_if_it_fits(self.model):
            for start in range(0, len(examples), batch):
                together = examples[start : start + batch]
                row = pack_examples(together, self.machine.device, shared=shared)
                activations = Activations(build_rows(row))
                self._forward(activations, keep=False)
                found = [
                    self._sum_losses(state[keep], targets)
                    for state, answers in zip(activations.states, activations.answers, strict=True)
                    for keep, targets in answers
                ]
                totals = [
                    total + loss for total, loss in zip(totals or [0.0] * len(found), found, strict=True)
                ]
                count += row.targets.numel()
                if on_batch is not None:
                    on_batch(min(start + batch, len(examples)))
        return [total / count for total in totals]

    def _sum_losses(self, x: Tensor, targets: Tensor) -> float:
        normed, _ = self._norm.forward(x)
        return float(answer_losses(normed @ self._head_weight.t(), targets).sum())

    def generate_answers(
        self, cells: Sequence[CellAdapter | None], prompts: Sequence[str]
    ) -> list[list[str]]:
        """Generate each cell's greedy answers, and for None the base model's, all in one batch."""
        for layer in self.model.modules():
            if isinstance(layer, LoraLayer):
                self._asked[layer] = _stack_adapters(layer, cells, self._dtype)
        asked = list(prompts) * len(cells)
        with self._decoder.cache_if_it_fits(self.model):
            found = generate_answers(self.model, self._loaded.tokenizer, asked, self.machine.autocast())
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

    def _group_by_stack(self, cells: Sequence[CellAdapter]) -> list[tuple[AdapterStack, list[CellAdapter]]]:
        """Group cells, which are in the group's order, by the stack that they are in."""
        return [(stack, list(members)) for stack, members in groupby(cells, self._stack_of.__getitem__)]

    def _join_rows(
        self, stack: AdapterStack | None, cells: Sequence[CellAdapter], rows: Sequence[PackedRow]
    ) -> RowStart:
        """Embed the cells' rows as one joint row; without a stack, one row without an adapter."""
        tokens = [row.input_ids.numel() for row in rows]
        starts = accumulate(tokens[:-1], initial=0)
        embedded = self._body.embed_tokens(_join([row.input_ids for row in rows]))
        cos, sin = self._body.rotary_emb(embedded, position_ids=_join([row.position_ids for row in rows]))
        config = self._body.config
        positions = build_positions(
            cos[0],
            sin[0],
            tuple(length for row in rows for length in row.example_lengths),
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            scale=self._score_scale,
            shared=rows[0].shared,
        )
        return RowStart(
            embedded=embedded[0],
            answers=[
                (row.keep + start if start else row.keep, row.targets)
                for row, start in zip(rows, starts, strict=True)
            ],
            positions=positions,
            factors=stack.gather_factors(cells, tokens) if stack else [of.unadapted for of in self._layers],
        )

    def _forward(self, activations: Activations, *, keep: bool) -> None:
        for number, layer in enumerate(self._layers):
            with self._decoding(layer):
                activations.forward(layer, number, keep=keep)

    def _decoding(self, layer: GroupedLayer) -> AbstractContextManager[None]:
        """On a GPU, decode the block constants of a layer's weights together, unless weights are cached."""
        if layer not in self._nested or self._decoder.is_caching:
            return nullcontext()
        return self._decoder.with_constants(self._nested[layer])

    def _start_backward(self, activations: Activations) -> list[Tensor]:
        """Compute each cell's loss (one number) and its gradient with respect to the last layer's output.

        Cells are processed one after another, so only one cell's logits exist at a time.
        """
        losses: list[Tensor] = []
        for number, answers in enumerate(activations.answers):
            state = activations.states[number]
            found = [self._compute_loss_and_gradient(state[keep], targets) for keep, targets in answers]
            del state
            activations.start_backward(number, [grad for _, grad in found])
            losses += [loss for loss, _ in found]
            del found
        return losses

    def _compute_loss_and_gradient(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute x (answers, hidden) and targets (answers,) -> mean loss and its gradient, like x."""
        normed, scale = self._norm.forward(x)
        logits = normed @ self._head_weight.t()  # (answers, vocab)
        loss = answer_losses(logits, targets).mean()
        # `answer_losses` has replaced the logits by their gradient.
        return loss, self._norm.backward(logits @ self._head_weight, x, scale)

    @property
    def _head_weight(self) -> Tensor:
        return self._head.weight.detach().to(self._dtype)  # type: ignore[no-any-return]

    def _route(self, layer: Any, decoder: Decoder) -> Callable[[Tensor], Tensor]:
        """Make a gradient-free forward that applies each asked cell's adapter to its share of the batch."""
        base = layer.get_base_layer()

        def forward(x: Tensor) -> Tensor:
            rows = x.to(decoder.compute_dtype).reshape(-1, x.shape[-1])
            weight = decoder.decode_weight(base).t()
            if layer not in self._asked:
                return unflatten_rows(rows @ weight, x, base)
            a, b = self._asked[layer]
            update = rows.view(len(a), -1, rows.shape[1]) @ a @ b  # (cells, rows of each, d_out)
            return unflatten_rows(update.flatten(0, 1).addmm_(rows, weight), x, base)  # rounds once

        return forward


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate (1, tokens) tensors; one alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), 1)


def _stack_adapters(
    layer: Any, cells: Sequence[CellAdapter | None], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return Aᵀ (cells, d_in, rank) and scaled Bᵀ (cells, rank, d_out), compute type, zeros beyond a rank and
    for None.
    """
    ranks = [cell.spec.rank if cell else 0 for cell in cells]
    frozen, like = layer.get_base_layer(), next(iter(layer.lora_A.values())).weight
    a = like.new_zeros(len(cells), frozen.in_features, max(ranks), dtype=dtype)
    b = like.new_zeros(len(cells), max(ranks), frozen.out_features, dtype=dtype)
    for place, (cell, rank) in enumerate(zip(cells, ranks, strict=True)):
        if cell is not None:
            a[place, :, :rank] = layer.lora_A[cell.name].weight.t()
            b[place, :rank] = (layer.lora_B[cell.name].weight * cell.spec.scaling).t()
    return a, b


def _with_adapters(
    loaded: LoadedModel, specs: Sequence[RunSpec], names: Sequence[str], shape: ModelShape
) -> PeftModel:
    """Add the adapters, each initialized from its own seed, as in a run that is alone."""
    torch.manual_seed(specs[0].seed)
    model = get_peft_model(loaded.base, build_adapter_config(specs[0], shape), adapter_name=names[0])
    for spec, name in zip(specs[1:], names[1:], strict=True):
        torch.manual_seed(spec.seed)
        model.add_adapter(name, build_adapter_config(spec, shape))
        put_beside_base(model, name)
    return model


def attach_alone(
    loaded: LoadedModel, spec: RunSpec, shape: ModelShape, examples: Sequence[Encoded]
) -> AdapterGroup | Adapted:
    """Attach a fresh adapter: a group of one where the model's layer is written out, else with a graph."""
    compute = loaded.machine.compute_name
    if is_written_out(shape.model_type, compute, variant=spec.variant, optimizer=spec.optimizer):
        group = AdapterGroup(loaded, [spec], shape)
        if group.agrees_with_library(examples):
            return group
        loaded.base = group.model.unload()
    return attach_adapter(loaded, spec, shape)
