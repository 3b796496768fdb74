"""Steps fitted to a model, against the exact flow of Gaussians and mixtures."""

import dataclasses
import itertools
import json

import pytest
import torch

from demist.core import Cosine, Linear
from demist.core.exact import Exact, Mixture
from demist.samplers import (
    DDIM,
    Adams,
    Fit,
    Fitted,
    angular,
    evaluations,
    fit,
    fitting,
    make_solver,
    sample,
    smooth,
)
from truth import MIXTURE, SCHEDULES, T, f64, rms

RULE = "adams:p=2,last=1", "angular"


@pytest.fixture(autouse=True)
def _rule(monkeypatch):
    """That of images, which leaves something to gain on mixtures."""
    monkeypatch.setattr(fitting, "usual", lambda shape: RULE)


def starts(schedule, n, d, seed=0):
    """Pure noise."""
    g = torch.Generator().manual_seed(seed)
    return schedule(T(1.0))[1] * torch.randn((n, d), generator=g, dtype=f64)


def narrow():
    """Six narrow modes in 24 dimensions, whose choice is made in strong noise."""
    g = torch.Generator().manual_seed(3)
    means = torch.randn((6, 24), generator=g, dtype=f64)
    return Mixture(torch.ones(6, dtype=f64), means, 0.02**2)


def far(model, x, times, solver):
    """Median distance from the exact end: few starts change the mode, and decide any mean."""
    truth = sample(model, x, smooth(600, model.schedule), Adams())
    return float((sample(model, x, times, solver) - truth).square().mean(1).sqrt().median())


@pytest.mark.parametrize(
    ("data", "gains"), [(MIXTURE, (0.4, 0.8)), (narrow(), (0.35, 0.35))], ids=["2-D", "24-D"]
)
def test_few_steps_gain_on_starts_that_nothing_was_fitted_to(data, gains):
    schedule = Cosine()
    model = Exact(data, schedule)
    d = data.means.shape[1]
    unseen = starts(schedule, 128, d, seed=9)
    ways = fit(model, starts(schedule, 256, d), (5, 8))
    for (n, way), gain in zip(ways.items(), gains, strict=True):
        rule = make_solver(RULE[0])
        before = far(model, unseen, angular(n, schedule), rule)
        after = far(model, unseen, T(way.times), way.solver)
        assert after < gain * before, n
        assert way.error < way.usual


def test_what_is_said_is_the_mean_over_the_half_that_nothing_was_fitted_to():
    schedule = Linear()
    model, x = Exact(MIXTURE, schedule), starts(schedule, 64, 2)
    way = fit(model, x, (4,))[4]
    truth = sample(model, x, smooth(600, schedule), Adams())
    for solver, times, said in (
        (way.solver, T(way.times), way.error),
        (make_solver(RULE[0]), angular(4, schedule), way.usual),
    ):
        lost = (sample(model, x, times, solver) - truth).square().mean(1).sqrt()
        assert said == pytest.approx(float(lost[32:].mean()), rel=0.01)
        assert said != pytest.approx(float(lost.mean()), rel=0.03)


def test_the_path_says_what_steps_between_any_of_its_times_lose():
    """Least squares written out again: velocities of the path, weights with a given sum."""
    schedule = Linear()
    model = Exact(narrow(), schedule)
    path = fitting._follow(model, starts(schedule, 16, 24))
    nodes, total = [0, 20, 45, 70, 96], 0.0
    for i, (k, m) in enumerate(itertools.pairwise(nodes)):
        velocities = []
        for j in nodes[max(0, i - 3) : i + 1][::-1]:
            alpha, sigma = schedule(path.times[j])
            p = model((alpha + sigma) * path.z[j, :8], path.times[j])
            velocities.append((p.eps - p.x0).flatten())
        first, *others = velocities
        rest = (path.z[m] - path.z[k])[:8].flatten() - (path.taus[m] - path.taus[k]) * first
        if others:
            beyond = torch.stack(others, 1) - first[:, None]
            rest = rest - beyond @ torch.linalg.lstsq(beyond, rest[:, None]).solution[:, 0]
        total += float(rest.square().sum())
    assert path.lost(nodes) == pytest.approx(total, rel=1e-3)
    # Of the times that are chosen none is better a little earlier or later.
    chosen = path.chosen(6)
    least = path.lost(chosen)
    assert least < 0.8 * path.lost([0, 16, 32, 48, 64, 80, 96])
    for i, by in itertools.product(range(1, 6), (-1, 1)):
        assert path.lost([*chosen[:i], chosen[i] + by, *chosen[i + 1 :]]) > 0.99 * least


def test_a_gaussian_is_exact_from_the_second_step_on():
    """Its velocities all point along the start, so two of them reach any point of the flow."""
    schedule, std = Linear(), 0.3
    model = Exact(
        Mixture(torch.ones(1, dtype=f64), torch.zeros((1, 8), dtype=f64), std**2), schedule
    )
    way = fit(model, starts(schedule, 64, 8), (4,))[4]
    assert isinstance(way.solver, Fitted)
    unseen = starts(schedule, 32, 8, seed=4)
    end = sample(model, unseen, T(way.times), way.solver)
    # The flow of N(0, std^2) takes a draw of noise to std times it.
    assert rms(end - std * unseen) < 2e-3 * std
    usual_end = sample(model, unseen, angular(4, schedule), make_solver(RULE[0]))
    assert rms(usual_end - std * unseen) > 20 * rms(end - std * unseen)


