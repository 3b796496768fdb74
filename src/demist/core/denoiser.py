"""The only place where a network is called.

A denoiser is anything with a `schedule` that maps `(x_t, t, **cond)` to a `Prediction`: a network
(`Denoiser`), a closed form (`exact.Exact`), or guidance made of other denoisers.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from demist.core.clocks import Clock, LogSNRClock
from demist.core.fields import Fields
from demist.core.parameterization import Parameterization
from demist.core.prediction import Prediction
from demist.core.schedule import Schedule
from demist.core.state import State, left


@runtime_checkable
class Model(Protocol):
    """The interface of every denoiser."""

    @property
    def schedule(self) -> Schedule:
        """The path on which predictions are made."""

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x` at time `t`."""


class Denoiser(nn.Module):
    """A network, read through a schedule and a parameterization.

    Args:
        net: Called as `net(x, clock, **cond)` with `clock` of shape `(B,)` (or of t's shape, if t
            has more axes); returns x's shape, or twice its channels (axis 1) with
            `learn_variance`.
        schedule: The path from data to noise.
        parameterization: What the output means.
        clock: How the network sees the time.
        input_std: If given, the network sees `x_t / sqrt(alpha^2 input_std^2 + sigma^2)`, which
            has unit variance for data of that standard deviation (EDM's c_in); else x_t as it is.
        learn_variance: Whether the second half of the output's channels is the spread of the
            ancestral variance, in [-1, 1] (Nichol & Dhariwal 2021, section 3.1).
        bounds: Range of clean data, if it has one, such as (-1, 1) for pixels. E[x0 | x_t] lies in
            it, so what the network answers is clamped to it. In training mode the gradient passes
            the clamp unchanged: the squared error then becomes the loss whose gradient is
            `clamp(x0_hat) - x0`, convex and with the same minimum, and the network need not hit
            the frequent ends of the range exactly (the black of a digit's background) but may
            overshoot them at no cost.
        dtype: Precision the network is run in; the state keeps its own. None: the state's.

    Attributes:
        at_once: Samples that the network is given in one call, which bounds its memory; 0: all.
        straight: Whether gradients pass the clamp unchanged in evaluation mode, too; see
            `gradients.straightened`.
    """

    at_once: int = 0
    straight: bool = False

    def __init__(
        self,
        net: nn.Module,
        schedule: Schedule,
        parameterization: Parameterization,
        *,
        clock: Clock = LogSNRClock(),
        input_std: float | None = None,
        learn_variance: bool = False,
        bounds: tuple[float, float] | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.net = net
        self.schedule = schedule
        self.parameterization = parameterization
        self.clock = clock
        self.input_std = input_std
        self.learn_variance = learn_variance
        self.bounds = None if bounds is None else (bounds[0], bounds[1])
        self.dtype = dtype

    def forward(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        """Predict both ends of the line through `x`.

        Args:
            x: State of shape `(B, ...)`.
            t: Times in [0, 1], of shape `()`, `(B,)` or `(B, F)`.
            cond: Conditions, handed to the network as they are.

        Raises:
            ValueError: If `t` does not match `x`, the parameterization is singular there, `x` is
                not of real numbers, or the network knows one time per sample and is given several.
        """
        alpha, sigma = self.schedule(t)
        clock = self.clock(t, alpha, sigma)
        self._require_fit(x, clock)
        a, s = left(alpha, x), left(sigma, x)
        seen = x if self.input_std is None else x * (1 / torch.hypot(a * self.input_std, s))
        if clock.ndim == 0 and isinstance(x, Tensor | Fields):
            clock = torch.full((len(x),), float(clock), device=x.device)
        run = self._in_parts if self.at_once else self.net
        output = run(seen if self.dtype is None else seen.to(self.dtype), clock, **cond)
        if isinstance(x, Tensor):
            output = output.to(x.dtype)
        spread = None
        if self.learn_variance:
            output, raw = output.chunk(2, dim=1)
            spread = (raw + 1) / 2

        def rates() -> tuple[Tensor, Tensor]:
            d_alpha, d_sigma = self.schedule.rates(t)
            return left(d_alpha, x), left(d_sigma, x)

        x0, eps = self.parameterization.invert(output, x, a, s, rates)
        if self.bounds is not None:
            inside = x0.clamp(*self.bounds)
            if self.training or self.straight:
                inside = x0 + (inside - x0).detach()
            # As `Prediction.with_x0`, but also for clean data: there x0 is the state itself.
            x0, eps = inside, eps + torch.where(s > 0, a / s, 0) * (x0 - inside)
        return Prediction(x0, eps, a, s, spread)

    def _in_parts(self, x: State, clock: Tensor, **cond: Any) -> Any:
        """The network's output, some samples at a time."""
        k = self.at_once
        if not isinstance(x, Tensor) or not clock.ndim or k >= len(clock):
            return self.net(x, clock, **cond)
        n = len(clock)  # not sooner: asking for it would fix the batch of a traced network
        rows = [slice(i, i + k) for i in range(0, n, k)]
        return torch.cat([self.net(x[r], clock[r], **_rows(cond, r, n)) for r in rows])

    def seeing(self, clock: Clock, bounds: tuple[float, float] | None) -> "Denoiser":
        """This network behind another clock, in evaluation mode, with other bounds or none."""
        other = copy(self)
        other.clock, other.bounds, other.training = clock, bounds, False
        return other

    def _require_fit(self, x: State, clock: Tensor) -> None:
        if isinstance(x, Tensor) and not x.is_floating_point():
            raise ValueError(
                f"a state holds real numbers, got {x.dtype}; give complex ones as twice as many "
                f"channels (torch.view_as_real), whole ones as float32"
            )
        if clock.ndim > 1 and getattr(self.net, "one_time_per_sample", False):
            raise ValueError(
                f"{type(self.net).__name__} knows one time per sample and was given times of shape "
                f"{tuple(clock.shape)}, one per part; give it times of shape ({len(x)},), or take "
                f"a network that sees the time of every part"
            )
        if not isinstance(x, Tensor) and (self.bounds is not None or self.learn_variance):
            raise ValueError("bounds and a learned variance are for states of one tensor")


def _rows(value: Any, rows: slice, n: int) -> Any:
    """Rows of all tensors that have `n`, in mappings and sequences too."""
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == n else value
    if isinstance(value, Mapping):
        return {key: _rows(item, rows, n) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_rows(item, rows, n) for item in value)
    return value


@dataclass(frozen=True)
class Conditioned:
    """A denoiser with conditions filled in; conditions given later take precedence."""

    model: Model
    cond: Mapping[str, Any]

    @property
    def schedule(self) -> Schedule:
        """The model's."""
        return self.model.schedule

    def __call__(self, x: State, t: Tensor, **cond: Any) -> Prediction:
        return self.model(x, t, **{**self.cond, **cond})


def many(model: Model, x: State, t: Tensor, conds: Sequence[Mapping[str, Any]]) -> list[Prediction]:
    """Predictions under several conditions, in one call of the model where that is possible.

    It is possible when the state is a tensor and all conditions have the same names and are
    tensors of batch size B with equal shapes; otherwise the model is called once per condition.
    """
    k = len(conds)
    if k == 1 or not isinstance(x, Tensor) or not _stackable(conds):
        return [model(x, t, **cond) for cond in conds]
    joint = {name: torch.cat([cond[name] for cond in conds]) for name in conds[0]}
    times = t if t.ndim == 0 else torch.cat([t] * k)
    p = model(torch.cat([x] * k), times, **joint)

    def parts(c: Any) -> Sequence[Any]:
        return c.chunk(k) if isinstance(c, Tensor) and c.ndim else [c] * k

    fields = (parts(p.x0), parts(p.eps), parts(p.alpha), parts(p.sigma), parts(p.spread))
    return [Prediction(*row) for row in zip(*fields, strict=True)]


def _stackable(conds: Sequence[Mapping[str, Any]]) -> bool:
    first = conds[0]
    return all(
        cond.keys() == first.keys()
        and all(isinstance(v, Tensor) and v.shape == first[n].shape for n, v in cond.items())
        for cond in conds
    )
