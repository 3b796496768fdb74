"""Gradients of weights that are added up in fp32 although the network computes in bf16.

Under autocast the gradient of a weight is the sum over a process's share of the batch, rounded to
bf16: about 1/400 of every number, and another one if the shares are others. Muon gives all
directions of a matrix the same length, the few that are nothing but rounding too, and so a U-Net
differed by 3e-2 after twelve steps on two processes instead of one. Here a quarter of the batch,
which is the same on one, two and four processes, is added up in bf16, and the quarters in fp32.
What each sample contributes is computed as ever. A step takes about a tenth longer.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from demist.training.gradient import Gradient, Objective

PARTS = 4
"""Of the batch of all processes together; fewer if they do not divide it."""
MOST = 64
"""A layer that sees more parts, as one of every pixel might, is left alone."""


def rows_of(batch_size: int) -> int:
    """Samples in a part."""
    parts = PARTS
    while batch_size % parts:
        parts //= 2
    return batch_size // parts


@dataclass(frozen=True)
class ExactSums:
    """A way to compute gradients, with sums in fp32 where a CPU computes in bf16.

    Attributes:
        gradient: The way.
        rows: Samples that are added up in bf16.
    """

    gradient: Gradient
    rows: int

    def __call__(
        self, model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool
    ) -> tuple[Tensor, int]:
        """See `demist.training.gradient`."""
        cpu = next(model.parameters()).device.type == "cpu"
        with _Sums(self.rows) if bf16 and cpu else nullcontext():
            return self.gradient(model, batches, step, objective, bf16)


class _Sums(TorchFunctionMode):
    """Within it, linear and convolutional layers under autocast compute their gradients so."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if (func is F.conv2d or func is F.linear) and not kwargs and self._applies(*args[:2]):
            x, weight, bias, *rest = (*args, None)[: max(3, len(args))]
            with torch.autocast("cpu", enabled=False):
                kind: Any = _Linear if func is F.linear else _Convolution
                return kind.apply(x, weight, bias, self.rows, *rest)
        return func(*args, **(kwargs or {}))

    def _applies(self, x: Tensor, weight: Tensor) -> bool:
        return (
            torch.is_autocast_enabled("cpu")
            and torch.is_grad_enabled()
            and weight.requires_grad
            and weight.dtype == torch.float32
            and bool(x.shape[1:])
            and len(x) % self.rows == 0
            and len(x) // self.rows <= MOST
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rows: int) -> Tensor:
        low, w = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(low, w)
        ctx.rows, ctx.dtype = rows, x.dtype
        return F.linear(low, w, None if bias is None else bias.bfloat16())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x, w), (g,) = ctx.saved_tensors, gradients
        before = (g @ w).to(ctx.dtype) if ctx.needs_input_grad[0] else None
        pairs = zip(g.split(ctx.rows), x.split(ctx.rows), strict=True)
        parts = [b.flatten(0, -2).mT @ a.flatten(0, -2) for b, a in pairs]
        return before, _sum(parts), _bias(ctx, g.flatten(0, -2), (0,)), None


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rows: int,
        stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1,
    ) -> Tensor:  # fmt: skip
        low, w = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(low, w)
        ctx.rows, ctx.dtype, ctx.how = rows, x.dtype, (stride, padding, dilation, groups)
        return F.conv2d(low, w, None if bias is None else bias.bfloat16(), *ctx.how)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (x, w), (g,) = ctx.saved_tensors, gradients
        stride, padding, dilation, groups = ctx.how
        wanted = (ctx.needs_input_grad[0], True, False)
        # Both gradients in one call: what it rearranges in memory serves both.
        parts = [
            torch.ops.aten.convolution_backward(
                b, a, w, None, stride, padding, dilation, False, (0, 0), groups, wanted
            )
            for b, a in zip(g.split(ctx.rows), x.split(ctx.rows), strict=True)
        ]
        before = torch.cat([part[0] for part in parts]).to(ctx.dtype) if wanted[0] else None
        return before, _sum([part[1] for part in parts]), _bias(ctx, g, (0, 2, 3)), *[None] * 5


def _sum(parts: list[Tensor]) -> Tensor:
    """The sum in fp32, in pairs, so that processes add up what one would."""
    parts = [part.float() for part in parts]
    while len(parts) > 1:
        parts = [sum(parts[i + 1 : i + 2], parts[i]) for i in range(0, len(parts), 2)]
    return parts[0]


def _bias(ctx: Any, g: Tensor, over: tuple[int, ...]) -> Tensor | None:
    return g.float().sum(over) if ctx.needs_input_grad[2] else None
