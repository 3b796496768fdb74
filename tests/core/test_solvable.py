"""Networks that leave the data open in pure noise: whoever starts there starts a little later."""

import pytest
import torch
from torch import nn

from demist.core import (
    VP,
    Conditioned,
    Cosine,
    Denoiser,
    Eps,
    Linear,
    Score,
    Seeded,
    TimeClock,
    V,
    solvable,
    solvable_grid,
)
from demist.guidance import CFG, Autoguidance
from demist.objectives import discrete_elbo, gaussian_decoder, log_prob
from demist.samplers import DDIM, Heun, annealed_langevin, integrate, langevin, sample, uniform
from truth import NORMAL, SCHEDULES, T, f64, noise_and_data, rms


class Right(nn.Module):
    """A network that says exactly what the parameterization wants."""

    def __init__(self, schedule, parameterization):
        super().__init__()
        self.schedule, self.parameterization = schedule, parameterization

    def forward(self, x, clock):
        alpha, sigma = (c[:, None] for c in self.schedule(clock))
        x0, eps = NORMAL.posterior(x, alpha, sigma)
        rates = lambda: tuple(c[:, None] for c in self.schedule.rates(clock))  # noqa: E731
        return self.parameterization.target(x0, eps, alpha, sigma, rates)


class Wrapped(nn.Module):
    """A model of the user's own."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.schedule = inner, inner.schedule

    def forward(self, x, t, **cond):
        return self.inner(x, t, **cond)


def right(schedule, parameterization):
    net = Right(schedule, parameterization)
    return Denoiser(net, schedule, parameterization, clock=TimeClock())


def test_only_pure_noise_moves_and_only_where_it_leaves_the_data_open():
    eps, v = (right(Linear(), kind) for kind in (Eps(), V()))
    times = T([1.0, 0.9, 0.0])
    assert solvable(eps, times).tolist() == [0.999, 0.9, 0.0]
    assert torch.equal(solvable(v, times), times)
    assert torch.equal(solvable(right(VP(), Eps()), times), times)
    assert float(solvable(right(Cosine(), Score()), T(1.0), 1e-4)) == 1 - 1e-4
    for model in (
        Conditioned(eps, {}),
        CFG(eps, 2.0, dict),
        Autoguidance(v, eps, 2.0),
        Wrapped(eps),
        CFG(Conditioned(eps, {}), 2.0, dict),
    ):
        assert float(solvable(model, T(1.0))) == 0.999
    assert solvable_grid(eps, T([1.0, 0.9995, 0.5, 1.0, 0.0])).tolist() == pytest.approx(
        [0.99975, 0.9995, 0.5, 0.999, 0.0]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear", "cosine", "table-zero-snr", "shifted"])
@pytest.mark.parametrize("kind", [Eps(), Score()], ids=str)
def test_all_that_begins_in_pure_noise_works_for_noise_predictions(name, kind):
    schedule = SCHEDULES[name]
    model, sure = right(schedule, kind), right(schedule, V())
    x, data = noise_and_data(NORMAL, schedule, 64), NORMAL.sample(8)
    flow = NORMAL.flow(x, schedule(T(1.0)), schedule(T(0.0)))
    assert rms(integrate(model, x).x - flow) < 2e-3
    assert rms(integrate(model, data, 0.0, 1.0).x - integrate(sure, data, 0.0, 1.0).x) < 5e-3
    for solver in (DDIM(), Heun()):
        ends = [sample(m, x, uniform(20), solver) for m in (model, sure)]
        assert rms(ends[0] - ends[1]) < 5e-3
    density = log_prob(model, data).log_prob
    torch.testing.assert_close(density, NORMAL.log_prob(data), rtol=0, atol=5e-3)
    bounds = [
        discrete_elbo(m, data, uniform(10), Seeded(range(8)), decoder=gaussian_decoder).elbo
        for m in (model, sure)
    ]
    torch.testing.assert_close(*bounds, rtol=0, atol=0.1)
    *_, walked = langevin(model, x, T(1.0), 3)
    *_, levels = annealed_langevin(model, x, T([1.0, 0.5, 0.0]), 2)
    assert walked.isfinite().all()
    assert levels.x.isfinite().all()


def test_a_state_of_complex_or_whole_numbers_is_refused():
    model = right(Linear(), V())
    for x in (torch.zeros(2, 2, dtype=torch.complex64), torch.zeros(2, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="a state holds real numbers, got torch"):
            model(x, T(0.5))


def test_no_samples_at_all():
    model = right(Linear(), V())
    none = torch.zeros(0, 2, dtype=f64)
    assert integrate(model, none).x.shape == (0, 2)
    assert log_prob(model, none).log_prob.shape == (0,)
    assert sample(model, none, uniform(3)).shape == (0, 2)