@pytest.mark.parametrize("schedule", ["vp", "table-linear", "shifted", "zero-vp"])
def test_data_that_is_a_point_is_met_exactly_on_every_schedule(schedule):
    schedule, point = SCHEDULES[schedule], torch.tensor([[0.7, -0.4]], dtype=f64)
    way = fit(Exact(narrow(), schedule), starts(schedule, 32, 24), (5,))[5]
    assert isinstance(way.solver, Fitted)
    of_point = Exact(Mixture(torch.ones(1, dtype=f64), point, 1e-20), schedule)
    end = sample(of_point, starts(schedule, 4, 2, seed=1), T(way.times), way.solver)
    torch.testing.assert_close(end, point.expand(4, 2), rtol=0, atol=1e-8)
    taus = [float(s / (a + s)) for a, s in map(schedule, T(way.times))]
    for row, t, s in zip(way.solver.weights, taus, taus[1:], strict=False):
        assert sum(row) == pytest.approx(s - t, abs=1e-4)


def test_between_other_times_it_is_adams_and_bashforths_of_order_3():
    schedule = Linear()
    model, x = Exact(MIXTURE, schedule), starts(schedule, 16, 2)
    solver = fit(model, starts(schedule, 64, 2), (3,))[3].solver
    if not isinstance(solver, Fitted):
        solver = Fitted((1.0, 0.5, 0.0), ((-0.5,), (-0.5,)))
    truth = sample(model, x, smooth(1500, schedule), Adams())
    errors = [rms(sample(model, x, smooth(n, schedule), solver) - truth) for n in (40, 80, 160)]
    assert errors[1] / errors[2] > 5
    assert errors[0] / errors[1] > 5


def test_a_state_that_is_moved_stays_moved():
    """`constrain` and edits change the state after a step; the next step starts from there."""
    schedule = Linear()
    model = Exact(narrow(), schedule)
    way = fit(model, starts(schedule, 32, 24), (6,))[6]
    x = starts(schedule, 4, 24, seed=2)
    wanted = torch.full((4, 24), 0.1, dtype=f64)
    end = sample(
        model, x, T(way.times), way.solver,
        constrain=lambda x, s: torch.where(torch.arange(24) < 3, wanted, x) if s == 0 else x,
    )  # fmt: skip
    assert torch.equal(end[:, :3], wanted[:, :3])
    free = sample(model, x, T(way.times), way.solver)
    assert torch.equal(end[:, 3:], free[:, 3:])
    shifted = sample(
        model, x, T(way.times), way.solver, constrain=lambda x, s: x + 5.0 * (s > 0.5)
    )  # fmt: skip
    assert rms(shifted - free) > 0.05


def test_the_rule_stays_where_nothing_is_better():
    """Many steps of a smooth problem: the classical method is exact to many digits."""
    schedule = Linear()
    model = Exact(Mixture(torch.ones(1, dtype=f64), torch.zeros((1, 2), dtype=f64), 1.0), schedule)
    way = fit(model, starts(schedule, 64, 2), (60,))[60]
    assert way.error <= way.usual


def test_it_costs_what_it_says():
    schedule = Linear()
    seen, told = [], []

    class Counted(Exact):
        def __call__(self, x, t, **cond):
            seen.append(len(x))
            return super().__call__(x, t, **cond)

    fit(Counted(MIXTURE, schedule), starts(schedule, 16, 2), (3, 5), done=told.append)
    assert set(seen) == {16}
    assert sum(told) == evaluations((3, 5))
    assert 0.9 * evaluations((3, 5)) <= len(seen) <= evaluations((3, 5))


def test_a_fit_is_plain_values_and_back():
    schedule = Linear()
    ways = fit(Exact(narrow(), schedule), starts(schedule, 32, 24), (4, 40))
    for way in ways.values():
        again = Fit.from_json(json.loads(json.dumps(way.to_json())))
        assert again == way
    told = ways[4].to_json()
    for broken, message in (
        ({"times": told["times"][:-1]}, "fall from"),
        ({"weights": told["weights"][:-1]}, "4 steps need as many rows"),
        ({"weights": [[1.0, 2.0], *told["weights"][1:]]}, "has weights for 1 to"),
        ({"weights": [[float("nan")], *told["weights"][1:]]}, "finite"),
        ({"solver": "nonsense"}, "no solver"),
        ({"times": None}, "makes no sense"),
    ):
        with pytest.raises(ValueError, match=message):
            Fit.from_json({**told, **broken})


@pytest.mark.parametrize(("n", "count", "message"), [
    (1, 8, "fitted for 2 to 96, got 1"), (97, 8, "fitted for 2 to 96, got 97"),
    (5, 3, "at least 4 starts, got 3"),
])  # fmt: skip
def test_what_cannot_be_fitted_is_said(n, count, message):
    schedule = Linear()
    with pytest.raises(ValueError, match=message):
        fit(Exact(MIXTURE, schedule), starts(schedule, count, 2), (n,))


def test_starts_far_off_do_not_decide():
    """One start that ends between two modes moves the weights of the others little."""
    schedule = Linear()
    model, x = Exact(narrow(), schedule), starts(schedule, 64, 24)
    one = x.clone()
    one[3] = x[:2].mean(0)
    ways = [fit(model, s, (5,))[5].solver for s in (x, one)]
    assert all(isinstance(solver, Fitted) for solver in ways)
    end = [sample(model, x[8:24], T(s.times), s) for s in ways]
    assert float((end[0] - end[1]).square().mean(1).sqrt().median()) < 0.05


def test_solvers_and_their_options_are_frozen():
    solver = Fitted((1.0, 0.5, 0.0), ((-0.5,), (-0.5,)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        solver.times = (1.0, 0.0)
    assert not solver.stochastic
    assert solver.evaluations(7) == 7
    assert not DDIM().stochastic
