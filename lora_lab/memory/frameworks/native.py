"""What litgpt's and torchtune's own models have in common, in contrast to transformers' models."""

from lora_lab.memory.frameworks.tape import Tensor
from lora_lab.memory.frameworks.transformers import TransformersStep


class NativeStep(TransformersStep):
    """A step of a model that the framework implements itself, with PyTorch's attention."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Run attention with keys and values repeated for each query head."""
        groups = self.shape.heads // self.shape.kv_heads
        k, v = self.ops.repeat(k, groups), self.ops.repeat(v, groups)
        return super().attend(q, k, v)
