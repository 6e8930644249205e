"""What litgpt's and torchtune's own models have in common, and transformers' have not."""

from lora_lab.memory.frameworks.tape import Tensor
from lora_lab.memory.frameworks.transformers import TransformersStep


class NativeStep(TransformersStep):
    """A model of the framework's own, with PyTorch's attention."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Keys and values are written out for each query head."""
        groups = self.shape.heads // self.shape.kv_heads
        k, v = self.ops.repeat(k, groups), self.ops.repeat(v, groups)
        return super().attend(q, k, v)
