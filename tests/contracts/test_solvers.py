"""What every solver must survive. They are found, not listed: a new one is tested by existing."""

import math
from functools import cache

import pytest
import torch
from torch import nn

from demist.core import VE, VP, Cosine, Denoiser, Gaussian, Linear, Seeded, V
from demist.core.exact import Exact, Mixture
from demist.samplers import (
    SOLVERS,
    Adams,
    Heun,
    angular,
    make_grid,
    make_solver,
    restart,
    sample,
    smooth,
    trajectory,
    uniform,
)
from truth import (
    MIXTURE,
    NORMAL,
    SCHEDULES,
    T,
    end_to_end_error,
    f64,
    interior,
    noise_and_data,
    observed_order,
    push,
    rms,
)

VARIANTS = [*SOLVERS.names(), "ddim:eta=0.5", "ddim:eta=1", "adams:p=1", "adams:p=2"]
ALL = {spec: make_solver(spec) for spec in VARIANTS}
DETERMINISTIC = {k: s for k, s in ALL.items() if not s.stochastic}
STOCHASTIC = {k: s for k, s in ALL.items() if s.stochastic}

every_solver = pytest.mark.parametrize("solver", ALL.values(), ids=ALL)
every_deterministic = pytest.mark.parametrize("solver", DETERMINISTIC.values(), ids=DETERMINISTIC)
every_stochastic = pytest.mark.parametrize("solver", STOCHASTIC.values(), ids=STOCHASTIC)

QUICK = ("linear", "ve", "vp", "table-zero-snr")
ORDER_SCHEDULES = ["linear", "ve"] + [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("vp", "cosine", "table-zero-snr", "sigmoid")
]
"""A straight path and one whose signal stays are tried by every test run, the others by all."""


@cache
def mixture_end(name):
    """Where the flow carries the start noise on the mixture."""
    schedule = SCHEDULES[name]
    start = noise_and_data(MIXTURE, schedule)
    return sample(Exact(MIXTURE, schedule), start, smooth(1500, schedule), Adams())


@pytest.mark.slow
@pytest.mark.parametrize("name", ORDER_SCHEDULES)
def test_two_methods_agree_where_the_mixture_ends(name):
    schedule = SCHEDULES[name]
    model, x = Exact(MIXTURE, schedule), noise_and_data(MIXTURE, schedule)
    coarse, fine = (sample(model, x, smooth(n, schedule), Heun()) for n in (300, 600))
    assert rms(fine + (fine - coarse) / 3 - mixture_end(name)) < 2e-7  # Richardson extrapolation


def home(solver):
    """The grid that the solver names as its own, as a function of steps and schedule."""
    return lambda n, schedule: make_grid(solver.grid, n, schedule)


def at_least(solver, error, steps, slack=0.2):
    """Whether the order is the claimed one or more, or nothing is left but rounding.

    On Gaussian data a method may be better than it claims; on the mixture it may not.
    """
    coarse, fine = error(steps), error(2 * steps)
    return fine < 1e-12 or math.log2(coarse / fine) > solver.order - slack


@every_deterministic
@pytest.mark.parametrize("name", ["linear", "ve"])
def test_order_from_pure_noise_to_clean_data_gaussian(solver, name):
    """At least as claimed, against the closed-form flow."""
    schedule = SCHEDULES[name]
    ends = schedule(T(1.0)), schedule(T(0.0))
    reference = NORMAL.flow(noise_and_data(NORMAL, schedule), *ends)
    error = end_to_end_error(NORMAL, schedule, solver, reference, home(solver))
    assert at_least(solver, error, 192)


@pytest.mark.slow
@every_deterministic
@pytest.mark.parametrize("name", ORDER_SCHEDULES)
def test_order_from_pure_noise_to_clean_data_mixture(solver, name):
    """As claimed, not more and not less, where nothing cancels by symmetry."""
    error = end_to_end_error(MIXTURE, SCHEDULES[name], solver, mixture_end(name), home(solver))
    # Where the error is neither coarse nor rounding.
    steps = 96 if solver.order == 1 else 192
    assert observed_order(error, steps) == pytest.approx(solver.order, abs=0.2)


