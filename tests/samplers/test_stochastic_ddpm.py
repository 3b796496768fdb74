"""Ancestral sampling and the Euler-Maruyama baseline, as printed in the papers."""

import pytest
import torch
from torch import nn

from demist.core import VP, Denoiser, Eps, Linear
from demist.core.exact import Exact
from demist.errors import UsageError
from demist.samplers import DDIM, make_solver, sample, trailing
from demist.samplers.solvers.ddpm import DDPM
from demist.samplers.solvers.euler_maruyama import EulerMaruyama
from truth import DDPM_TABLE, MIXTURE, Recorded, T, f64

BAR = DDPM_TABLE.alpha_bar
BETA = torch.linspace(1e-4, 0.02, 1000, dtype=f64)
MODEL = Exact(MIXTURE, DDPM_TABLE)
START = torch.randn(8, 2, dtype=f64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variance", ["small", "large"])
def test_algorithm_2_of_ho_et_al(variance):
    draws = torch.randn(1000, *START.shape, dtype=f64, generator=torch.Generator().manual_seed(2))
    x = START
    for k, i in enumerate(range(999, -1, -1)):
        eps = MODEL(x, T((i + 1) / 1000)).eps
        x = (x - BETA[i] / (1 - BAR[i]).sqrt() * eps) / (1 - BETA[i]).sqrt()
        if i > 0:
            small = BETA[i] * (1 - BAR[i - 1]) / (1 - BAR[i])
            x = x + (BETA[i] if variance == "large" else small).sqrt() * draws[k]
    ours = sample(MODEL, START, trailing(1000), DDPM(variance), Recorded(draws))
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


def test_small_is_ddim_with_eta_1():
    draws = torch.randn(20, *START.shape, dtype=f64)
    ends = [sample(MODEL, START, trailing(20), s, Recorded(draws)) for s in (DDPM(), DDIM(1.0))]
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_learned_variance(fraction):
    """exp(v log beta + (1 - v) log beta-tilde): Nichol & Dhariwal 2021, eq. 15."""

    class Net(nn.Module):
        def forward(self, x, t):
            return torch.cat([torch.zeros_like(x), torch.full_like(x, 2 * fraction - 1)], 1)

    model = Denoiser(Net(), DDPM_TABLE, Eps(), learn_variance=True)
    i, x = 400, torch.ones(1, 1, dtype=f64)
    t, s, solver = T((i + 1) / 1000), T(i / 1000), DDPM("learned")
    quiet, loud = (
        float(solver.step(model, x, t, s, None, Recorded([z * x]))[0]) for z in (0.0, 1.0)
    )
    small = BETA[i] * (1 - BAR[i - 1]) / (1 - BAR[i])
    std = float(BETA[i] ** (fraction / 2) * small ** ((1 - fraction) / 2))
    assert loud - quiet == pytest.approx(std, rel=1e-9)


def test_refuses_unknown_and_unlearned_variances():
    with pytest.raises(ValueError, match="small, large, learned; there is no 'huge'"):
        DDPM("huge")
    with pytest.raises(UsageError, match="huge"):
        make_solver("ddpm:variance=huge")
    with pytest.raises(ValueError, match="learn_variance"):
        sample(MODEL, START, trailing(10), DDPM("learned"))


def test_euler_maruyama_of_song_et_al():
    """VP: x_s = x + [beta / 2 x + beta score] h + sqrt(beta h) z."""
    model, t, s = Exact(MIXTURE, VP()), T(0.5), T(0.48)
    z, beta, h = torch.randn_like(START), 0.1 + 0.5 * 19.9, 0.02
    score = model(START, t).score
    want = START + (beta / 2 * START + beta * score) * h + (beta * h) ** 0.5 * z
    ours, _ = EulerMaruyama().step(model, START, t, s, None, Recorded([z]))
    torch.testing.assert_close(ours, want, rtol=1e-10, atol=1e-10)


def test_euler_maruyama_leaves_pure_noise_by_the_exact_posterior():
    model, z = Exact(MIXTURE, Linear()), torch.randn_like(START)
    ours, _ = EulerMaruyama().step(model, START, T(1.0), T(0.9), None, Recorded([z]))
    mean = (MIXTURE.weights[:, None] * MIXTURE.means).sum(0)
    torch.testing.assert_close(ours, 0.1 * mean + 0.9 * z)
