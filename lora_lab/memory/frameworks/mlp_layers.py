"""The MLP of a decoder layer of transformers, as symbolic tensors: gated or plain, or a mixture of experts.

Symbols: rows = tokens of the micro-batch, d = hidden, f = intermediate width.
"""

from lora_lab.memory.frameworks.experts import DOWN, GATE_UP, Experts, read_experts
from lora_lab.memory.frameworks.families import ModelFamily, find_family, with_traits
from lora_lab.memory.frameworks.linear_layers import LinearLayers
from lora_lab.memory.frameworks.operators import FP32
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.memory.frameworks.tape import Tensor


class MlpLayers(LinearLayers):
    """MLPs and mixtures of experts. Subclasses override where another framework differs."""

    def __init__(self, setting: StepSetting, *, keep_history: bool = False) -> None:
        super().__init__(setting, keep_history=keep_history)
        self.shape = setting.shape
        self.family: ModelFamily = with_traits(find_family(self.shape) or ModelFamily(), setting.traits)
        self.experts = read_experts(self.shape)
        self.rows = setting.tokens
        self.wide = FP32 if setting.prepared else setting.width
        """Bytes per number of the residual stream, norms and embeddings."""

    def mlp(self, x: Tensor) -> Tensor:
        """Run the MLP, gated or plain, or a mixture of experts."""
        if self.experts:
            return self.mixture(x, self.experts)
        return self.dense(x, self.shape.intermediate)

    def dense(self, x: Tensor, f: int) -> Tensor:
        """Run an MLP of intermediate width f."""
        ops, d = self.ops, self.shape.hidden
        if not self.family.gated:
            x = self.drop_inner(self.activate(self.linear("up", x, d, f)))
            return self.linear("down", x, f, d)
        if self.has("gate_up"):
            gate, up = ops.split(self.linear("gate_up", x, d, 2 * f), [x.numbers // d * f] * 2)
            x = ops.multiply(up, self.activate(gate))
            del gate, up
        else:
            x = ops.multiply(self.activate(self.linear("gate", x, d, f)), self.linear("up", x, d, f))
        return self.linear("down", self.drop_inner(x), f, d)

    def mixture(self, x: Tensor, experts: Experts) -> Tensor:
        """Route each token to its experts, run them on those rows, sort back and add up.

        rows · k tokens of hidden width go in and come out; in between an expert keeps gate and up together
        (2f), the activated gate (f), and, for the routing weights' gradient, its result.
        """
        ops, k, d = self.ops, self.family.experts_used, self.shape.hidden
        shared = self.shared_expert(x)
        weights = self.route(x, experts, k)
        chosen = self.rows * k
        index = self.tape.new(chosen, 8)
        order = self.tape.new(chosen, 8)
        selected = ops.apply(chosen * d, x.width, x, saved=(index,), backward_bytes=0)
        weights = ops.apply(chosen, weights.width, weights, saved=(order,))
        del x, index
        if experts.fused:
            out = self.fused_experts(selected, experts)
        else:
            self.copies = experts.count
            out = self.dense(selected, experts.width)
            self.copies = 1
        del selected
        out = ops.multiply(out, weights)
        out = ops.apply(out.numbers, out.width, out, saved=(order,))
        out = ops.apply(self.rows * d, out.width, out)
        return out if shared is None else ops.add(out, shared)

    def route(self, x: Tensor, experts: Experts, k: int) -> Tensor:
        """Compute the router's probabilities in fp32 and keep the k largest of each token."""
        ops, d = self.ops, self.shape.hidden
        table = self.add_weight(d * experts.count, self.wide)
        logits = self.product(x, self.merge("weight", table), d, experts.count)
        scores = ops.apply(logits.numbers, FP32, logits, save_result=True)
        index = self.tape.new(self.rows * k, 8)
        return ops.cast(ops.apply(self.rows * k, FP32, scores, saved=(index,)), x.width)

    def fused_experts(self, x: Tensor, experts: Experts) -> Tensor:
        """Run all chosen rows through the two tensors of a layer's experts."""
        ops, d, f = self.ops, self.shape.hidden, experts.width
        rows = x.numbers // d
        both = self.multiply_grouped(GATE_UP, x, d, 2 * f, experts)
        gate, up = ops.split(both, [rows * f] * 2)
        del both, x
        if self.family.clamps_gate:  # (up clamped + 1) · gate clamped · sigmoid(gate · 1.702)
            gate, up = ops.unary(gate), ops.unary(up)
            gate = ops.multiply(gate, ops.unary(ops.scale(gate), saves_result=True))
            inner = ops.multiply(ops.apply(up.numbers, up.width, up, passes=True), gate)
        else:
            inner = ops.multiply(self.activate(gate), up)
        del gate, up
        return self.multiply_grouped(DOWN, inner, f, d, experts)

    def multiply_grouped(self, name: str, x: Tensor, d_in: int, d_out: int, experts: Experts) -> Tensor:
        """Multiply rows sorted by expert with their expert's matrix."""
        weight = self.merge(name, self.add_weight(experts.count * d_in * d_out, self.wide))
        entered = x.width
        out = self.ops.matmul(self.ops.cast(x, weight.width), weight, rows=x.numbers // d_in, d_out=d_out)
        return out if self.autocast else self.ops.cast(out, entered)

    def merge(self, name: str, weight: Tensor) -> Tensor:
        """Merge a fused tensor as peft multiplies with it: W + B·A for all experts, where it's adapted."""
        adapter = next((one for one in self.setting.fused if one.name == name), None)
        if adapter is None:
            return weight
        a, b = (self.add_parameter(size, self.adapter_width, trained=True) for size in (adapter.a, adapter.b))
        a, b = self.ops.cast(a, weight.width), self.ops.cast(b, weight.width)
        return self.ops.apply(weight.numbers, weight.width, a, b, weight, saved=(a, b))

    def shared_expert(self, x: Tensor) -> Tensor | None:
        """Run the expert that all tokens share, scaled by a gate of its own (Qwen2-MoE)."""
        up = next(
            (linear for linear in self.shape.linears if linear.name.endswith("shared_expert.up_proj")), None
        )
        if up is None:
            return None
        out = self.dense(x, up.d_out)
        gate = self.ops.unary(self.linear("shared_gate", x, self.shape.hidden, 1), saves_result=True)
        return self.ops.multiply(gate, out)

    def has(self, role: str) -> bool:
        return any(linear.role == role for linear in self.shape.linears)

    def drop(self, x: Tensor) -> Tensor:
        """Apply the family's own dropout, where its configuration has one."""
        return self.ops.dropout(x) if self.family.dropout else x

    def drop_inner(self, x: Tensor) -> Tensor:
        """Apply the residual's dropout to the MLP's hidden numbers, where the family does."""
        return self.drop(x) if self.family.inner_dropout else x

    def activate(self, x: Tensor) -> Tensor:
        """Apply the activation. transformers writes gelu_new out; every other one is one operator."""
        ops = self.ops
        match self.family.activation:
            case "relu":
                return ops.unary(x, saves_result=True)
            case "quick_gelu":
                return ops.multiply(x, ops.unary(ops.scale(x), saves_result=True))
            case "gelu_new":
                cubed = ops.scale(ops.unary(x))
                inner = ops.scale(ops.add(x, cubed))
                del cubed
                inner = ops.unary(inner, saves_result=True)
                inner = ops.apply(inner.numbers, inner.width, inner, passes=True)
                return ops.multiply(ops.scale(x), inner)
            case _:
                return ops.unary(x)
