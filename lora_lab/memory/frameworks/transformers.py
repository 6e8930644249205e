"""A training step of transformers with peft and bitsandbytes, as symbolic tensors.

Symbols: rows = tokens of the micro-batch, a and kv = query and key width, d = hidden, f = intermediate width.
"""

from collections.abc import Callable
from functools import partial

from lora_lab.memory.frameworks.mlp_layers import MlpLayers
from lora_lab.memory.frameworks.operators import FP32, HALF
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.frameworks.tape import STOP, Leaf, Storage, Tape, Tensor

SIMULATED_LAYERS = 4
"""First, last and two in between; the other layers are like the second, which counts for them."""


class TransformersStep(MlpLayers):
    """Forward, loss and backward of one micro-batch. Subclasses override where another framework differs."""

    def __init__(self, setting: StepSetting, *, keep_history: bool = False) -> None:
        super().__init__(setting, keep_history=keep_history)
        self.number = 0
        self.seq_len = setting.seq_len
        self.outer = setting.outer_width
        self.offloads = setting.offloads or setting.framework == "unsloth"
        self.keeps_outputs = setting.framework == "loop"
        """A hand-written loop keeps the model's outputs, logits among them, until after the backward pass."""

        self._ghosts: list[Storage] = []
        self.table = self.add_weight(self.shape.embedding_parameters, self.outer)
        self.head_weight = self.table
        if self.shape.head_parameters:
            self.head_weight = self.add_weight(self.shape.head_parameters, self.outer)

    # ---- simulation

    def simulate_step(self) -> Tape:
        """Simulate one step from the first to the last operator; what is resident is counted elsewhere."""
        x = self.run_layers(self.enter_model())
        loss = self.loss(x)
        del x
        self.casts.clear()
        self.tape.run_backward(loss.node, self.tape.new(1, FP32))
        return self.tape

    def enter_model(self) -> Tensor:
        """Make what the first layer reads, and what all layers share."""
        x = self.embed()
        self.allocate_position_tables()
        return x

    def run_layers(self, x: Tensor) -> Tensor:
        """Run all layers; SIMULATED_LAYERS of them stand for all where they have the same adapters.

        A caller that kept `x` would keep its storage alive, as nothing in PyTorch does.
        """
        layers = self.shape.layers
        simulated = layers if self.setting.by_layer else min(layers, SIMULATED_LAYERS)
        for number in range(simulated):
            self.enter_layer(number)
            before, trained = self.tape.live_bytes, len(self.parameters)
            x = self.checkpoint(x) if self.setting.checkpointing else self.layer(x)
            if number == 1 and layers > simulated:
                saved = self.tape.live_bytes - before
                gradients = sum(one.size_bytes for one in self.parameters[trained:])
                x = self.repeat(x, layers - simulated, saved, gradients)
        return x

    def enter_layer(self, number: int) -> None:
        """Take the adapters of one layer, where layers differ in them."""
        self.number = number
        if self.setting.by_layer:
            here = [one for one in self.setting.by_layer if number in one.layers]
            self.roles = {one.linear.role: one.linear for one in here}
            self.ranks = {one.linear.role: one.rank for one in here}

    def repeat(self, x: Tensor, times: int, saved_bytes: int, gradient_bytes: int) -> Tensor:
        """Stand in for more layers like the last: what they save and, once they are done, their gradients."""
        ghosts = [self.tape.new(times * saved_bytes, 1)]
        ghosts[0].storage.move("activations")

        def backward(gradient: Tensor) -> list[Tensor | None]:
            ghosts.clear()
            self._ghosts.append(Storage(self.tape, times * gradient_bytes, "gradients"))
            return [gradient]

        out = Tensor(x.numbers, x.width, x.storage)
        return self.tape.record(out, [x], saved=(), backward=backward)

    # ---- the model

    def embed(self) -> Tensor:
        """Embed the tokens."""
        return self.make_input(self.rows * self.shape.hidden, self.outer, self.table)

    def make_input(self, numbers: int, width: int, weight: Tensor) -> Tensor:
        """Make the first tensor of a model from a weight; with checkpointing, it requires a gradient."""
        x = self.ops.apply(numbers, width, weight)
        if self.setting.checkpointing and not x.needs_gradient:
            x.leaf = Leaf()
        return x

    def allocate_position_tables(self) -> None:
        """Allocate cosines and sines, alive for the whole forward pass and saved by every rotation."""
        if self.family.rotary:
            numbers = self.seq_len * self.shape.head_dim
            self.tables = [self.tape.new(numbers, self.wide, "activations") for _ in range(2)]

    def checkpoint(self, x: Tensor) -> Tensor:
        """Run a layer that keeps only its input and is run again with its graph in the backward pass."""
        with self.tape.without_graph():
            out = self.layer(Tensor(x.numbers, x.width, x.storage))

        def backward(gradient: Tensor) -> list[Tensor | None]:
            # Recomputing stops before the layer's result, which isn't needed again.
            enter_again()
            came_back = kept or self.tape.new(numbers, width)
            return [self.tape.run_backward(self.layer(self.cut_input(came_back)).node, gradient)]

        numbers, width, enter_again = x.numbers, x.width, self.find_way_back()
        kept = None if self.offloads else Tensor(numbers, width, x.storage)
        return self.tape.record(out, [x], saved=[kept] if kept else [], backward=backward)

    def find_way_back(self) -> Callable[[], None]:
        """Return what takes the sizes and adapters of the layer that runs once more."""
        return partial(self.enter_layer, self.number)

    def cut_input(self, x: Tensor) -> Tensor:
        """Return a layer's input at which the layer's own backward pass ends."""
        return Tensor(x.numbers, x.width, x.storage, leaf=STOP)

    def layer(self, x: Tensor) -> Tensor:
        """Run one decoder layer."""
        ops, family = self.ops, self.family
        residual = x
        x = self.norm(residual)
        if family.parallel:
            mixed = self.attention(x)
            if family.norms == 2:
                x = self.norm(residual)
            x = self.mlp(x)
            return ops.add(ops.add(mixed, x), residual)
        x = self.attention(x)
        if family.norms == 4:
            x = self.norm(x)
        residual = ops.add(residual, self.drop(x))
        x = self.norm(residual)
        x = self.mlp(x)
        if family.norms == 4:
            x = self.norm(x)
        return ops.add(residual, self.drop(x))

    def norm(self, x: Tensor, *, size: int | None = None) -> Tensor:
        """Apply a norm over the hidden axis, or over each head of `size` numbers."""
        # LN tuning trains copies of the norms over the hidden axis, in the adapter's type.
        tuned = self.setting.variant == "norms" and size is None
        trained, width = self.setting.trains_everything or tuned, self.adapter_width if tuned else self.wide
        length = size or self.shape.hidden
        weight = self.add_parameter(length, width, trained=trained)
        rows = x.numbers // length
        if self.family.norm == "layer":
            bias = self.add_parameter(length, width, trained=trained)
            return self.ops.layer_norm(x, weight, bias, rows=rows)
        return self.ops.rms_norm(
            x,
            weight,
            rows=rows,
            in_fp32=self.family.norm == "gemma",
            in_own_type=self.family.norm_in_own_type,
        )

    # ---- attention

    def attention(self, x: Tensor) -> Tensor:
        """Run projections, rotation, attention and output projection."""
        q, k, v = self.projections(x)
        del x
        if self.family.copies_heads:
            groups = self.shape.heads // self.shape.kv_heads
            q, k, v = self.ops.copy(q), self.ops.repeat(k, groups), self.ops.repeat(v, groups)
        if self.family.head_norms:
            q, k = (self.norm(one, size=self.shape.head_dim) for one in (q, k))
        if self.family.rotary:
            q, k = self.rotate(q), self.rotate(k)
        out = self.attend(q, k, v)
        del q, k, v
        return self.linear("o", out, self.shape.attention_width, self.shape.hidden)

    def projections(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values; views of one tensor where one matrix makes them."""
        a, kv, rows = self.shape.attention_width, self.shape.key_width, self.rows
        if self.has("qkv"):
            joint = self.linear("qkv", x, self.shape.hidden, a + 2 * kv)
            q, k, v = self.ops.split(joint, [rows * a, rows * kv, rows * kv])
            return q, k, v
        d = self.shape.hidden
        return self.linear("q", x, d, a), self.linear("k", x, d, kv), self.linear("v", x, d, kv)

    def rotate(self, x: Tensor) -> Tensor:
        """Return x · cos + rotate_half(x) · sin."""
        ops = self.ops
        cos, sin = self.tables
        whole = x
        if not self.family.rotates_all:
            x = ops.view(whole, max(1, x.numbers // 4))
        turned = ops.multiply(x, cos)
        other = ops.multiply(ops.apply(x.numbers, x.width, x, passes=False), sin)
        x = ops.add(turned, other)
        del turned, other
        if not self.family.rotates_all:
            return ops.apply(whole.numbers, whole.width, x, whole)
        return x

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Run the attention kernel that the setting names."""
        if self.autocast:
            q, k, v = (self.ops.cast(one, HALF) for one in (q, k, v))
        heads = self.shape.heads
        groups = 1 if self.family.copies_heads else heads // self.shape.kv_heads
        if self.writes_attention():
            k, v = self.ops.repeat(k, groups), self.ops.repeat(v, groups)
            pairs = self.setting.batch * heads * self.seq_len**2
            if self.family.scores_in_fp32:
                q, k = self.ops.cast(q, FP32), self.ops.cast(k, FP32)
            if self.family.has_sinks:
                return self.ops.sink_attention(q, k, v, pairs=pairs)
            if self.family.attention_dropout:
                unfused = self.ops.plain_attention if self.is_eager() else self.ops.composed_attention
                return unfused(q, k, v, pairs=pairs, dropout=True)
            if self.family.softmax_in_own_type and self.setting.attention == "eager":
                if self.shape.kv_heads == heads and self.setting.batch > 1:
                    v = self.ops.copy(v)  # rows and heads of the joint tensor do not join to one axis
                return self.ops.plain_attention(q, k, v, pairs=pairs, dropout=False)
            return self.ops.written_attention(q, k, v, pairs=pairs, softcap=self.family.softcap)
        needs_mask = self.family.always_masks and self.setting.attention == "sdpa"
        masked = self.setting.batch * self.seq_len**2 if needs_mask else 0
        out = self.ops.fused_attention(q, k, v, rows=self.rows, heads=heads, masked=masked)
        # In 16 bits, the CPU's kernel writes head by head, and its result is made contiguous.
        return out if self.setting.on_gpu or out.width == FP32 else self.ops.copy(out)

    def writes_attention(self) -> bool:
        """Return whether all pairs are stored (unfused); attention with dropout is only fused on a GPU."""
        return self.is_eager() or (self.family.attention_dropout and not self.setting.on_gpu)

    def is_eager(self) -> bool:
        """Return whether the model's own code writes attention out."""
        return self.setting.attention == "eager" or self.family.writes_attention

    # ---- the loss

    def loss(self, x: Tensor) -> Tensor:
        """Compute final norm, head and cross-entropy."""
        if self.setting.task != "words":
            return self.short_loss(self.last_norm(x))
        if self.setting.loss == "chunked":
            return self.fused_loss(self.last_norm(x))
        logits = self.head(self.last_norm(x))
        self.outputs = logits if self.keeps_outputs else None
        return self.words_loss(logits)

    def last_norm(self, x: Tensor) -> Tensor:
        """Apply the norm behind the last layer."""
        return self.norm(x)

    def short_loss(self, x: Tensor) -> Tensor:
        """Compute the loss of a few labels per position, as a decoder with a classification head does."""
        d, labels = self.shape.hidden, self.setting.labels
        head = self.add_parameter(d * labels, self.width, trained=True)
        logits = self.product(x, head, d, labels, part="logits")
        return self.ops.cross_entropy(logits, rows=self.rows)

    def head(self, x: Tensor) -> Tensor:
        """Compute the logits; the head is never quantized here."""
        d, vocab = self.shape.hidden, self.shape.vocab
        logits = self.product(x, self.head_weight, d, vocab, part="logits")
        return self.adapt_logits(x, logits, d, vocab)

    def words_loss(self, logits: Tensor) -> Tensor:
        """Compute the loss from an fp32 copy of the logits; the published Trainers also shift a copy."""
        upcast = self.ops.cast(logits, FP32, "logits")
        if self.keeps_outputs:
            return self.ops.cross_entropy(upcast, rows=self.rows)
        shifted = self.ops.apply(logits.numbers, FP32, upcast, part="logits")
        return self.ops.cross_entropy(shifted, rows=self.rows)

    def fused_loss(self, x: Tensor) -> Tensor:
        """Compute Liger's loss: logits of one chunk at a time, with their gradient in the forward pass."""
        chunks = -(-self.shape.vocab // self.shape.hidden)
        numbers = -(-self.rows // chunks) * self.shape.vocab
        kept = self.tape.new(x.numbers, x.width, "logits")
        chunk = self.tape.new(numbers, self.width + FP32, "logits")
        del chunk
        return self.ops.apply(1, FP32, x, saved=(kept,))
