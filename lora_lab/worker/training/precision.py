"""Mixed precision with correct gradients: fp32 residual stream and norms, compute-type matrix products.

A bf16 residual stream fails the gradient test (cosine 0.9988 against fp32, docs/traps.md 11). Here the
embedding's output is cast to fp32, so the residual stream stays fp32, and norms emit the compute type, so the
products that read the same input share one narrow copy of it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def keep_residual_in_fp32(model: nn.Module, compute_dtype: torch.dtype) -> None:
    """Widen norms and the residual stream of a frozen model in place; see the module docstring."""
    for parameter in model.parameters():
        if parameter.ndim == 1 and parameter.is_floating_point():
            parameter.data = parameter.data.float()
    embeddings: nn.Module = model.get_input_embeddings()  # type: ignore[operator]
    embeddings.register_forward_hook(lambda module, inputs, output: output.float())
    for module in list(model.modules()):
        if type(module).__name__.endswith("RMSNorm"):
            fuse_rms_norm(module, compute_dtype)


def fuse_rms_norm(norm: nn.Module, compute_dtype: torch.dtype) -> None:
    """Replace a norm's own arithmetic by PyTorch's fused one, if a trial gives the same numbers for both.

    Families differ in detail (some scale by 1 + weight); a norm with other numbers is left as it is.
    """
    weight, eps = getattr(norm, "weight", None), getattr(norm, "variance_epsilon", None)
    if not isinstance(weight, Tensor) or eps is None:
        return
    x = torch.randn(4, weight.shape[0], device=weight.device)
    with torch.no_grad():
        if not torch.allclose(norm(x).float(), F.rms_norm(x, weight.shape, weight, eps), atol=1e-5):
            return

    def forward(hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden.float(), weight.shape, weight, eps).to(compute_dtype)

    norm.forward = forward
