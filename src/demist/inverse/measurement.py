"""What was seen, `y = A x0 + noise`, and how likely it is for given data."""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from demist.core import Noise
from demist.errors import UsageError
from demist.inverse.operator import LinearOperator, Operator


class MeasurementNoise(abc.ABC):
    """What is added to `A x0`; subclasses are frozen dataclasses. Its unit is that of the data."""

    @abc.abstractmethod
    def add(self, clean: Tensor, noise: Noise) -> Tensor:
        """A measurement of `clean = A x0`, drawn with `noise`."""

    @abc.abstractmethod
    def variance(self, clean: Tensor) -> Tensor:
        """The variance of a measurement of `clean`; broadcasts with it."""

    @abc.abstractmethod
    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """Log p(y | A x0 = clean) of each sample in nats, `(B,)`, differentiable in `clean`."""


@dataclass(frozen=True)
class GaussianNoise(MeasurementNoise):
    """Independent normal numbers.

    Attributes:
        std: Their standard deviation in the unit of the data, which for images goes from -1 to 1;
            0: none.
    """

    std: float

    def __post_init__(self) -> None:
        if not 0 <= self.std < math.inf:
            raise UsageError(f"the noise is {self.std:g}; it must be a number of at least 0")

    def add(self, clean: Tensor, noise: Noise) -> Tensor:
        """See `MeasurementNoise`."""
        drawn: Tensor = clean + self.std * noise(clean)
        return drawn

    def variance(self, clean: Tensor) -> Tensor:
        """`std` squared, 0-dimensional."""
        return clean.new_tensor(self.std**2)

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """See `MeasurementNoise`.

        Raises:
            UsageError: There is no noise, so that the density is infinite or nought.
        """
        if not self.std:
            raise UsageError("without noise a measurement has no density; give a noise above 0")
        squares = ((y - clean) / self.std).square()
        return -0.5 * (squares + math.log(2 * math.pi * self.std**2)).flatten(1).sum(1)


@dataclass(frozen=True)
class PoissonNoise(MeasurementNoise):
    """Counts of photons, scaled back to the range of the data.

    Where the data is `high`, `peak` photons are expected, where it is `low`, none; values below
    `low` count as none.

    Attributes:
        peak: Expected photons of the brightest data.
        low: Value of the data at which nothing is counted.
        high: Value at which `peak` is expected.
    """

    peak: float
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.peak < math.inf or not self.low < self.high:
            raise UsageError(
                f"a peak of {self.peak:g} photons between {self.low:g} and {self.high:g} makes no "
                f"sense; it must be above 0, and low below high"
            )

    def rate(self, clean: Tensor) -> Tensor:
        """Expected counts."""
        share = (clean - self.low) / (self.high - self.low)
        return self.peak * share.clamp(min=torch.finfo(clean.dtype).eps)

    def add(self, clean: Tensor, noise: Noise) -> Tensor:
        """See `MeasurementNoise`; by inverting the distribution function at a normal draw's."""
        rate, chance = self.rate(clean.double()), torch.special.ndtr(noise(clean.double()))
        below, above = torch.full_like(rate, -1), (rate + 12 * rate.sqrt() + 40).floor()
        while (above - below > 1).any():
            middle = ((below + above) / 2).floor()
            enough = torch.special.gammaincc(middle + 1, rate) >= chance
            below, above = torch.where(enough, below, middle), torch.where(enough, middle, above)
        return (self.low + above / self.peak * (self.high - self.low)).to(clean)

    def variance(self, clean: Tensor) -> Tensor:
        """See `MeasurementNoise`."""
        return self.rate(clean) * ((self.high - self.low) / self.peak) ** 2

    def log_likelihood(self, y: Tensor, clean: Tensor) -> Tensor:
        """See `MeasurementNoise`; of the counts, with nothing left out."""
        rate, counts = self.rate(clean), self.peak * (y - self.low) / (self.high - self.low)
        return (counts * rate.log() - rate - torch.lgamma(counts + 1)).flatten(1).sum(1)


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measurement of each sample of a batch.

    Attributes:
        operator: What is measured, the same of all samples.
        y: What was seen, `(B, *operator.out)`; or `(1, *out)` for all samples.
        noise: What was added.

    Raises:
        UsageError: `y` has another shape or is not finite, or the adjoint is wrong.
    """

    operator: Operator
    y: Tensor
    noise: MeasurementNoise

    def __post_init__(self) -> None:
        if tuple(self.y.shape[1:]) != self.operator.out:
            raise UsageError(
                f"the measurement has shape {tuple(self.y.shape[1:])}, and the operator gives "
                f"{self.operator.out}; they must be the same"
            )
        if not self.y.isfinite().all():
            raise UsageError("the measurement holds NaN or infinity; leave those numbers out")
        if isinstance(self.operator, LinearOperator):
            self.operator.require_adjoint(self.y)

    @property
    def linear(self) -> LinearOperator:
        """The operator, which is linear.

        Raises:
            UsageError: It is not.
        """
        if not isinstance(self.operator, LinearOperator):
            raise UsageError(
                f"operator {type(self.operator).__name__} is not linear; take a method for "
                f"nonlinear ones, such as dps"
            )
        return self.operator

    @property
    def std(self) -> float:
        """Standard deviation of the noise, which is Gaussian.

        Raises:
            UsageError: It is of another kind.
        """
        if not isinstance(self.noise, GaussianNoise):
            raise UsageError(
                f"{type(self.noise).__name__} has no one standard deviation; take a method for any "
                f"noise, such as dps"
            )
        return self.noise.std

    def take(self, rows: Sequence[int]) -> "Measurement":
        """That of some samples, in this order; one that serves all stays as it is."""
        if len(self.y) == 1:
            return self
        with torch.inference_mode(False):  # so that gradients can pass through it
            return replace(self, y=self.y[torch.tensor(rows)])

    def to(self, like: Tensor) -> "Measurement":
        """In the numbers and on the device of `like`."""
        with torch.inference_mode(False):
            return replace(self, y=self.y.to(dtype=like.dtype, device=like.device))

    def residual(self, x0: Tensor) -> Tensor:
        """`y - A x0`, `(B, *out)`."""
        return self.y - self.operator.forward(x0)

    def misfit(self, x0: Tensor) -> Tensor:
        """Mean square of the residual over the variance of the noise, `(B,)`: 1 where it fits.

        Infinite without noise, unless the residual is exactly 0.
        """
        clean = self.operator.forward(x0)
        squares = (self.y - clean).square() / self.noise.variance(clean)
        return squares.nan_to_num(nan=0.0, posinf=math.inf).flatten(1).mean(1)

    def log_likelihood(self, x0: Tensor) -> Tensor:
        """Log p(y | x0) of each sample in nats, `(B,)`, differentiable in `x0`."""
        clean = self.operator.forward(x0)
        return self.noise.log_likelihood(self.y.expand_as(clean), clean)
