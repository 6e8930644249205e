"""Memory of a run through the written-out layer (worker/training/group_layer.py), moment by moment.

Without a graph the code itself decides when a tensor ends, so its peak can be read off it: each method of
`StepMoments` lists what one part of a step holds, and the peak is the largest. Checked to the byte in
tests/lora_lab/worker/training/test_predicted_memory.py.

All results are bytes; "narrow" is what fp32 needs no copy for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from lora_lab.memory.activations import POSITION_BYTES, TrainingPass
from lora_lab.memory.backward_peak import Decoding
from lora_lab.memory.optimizer_state import FP32_BYTES
from lora_lab.parameters.shapes import Linear, Role
from lora_lab.spec import Compute, Optimizer, Variant

WRITTEN_TYPES = frozenset({"llama", "mistral", "qwen2"})
"""Model types whose decoder layer is written out."""

CACHED_LOGITS, GPU_LOGITS = 2**18, 2**22
"""Logits per block while the loss is computed in fp32: 1 MB, which a core's cache holds, and 17 MB on a GPU,
where every block costs a dozen launches. Two blocks live at once.
"""

READS: tuple[tuple[Role, ...], ...] = (("q", "k", "v"), ("o",), ("gate", "up"), ("down",))
"""Matrices that read the same input, in the order of a layer."""


class Moment(NamedTuple):
    """Bytes of a moment in a layer, through which several rows can go together."""

    rows: int
    """What a row holds, also while another one has its turn."""

    turn: int
    """What is there for one row at a time, or once for all: a decoded weight."""

    found: int = 0
    """What a row adds from its turn in attention on; neighbours whose examples are as long have one turn."""

    attending: int = 0
    """What it adds during this turn alone."""

    joined: int = 0
    """What a row adds to a joint copy, which only several rows need."""

    @property
    def of_one_row(self) -> int:
        """Bytes where a row is alone."""
        return self.rows + self.turn + self.found + self.attending


class Peak(NamedTuple):
    """Bytes of a step's largest moment, in the parts of a ledger, in addition to what stays between steps."""

    activations: int
    logits: int
    scratch: int


def needs_graph(*, variant: Variant, optimizer: Optimizer) -> bool:
    """Return whether a run needs PyTorch's graph: for DoRA, and for moments that are not in 32 bits."""
    return variant == "dora" or optimizer != "adamw"


def is_written_out(model_type: str, compute: Compute, *, variant: Variant, optimizer: Optimizer) -> bool:
    """Return whether a run goes through the written-out layer. fp16 needs a loss scale, so the graph."""
    written = model_type in WRITTEN_TYPES and compute != "fp16"
    return written and not needs_graph(variant=variant, optimizer=optimizer)