@every_deterministic
@pytest.mark.parametrize("name", ["linear", "ve", pytest.param("vp", marks=pytest.mark.slow)])
def test_order_inside(solver, name):
    """At least as claimed between two noisy times, against the closed-form flow of a Gaussian."""
    schedule = SCHEDULES[name]
    x = torch.randn(32, 2, dtype=f64)

    def error(n):
        grid = interior(schedule, n, power=2)
        start, end = schedule(grid[0]), schedule(grid[-1])
        return rms(sample(Exact(NORMAL, schedule), x, grid, solver) - NORMAL.flow(x, start, end))

    assert at_least(solver, error, 192)


@every_stochastic
@pytest.mark.parametrize("name", ["linear", "vp", "cosine", "ve"])
def test_weak_order(solver, name):
    """Mean and variance, exactly, by unit impulses: no Monte Carlo."""
    error = moments_error(solver, name, lambda grid, n: grid)
    assert at_least(solver, error, 48, 0.3)


@pytest.mark.slow
@every_stochastic
@pytest.mark.parametrize("name", ["vp", "ve"])
def test_weak_order_with_time_travel(solver, name):
    """Up again from the middle, as in RePaint."""

    def there_and_back(grid, n):
        return torch.cat([grid[: n // 2 + 1], grid[n // 3 : n // 2 + 1], grid[n // 3 :]])

    error = moments_error(solver, name, there_and_back)
    assert at_least(solver, error, 48, 0.3)


def moments_error(solver, name, way):
    """Error of mean and variance as a function of the number of steps, less than 0.1 at all."""
    schedule, mean, variance = SCHEDULES[name], 0.7, 0.3
    model = Exact(Mixture(T([1.0]), T([[mean]]), variance), schedule)

    def error(n):
        grid = interior(schedule, n, low=-5, high=6)
        grid = way(grid, n)
        (a, s), (a_end, s_end) = schedule(grid[0]), schedule(grid[-1])
        m, v = push(model, grid, solver, a * mean, a**2 * variance + s**2)
        off = abs(float(m - a_end * mean)) + abs(float(v - a_end**2 * variance - s_end**2))
        assert off < 0.1
        return off

    return error


@every_stochastic
def test_moments_from_pure_noise_to_clean_data(solver):
    model = Exact(Mixture(T([1.0]), T([[0.7]]), 0.3), Linear())
    mean, variance = push(model, smooth(200, Linear()), solver, T(0.0), T(1.0))
    assert float(mean) == pytest.approx(0.7, abs=0.01)
    assert float(variance) == pytest.approx(0.3, abs=0.02)


@every_solver
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SCHEDULES],
)
def test_finite_for_any_number_of_steps(solver, name):
    """From alpha = 0 to sigma = 0 exactly, in float32."""
    schedule = SCHEDULES[name]
    x = noise_and_data(MIXTURE, schedule, 4).float()
    for n in (1, 2, 3, 5, 20):
        for grid in (uniform(n), angular(n, schedule), smooth(n, schedule)):
            y = sample(Exact(MIXTURE32, schedule), x, grid, solver, Seeded(range(4)))
            assert torch.isfinite(y).all()
            assert y.dtype == torch.float32


MIXTURE32 = Mixture(MIXTURE.weights.float(), MIXTURE.means.float(), 0.15)


@every_solver
def test_one_step_from_pure_noise_gives_the_mean(solver):
    x = torch.randn(4, 2, dtype=f64)
    mean = (MIXTURE.weights[:, None] * MIXTURE.means).sum(0).expand(4, 2)
    torch.testing.assert_close(sample(Exact(MIXTURE, Linear()), x, uniform(1), solver), mean)


@every_solver
@pytest.mark.parametrize("name", ["linear", "vp", "cosine"])
def test_exact_when_the_data_is_one_point(solver, name):
    """A constant x0 prediction: every method must land on it, from any time, in any steps."""
    schedule, point = SCHEDULES[name], T([[0.5, -2.0]])
    model = Exact(Mixture(T([1.0]), point, 0.0), schedule)
    y = sample(model, torch.randn(8, 2, dtype=f64), uniform(7), solver)
    torch.testing.assert_close(y, point.expand(8, 2))


@every_solver
def test_samples_follow_the_mixture(solver):
    x = noise_and_data(MIXTURE, Linear(), 10_000)
    grid, noise = smooth(100, Linear()), Gaussian(torch.Generator().manual_seed(2))
    y = sample(Exact(MIXTURE, Linear()), x, grid, solver, noise)
    want = MIXTURE.sample(200_000, torch.Generator().manual_seed(5))
    torch.testing.assert_close(y.mean(0), want.mean(0), rtol=0, atol=0.03)
    torch.testing.assert_close(y.T.cov(), want.T.cov(), rtol=0, atol=0.04)


@every_solver
def test_independent_of_the_batch(solver):
    model, grid = Exact(MIXTURE, Linear()), smooth(12, Linear())
    x = torch.randn(5, 2, dtype=f64)
    whole = sample(model, x, grid, solver, Seeded(range(5)))
    for i in range(5):
        alone = sample(model, x[i : i + 1], grid, solver, Seeded([i]))
        torch.testing.assert_close(whole[i : i + 1], alone, rtol=1e-12, atol=1e-12)


@every_solver
def test_deterministic_resumable_and_branching(solver):
    model, grid, x = Exact(MIXTURE, Cosine()), smooth(9, Cosine()), torch.randn(3, 2, dtype=f64)
    noise = Seeded([1, 2, 3])
    states = list(trajectory(model, x, grid, solver, noise))
    again = sample(model, x, grid, solver, Seeded([1, 2, 3]))
    assert torch.equal(states[-1].x, again)
    for state in states[:-1]:  # stop anywhere, go on from the value alone
        rest = list(
            trajectory(model, state.x, grid, solver, noise, index=state.index, memory=state.memory)
        )
        assert torch.equal(rest[-1].x, again)
        assert [s.index for s in rest] == list(range(state.index + 1, len(grid)))
    middle = states[4]
    branch = list(
        trajectory(
            model, middle.x, grid, solver, Seeded([7, 8, 9]),
            index=middle.index, memory=middle.memory,
        )
    )  # fmt: skip
    assert torch.equal(branch[-1].x, again) != solver.stochastic


@every_solver
def test_counts_its_evaluations(solver):
    calls = 0

    class Counting:
        schedule = Linear()

        def __call__(self, x, t, **cond):
            nonlocal calls
            calls += 1
            return Exact(MIXTURE, self.schedule)(x, t)

    for n in (1, 2, 3, 10):
        calls = 0
        sample(Counting(), torch.randn(2, 2, dtype=f64), uniform(n), solver)
        assert calls == solver.evaluations(n)


class Parts(dict):
    """A state made of several tensors, such as audio and video."""

    def _each(self, other, f):
        return Parts(
            {k: f(v, other[k] if isinstance(other, Parts) else other) for k, v in self.items()}
        )

    def __add__(self, other):
        return self._each(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self._each(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self._each(other, lambda a, b: a * b)

    __rmul__ = __mul__


class Echo(Gaussian):
    """Noise that is a linear function of the state, for parts and wholes alike."""

    def __call__(self, like):
        return 0.1 * like


@every_solver
def test_only_vector_space_operations(solver):
    class One(nn.Module):
        def forward(self, x, t):
            return torch.tanh(x)

    class Two(nn.Module):
        def forward(self, x, t):
            return Parts({k: torch.tanh(v) for k, v in x.items()})

    a, b = torch.randn(2, 3, dtype=f64), torch.randn(2, 5, dtype=f64)
    grid = torch.cat([uniform(6), uniform(12)[6:] + 0.05])[:-1]  # also up once
    one = sample(Denoiser(One(), VP(), V()), torch.cat([a, b], 1), grid, solver, Echo())
    two = sample(Denoiser(Two(), VP(), V()), Parts(a=a, b=b), grid, solver, Echo())
    torch.testing.assert_close(one, torch.cat([two["a"], two["b"]], 1))


@every_solver
def test_times_that_differ_by_rounding_are_refused_and_near_ones_do_no_harm(solver):
    """A restart at 0.3 meets 0.30000000000000004: multistep solvers would divide by 5e-17."""
    model, x = Exact(MIXTURE, Linear()), noise_and_data(MIXTURE, Linear(), 8)
    with pytest.raises(ValueError, match=r"same time twice .* 0.5, then 0.49999.*leave one"):
        sample(model, x, T([1.0, 0.8, 0.5, 0.5 - 1e-12, 0.2, 0.0]), solver)
    grid = T([1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.0])
    once = sample(model, x, grid, solver, Seeded(range(8)))
    for gap in (1e-9, 1e-7, 1e-5, 1e-3):
        for kind in (f64, torch.float32):
            near = torch.cat([grid[:4], grid[3:4] - gap, grid[4:]])
            twice = sample(model, x.to(kind), near, solver, Seeded(range(8)))
            assert rms(twice) < 1.5 * rms(once)
            if not solver.stochastic:
                assert rms(twice - once) < 0.15
    y = sample(model, x, restart(uniform(10), 0.3, 0.6), solver, Seeded(range(8)))
    assert rms(y - x) < 3


@pytest.mark.parametrize("spec", ["adams", "deis", "dpmpp-2m", "dpmpp-3m", "lms", "pndm", "unipc"])
def test_few_steps_from_far_away_lead_to_the_data(spec):
    """From a noise of 10,000: a correction made in sigma was thousands long."""
    schedule, solver = VE(1e4), ALL[spec]
    x = noise_and_data(MIXTURE, schedule, 64)
    for n in (2, 3, 4):
        end = sample(Exact(MIXTURE, schedule), x, make_grid(solver.grid, n, schedule), solver)
        assert rms(end) < 4


@every_stochastic
def test_no_stochastic_solver_takes_back_what_moved_the_state(solver):
    """With the same noise, a shift shrinks by at least the ODE's factor and at most the SDE's."""
    model, x, grid = Exact(gaussian_1d, Linear()), T([[0.3]]), angular(40, Linear())
    middle = grid[20]
    (alpha, sigma), v = Linear()(middle), 0.25
    ends = [
        sample(
            model, x, grid, solver, Seeded([1]),
            constrain=lambda y, s, shift=shift: y + shift * (s == middle),
        )
        for shift in (0.0, 0.2)
    ]  # fmt: skip
    total = alpha**2 * v + sigma**2
    by_ode, by_sde = 0.2 * (v / total).sqrt(), 0.2 * alpha * v / total
    assert 0.7 * by_sde < float(ends[1] - ends[0]) < 1.1 * by_ode


gaussian_1d = Mixture(T([1.0]), T([[0.0]]), 0.25)


@every_solver
def test_never_asks_outside_its_interval(solver):
    """No model call above t or below s, and none at clean data."""
    asked = []

    class Spy:
        schedule = Linear()

        def __call__(self, x, t, **cond):
            asked.append(float(t))
            return Exact(MIXTURE, self.schedule)(x, t)

    grid = uniform(6)
    asked_before = 0
    for state in trajectory(Spy(), torch.randn(2, 2, dtype=f64), grid, solver):
        new = asked[asked_before:]
        asked_before = len(asked)
        t, s = float(grid[state.index - 1]), float(grid[state.index])
        ceiling = 1.0 if solver.stochastic else t  # churn raises the noise first
        assert all(s <= time <= ceiling and time > 0 for time in new)


@every_solver
def test_says_what_it_is(solver):
    assert solver.order >= 1
    assert "References:" in type(solver).__doc__
    assert math.isfinite(solver.evaluations(10))
