"""PyTorch's operators on a tape: what each allocates, saves, and needs for its backward pass.

PyTorch's derivatives.yaml says which tensors an operator saves; test_real_steps.py compares whole steps with
real ones.
"""

from collections.abc import Sequence

from lora_lab.memory.frameworks.tape import Backward, Part, Tape, Tensor

FP32, HALF = 4, 2


class Operators:
    """The operators on one tape. `on_gpu`: CUDA kernels fuse what the CPU composes of several operators."""

    def __init__(self, tape: Tape, *, on_gpu: bool) -> None:
        self.tape = tape
        self.on_gpu = on_gpu

    # ---- the plumbing

    def allocate_gradients(
        self, inputs: Sequence[Tensor], *, temporary_bytes: int = 0, passes: bool = False
    ) -> Backward:
        """Return a backward that allocates a gradient per input, or with `passes` reuses the incoming one."""
        needs = [(t.needs_gradient, t.numbers, t.width, t.storage.part == "logits") for t in inputs]
        tape = self.tape

        def backward(gradient: Tensor) -> list[Tensor | None]:
            temporary = tape.new(temporary_bytes, 1) if temporary_bytes else None
            sent: list[Tensor | None] = []
            for needed, numbers, width, of_logits in needs:
                if not needed:
                    sent.append(None)
                elif passes and (numbers, width) == (gradient.numbers, gradient.width):
                    sent.append(gradient)
                else:
                    sent.append(tape.new(numbers, width, "logits" if of_logits else "scratch"))
            del temporary
            return sent

        return backward

    def apply(
        self,
        numbers: int,
        width: int,
        *inputs: Tensor,
        saved: Sequence[Tensor] = (),
        save_result: bool = False,
        passes: bool = False,
        temporary_bytes: int = 0,
        backward_bytes: int = 0,
        part: Part = "scratch",
    ) -> Tensor:
        """Apply an operator that writes a new tensor.

        `saved` and, with `save_result`, the result are kept for the backward pass; `temporary_bytes` and
        `backward_bytes` are alive only while the forward or backward kernel runs.
        """
        temporary = self.tape.new(temporary_bytes, 1) if temporary_bytes else None
        out = self.tape.new(numbers, width, part)
        del temporary
        kept = [*saved, out] if save_result else saved
        backward = self.allocate_gradients(inputs, temporary_bytes=backward_bytes, passes=passes)
        return self.tape.record(out, inputs, saved=kept, backward=backward)

    # ---- shape and type

    def view(self, x: Tensor, numbers: int | None = None) -> Tensor:
        """Return the same storage in another shape, or a part of it ; its gradient is padded to the whole."""
        out = Tensor(numbers or x.numbers, x.width, x.storage)
        passes = out.numbers == x.numbers
        return self.tape.record(out, [x], saved=(), backward=self.allocate_gradients([x], passes=passes))

    def split(self, x: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Return views of parts of the last axis; their gradients are joined in one new tensor."""
        joint = self.view(x)
        return [self.view(joint, size) for size in sizes]

    def cast(self, x: Tensor, width: int, part: Part = "scratch") -> Tensor:
        """Apply x.to(dtype): return the tensor itself where it already has that type."""
        return x if x.width == width else self.apply(x.numbers, width, x, part=part)

    def copy(self, x: Tensor) -> Tensor:
        """Apply clone() or contiguous()."""
        return self.apply(x.numbers, x.width, x, passes=True)

    def repeat(self, x: Tensor, times: int) -> Tensor:
        """Repeat key or value heads for each of their query heads."""
        return x if times == 1 else self.apply(x.numbers * times, x.width, x)

    # ---- arithmetic

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return self.apply(max(a.numbers, b.numbers), max(a.width, b.width), a, b, passes=True)

    def scale(self, x: Tensor) -> Tensor:
        """Multiply x by a Python number."""
        return self.apply(x.numbers, x.width, x)

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply; a factor is saved if the other needs a gradient; a broadcast one sums a full gradient."""
        numbers, width = max(a.numbers, b.numbers), max(a.width, b.width)
        saved = _list_saved_factors(a, b)
        broadcast = any(x.needs_gradient and x.numbers < numbers for x in (a, b))
        return self.apply(
            numbers, width, a, b, saved=saved, backward_bytes=numbers * width if broadcast else 0
        )

    def unary(self, x: Tensor, *, saves_result: bool = False) -> Tensor:
        """Apply an elementwise function that saves its input (silu, gelu) or result (relu, tanh, rsqrt)."""
        saved = () if saves_result else (x,)
        return self.apply(x.numbers, x.width, x, saved=saved, save_result=saves_result)

    def dropout(self, x: Tensor) -> Tensor:
        """Apply dropout: CUDA saves one mask byte per number; the CPU multiplies by noise of x's type."""
        if self.on_gpu:
            mask = self.tape.new(x.numbers, 1)
            return self.apply(x.numbers, x.width, x, saved=(mask,))
        noise = self.tape.new(x.numbers, x.width)
        return self.multiply(x, noise)

    # ---- norms

    def rms_norm(
        self, x: Tensor, weight: Tensor, *, rows: int, in_fp32: bool = False, in_own_type: bool = False
    ) -> Tensor:
        """Apply Llama's weight · (x · rsqrt(mean(x²))).to(x.dtype); `in_fp32` (Gemma) multiplies first.

        `in_own_type` (T5) scales x itself and not its fp32 copy, which only the squares read.
        """
        width, own = x.width, x if in_own_type else None
        x = self.cast(x, FP32)
        squares = self.apply(x.numbers, FP32, x, saved=(x,), backward_bytes=2 * x.numbers * FP32)
        mean = self.apply(rows, FP32, squares, backward_bytes=0)
        del squares
        scale = self.unary(self.apply(rows, FP32, mean), saves_result=True)
        x = self.multiply(own or x, scale)
        del mean, scale, own
        if in_fp32:
            weight = self.apply(weight.numbers, FP32, self.cast(weight, FP32))
            return self.cast(self.multiply(x, weight), width)
        return self.multiply(weight, self.cast(x, width))

    def layer_norm(self, x: Tensor, weight: Tensor, bias: Tensor, *, rows: int) -> Tensor:
        """Apply a fused layer norm, which saves its input and two statistics per row."""
        statistics = self.tape.new(2 * rows, FP32)
        return self.apply(x.numbers, x.width, x, weight, bias, saved=(x, statistics))

    # ---- matrices

    def matmul(self, x: Tensor, weight: Tensor, *, rows: int, d_out: int, part: Part = "scratch") -> Tensor:
        """Compute x Wᵀ: saves x if W is trained, and W if x needs a gradient (free, unless W is a copy)."""
        return self.apply(rows * d_out, x.width, x, weight, saved=_list_saved_factors(x, weight), part=part)

    # ---- attention

    def fused_attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, rows: int, heads: int, masked: int = 0
    ) -> Tensor:
        """Apply flash or memory-efficient attention: saves q, k, v, the result, a log-sum-exp per row and
        head, and a mask of `masked` numbers in the type of the queries.

        Backward on a GPU sums the queries' gradients in fp32 and keeps one more number per row and head.
        """
        statistics = self.tape.new(rows * heads, FP32)
        mask = [self.tape.new(masked, q.width)] if masked else []
        summed = q.numbers * FP32 if self.on_gpu and q.width < FP32 else 0
        return self.apply(
            q.numbers,
            q.width,
            q,
            k,
            v,
            saved=(q, k, v, statistics, *mask),
            save_result=True,
            backward_bytes=summed + rows * heads * FP32,
        )

    def written_attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, pairs: int, softcap: bool = False
    ) -> Tensor:
        """Compute softmax(q kᵀ) v, storing every pair of every head, like `eager`; softmax in fp32."""
        scores = self.apply(pairs, q.width, q, k, saved=_list_saved_factors(q, k))
        scores = self.scale(scores)
        if softcap:
            scores = self.scale(self.unary(self.scale(scores), saves_result=True))
        scores = self.apply(pairs, q.width, scores, passes=True)  # the mask is added
        upcast = pairs * FP32 if q.width < FP32 and not self.on_gpu else 0
        scores = self.apply(
            pairs, FP32, scores, save_result=True, temporary_bytes=upcast, backward_bytes=upcast
        )
        scores = self.cast(scores, v.width)
        out = self.apply(q.numbers, v.width, scores, v, saved=_list_saved_factors(scores, v))
        del scores
        return self.copy(out)

    def sink_attention(self, q: Tensor, k: Tensor, v: Tensor, *, pairs: int) -> Tensor:
        """Compute gpt-oss' attention: a number per head joins the scores, and leaves after softmax."""
        scores = self.scale(self.apply(pairs, q.width, q, k, saved=_list_saved_factors(q, k)))
        scores = self.apply(pairs, q.width, scores, passes=True)  # the mask is added
        scores = self.apply(pairs, q.width, scores)  # joined with the sinks
        scores = self.apply(pairs, q.width, scores, passes=True)  # less the largest
        scores = self.apply(pairs, q.width, scores, save_result=True)
        scores = self.view(scores, pairs - 1)
        out = self.apply(q.numbers, q.width, scores, v, saved=_list_saved_factors(scores, v))
        del scores
        return self.copy(out)

    def plain_attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, pairs: int, dropout: bool, biased: Tensor | None = None
    ) -> Tensor:
        """Compute softmax(q kᵀ) v like BERT's, T5's or BART's `eager`: softmax in the type of the scores."""
        scores = self.scale(self.apply(pairs, q.width, q, k, saved=_list_saved_factors(q, k)))
        if biased is not None:
            scores = self.add(scores, biased)
        scores = self.apply(pairs, q.width, scores, save_result=True, backward_bytes=0)
        if dropout:
            scores = self.dropout(scores)
        out = self.apply(q.numbers, q.width, scores, v, saved=_list_saved_factors(scores, v))
        del scores
        return self.copy(out)

    def composed_attention(
        self, q: Tensor, k: Tensor, v: Tensor, *, pairs: int, dropout: bool, biased: bool = False
    ) -> Tensor:
        """Compute what PyTorch's sdpa composes of plain operators where no kernel fuses it, in fp32.

        Queries and keys are each multiplied by the root of the scale first (ATen, attention.cpp,
        _scaled_dot_product_attention_math).
        """
        width, numbers = q.width, q.numbers
        q, k, v = (self.cast(one, FP32) for one in (q, k, v))
        q, k = self.scale(q), self.scale(k)
        v = self.copy(v)  # the batched product reads heads side by side, and saves what it reads
        scores = self.apply(pairs, FP32, q, k, saved=_list_saved_factors(q, k))
        del q, k
        if biased:
            scores = self.apply(pairs, FP32, scores, passes=True)
        scores = self.apply(pairs, FP32, scores, save_result=True)
        if dropout:
            scores = self.dropout(scores)
        out = self.apply(numbers, FP32, scores, v, saved=_list_saved_factors(scores, v))
        del scores
        return self.cast(self.copy(out), width)

    # ---- loss

    def cross_entropy(self, logits: Tensor, *, rows: int) -> Tensor:
        """Compute the loss: saves the log-softmax; backward allocates its gradient and the logits' one."""
        logp = self.apply(logits.numbers, logits.width, logits, save_result=True, part="logits")
        return self.apply(rows, logits.width, logp, saved=(logp,))


def _list_saved_factors(a: Tensor, b: Tensor) -> list[Tensor]:
    """List what a product saves: each factor, if the other one needs a gradient."""
    return [one for one, other in ((a, b), (b, a)) if other.needs_gradient]
