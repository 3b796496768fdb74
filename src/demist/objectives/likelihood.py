"""How probable is this, according to the model? Exactly by the ODE, and bounded by the SDE.

`log_prob` follows the probability-flow ODE from data to noise and adds up the change of volume.
`discrete_elbo` and `continuous_elbo` bound it from below, term by term; for a perfect model the
continuous bound is tight. All values are in nats per sample; `bits_per_dim` converts for 8-bit
images.
"""

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from demist.core import Gaussian, Model, Noise, count_dims, solvable, solvable_grid
from demist.errors import UsageError
from demist.objectives.vlb import Decoder, discretised_decoder, step_bound
from demist.samplers.adaptive import dormand_prince


@dataclass(frozen=True)
class Likelihood:
    """What `log_prob` found.

    Attributes:
        log_prob: Log-density of each sample, nats, shape `(B,)`.
        noise: Where the flow carried the samples: standard normal draws if the model is right.
        evaluations: Calls of the model, each with its backward passes.
    """

    log_prob: Float[Tensor, " B"]
    noise: Float[Tensor, "B ..."]
    evaluations: int


def log_prob(
    model: Model,
    x: Float[Tensor, "B ..."],
    *,
    start: float = 0.0,
    divergence: Literal["exact", "rademacher", "gaussian"] = "exact",
    draws: int = 1,
    noise: Noise | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    euler: int | None = None,
    **cond: Any,
) -> Likelihood:
    """Log-density of `x` under the probability-flow ODE.

        log p(x) = log p_1(x_1) + integral of div(dz / dtau) dtau

    in flow time (see `samplers.adaptive`), where p_1 = N(0, sigma(1)^2 I); on schedules that do not
    end in pure noise this prior is the usual approximation. The integration is over log tau: a
    1 / tau-th of a network's roughness enters eps, so that near data the volume changes evenly in
    log tau only.

    Args:
        model: Any denoiser; it is differentiated with respect to its input.
        x: Data, shape `(B, ...)` with D elements per sample.
        start: Time at which `x` is taken to be: 0 for clean data. A trained network knows nothing
            of noise far below what it saw; start where its training did.
        divergence: "exact" costs D backward passes per evaluation; the others estimate it without
            bias (Hutchinson 1989) with `draws` passes, from one set of random vectors per sample.
        draws: Random vectors for the estimate.
        noise: Source of those vectors; default `Gaussian()`. On a subspace (`Centred`) the density
            is the one there, and what the model predicts beside it is left out.
        rtol: Tolerance of the state, relative.
        atol: Tolerance of the state, absolute, and of the log-density in nats per dimension.
        euler: So many equal Euler steps instead of the adaptive integration, as a cheap estimate;
            twice as many are taken too, and the result is refused unless the two agree.
        cond: Conditions, handed to the model.

    Raises:
        UsageError: The Euler steps are too few for a number that means anything: by step halving
            their error is more than `EULER_LIMIT` nats per dimension. The change of volume is what
            suffers: a few large steps report densities that integrate to far more than 1.

    References:
        Song et al. 2021, arXiv:2011.13456, section 4.3 and appendix D.2; Grathwohl et al. 2019,
        "FFJORD", arXiv:1810.01367 (one set of vectors for the whole path).
    """
    schedule, shape = model.schedule, x.shape
    noise = Gaussian() if noise is None else noise
    dims = count_dims(noise, x)
    probes = _probes(x, divergence, draws, noise)
    begin = torch.tensor(start, dtype=torch.float64)
    end = solvable(model, torch.ones((), dtype=torch.float64))

    def slope(u: float, y: Tensor) -> Tensor:
        """dz/du and its divergence, side by side, at u = log tau."""
        tau = last if u == until else math.exp(u)
        t = end
        if tau != last:
            t = schedule.time_at_angle(torch.atan2(*torch.tensor([tau, 1 - tau]).double()))
        scale = sum(schedule(t))
        with torch.enable_grad():
            z = y[:, :-1].reshape(shape).detach().requires_grad_()
            p = model(scale * z, t, **cond)
            v = noise.project(tau * (p.eps - p.x0))  # and so the trace is the subspace's
            volume = _divergence(v, z, probes)
        return torch.cat([v.detach().flatten(1), volume[:, None]], 1)

    first, last = (
        float(torch.tan(a) / (1 + torch.tan(a))) for a in map(schedule.angle, (begin, end))
    )
    if float(schedule(end)[0]) == 0:
        last = 1.0
    nearest = first if first > 0 else min(math.sqrt(rtol + atol) / 10, last / 2)
    until = math.log(last)
    y = torch.cat(
        [(1 / sum(schedule(begin)) * x).flatten(1), torch.zeros_like(x.flatten(1)[:, :1])], 1
    )
    extra = 0
    if first < nearest:
        y, nearest, extra = _out_of_the_data(slope, y, nearest, dims, 10 * (rtol + atol))
    since = math.log(nearest)
    alpha, sigma = schedule(end)
    unit = -math.log(float(sum(schedule(begin)))) + math.log(float((alpha + sigma) / sigma))

    def total(y: Tensor, evaluations: int) -> Likelihood:
        z = (alpha + sigma) / sigma * y[:, :-1]
        ends = noise.log_prob(z.reshape(shape))
        return Likelihood(
            ends + y[:, -1] + (dims * unit).to(y), z.reshape(shape), evaluations + extra
        )

    if euler is not None:
        coarse, fine = (total(_euler(slope, y, since, until, n), n) for n in (euler, 2 * euler))
        _require_settled(coarse, fine, euler)
        return coarse
    relative, absolute = _tolerances(y.new_empty(y.shape[1:]), rtol, atol)
    for step in dormand_prince(slope, y, since, until, rtol=relative, atol=absolute):
        y = step.y
    return total(y, step.evaluations)