def choose_answers_per_block(vocab: int, *, on_gpu: bool) -> int:
    """Return for how many answer tokens the loss is computed at once."""
    return max(1, (GPU_LOGITS if on_gpu else CACHED_LOGITS) // vocab)


@dataclass(frozen=True, kw_only=True)
class StepMoments:
    """The moments of one step of one adapter, or of several that are stacked as one."""

    work: TrainingPass
    checkpointing: bool
    decoding: Mapping[Role, Decoding]
    """What each matrix holds while it is decoded."""

    stacked_answers: tuple[int, ...] = ()
    """Answer tokens of each cell, where several are stacked; `work` is then that of their joint row."""

    @property
    def kept_bytes(self) -> int:
        """Alive from the forward pass to the backward pass, with the gradient on its way back, and the
        adapter's copy in the compute type.
        """
        saved = self.work.shape.layers * self._residual if self.checkpointing else self._saved_bytes
        return saved + self._narrow_bytes + self._positions_bytes + self._residual + self._foreign_bytes

    @cached_property
    def peak(self) -> Peak:
        """The largest moment, in addition to what stays between two steps."""
        kept = self.kept_bytes
        in_layer = self._layer_bytes if self.checkpointing else 0
        moments = (
            Peak(kept, self.loss_bytes, 0),
            Peak(kept + in_layer, 0, max(of.of_one_row for of in self.layer_moments) - in_layer),
        )
        return max(moments, key=sum)

    @cached_property
    def layer_moments(self) -> list[Moment]:
        """What the moments in a layer add to what is kept, in an order that all rows of a step have."""
        held = self._layer_bytes if self.checkpointing else 0
        roles = [role for read in READS for role in read]
        constants = 0
        if self._decodes_constants_together:
            constants = sum(self.decoding[role].constants_bytes for role in roles)
        narrow = self._count_if_narrow(self._c * self._tokens * self.work.shape.hidden)
        wide = 0 if narrow else self._residual
        moments = (
            *self._forward_moments(),
            self._build_product_moment(READS[3], held=narrow, joined=wide),
            Moment(2 * self._gate, 0),
            self._build_product_moment(READS[2], held=self._gate),
            Moment(self._c * self._tokens * self.work.shape.hidden, self._norm_bytes),
            self._build_product_moment(READS[1], held=narrow, joined=wide),
            *self._list_attention_moments(),
            self._build_product_moment(READS[0], held=self._qkv_bytes - self._fused_bytes),
        )
        return [of._replace(rows=of.rows + held, turn=of.turn + constants) for of in moments]

    # ---- what stays

    @property
    def _narrow_bytes(self) -> int:
        """A and the scaled B in the compute type."""
        return self._c * sum(
            self.work.rank * linear.count * (linear.d_in + linear.d_out) for linear in self.work.adapted
        )

    @property
    def _positions_bytes(self) -> int:
        """A cosine and a sine per rotated number of queries and keys, masks, and the positions themselves."""
        shape = self.work.shape
        turns = 2 * FP32_BYTES * shape.head_dim * (shape.heads + shape.kv_heads)
        row = self.work.row
        masks = FP32_BYTES * row.mask_pairs if self._pairs else 0
        numbers = POSITION_BYTES * (row.tokens + row.answer_tokens) * (2 if row.on_gpu else 1)
        return self._tokens * turns + masks + numbers

    @property
    def _foreign_bytes(self) -> int:
        """The mask of other cells' columns, and the answers' positions in the joint row."""
        if not self.stacked_answers:
            return 0
        return self._tokens * self.work.rank + POSITION_BYTES * sum(self.stacked_answers[1:])

    @property
    def _saved_bytes(self) -> int:
        """What all layers save."""
        layers = self.work.shape.layers * (self._residual + self._plain_layer_bytes)
        return layers + sum(linear.count * self._low_rank_bytes(1) for linear in self.work.adapted)

    @property
    def _layer_bytes(self) -> int:
        """What one layer saves, without its input."""
        return self._plain_layer_bytes + sum(
            self._low_rank_bytes(self._count_adapted(read)) for read in READS
        )

    @property
    def _plain_layer_bytes(self) -> int:
        """One layer's tensors, without its input and without x Aᵀ."""
        shape = self.work.shape
        saved = self._residual + 2 * FP32_BYTES * self._tokens  # between the blocks; two scales
        for read, width in zip(READS, (shape.hidden, 0, shape.hidden, shape.intermediate), strict=True):
            saved += self._c * self._tokens * width if self._count_adapted(read) else 0
        widths = shape.intermediate + shape.attention_width + shape.key_width
        saved += self._c * self._tokens * 2 * widths
        if self._pairs:
            return saved + self._c * shape.heads * sum(self._pairs)
        return saved + self._fused_bytes

    @property
    def _fused_bytes(self) -> int:
        """What the fused kernel's graph keeps until its backward pass: output, log-sum-exp, repeated keys."""
        if self._pairs:
            return 0
        shape, widths = self.work.shape, 3 if self.work.repeats_keys else 1
        return self._tokens * (widths * self._c * shape.attention_width + FP32_BYTES * shape.heads)

    # ---- moments

    @property
    def loss_bytes(self) -> int:
        """What the loss adds to what is kept: the largest of the cells' losses, one after another, with the
        gradients of those before.
        """
        answers = self.stacked_answers or (self.work.row.answer_tokens,)
        before = (FP32_BYTES * sum(answers[:place]) * self.work.shape.hidden for place in range(len(answers)))
        return max(
            earlier + self._loss_bytes_of(count) for earlier, count in zip(before, answers, strict=True)
        )

    def _loss_bytes_of(self, answers: int) -> int:
        """The last layer's output beside the gradient that replaces it (counted as kept), the answers' rows,
        and their logits, two blocks of them in fp32. Of each answer of a block the loss holds up to five
        numbers: target logit, maximum, sum, its logarithm, and loss; of the block before the first three.
        """
        shape = self.work.shape
        rows = answers * shape.hidden
        logits = answers * shape.vocab
        block = choose_answers_per_block(shape.vocab, on_gpu=self.work.row.on_gpu)
        numbers = shape.vocab * min(2 * block, answers) + (5 * answers if answers <= block else 3 * block)
        wide = FP32_BYTES * numbers if self._c < FP32_BYTES else 0
        held = FP32_BYTES * (rows + answers) + self._c * rows
        at_norm = self._c * rows + FP32_BYTES * (2 * rows + answers)  # as in `layer_moments`
        at_loss = self._c * logits + max(wide + FP32_BYTES * answers, at_norm)
        return held + max(at_loss, self._residual - self._c * rows)

    def _forward_moments(self) -> Iterator[Moment]:
        """Yield the gate in fp32, then the last product's output beside its weight, and beside the layer's
        output; the product's input, unless an adapter saves it. Without checkpointing the layer's output is
        counted as kept.
        """
        shape = self.work.shape
        output = self._c * self._tokens * shape.hidden
        unsaved = 0 if "down" in self.work.roles else self._gate
        output_kept = 0 if self.checkpointing else self._residual
        wide = self._count_if_narrow(FP32_BYTES * self._tokens * shape.intermediate)
        yield Moment(unsaved - self._low_rank_bytes(self._count_adapted(READS[3])) - output_kept, wide)
        yield Moment(unsaved - output_kept, self._decode_bytes("down"))
        yield Moment(unsaved + output - output_kept, self.decoding["down"].decoded_bytes)
        yield Moment(unsaved + output + (self._residual if self.checkpointing else 0), 0)

    def _build_product_moment(self, read: Iterable[Role], *, held: int, joined: int = 0) -> Moment:
        """Build the backward of matrices that read the same input: x Aᵀ's gradient, the input's gradient
        and one decoded weight. The gradients of A and B replace A and B.
        """
        roles = tuple(read)
        outgoing = self._c * self._tokens * self._find_linear(roles[0]).d_in
        own = self._low_rank_bytes(self._count_adapted(roles)) + max(map(self._decode_bytes, roles))
        return Moment(held + outgoing, own, joined=joined)

    def _decode_bytes(self, role: Role) -> int:
        decoding = self.decoding[role]
        constants = decoding.constants_bytes if self._decodes_constants_together else 0
        return max(decoding.peak_bytes - constants, decoding.decoded_bytes)

    @property
    def _norm_bytes(self) -> int:
        """Two fp32 copies of the incoming gradient, and the scales."""
        return 2 * self._residual + FP32_BYTES * self._tokens

    @property
    def _qkv_bytes(self) -> int:
        """Queries, keys and values in the compute type."""
        shape = self.work.shape
        return self._c * self._tokens * (shape.attention_width + 2 * shape.key_width)

    def _list_attention_moments(self) -> Iterator[Moment]:
        """List the softmax's means, each part's gradients, and the rotation back."""
        tokens, c, heads = self._tokens, self._c, self.work.shape.heads
        width, kv_width = self.work.shape.attention_width, self.work.shape.key_width
        incoming = c * tokens * width
        wide = FP32_BYTES * tokens * width
        found = self._qkv_bytes - self._fused_bytes  # what the kernel kept is free then
        if self._pairs:
            means = (3 if c < FP32_BYTES else 1) * wide
            yield Moment(incoming, 0, found, means - found)  # before the row finds anything
            held = incoming + FP32_BYTES * heads * tokens  # the means
            held += self._count_if_narrow(FP32_BYTES * tokens * kv_width)  # the values
            parts = max(self._part_bytes(*of) for of in self.work.row.attended)
            yield Moment(incoming, 0, found, held + parts)
        else:
            yield from (Moment(0, 0), Moment(0, 0))
        # Swapped and turned. Operators of mixed types on a CPU also widen each operand for a moment; that is
        # inside the operator, and neither the meter nor the ledger counts it.
        rotated = 2 * wide if c == FP32_BYTES else 2 * incoming + wide  # turned in fp32, then rounded
        yield Moment(incoming, 0, found, rotated)
        yield Moment(found, 0, joined=self._qkv_bytes)

    def _part_bytes(self, queries: int, keys: int) -> int:
        """Return the gradients of a part of a row in unfused attention: of its scores and what they give."""
        c, width, kv_width = self._c, self.work.shape.attention_width, self.work.shape.key_width
        scores = self.work.shape.heads * queries * keys
        # Keys and values that a part sees are a copy where a shared prefix comes before it.
        seen = kv_width * keys if keys > queries else 0
        is_cut_a_view = self.work.row.examples == 1 or width == kv_width
        cut = 0 if is_cut_a_view else c * width * queries
        found = max(c * (width * queries + seen), c * kv_width * keys + cut)
        copies = 2 if c < FP32_BYTES else 1
        return cut + max(FP32_BYTES * (scores * copies + seen), c * scores + found)

    # ---- sizes

    @property
    def _decodes_constants_together(self) -> bool:
        """Whether a layer's block constants of double quantization are decoded before its products."""
        return self.work.row.on_gpu

    def _count_if_narrow(self, size: int) -> int:
        """Return the bytes of a copy that fp32 does not need."""
        return size if self._c < FP32_BYTES else 0

    def _low_rank_bytes(self, matrices: int) -> int:
        return self._c * self._tokens * self.work.rank * matrices

    def _count_adapted(self, read: Iterable[Role]) -> int:
        return sum(role in self.work.roles for role in read)

    def _find_linear(self, role: Role) -> Linear:
        return next(linear for linear in self.work.shape.linears if linear.role == role)

    @property
    def _pairs(self) -> list[int]:
        """Query-key pairs of each part, where attention is unfused: the longest example decides for all."""
        pairs = self.work.written_pairs
        return pairs if len(pairs) == len(self.work.row.attended) else []

    @property
    def _c(self) -> int:
        return self.work.c

    @property
    def _tokens(self) -> int:
        return self.work.row.tokens

    @property
    def _residual(self) -> int:
        return self.work.residual_bytes

    @property
    def _gate(self) -> int:
        return self._c * self._tokens * self.work.shape.intermediate
