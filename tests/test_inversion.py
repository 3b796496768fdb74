import math

import pytest
import torch

from demist.core import Conditioned, Denoiser, Linear, TimeClock, V
from demist.core.exact import Exact
from demist.editing import invert, slerp, unclamped
from demist.guidance import Autoguidance
from demist.samplers import DDIM, Adams, Bayes, DPMpp2M, Heun, angular, sample, smooth
from truth import MIXTURE, NORMAL, SCHEDULES, T, f64, observed_order, rms

X = NORMAL.sample(32, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["linear", "cosine", "vp", "ve"])
@pytest.mark.parametrize("solver", [DDIM(), Adams(1), Adams(2)], ids=str)
def test_inverts_the_closed_form_flow(name, solver):
    schedule = SCHEDULES[name]
    want = NORMAL.flow(X, schedule(T(0.0)), schedule(T(1.0)))
    scale = schedule(T(1.0))[1]

    def error(n):
        return rms(invert(Exact(NORMAL, schedule), X, smooth(n, schedule), solver) - want) / scale

    assert observed_order(error, 192) == pytest.approx(solver.order, abs=0.25)


@pytest.mark.parametrize("solver", [DDIM(), Heun(), Adams(1), Adams(2)], ids=str)
def test_reconstruction_error_falls_at_the_solvers_order(solver):
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(32, torch.Generator().manual_seed(0))

    def error(n):
        grid = smooth(n, Linear())
        return rms(sample(model, invert(model, x, grid, solver), grid, solver) - x)

    assert error(192) < 0.02
    assert observed_order(error, 192) > solver.order - 0.25


def test_default_reconstructs_closely():
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(32, torch.Generator().manual_seed(0))
    grid = angular(50, Linear())
    assert rms(sample(model, invert(model, x, grid), grid) - x) < 2e-3


class Exactly(torch.nn.Module):
    """The v of `NORMAL` on the straight path."""

    def forward(self, x, clock):
        alpha, sigma = 1 - clock[:, None], clock[:, None]
        x0, eps = NORMAL.posterior(x, alpha, sigma)
        return alpha * eps - sigma * x0


def test_a_clamped_model_is_inverted_without_its_clamp():
    """The clamp binds for most of the data, and maps many noises to one sample."""
    clamped = Denoiser(Exactly(), Linear(), V(), clock=TimeClock(), bounds=(-0.4, 0.4)).eval()
    grid, schedule = angular(40, Linear()), Linear()
    want = NORMAL.flow(X, schedule(T(0.0)), schedule(T(1.0)))
    with pytest.warns(UserWarning, match=r"not kept within .*editing\.unclamped"):
        noise = invert(clamped, X, grid)
    assert rms(noise - want) < 1e-3
    assert rms(sample(unclamped(clamped), noise, grid) - X) < 1e-4
    assert rms(sample(clamped, noise, grid) - X) > 0.1
    assert clamped.bounds == (-0.4, 0.4)


def test_unclamped_reaches_every_denoiser_and_shares_the_networks():
    clamped = Denoiser(Exactly(), Linear(), V(), clock=TimeClock(), bounds=(-0.4, 0.4))
    free = unclamped(Autoguidance(Conditioned(clamped, {}), clamped, 2.0))
    assert free.model.model.bounds is free.weak.bounds is None
    assert free.weak.net is clamped.net
    assert unclamped(free) is free
    exact = Exact(NORMAL, Linear())
    assert unclamped(exact) is exact


def test_clear_errors():
    model = Exact(NORMAL, Linear())
    with pytest.raises(ValueError, match="ddim draws noise"):
        invert(model, X, smooth(5, Linear()), DDIM(1.0))
    with pytest.raises(ValueError, match="dpmpp-2m cannot leave clean data"):
        invert(model, X, smooth(5, Linear()), DPMpp2M())
    with pytest.raises(ValueError, match="bayes cannot leave clean data"):
        invert(model, X, smooth(5, Linear()), Bayes())


def test_slerp():
    a, b = torch.randn(3, 4, 5, dtype=f64), torch.randn(3, 4, 5, dtype=f64)
    torch.testing.assert_close(slerp(a, b, 0.0), a)
    torch.testing.assert_close(slerp(a, b, 1.0), b)
    torch.testing.assert_close(slerp(a, a, 0.3), a)
    right = slerp(T([[1.0, 0.0]]), T([[0.0, 1.0]]), 1 / 3)
    torch.testing.assert_close(right, T([[math.cos(math.pi / 6), 0.5]]))
    many = slerp(a, b, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(many[0], a[0])
    torch.testing.assert_close(many[2], b[2])


def test_slerp_stays_where_noise_lives():
    a, b = torch.randn(2, 10, 1000, generator=torch.Generator().manual_seed(0)).unbind()
    halfway = slerp(a, b, 0.5).norm(dim=1).mean()
    assert float(halfway) == pytest.approx(math.sqrt(1000), rel=0.02)