def _out_of_the_data(
    slope: Callable[[float, Tensor], Tensor], y: Tensor, nearest: float, dims: Tensor, limit: float
) -> tuple[Tensor, float, int]:
    """From clean data, where eps is not to be asked, to tau = `nearest` or less: one Euler step.

    Smooth data fills the volume evenly so close by; data of standard deviation s loses a share
    r / (1 + r), r = (tau / s)^2, of it, of which the step misses about half. So tau is lowered as
    long as more than `limit` is lost, and rounding lets it.

    Returns:
        The state there, tau, and the evaluations made.
    """
    least, evaluations = math.sqrt(torch.finfo(y.dtype).eps), 0
    while True:
        change = slope(math.log(nearest), torch.cat([(1 - nearest) * y[:, :-1], y[:, -1:]], 1))
        evaluations += 1
        each = (change[:, -1] / dims.to(change) + nearest).abs()
        lost = float(each.max()) if len(each) else 0.0
        if lost <= limit or nearest / 8 < least:
            break
        nearest /= 8
    if lost > max(limit, ROUGH):
        warnings.warn(
            f"the data is finer than noise of {nearest:.1g}, where the integration begins, so that "
            f"the log-density may be off by {lost / 2:.1g} nats per dimension; give a double "
            f"precision state, or the time from which the model knows noise as start",
            stacklevel=3,
        )
    return y + change, nearest, evaluations


def _tolerances(row: Tensor, rtol: float, atol: float) -> tuple[Tensor, Tensor]:
    """Relative and absolute, of a state and its log-density: `atol` nats per dimension.

    One column among D is a D-th of the mean square, and thousands of nats large: under the state's
    tolerances its error would hardly count.
    """
    relative, absolute = torch.full_like(row, rtol), torch.full_like(row, atol)
    relative[-1], absolute[-1] = 0.0, atol * (len(row) - 1) / math.sqrt(len(row))
    return relative, absolute


ROUGH = 0.01
"""Share of the volume lost between clean data and the start of the integration that is said."""
EULER_LIMIT = 0.02
"""Error of a log-density, nats per dimension, above which it is refused."""


