"""The LoRA forward and backward as one matmul each, on top of PEFT's layers.

                 x (tokens, d_in)
                /                \\
     W frozen  /                  \\  A (rank, d_in)     y = x Wᵀ + s (x Aᵀ) Bᵀ     s = alpha / rank
   (d_out, d_in)                   h (tokens, rank)       arXiv:2106.09685, equation 3
                \\                /
                 \\              /  B (d_out, rank)
                 y (tokens, d_out)

In bf16 the order of the sum matters. Added to an already rounded x Wᵀ, most of a fresh adapter's output is
lost below the last bit (docs/traps.md 12 has the numbers). `addmm` starts from the small term and accumulates
the large product onto it in fp32, so the sum is rounded once.
W is decoded for the forward and again for the backward, so no dense copy of it stays.

DoRA (arXiv:2402.09353) trains a magnitude m per output, and A and B change only the direction:

    y = m / ‖W + s B A‖ · (x Wᵀ + s (x Aᵀ) Bᵀ)     norms over each row, constant in the backward (section 4.3)
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from hqq.core.quantize import HQQLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from lora_lab.worker.device.gpu import free_bytes
from lora_lab.worker.model.quantization import FROZEN_LINEARS, NestedConstants, decode_dense_weight

ADAPTER = "default"
KEPT_SHARE = 0.25
Decode = Callable[[], Tensor]
Forward = Callable[..., Tensor]


class LoRAMatmul(torch.autograd.Function):
    """The adapted product with gradients for x, A and B, but not for W, which is frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, lora_a: Tensor, lora_b: Tensor, decode: Decode, scaling: float
    ) -> Tensor:
        """Compute y; x (tokens, d_in), compute type; lora_a (rank, d_in), lora_b (d_out, rank), fp32."""
        a = lora_a.to(x.dtype)
        b = (lora_b * scaling).to(x.dtype)
        h = x @ a.t()  # (tokens, d_in) -> (tokens, rank)
        ctx.save_for_backward(x, h, a, b)
        ctx.decode, ctx.scaling = decode, scaling
        return torch.addmm(h @ b.t(), x, decode().t())  # -> (tokens, d_out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        """From grad (tokens, d_out), compute gradients of x (tokens, d_in), A (rank, d_in) and B."""
        x, h, a, b = ctx.saved_tensors
        return (*_compute_product_gradients(ctx, grads[0], x, h, a, b), None, None)


class DoRAMatmul(torch.autograd.Function):
    """LoRAMatmul with a trained magnitude per row; the direction's norm needs no second matrix of W's size.

    ‖W + s B A‖² = ‖W‖² + 2 s Σ B ⊙ (W Aᵀ) + s² Σ B ⊙ (B A Aᵀ), summed over the rank.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        lora_a: Tensor,
        lora_b: Tensor,
        magnitude: Tensor,
        frozen_norm: Tensor,
        decode: Decode,
        scaling: float,
    ) -> Tensor:
        """Compute y like LoRAMatmul; magnitude and frozen_norm (d_out,) in fp32, the latter ‖W‖ by row."""
        a = lora_a.to(x.dtype)
        b = (lora_b * scaling).to(x.dtype)
        h = x @ a.t()
        weight = decode()
        with torch.autocast(x.device.type, enabled=False):  # it would narrow the norms
            crossed = (weight @ a.t()).float() * 2 + (lora_b @ (lora_a @ lora_a.t())).mul_(scaling)
            norm = (frozen_norm.square() + (lora_b * crossed).sum(1).mul_(scaling)).sqrt_()  # (d_out,)
        update = h @ b.t()
        product = torch.addmm(update, x, weight.t())
        ctx.save_for_backward(x, h, a, b, product, magnitude, norm)
        ctx.decode, ctx.scaling = decode, scaling
        if x.dtype == torch.float32:
            return product * (magnitude / norm)
        # A fresh magnitude's factor differs from 1 by less than 16 bits resolve: `product * 1.001` becomes
        # `product` again. Its contribution is small, and summed before the rounding, like an adapter's output
        # (docs/traps.md 12): one more product.
        return torch.addmm(update.add_(product * (magnitude / norm - 1)), x, weight.t())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None, None, None]:
        """Compute grad (tokens, d_out) -> gradients of x, A, B and the magnitude (d_out,)."""
        (grad,) = grads
        x, h, a, b, product, magnitude, norm = ctx.saved_tensors
        grad_magnitude = (grad.float() * product).sum(0).div_(norm)
        inner = (grad * (magnitude / norm)).to(x.dtype)
        return (*_compute_product_gradients(ctx, inner, x, h, a, b), grad_magnitude, None, None, None)


def _compute_product_gradients(
    ctx: Any, grad: Tensor, x: Tensor, h: Tensor, a: Tensor, b: Tensor
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Compute gradients of x, A and B from that of x Wᵀ + h bᵀ, where b = s B and h = x Aᵀ."""
    grad_h = grad @ b  # (tokens, rank), already scaled
    grad_x = None
    if ctx.needs_input_grad[0]:
        grad_x = torch.addmm(grad_h @ a, grad, ctx.decode())
    grad_a = (grad_h.t() @ x).float()
    grad_b = (grad.t() @ h).float().mul_(ctx.scaling)
    return grad_x, grad_a, grad_b


