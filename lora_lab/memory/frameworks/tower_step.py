"""A training step of encoders, encoder-decoders and vision models in transformers, as symbolic tensors.

Every model is a row of towers (towers.py). What a layer saves for its backward pass, in the order of the
code below, with c bytes of the base's type, n positions of one example, h hidden, f intermediate, H heads:

    each norm              c·h + 8                     its input; T5: the residual and its fp32 copy
    dropout of a result    1·h on a GPU, c·h on a CPU  a mask byte, or the noise itself
    queries, keys, values  3·c·h                       attention's backward
    fused attention        c·h + 4·H                   its result and a log-sum-exp per head
    unfused attention      c·H·n; 3·c·H·n              softmax; with dropout, noise and product too
    activation             c·f                         its input
    an adapter             4·d_in + 4·rank             its input in the adapter's type, and A·x

for each position. Frozen matrices save nothing. Cross-attention saves keys and values for the encoder's
positions; everything else of a decoder layer is for the decoder's. tests/lora_lab/worker/training/
test_tower_steps.py holds each family against real steps.
"""

from collections.abc import Callable
from functools import partial

from lora_lab.memory.frameworks.families import TOWER_FAMILIES, ModelFamily, with_traits
from lora_lab.memory.frameworks.operators import FP32, HALF
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.frameworks.tape import Leaf, Tape, Tensor
from lora_lab.memory.frameworks.towers import Tower, count_patches, list_towers, runs_vision, stays_whole
from lora_lab.memory.frameworks.transformers import TransformersStep