def _euler(
    slope: Callable[[float, Tensor], Tensor], y: Tensor, begin: float, end: float, steps: int
) -> Tensor:
    if steps < 1:
        raise UsageError(f"euler = {steps}: give at least 1 step")
    length = (end - begin) / steps
    for i in range(steps):
        y = y + length * slope(begin + i * length, y)
    return y


def _require_settled(coarse: Likelihood, fine: Likelihood, steps: int) -> None:
    """Richardson: at first order, the error of n steps is twice what 2n steps change."""
    error = 2 * (coarse.log_prob - fine.log_prob).abs() / coarse.noise[0].numel()
    if (worst := float(error.mean())) > EULER_LIMIT or not error.isfinite().all():
        raise UsageError(
            f"a likelihood from {steps} Euler steps is off by about {worst:.2g} nats per "
            f"dimension, more than the {EULER_LIMIT:g} allowed, so it is no likelihood; leave "
            "`euler` out to integrate to a tolerance"
        )


def _probes(x: Tensor, kind: str, draws: int, noise: Noise) -> list[Tensor] | None:
    if kind == "exact":
        return None
    vectors = [noise(x) for _ in range(draws)]
    return [noise.project(v.sign()) for v in vectors] if kind == "rademacher" else vectors


def _divergence(v: Tensor, z: Tensor, probes: list[Tensor] | None) -> Tensor:
    """Trace of dv/dz per sample, exactly or as the mean of probe^T (dv/dz) probe."""
    if probes is None:
        flat = v.flatten(1)
        columns = range(flat.shape[1])
        rows = (torch.autograd.grad(flat[:, i].sum(), z, retain_graph=True)[0] for i in columns)
        return torch.stack([row.flatten(1)[:, i] for i, row in enumerate(rows)]).sum(0)
    estimates = []
    for e in probes:
        (pulled,) = torch.autograd.grad((v * e).sum(), z, retain_graph=True)
        estimates.append((pulled * e).flatten(1).sum(1))
    return torch.stack(estimates).mean(0)


@dataclass(frozen=True)
class Bound:
    """The variational bound on -log p(x0), by its terms, in nats per sample, each `(B,)`.

    Attributes:
        prior: KL(q(x_1 | x0) || p(x_1)): what is left of the data in the noise.
        diffusion: The sum over the steps, or the integral over the noise levels.
        decoder: -log p(x0 | the least noisy state).
        steps: The terms of `diffusion`, noisiest first, shape `(n, B)`.
    """

    prior: Float[Tensor, " B"]
    diffusion: Float[Tensor, " B"]
    decoder: Float[Tensor, " B"]
    steps: Float[Tensor, "n B"]

    @property
    def elbo(self) -> Tensor:
        """The lower bound on log p(x0)."""
        return -(self.prior + self.diffusion + self.decoder)


@torch.no_grad()
def discrete_elbo(
    model: Model,
    x0: Float[Tensor, "B ..."],
    grid: Float[Tensor, " n"],
    noise: Noise | None = None,
    *,
    decoder: Decoder = discretised_decoder,
    large: bool = False,
    **cond: Any,
) -> Bound:
    """The bound of the discrete model whose steps are those of `grid` (Ho et al. 2020, eq. 5).

    An unbiased estimate with one draw of noise per step and sample.

    Args:
        model: The denoiser; its learned variance is used if it has one.
        x0: Clean data.
        grid: Decreasing times from 1 to 0. More steps make the bound tighter where the ratio of the
            signal-to-noise ratios of neighbours goes to 1 at every one of them, as on `log_snr`. At
            the clean end of a grid that shrinks by a power law, such as `angular`, it does not, and
            there the gap grows with the number of steps.
        noise: Default `Gaussian()`.
        decoder: log p(x0 | x_t1); `gaussian_decoder` for continuous data.
        large: For a fixed variance, whether it is beta rather than beta-tilde.
        cond: Conditions, handed to the model.
    """
    noise = Gaussian() if noise is None else noise
    terms, grid = [], solvable_grid(model, grid.double())
    for i, (t, s) in enumerate(itertools.pairwise(grid)):
        each = (t.expand(len(x0)), s.expand(len(x0)))
        terms.append(
            step_bound(model, x0, *each, noise.at(i, t, s), decoder=decoder, large=large, **cond)
        )
    *steps, last = terms
    stacked = torch.stack(steps) if steps else x0.new_zeros(0, len(x0))
    return Bound(_prior_kl(model, x0, grid[0]), stacked.sum(0), last, stacked)


