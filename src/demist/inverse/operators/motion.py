"""The camera moved."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from demist.errors import UsageError
from demist.inverse.operator import LinearOperator, Shape, Spectrum, kept
from demist.inverse.operators.box import require_image


@dataclass(frozen=True, eq=False)
class Motion(LinearOperator):
    """Blur along a line, or by a kernel of its own: `motion:9,30`, or `motion:FILE`.

    The kernel goes round: what leaves the image on one side comes in on the other.

    Attributes:
        shape: Of one state, `(..., H, W)`.
        length: Of the line, in pixels, above 0.
        angle: Of the line, in degrees, against the clock from the right.
        kernel: `(h, w)`, at least 0 and not larger than the image; its sum becomes 1, its middle
            stays in place. In place of a line.

    Raises:
        UsageError: It is no such line or kernel.
    """

    shape: Shape
    length: float = 9.0
    angle: float = 0.0
    kernel: Tensor | None = field(default=None, metadata={"file": "kernel"})
    name: ClassVar[str] = "motion"

    def __post_init__(self) -> None:
        high, wide = require_image(self.name, self.shape)
        if not 0 < self.length < math.inf or not math.isfinite(self.angle):
            raise UsageError(f"a line of {self.length:g} pixels is none; give a number above 0")
        kernel = self.kernel
        if kernel is not None and (
            kernel.ndim != 2
            or kernel.shape[0] > high
            or kernel.shape[1] > wide
            or not (kernel >= 0).all()
            or not kernel.sum() > 0
        ):
            raise UsageError(
                f"a kernel of shape {tuple(kernel.shape)} does not fit images of {wide} x {high}; "
                f"it needs two axes, no side larger, and no number below 0 but some above"
            )
        if kernel is None and 2 * self._reach + 1 > min(high, wide):
            raise UsageError(
                f"a line of {self.length:g} pixels is longer than the image of {wide} x {high}; "
                f"give a shorter one"
            )

    @property
    def _reach(self) -> int:
        """Pixels that the line touches on each side of the middle."""
        return math.floor(self.length / 2) + 1

    @kept
    def _response(self) -> Tensor:
        """The kernel's Fourier transform, `(H, W)`, complex."""
        kernel = self._line() if self.kernel is None else self.kernel.double()
        (h, w), (high, wide) = kernel.shape, self.shape[-2:]
        padded = torch.zeros(high, wide, dtype=torch.float64)
        padded[:h, :w] = kernel / kernel.sum()
        response: Tensor = torch.fft.fft2(padded.roll((-(h // 2), -(w // 2)), (0, 1)))
        return response

    def _line(self) -> Tensor:
        """Many points of the line, each shared among the four pixels around it."""
        reach, side = self._reach, 2 * self._reach + 1
        along = torch.linspace(-0.5, 0.5, 64 * side + 1, dtype=torch.float64) * self.length
        rows = reach - along * math.sin(math.radians(self.angle))
        columns = reach + along * math.cos(math.radians(self.angle))
        kernel = torch.zeros(side, side, dtype=torch.float64)
        for i in (rows.floor(), rows.floor() + 1):
            for j in (columns.floor(), columns.floor() + 1):
                share = (1 - (rows - i).abs()) * (1 - (columns - j).abs())
                kernel.index_put_((i.long(), j.long()), share, accumulate=True)
        return kernel

    @property
    def out(self) -> Shape:
        """That of a state."""
        return self.shape

    def forward(self, x: Tensor) -> Tensor:
        """See `Operator`."""
        return _filtered(x, self._response)

    def adjoint(self, y: Tensor) -> Tensor:
        """See `LinearOperator`."""
        return _filtered(y, self._response.conj())

    @property
    def spectrum(self) -> Spectrum:
        """In the Hartley basis, which is real: the lengths of the response, and a turn by it."""
        response = self._response
        length = response.abs()
        turn = torch.where(length > 0, response / length.clamp(min=1e-300), 1)
        channels = math.prod(self.shape[:-2])
        return Spectrum(
            length.flatten().repeat(channels),
            lambda x: _hartley(x).flatten(1),
            lambda z: _hartley(z.reshape(-1, *self.shape)),
            lambda y: _hartley(_filtered(y, turn.conj())).flatten(1),
            lambda z: _filtered(_hartley(z.reshape(-1, *self.shape)), turn),
        )


def _filtered(x: Tensor, response: Tensor) -> Tensor:
    response = response.to(torch.complex128 if x.dtype == torch.float64 else torch.complex64)
    filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(x) * response.to(x.device))
    return filtered.real.to(x)


def _hartley(x: Tensor) -> Tensor:
    """The discrete Hartley transform of the last two axes, which is its own inverse."""
    transformed: Tensor = torch.fft.fft2(x, norm="ortho")
    return (transformed.real - transformed.imag).to(x)