class FrozenMatmul(torch.autograd.Function):
    """y = x Wᵀ with a gradient for x only; it saves nothing but a reference to the packed weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, decode: Decode) -> Tensor:
        """Compute x (tokens, d_in) -> (tokens, d_out), both in the compute type."""
        ctx.decode = decode
        return x @ decode().t()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Compute grad (tokens, d_out) -> (tokens, d_in)."""
        return grads[0] @ ctx.decode(), None


class Decoder:
    """A decoder of frozen weights to the compute type: per product, or once while they are cached."""

    def __init__(self, compute_dtype: torch.dtype) -> None:
        self.compute_dtype = compute_dtype
        self._kept: dict[nn.Module, Tensor] | None = None
        self._constants: dict[nn.Module, Tensor] = {}

    def decode_weight(self, layer: nn.Module) -> Tensor:
        """Decode the weight (d_out, d_in) of a frozen layer."""
        if self._kept is None:
            return decode_dense_weight(layer, self.compute_dtype, self._constants.get(layer))
        if layer not in self._kept:
            self._kept[layer] = decode_dense_weight(layer, self.compute_dtype)
        return self._kept[layer]

    @property
    def is_caching(self) -> bool:
        """Whether decoded weights are cached now."""
        return self._kept is not None

    @contextmanager
    def cache_if_it_fits(self, model: nn.Module) -> Iterator[None]:
        """Cache every decoded weight until the end, for faster answers, unless the dense copy would take more
        than a quarter of the free memory.
        """
        device = next(model.parameters()).device
        needed_bytes = sum(
            module.in_features * module.out_features * self.compute_dtype.itemsize
            for module in model.modules()
            if isinstance(module, nn.Linear | HQQLinear)
        )
        if needed_bytes < KEPT_SHARE * free_bytes(device):
            self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    @contextmanager
    def with_constants(self, nested: NestedConstants) -> Iterator[None]:
        """Cache the decoded block constants of some matrices until the end."""
        self._constants = nested.decode()
        try:
            yield
        finally:
            self._constants = {}


def install_forwards(
    model: nn.Module, decoder: Decoder, *, adapted: Callable[[Any, Decoder], Forward] | None = None
) -> None:
    """Give every adapted and every other frozen linear layer of a PEFT model the forward above.

    PEFT still attaches, saves and loads; only the arithmetic of `forward` is replaced. Dropout and bias
    training are not supported, because the lab does not offer them. `adapted` makes another forward for
    adapted layers.
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    for module in list(model.modules()):
        if isinstance(module, LoraLayer):
            module.forward = (adapted or _install_adapted)(module, decoder)
        elif isinstance(module, FROZEN_LINEARS) and module is not head and not _is_adapter(module):
            module.forward = _install_frozen(module, decoder)  # type: ignore[method-assign]


def start_unchanged(model: nn.Module) -> None:
    """Set fresh DoRA magnitudes to the norms of `install_forwards`, so they cancel to the last bit.

    PEFT takes them from its own decoding, which may round differently.
    """
    for module in model.modules():
        if isinstance(module, LoraLayer) and ADAPTER in module.lora_magnitude_vector:
            module.lora_magnitude_vector[ADAPTER].weight.data.copy_(module.frozen_norm)


def _is_adapter(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _install_frozen(layer: nn.Module, decoder: Decoder) -> Callable[..., Tensor]:
    decode = partial(decoder.decode_weight, layer)

    def forward(x: Tensor) -> Tensor:
        rows = x.to(decoder.compute_dtype).reshape(-1, x.shape[-1])
        product = FrozenMatmul.apply(rows, decode)
        return unflatten_rows(product, x, layer)

    return forward


def _install_adapted(layer: Any, decoder: Decoder) -> Callable[..., Tensor]:
    base = layer.get_base_layer()
    lora_a, lora_b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
    scaling = layer.scaling[ADAPTER]
    decode = partial(decoder.decode_weight, base)

    def lora(rows: Tensor) -> Any:
        return LoRAMatmul.apply(rows, lora_a, lora_b, decode, scaling)

    product = lora
    if ADAPTER in layer.lora_magnitude_vector:
        magnitude = layer.lora_magnitude_vector[ADAPTER].weight
        frozen_norm = decoder.decode_weight(base).float().norm(dim=1)
        layer.register_buffer("frozen_norm", frozen_norm, persistent=False)

        def dora(rows: Tensor) -> Any:
            return DoRAMatmul.apply(rows, lora_a, lora_b, magnitude, frozen_norm, decode, scaling)

        product = dora

    def forward(x: Tensor) -> Tensor:
        if layer.disable_adapters:
            output: Tensor = base(x)
            return output
        rows = x.to(decoder.compute_dtype).reshape(-1, x.shape[-1])
        return unflatten_rows(product(rows), x, base)

    return forward


def unflatten_rows(rows: Any, x: Tensor, layer: nn.Module) -> Tensor:
    """Reshape (tokens, d_out) to x's leading axes and d_out, plus the frozen layer's bias if it has one."""
    output: Tensor = rows.view(*x.shape[:-1], rows.shape[-1])
    bias = getattr(layer, "bias", None)
    return output if bias is None else output + bias.to(output.dtype)
