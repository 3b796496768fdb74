"""What the tests know exactly: distributions, schedules, and how to measure order and moments."""

import math

import torch

from demist.core import (
    VE,
    VP,
    Cosine,
    Gaussian,
    Linear,
    Shifted,
    Sigmoid,
    Table,
    ZeroTerminal,
    cosine_betas,
    linear_betas,
    rescale_to_zero_terminal,
    scaled_linear_betas,
    sigmoid_betas,
)
from demist.core.exact import Exact, Mixture, Normal
from demist.samplers import sample, smooth

f64 = torch.float64


def T(value):
    """A time."""
    return torch.tensor(value, dtype=f64)


DDPM_TABLE = Table.from_betas(linear_betas())
SCHEDULES = {
    "linear": Linear(),
    "vp": VP(),
    "ve": VE(),
    "cosine": Cosine(),
    "sigmoid": Sigmoid(),
    "table-linear": DDPM_TABLE,
    "table-scaled-linear": Table.from_betas(scaled_linear_betas()),
    "table-cosine": Table.from_betas(cosine_betas()),
    "table-sigmoid": Table.from_betas(sigmoid_betas()),
    "table-zero-snr": Table(rescale_to_zero_terminal(DDPM_TABLE.alpha_bar)),
    "shifted": Shifted(Linear(), 3.0),
    "shifted-zero-vp": Shifted(ZeroTerminal(VP()), 0.5),
    "zero-vp": ZeroTerminal(VP()),
    "zero-table": ZeroTerminal(DDPM_TABLE),
}

NORMAL = Normal(
    torch.tensor([0.7, -0.3], dtype=f64), torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=f64)
)
MIXTURE = Mixture(
    torch.tensor([0.3, 0.5, 0.2], dtype=f64),
    torch.tensor([[1.0, 0.5], [-1.0, 0.0], [0.3, -1.2]], dtype=f64),
    0.15,
)


def noise_and_data(distribution, schedule, n=64):
    """Draws of x at t = 1, from the exact marginal."""
    generator = torch.Generator().manual_seed(1)
    x0 = distribution.sample(n, generator)
    alpha, sigma = schedule(T(1.0))
    return alpha * x0 + sigma * torch.randn(x0.shape, generator=generator, dtype=f64)


class Recorded(Gaussian):
    """Hands out a fixed list of draws."""

    def __init__(self, draws):
        super().__init__()
        self.draws = iter(draws)

    def __call__(self, like):
        return next(self.draws)


def rms(x):
    return float(x.square().sum(-1).mean().sqrt())


def push(model, grid, solver, mean, variance):
    """Exact mean and variance of a sampler on one-dimensional Gaussian data.

    There a trajectory is affine in its start and in every draw of noise. Row 0 starts at 0 without
    noise, row 1 starts at 1, row 2 + k feels a unit impulse at the k-th draw: a deterministic test
    of stochastic samplers, without Monte Carlo, seeds or statistical tolerances.
    """

    class Impulses(Gaussian):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def __call__(self, like):
            z = torch.zeros_like(like)
            if self.calls + 2 < len(like):
                z[self.calls + 2] = 1.0
            self.calls += 1
            return z

    def run(rows):
        noise = Impulses()
        x = torch.zeros(rows, 1, dtype=f64)
        x[1] = 1.0
        return sample(model, x, grid, solver, noise)[:, 0], noise.calls

    x, _ = run(2 + run(2)[1])
    gain, impulses = x[1] - x[0], x[2:] - x[0]
    return x[0] + gain * mean, gain**2 * variance + impulses.square().sum()


def interior(schedule, n, low=-4.0, high=4.0, power=1):
    """Between two noisy ends, in log-SNR: no end effects. A power of 2 begins with short steps."""
    return schedule.time_at(low + (high - low) * torch.linspace(0, 1, n + 1, dtype=f64) ** power)


def observed_order(error, n=96):
    """log2 of the error ratio when the number of steps doubles."""
    return math.log2(error(n) / error(2 * n))


def end_to_end_error(distribution, schedule, solver, reference, grid=smooth):
    """Error as a function of the number of steps, from pure noise to clean data."""
    model, x = Exact(distribution, schedule), noise_and_data(distribution, schedule)

    def error(n):
        return rms(sample(model, x, grid(n, schedule), solver) - reference)

    return error
