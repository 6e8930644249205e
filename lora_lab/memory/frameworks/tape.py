"""Symbolic tensors, which have a size but no values, and the graph that autograd would build of them.

A tensor here is a size and a storage. A storage counts as alive from its allocation until Python's reference
count drops it, which is PyTorch's own rule, so code that reads like a model's forward pass has that model's
memory. A node holds what its operator saves for the backward pass; nodes run in the order of autograd's
engine, the latest created first, and drop what they saved once they have run.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Part = Literal["activations", "logits", "scratch", "adapters", "gradients", "fixed"]
PARTS: tuple[Part, ...] = ("activations", "logits", "scratch", "adapters", "gradients", "fixed")


class Storage:
    """Allocated bytes; freed when the last reference is gone."""

    __slots__ = ("part", "size_bytes", "tape")

    def __init__(self, tape: "Tape", size_bytes: int, part: Part) -> None:
        self.tape, self.size_bytes, self.part = tape, size_bytes, part
        tape.grow(part, size_bytes)

    def __del__(self) -> None:
        self.tape.live[self.part] -= self.size_bytes
        self.tape.live_bytes -= self.size_bytes

    def move(self, part: Part) -> None:
        """Count these bytes under another component; only scratch bytes move."""
        if self.part == "scratch":
            self.tape.live[self.part] -= self.size_bytes
            self.tape.live[part] += self.size_bytes
            self.part = part


@dataclass(eq=False, slots=True)
class TapeNode:
    """An operator in the graph: where its gradients go, what it saved, how it computes them."""

    number: int
    targets: "Sequence[TapeNode | Leaf | None]"
    saved: list[Storage]
    backward: "Backward"


@dataclass(eq=False, slots=True)
class Leaf:
    """The gradient slot of a trained parameter."""

    gradient: Storage | None = None


@dataclass(eq=False, slots=True)
class Tensor:
    """`numbers` values of `width` bytes each; several tensors may share one storage."""

    numbers: int
    width: int
    storage: Storage
    leaf: Leaf | None = None
    node: TapeNode | None = None

    @property
    def needs_gradient(self) -> bool:
        """Whether the backward pass goes through it."""
        return self.node is not None or self.leaf is not None

    @property
    def size_bytes(self) -> int:
        """Bytes of its own values."""
        return self.numbers * self.width


Backward = Callable[[Tensor], "Sequence[Tensor | None]"]


class Tape:
    """A counter of live bytes while operators are simulated; it keeps the components of the peak."""

    def __init__(self, *, keep_history: bool = False, sums_apart: bool = False) -> None:
        self.sums_apart = sums_apart
        """Whether a sum of gradients gets a tensor of its own, as it does while a dispatch mode watches."""
        self.live: dict[Part, int] = dict.fromkeys(PARTS, 0)
        self.live_bytes = 0
        self.peak_bytes = 0
        self.peak: dict[Part, int] = dict(self.live)
        self.history: list[int] | None = [] if keep_history else None
        self.recording = True
        self._made = 0

    def grow(self, part: Part, size_bytes: int) -> None:
        """Count an allocation; a new storage calls this."""
        self.live[part] += size_bytes
        self.live_bytes += size_bytes
        if self.history is not None:
            self.history.append(self.live_bytes)
        if self.live_bytes > self.peak_bytes:
            self.peak_bytes = self.live_bytes
            self.peak = dict(self.live)

    def new(self, numbers: int, width: int, part: Part = "scratch") -> Tensor:
        """Allocate a tensor without a gradient."""
        return Tensor(numbers, width, Storage(self, numbers * width, part))

    def record(
        self, out: Tensor, inputs: Sequence[Tensor], *, saved: Iterable[Tensor], backward: Backward
    ) -> Tensor:
        """Attach a node to `out`, if the graph is recorded and any input needs a gradient."""
        if not self.recording or not any(tensor.needs_gradient for tensor in inputs):
            return out
        self._made += 1
        kept = [tensor.storage for tensor in saved]
        for storage in kept:
            storage.move("activations")
        out.node = TapeNode(self._made, [tensor.node or tensor.leaf for tensor in inputs], kept, backward)
        return out

    @contextmanager
    def without_graph(self) -> Iterator[None]:
        """Save nothing for operators inside this context."""
        before, self.recording = self.recording, False
        yield
        self.recording = before

    def run_backward(self, root: TapeNode | None, gradient: Tensor) -> Tensor | None:
        """Simulate the backward pass from `root`. Return the gradient that reaches STOP."""
        waiting: dict[TapeNode, Tensor] = {}
        queue: list[tuple[int, TapeNode]] = []
        arrived: Tensor | None = None

        def deliver(target: TapeNode | Leaf | None, sent: Tensor | None) -> None:
            nonlocal arrived
            if sent is None or target is None:
                return
            if isinstance(target, Leaf):
                if target is STOP:
                    arrived = sent
                elif target.gradient is None or target.gradient.size_bytes < sent.size_bytes:
                    sent.storage.move("gradients")
                    target.gradient = sent.storage
            elif target in waiting:
                # Summed in place, as the engine does with a buffer that it alone holds.
                larger = max(waiting[target], sent, key=lambda tensor: tensor.width)
                waiting[target] = self.new(larger.numbers, larger.width) if self.sums_apart else larger
            else:
                waiting[target] = sent
                heapq.heappush(queue, (-target.number, target))

        deliver(root, gradient)
        del gradient, root
        while queue:
            node = heapq.heappop(queue)[1]
            sent = node.backward(waiting.pop(node))
            node.saved.clear()
            for target, one in zip(node.targets, sent, strict=True):
                deliver(target, one)
            del sent, node
            one = None
        return arrived


STOP = Leaf()
"""Where a checkpointed layer's own backward pass ends: its input, whose gradient continues from there."""
