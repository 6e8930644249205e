"""Linear layers of transformers with peft's adapters, as symbolic tensors: what they save and decode.

Shapes: x (rows x d_in), down = A (rank x d_in), up = B (d_out x rank), result (rows x d_out).
"""

from lora_lab.memory.frameworks.operators import HALF, Operators
from lora_lab.memory.frameworks.setting import WIDTHS, StepSetting
from lora_lab.memory.frameworks.tape import Leaf, Part, Storage, Tape, Tensor
from lora_lab.parameters.shapes import Linear


class LinearLayers:
    """The weights of a step and the products with them. Subclasses override where a framework differs."""

    saves_quantized_input = False

    def __init__(self, setting: StepSetting, *, keep_history: bool) -> None:
        self.setting = setting
        self.tape = Tape(keep_history=keep_history, sums_apart=setting.measure == "live")
        self.ops = Operators(self.tape, on_gpu=setting.on_gpu)
        self.width = setting.width
        self.autocast = setting.autocast
        self.adapter_width = WIDTHS[setting.adapter_type]
        self.roles: dict[str, Linear] = {
            "shared_gate" if linear.suffix == "shared_expert_gate" else linear.role: linear
            for linear in setting.adapted
        }
        self.ranks: dict[str, int] = {}
        """Ranks by role in the layer that runs, where they differ."""

        self.copies = 1
        """How many equal matrices take turns: of the experts each one trains an adapter of its own."""

        self.casts: dict[int, Tensor] = {}
        """Copies of trained weights in 16 bits that autocast keeps, by the id of the weight."""

        self.parameters: list[Tensor] = []

    def add_parameter(self, numbers: int, width: int, *, trained: bool) -> Tensor:
        """Add a weight, resident and counted elsewhere; if trained, its gradient stays until the update."""
        leaf = Leaf() if trained else None
        tensor = Tensor(numbers, width, Storage(self.tape, 0, "fixed"), leaf=leaf)
        if trained:
            self.parameters.append(tensor)
        return tensor

    def add_weight(self, numbers: int, width: int) -> Tensor:
        """Add a weight of the model itself, which only full fine-tuning trains."""
        return self.add_parameter(numbers, width, trained=self.setting.trains_everything)

    def add_factors(self, rank: int, d_in: int, d_out: int, *, trained: bool = True) -> tuple[Tensor, Tensor]:
        """Add an adapter's A (rank x d_in) and B (d_out x rank)."""
        sizes = (self.copies * rank * d_in, self.copies * rank * d_out)
        down, up = (self.add_parameter(size, self.adapter_width, trained=trained) for size in sizes)
        return down, up

    def linear(self, role: str, x: Tensor, d_in: int, d_out: int) -> Tensor:
        """Apply a frozen matrix with its adapter, if it has one."""
        linear = self.roles.get(role)
        if self.setting.variant == "ia3" and linear is not None:
            return self.rescale(role, x, d_in, d_out)
        result = self.base(x, d_in, d_out)
        rank = self.ranks.get(role, self.setting.rank)
        return self.adapt(x, result, d_in, d_out, rank=rank) if linear is not None else result

    def rescale(self, role: str, x: Tensor, d_in: int, d_out: int) -> Tensor:
        """Rescale by IA3 (arXiv:2205.05638): a factor per output, per input in the feed-forward's last."""
        ops, width = self.ops, self.adapter_width
        if role == "down":
            entered, factors = x.width, self.add_ia3_factors(d_in)
            return self.base(ops.cast(ops.multiply(ops.cast(x, width), factors), entered), d_in, d_out)
        factors = self.add_ia3_factors(d_out)
        result = self.base(x, d_in, d_out)
        return ops.cast(ops.multiply(result, factors), result.width)

    def add_ia3_factors(self, numbers: int) -> Tensor:
        """Add IA3's trained factors; peft multiplies those of all adapters first, from 1."""
        return self.ops.scale(self.add_parameter(self.copies * numbers, self.adapter_width, trained=True))

    def base(self, x: Tensor, d_in: int, d_out: int, *, part: Part = "scratch") -> Tensor:
        """Apply the base matrix: plain, or decoded to the compute type for this product."""
        if not self.setting.quantized:
            weight = self.add_weight(self.copies * d_in * d_out, self.width)
            return self.product(x, weight, d_in, d_out, part=part)
        entered, came = x.width, x
        x = self.ops.cast(x, self.width if self.setting.bits != "int8" else x.width)
        decoded = d_in * d_out * x.width
        saved = (came,) if self.saves_quantized_input or self.setting.bits == "int8" else ()
        out = self.ops.apply(
            x.numbers // d_in * d_out,
            x.width,
            x,
            saved=saved,
            temporary_bytes=decoded,
            backward_bytes=decoded,
            part=part,
        )
        return self.ops.cast(out, HALF if self.autocast and self.setting.bits == "int8" else entered)

    def product(self, x: Tensor, weight: Tensor, d_in: int, d_out: int, *, part: Part = "scratch") -> Tensor:
        """Compute x Wᵀ; under autocast both are cast to 16 bits first, a trained weight once per step."""
        rows = x.numbers // d_in
        if self.autocast:
            x, weight = self.ops.cast(x, HALF), self.cast_once(weight)
        elif x.width != weight.width:
            x = self.ops.cast(x, weight.width)
        return self.ops.matmul(x, weight, rows=rows, d_out=d_out, part=part)

    def cast_once(self, weight: Tensor) -> Tensor:
        """Cast a weight through autocast's cache: copies of trained weights live as long as its context."""
        if weight.width == HALF:
            return weight
        if not weight.needs_gradient:
            return self.ops.cast(weight, HALF)
        return self.casts.setdefault(id(weight), self.ops.cast(weight, HALF))

    def adapt(self, x: Tensor, result: Tensor, d_in: int, d_out: int, *, rank: int) -> Tensor:
        """Adapt a result: result + B(A(dropout(x))) · scale, in the adapter's type, as peft computes it."""
        ops, width = self.ops, self.adapter_width
        expected = result.width
        four_bit = self.setting.quantized and self.setting.bits != "int8"
        if four_bit:
            result = ops.copy(result)
        if not (self.setting.quantized and self.autocast):
            x = ops.cast(x, width)
        # LoRA-FA's A is frozen too, but the one published peak (peft's method comparison) shows that its
        # inputs are kept as LoRA's are: without them 2 GB would be missing.
        frozen = self.setting.variant == "vera"
        down, up = self.add_factors(rank, d_in, d_out, trained=not frozen)
        if self.setting.dropout:
            x = ops.dropout(x)
        if frozen:
            update = self.apply_vera(x, down, up, d_in, d_out, rank=rank)
            return ops.cast(ops.add(result, update), expected)
        if self.setting.variant == "dora":
            result = ops.add(result, self.apply_dora(x, result, down, up, d_in, d_out, rank=rank))
            return ops.cast(result, expected)
        update = ops.scale(self.product(self.product(x, down, d_in, rank), up, rank, d_out))
        if self.setting.quantized:
            update = ops.cast(update, expected)
        result = ops.add(result, update)
        return ops.cast(result, expected)

    def adapt_logits(self, x: Tensor, logits: Tensor, d_in: int, vocab: int) -> Tensor:
        """Adapt the logits by the adapter of the head, if it has one."""
        adapter = self.setting.head_adapter
        if adapter is None:
            return logits
        if self.setting.variant == "ia3":
            return self.ops.cast(self.ops.multiply(logits, self.add_ia3_factors(vocab)), logits.width)
        return self.adapt(x, logits, d_in, vocab, rank=adapter.rank)

    def apply_vera(self, x: Tensor, down: Tensor, up: Tensor, d_in: int, d_out: int, *, rank: int) -> Tensor:
        """Apply VeRA's b · B(d · A(x)): only the vectors d (rank) and b (d_out) are trained."""
        ops = self.ops
        inner = self.add_parameter(self.copies * rank, self.adapter_width, trained=True)
        outer = self.add_parameter(self.copies * d_out, self.adapter_width, trained=True)
        reduced = ops.multiply(inner, self.product(x, down, d_in, rank))
        return ops.multiply(outer, self.product(reduced, up, rank, d_out))

    def apply_dora(
        self, x: Tensor, base: Tensor, down: Tensor, up: Tensor, d_in: int, d_out: int, *, rank: int
    ) -> Tensor:
        """Apply DoRA's (m/‖W+BA‖ - 1) · base + m/‖W+BA‖ · B(A(x)); the norm copies the matrix."""
        ops = self.ops
        matrix = d_in * d_out * x.width
        spent = self.tape.new(4 * matrix + d_in * d_in * x.width, 1)
        del spent
        scale = self.add_parameter(self.copies * d_out, self.adapter_width, trained=True)
        result = self.product(self.product(x, down, d_in, rank), up, rank, d_out)
        own = ops.multiply(scale, base)
        update = ops.scale(ops.multiply(scale, result))
        return ops.add(own, update)
