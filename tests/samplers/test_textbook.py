"""Equality with the recurrences printed in the papers."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import nn

from demist.core import VE, Clock, Denoiser, Eps, Gaussian, IndexClock, Karras
from demist.core.exact import Exact
from demist.samplers import DDIM, DPMpp2M, Heun, ancestral_variances, karras, sample, trailing
from truth import DDPM_TABLE, MIXTURE, T, f64

BAR = DDPM_TABLE.alpha_bar
BETA = torch.linspace(1e-4, 0.02, 1000, dtype=f64)
START = torch.randn(16, 2, dtype=f64, generator=torch.Generator().manual_seed(0))
EXACT = Exact(MIXTURE, DDPM_TABLE)


@dataclass(frozen=True)
class Expanded(Clock):
    """The time, once per sample."""

    def __call__(self, t, alpha, sigma):
        return t.expand(len(START))


class EpsNet(nn.Module):
    """A discrete eps-network: told the integer step, as every DDPM is."""

    def forward(self, x, step):
        assert torch.equal(step, step.round())
        return EXACT(x, T((float(step[0]) + 1) / 1000)).eps


MODEL = Denoiser(EpsNet(), DDPM_TABLE, Eps(), clock=IndexClock(1000))


class Recorded(Gaussian):
    """Hands out a fixed list of draws."""

    def __init__(self, draws):
        super().__init__()
        self.draws = iter(draws)

    def __call__(self, like):
        return next(self.draws)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 50, 10])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_of_song_et_al(n, eta):
    """Song, Meng & Ermon 2020, eqs. 12 and 16, on strided steps."""
    stride = 1000 // n
    steps = list(range(999, -1, -stride))
    draws = torch.randn(n, *START.shape, dtype=f64, generator=torch.Generator().manual_seed(1))
    x = START
    for k, i in enumerate(steps):
        a, b = BAR[i], BAR[i - stride] if i >= stride else T(1.0)
        eps = EXACT(x, T((i + 1) / 1000)).eps
        x0 = (x - (1 - a).sqrt() * eps) / a.sqrt()
        std = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        x = b.sqrt() * x0 + (1 - b - std**2).clamp(min=0).sqrt() * eps + std * draws[k]
    ours = sample(MODEL, START, trailing(n), DDIM(eta), Recorded(draws))
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_ddpm_of_ho_et_al():
    """Ho et al. 2020, algorithm 2: the ancestral step as printed, with variance beta-tilde."""
    draws = torch.randn(1000, *START.shape, dtype=f64, generator=torch.Generator().manual_seed(2))
    x = START
    for k, i in enumerate(range(999, -1, -1)):
        eps = EXACT(x, T((i + 1) / 1000)).eps
        x = (x - BETA[i] / (1 - BAR[i]).sqrt() * eps) / (1 - BETA[i]).sqrt()
        if i > 0:
            x = x + (BETA[i] * (1 - BAR[i - 1]) / (1 - BAR[i])).sqrt() * draws[k]
    ours = sample(MODEL, START, trailing(1000), DDIM(1.0), Recorded(draws))
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("i", [1, 10, 500, 999])
def test_variances_of_ho_et_al(i):
    at_t, at_s = DDPM_TABLE(T((i + 1) / 1000)), DDPM_TABLE(T(i / 1000))
    small, large = ancestral_variances(at_t, at_s)
    torch.testing.assert_close(large, BETA[i], rtol=1e-9, atol=0)
    small_in_paper = BETA[i] * (1 - BAR[i - 1]) / (1 - BAR[i])
    torch.testing.assert_close(small, small_in_paper, rtol=1e-9, atol=0)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_learned_variance_of_nichol_and_dhariwal(fraction):
    """exp(v log beta + (1 - v) log beta-tilde), their eq. 15, with the mean of the posterior."""

    class Net(nn.Module):
        def forward(self, x, t):
            return torch.cat([torch.zeros_like(x), torch.full_like(x, 2 * fraction - 1)], 1)

    model = Denoiser(Net(), DDPM_TABLE, Eps(), learn_variance=True)
    i, x = 400, torch.ones(1, 1, dtype=f64)
    t, s = T((i + 1) / 1000), T(i / 1000)
    shift = [
        DDIM(1.0).step(model, x, t, s, None, Recorded([z * torch.ones_like(x)]))[0] for z in (0, 1)
    ]
    small = BETA[i] * (1 - BAR[i - 1]) / (1 - BAR[i])
    want = torch.exp(fraction * BETA[i].log() + (1 - fraction) * small.log()).sqrt()
    torch.testing.assert_close((shift[1] - shift[0]).squeeze(), want, rtol=1e-9, atol=0)
    torch.testing.assert_close(shift[0].squeeze(), 1 / (1 - BETA[i]).sqrt(), rtol=1e-9, atol=0)


def test_heun_is_edm_algorithm_2():
    n, schedule = 18, VE(80.0)
    exact = Exact(MIXTURE, schedule)

    class Net(nn.Module):  # predicts F of EDM's preconditioning
        def forward(self, x, t):
            sigma = 80 * t[0]
            x0 = exact(x * (sigma**2 + 0.25).sqrt(), t[0]).x0
            skip, out = 0.25 / (sigma**2 + 0.25), 0.5 * sigma / (sigma**2 + 0.25).sqrt()
            return (x0 - skip * x * (sigma**2 + 0.25).sqrt()) / out

    model = Denoiser(Net(), schedule, Karras(0.5), input_std=0.5, clock=Expanded())
    u = torch.arange(n, dtype=f64) / (n - 1)
    sigmas = (80 ** (1 / 7) + u * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    sigmas = torch.cat([sigmas, T([0.0])])
    x = 80 * START
    for i, (now, after) in enumerate(pairwise(sigmas)):
        d = (x - exact(x, now / 80).x0) / now
        y = x + (after - now) * d
        if i < n - 1:
            e = (y - exact(y, after / 80).x0) / after
            y = x + (after - now) * (d + e) / 2
        x = y
    ours = sample(model, 80 * START, karras(n, schedule), Heun())
    torch.testing.assert_close(ours, x, rtol=1e-6, atol=1e-6)


def test_dpmpp_2m_of_lu_et_al():
    """Lu et al. 2022, algorithm 2, in their variables r, h and e^-h."""
    steps = list(range(999, -1, -100))
    lam = [0.5 * (BAR[i] / (1 - BAR[i])).log() for i in steps]
    x, last = START, None
    for k, i in enumerate(steps[:-1]):
        a, b = BAR[i], BAR[steps[k + 1]]
        x0 = EXACT(x, T((i + 1) / 1000)).x0
        h = lam[k + 1] - lam[k]
        d = x0
        if last is not None:
            r = (lam[k] - lam[k - 1]) / h
            d = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * last
        x = ((1 - b) / (1 - a)).sqrt() * x - b.sqrt() * torch.expm1(-h) * d
        last = x0
    x = EXACT(x, T((steps[-1] + 1) / 1000)).x0
    torch.testing.assert_close(
        sample(MODEL, START, trailing(10), DPMpp2M()), x, rtol=1e-10, atol=1e-10
    )