class TowerStep(TransformersStep):
    """Forward, loss and backward of a model whose towers run one after the other."""

    memory: Tensor | None = None
    """What the encoder hands to a decoder's cross-attention."""

    unread: Tensor | None = None
    """The last result of a vision tower, whose graph stays alive although nothing reads it."""

    relative: Tensor | None = None
    """DeBERTa's vectors of relative positions."""

    def __init__(self, setting: StepSetting, *, keep_history: bool = False) -> None:
        super().__init__(setting, keep_history=keep_history)
        self.whole = setting.shape
        self.whole_family = TOWER_FAMILIES.get(self.whole.model_type, ModelFamily())
        self.towers = list_towers(setting)
        self.adapted_names = {linear.name for linear in setting.adapted}
        self.biases: dict[str, Tensor | None] = {}
        """T5's numbers per head and pair of positions: made once for a tower, used by all its layers."""

        self.enter(self.towers[0])

    def enter(self, tower: Tower) -> None:
        """Take the sizes of one tower for the operators that follow."""
        self.tower, self.shape = tower, tower.shape
        self.family = with_traits(tower.family, self.setting.traits) if tower.kind != "text" else tower.family
        self.seq_len = tower.positions
        self.rows = self.setting.batch * tower.positions
        self.enter_block("self")

    def enter_block(self, block: str) -> None:
        """Take the adapters of one block."""
        self.roles = {
            role: linear
            for (name, role), linear in self.tower.blocks.items()
            if name == block and linear.name in self.adapted_names
        }

    # ---- simulation

    def simulate_step(self) -> Tape:
        """Simulate one step through all towers."""
        x: Tensor | None = None
        for number, tower in enumerate(self.towers):
            self.enter(tower)
            x = self.run(tower, x, last=number == len(self.towers) - 1)
        assert x is not None
        loss = self.loss(x)
        self.memory = self.relative = None
        if not self.setting.checkpointing:  # otherwise each layer keeps its arguments
            self.biases.clear()
        del x
        self.casts.clear()
        self.tape.run_backward(loss.node, self.tape.new(1, FP32))
        self.biases.clear()
        return self.tape

    def run(self, tower: Tower, before: Tensor | None, *, last: bool) -> Tensor:
        """Run one tower from its input to what the next one reads."""
        x = self.run_layers(self.enter_tower(tower, before))
        if tower.kind == "vision" and not last and self.whole_family.reads_last_but_one:
            # LLaVA reads the result before the last layer's (vision_feature_layer -2), and keeps both.
            self.unread = x
            return x
        if last or tower.kind == "text":
            return x
        return self.drop(self.norm(x)) if self.family.final_norm else x

    def enter_tower(self, tower: Tower, before: Tensor | None) -> Tensor:
        """Make what the tower's first layer reads, and what all its layers share."""
        if tower.kind == "decoder":
            self.memory = before
        x = self.enter_text(before) if tower.kind == "text" and before else self.embed()
        self.biases[tower.kind] = self.make_position_bias()
        if tower.kind == "decoder" and self.biases[tower.kind]:  # cross-attention has one too, of zeros
            self.biases["cross"] = self.make_position_bias()
        if tower.kind == "text":
            self.allocate_position_tables()
        return x

    def checkpoint(self, x: Tensor) -> Tensor:
        """Run a layer that keeps only its input and the encoder's result, and runs again going backward."""
        tower, memory = self.tower, self.memory
        if memory is None:
            return super().checkpoint(x)
        with self.tape.without_graph():
            out = self.layer(x)

        def backward(gradient: Tensor) -> list[Tensor | None]:
            leaf = Leaf() if memory.needs_gradient else None
            self.enter(tower)
            self.memory = Tensor(memory.numbers, memory.width, memory.storage, leaf=leaf)
            came = self.tape.run_backward(self.layer(self.cut_input(x)).node, gradient)
            self.memory = None
            arrived = leaf.gradient if leaf else None
            return [came, Tensor(memory.numbers, memory.width, arrived) if arrived else None]

        return self.tape.record(out, [x, memory], saved=[x, memory], backward=backward)

    def find_way_back(self) -> Callable[[], None]:
        """Return what takes the sizes and adapters of the tower that runs once more."""
        return partial(self.enter, self.tower)

    # ---- entrances

    def embed(self) -> Tensor:
        """Turn token ids or pixels into the first residual."""
        if self.tower.kind == "vision":
            return self.embed_image()
        if self.family.takes_audio and self.tower.kind == "encoder":
            return self.embed_sound()
        x = super().embed()
        if self.family.embedding_norm:
            x = self.norm(self.ops.add(x, x) if x.needs_gradient else x)
        return self.drop(x)

    def embed_image(self) -> Tensor:
        """Cut an image into patches; joined with a class token and added to the positions."""
        numbers = self.rows * self.shape.hidden
        x = self.make_input(numbers, self.wide, self.add_weight(1, self.width))
        return self.norm(x) if self.family.embedding_norm else x

    def embed_sound(self) -> Tensor:
        """Convolve a spectrogram twice, the second time to half its length, each with gelu; add positions."""
        numbers, weight = self.rows * self.shape.hidden, self.add_weight(1, self.width)
        x = self.ops.unary(self.make_input(2 * numbers, self.wide, weight))
        x = self.ops.apply(numbers, self.wide, x, weight, saved=(x,) if weight.needs_gradient else ())
        x = self.ops.unary(x)
        return self.ops.apply(numbers, self.wide, x, passes=True)

    def enter_text(self, image: Tensor) -> Tensor:
        """Project patches to the text's width, and put them where the image's tokens stand."""
        numbers, batch = self.rows * self.shape.hidden, self.setting.batch
        width, pooled = self.towers[0].shape.hidden, self.setting.traits.image_tokens
        x = self.ops.apply(batch * width * count_patches(self.setting), image.width, image)
        if pooled:
            x = self.pool(x, batch * pooled, width)
        projectors = [linear for linear in self.whole.linears if "*" not in linear.name]
        for number, linear in enumerate(projectors):
            if x.numbers % linear.d_in:  # not a part of the way from patches to words
                continue
            x = self.ops.unary(x) if number else x
            result = self.base(x, linear.d_in, linear.d_out)
            adapted = linear.name in self.adapted_names
            if adapted:
                result = self.adapt(x, result, linear.d_in, linear.d_out, rank=self.setting.rank)
            x = result
        words = self.ops.apply(numbers, self.outer, self.table)
        mask = self.tape.new(numbers, 1)
        return self.ops.apply(numbers, self.outer, words, x, saved=(mask,))

    def pool(self, x: Tensor, rows: int, width: int) -> Tensor:
        """Average squares of patches, norm and project them (Gemma 3); the pooling saves its input."""
        x = self.ops.apply(rows * width, x.width, x, saved=(x,))
        norm = self.add_parameter(width, self.wide, trained=self.setting.trains_norms)
        x = self.ops.rms_norm(x, norm, rows=rows, in_fp32=True)
        matrix = self.add_weight(width * self.shape.hidden, self.wide)
        return self.ops.matmul(x, matrix, rows=rows, d_out=self.shape.hidden)

    def make_position_bias(self) -> Tensor | None:
        """Make T5's bias of self-attention: heads x n x n, looked up in a small table."""
        if self.family.relative != "bias":
            return None
        table = self.add_weight(32 * self.shape.heads, self.wide)
        return self.ops.apply(self.shape.heads * self.seq_len**2, self.width, table)

    # ---- layers

    def linear(self, role: str, x: Tensor, d_in: int, d_out: int) -> Tensor:
        """Apply a matrix; T5's wo is never quantized, and computes in its own type."""
        if not (self.setting.quantized and stays_whole(self.whole.model_type, role)):
            return super().linear(role, x, d_in, d_out)
        entered = x.width
        weight = self.add_parameter(d_in * d_out, self.wide, trained=False)
        x = self.ops.cast(x, self.wide)
        result = self.product(x, weight, d_in, d_out)
        if role in self.roles:
            result = self.adapt(x, result, d_in, d_out, rank=self.setting.rank)
        return result if self.wide == entered else self.ops.cast(result, entered)

    def layer(self, x: Tensor) -> Tensor:
        """Run one layer of the tower."""
        if self.tower.kind == "text":
            return super().layer(x)
        self.enter_block("self")
        x = self.block(x, self.attention, drops=self.family.drops_attention)
        if self.memory is not None and self.tower.kind == "decoder":
            self.enter_block("cross")
            x = self.block(x, self.cross_attention, drops=True)
            self.enter_block("self")
        return self.block(x, self.mlp, drops=True)

    def block(self, x: Tensor, run: Callable[[Tensor], Tensor], *, drops: bool) -> Tensor:
        """Add a block's result to the residual; norm its input, or the sum."""
        entered = x if self.family.post_norm else self.norm(x)
        result = run(entered)
        del entered
        if drops:
            result = self.drop(result)
        x = self.ops.add(x, result)
        del result
        return self.norm(x) if self.family.post_norm else x

    def cross_attention(self, x: Tensor) -> Tensor:
        """Attend from the decoder's positions to the encoder's."""
        assert self.memory is not None
        d, a, kv = self.shape.hidden, self.shape.attention_width, self.shape.key_width
        q = self.linear("q", x, d, a)
        k, v = self.linear("k", self.memory, d, kv), self.linear("v", self.memory, d, kv)
        out = self.attend_to(q, k, v, keys=self.memory.numbers // d // self.setting.batch, block="cross")
        return self.linear("o", out, a, d)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Run self-attention."""
        if self.tower.kind == "text":
            if self.whole_family.masks_images and runs_vision(self.setting) and not self.is_eager():
                groups = self.shape.heads // self.shape.kv_heads
                k, v = self.ops.repeat(k, groups), self.ops.repeat(v, groups)
            return super().attend(q, k, v)
        return self.attend_to(q, k, v, keys=self.seq_len, block=self.tower.kind)

    def attend_to(self, q: Tensor, k: Tensor, v: Tensor, *, keys: int, block: str) -> Tensor:
        """Run attention over `keys` positions, the way that this family and device get it."""
        bias = self.biases.get(block)
        if self.autocast:
            q, k, v = (self.ops.cast(one, HALF) for one in (q, k, v))
        heads, dropout = self.shape.heads, self.family.attention_dropout
        pairs = self.setting.batch * heads * self.seq_len * keys
        if self.family.relative == "disentangled":
            return self.disentangled_attention(q, k, v, pairs=pairs, dropout=dropout)
        if self.setting.attention == "eager":
            return self.ops.plain_attention(q, k, v, pairs=pairs, dropout=dropout, biased=bias)
        if dropout and not self.setting.on_gpu:
            return self.ops.composed_attention(q, k, v, pairs=pairs, dropout=True, biased=bias is not None)
        out = self.ops.fused_attention(q, k, v, rows=self.rows, heads=heads)
        written_by_head = self.family.splits_heads or not (self.setting.on_gpu or out.width == FP32)
        return self.ops.copy(out) if written_by_head else out

    def disentangled_attention(self, q: Tensor, k: Tensor, v: Tensor, *, pairs: int, dropout: bool) -> Tensor:
        """Compute DeBERTa's attention: three products per pair, two of them looked up by distance."""
        ops, rows = self.ops, self.setting.traits.relative_positions
        a, d, batch = self.shape.attention_width, self.shape.hidden, self.setting.batch
        scaled = ops.scale(k)
        scores = ops.apply(pairs, q.width, q, scaled, saved=(q, scaled))
        del scaled
        if rows:
            table = self.relative_positions(rows, d)
            score = None
            spans = batch * self.shape.heads * self.seq_len * rows
            for role, content in (("k", q), ("q", k)):
                places = ops.repeat(self.linear(role, table, d, a), batch)
                product = ops.apply(spans, q.width, content, places, saved=(content, places))
                index = self.tape.new(self.seq_len**2, 8)
                looked = ops.apply(pairs, q.width, product, saved=(product, index))
                del product, index
                looked = ops.scale(looked)
                score = looked if score is None else ops.add(score, looked)
            assert score is not None
            scores = ops.add(scores, score)
        mask = self.tape.new(pairs // self.shape.heads, 1)
        scores = ops.apply(pairs, q.width, scores, saved=(mask,))
        scores = ops.apply(pairs, q.width, scores, save_result=True)
        if dropout:
            scores = ops.dropout(scores)
        out = ops.apply(q.numbers, q.width, scores, v, saved=(scores, v))
        del scores
        return ops.copy(out)

    def relative_positions(self, rows: int, d: int) -> Tensor:
        """Return the normed table of relative positions, one for all layers."""
        if self.relative is None:
            self.relative = self.norm(self.add_weight(rows * d, self.outer))
        return self.drop(self.relative)

    # ---- the end

    def last_norm(self, x: Tensor) -> Tensor:
        """Apply the last norm where the family has one, and T5's dropout."""
        if self.family.final_norm or self.tower.kind == "text":
            x = self.norm(x)
        drops = self.tower.kind == "decoder" and self.family.norm_in_own_type
        return self.drop(x) if drops else x

    def words_loss(self, logits: Tensor) -> Tensor:
        """Compute the loss of words; T5, BART and Whisper compute it in the type of the logits."""
        if self.tower.kind == "text":
            return super().words_loss(logits)
        return self.ops.cross_entropy(logits, rows=self.rows)

    def short_loss(self, x: Tensor) -> Tensor:
        """Compute the loss of a few labels; the head of an example reads its first position."""
        d, setting = self.shape.hidden, self.setting
        if setting.task == "none":
            return self.ops.apply(1, x.width, x)
        if setting.task == "labels":
            x = self.ops.apply(setting.batch * d, x.width, x)
            head = self.add_parameter(max(1, setting.saved_head), self.wide, trained=True)
            x = self.ops.apply(setting.batch * d, x.width, x, head, saved=(x,), save_result=True)
            return self.ops.apply(1, x.width, x)
        head = self.add_parameter(d * setting.labels, self.wide, trained=True)
        return self.ops.cross_entropy(self.product(x, head, d, setting.labels), rows=self.rows)