@torch.no_grad()
def continuous_elbo(
    model: Model,
    x0: Float[Tensor, "B ..."],
    noise: Noise | None = None,
    *,
    levels: int = 1000,
    max_log_snr: float = 13.0,
    min_log_snr: float = -20.0,
    **cond: Any,
) -> Bound:
    """The bound in the limit of infinitely many steps, tight for a perfect model.

        diffusion = 1/2 integral of |eps - eps_hat|^2 d(log_snr)

    over the log-SNR between its ends, by the midpoint rule with one draw of noise per level. The
    decoder is Gaussian around x_t / alpha at the cleanest level (Kingma et al. 2021, eq. 14).

    Args:
        model: The denoiser.
        x0: Clean, continuous data (dequantise bytes first).
        noise: Default `Gaussian()`.
        levels: Noise levels in the integral.
        max_log_snr: Where to stop; 13 is a noise of 0.0015 standard deviations.
        min_log_snr: Where to begin, on schedules that reach below it.
        cond: Conditions, handed to the model.

    References:
        Kingma et al. 2021, "Variational Diffusion Models", arXiv:2107.00630, eqs. 11-15.
    """
    noise = Gaussian() if noise is None else noise
    schedule, one = model.schedule, torch.ones((), dtype=torch.float64)
    low = max(float(schedule.log_snr(one)), min_log_snr)
    width = (max_log_snr - low) / levels
    terms = []
    for i in range(levels):
        level = torch.tensor(low + (i + 0.5) * width, dtype=torch.float64)
        t = schedule.time_at(level)
        alpha, sigma = schedule(t)
        eps = noise.at(i, t, t)(x0)
        p = model(alpha * x0 + sigma * eps, t, **cond)
        terms.append(0.5 * width * (p.eps - eps).square().flatten(1).sum(1))
    steps = torch.stack(terms)
    entropy = 0.5 * (1 + math.log(2 * math.pi) - max_log_snr) * count_dims(noise, x0).to(x0)
    return Bound(_prior_kl(model, x0, one), steps.sum(0), entropy, steps)


def _prior_kl(model: Model, x0: Tensor, t: Tensor) -> Tensor:
    """KL(N(alpha x0, sigma^2) || N(0, sigma^2)) at the noisiest time."""
    alpha, sigma = model.schedule(t)
    return (0.5 * (alpha / sigma) ** 2 * x0.square().flatten(1).sum(1)).to(x0)


def dequantise(x: Float[Tensor, "B ..."], noise: Noise | None = None) -> Float[Tensor, "B ..."]:
    """Spread each byte, encoded to [-1, 1], evenly over its bin of width 2/255.

    The density of the result bounds the probability of the bytes from below (Theis et al. 2016,
    "A note on the evaluation of generative models", section 3.1).
    """
    uniform: Tensor = torch.special.ndtr((Gaussian() if noise is None else noise)(x))
    return x + (uniform - 0.5) * (2 / 255)


def bits_per_dim(
    nats: Float[Tensor, " B"], dimensions: int, bin_width: float = 2 / 255
) -> Float[Tensor, " B"]:
    """Bits per dimension of bytes, from the log-density of their (dequantised) encoding.

    Args:
        nats: Log-density per sample; with `bin_width = 1` log-probability of the bytes.
        dimensions: Elements per sample.
        bin_width: Width of a byte's bin where the density lives.
    """
    return -(nats / dimensions + math.log(bin_width)) / math.log(2)
