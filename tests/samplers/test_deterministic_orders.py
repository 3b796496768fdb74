"""More than the contract asks of the deterministic solvers: exactness, variants, starts, limits."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from demist.core import VE, VP, Cosine, Denoiser, Gaussian, Linear, Prediction, V
from demist.core.exact import Exact
from demist.errors import UsageError
from demist.samplers import (
    Adams,
    angular,
    make_solver,
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
    rms,
)

NAMES = [
    "deis", "dpm-solver-2", "dpm-solver-3", "dpmpp-2s", "dpmpp-3m", "dpmpp-3s",
    "euler", "ipndm", "lms", "pndm", "unipc",
]  # fmt: skip


class Known:
    """A model whose x0 (or eps) is a function of the level alone, and the exact solution for it.

    `integral` is the antiderivative of x0 over alpha / sigma, or of eps over sigma / alpha.
    """

    def __init__(self, schedule, form, value, integral):
        self.schedule, self.form = schedule, form
        self.value, self.integral = value, integral

    def __call__(self, x, t, **cond):
        alpha, sigma = self.schedule(t)
        known = self.value(alpha, sigma) * torch.ones_like(x)
        if self.form == "x0":
            return Prediction(known, (x - alpha * known) / sigma, alpha, sigma)
        return Prediction((x - sigma * known) / alpha, known, alpha, sigma)

    def flow(self, x, t, s):
        (a, g), (b, f) = self.schedule(t), self.schedule(s)
        gain = self.integral(b, f) - self.integral(a, g)
        return f / g * x + f * gain if self.form == "x0" else b / a * x + b * gain


def in_lambda(schedule, k):
    def integral(a, g):  # of e^lambda lambda^k
        lam = (a / g).log()
        terms = ((-1) ** j * math.perm(k, j) * lam ** (k - j) for j in range(k + 1))
        return a / g * sum(terms)

    return Known(schedule, "x0", lambda a, g: (a / g).log() ** k, integral)


def in_rho(schedule, k):
    return Known(
        schedule, "eps", lambda a, g: (g / a) ** k, lambda a, g: (g / a) ** (k + 1) / (k + 1)
    )


def in_flow_time(schedule, k):
    def integral(a, g):  # of (1 - c)^k d(1 / c), c = 1 - tau
        c = a / (a + g)
        return (
            1 / c,
            1 / c + c.log(),
            1 / c + 2 * c.log() - c,
            1 / c + 3 * c.log() - 3 * c + c**2 / 2,
            1 / c + 4 * c.log() - 6 * c + 2 * c**2 - c**3 / 3,
        )[k]

    return Known(schedule, "eps", lambda a, g: (g / (a + g)) ** k, integral)


UNEVEN = T([0.9, 0.8, 0.74, 0.6, 0.52, 0.41, 0.3, 0.22])


def errors_of_single_steps(solver, model, grid):
    """Errors of steps that start on the exact solution, with a memory of exact predictions."""
    x, memory = torch.full((1, 1), 0.7, dtype=f64), None
    for t, s in pairwise(grid):
        want = model.flow(x, t, s)
        got, memory = solver.step(model, x, t, s, memory, Gaussian())
        yield float((got - want).abs().max())
        x = want


@pytest.mark.parametrize(
    "schedule", [Linear(), VP(), Cosine(), VE(10.0)], ids=lambda s: type(s).__name__
)
@pytest.mark.parametrize(
    ("spec", "polynomial", "p"),
    [
        ("dpmpp-3m", in_lambda, 3),
        ("dpmpp-3s", in_lambda, 3),
        ("unipc:p=1", in_lambda, 1),
        ("unipc:p=3", in_lambda, 3),
        ("unipc:p=3,variant=bh1", in_lambda, 3),
        ("deis:p=1", in_flow_time, 1),
        ("deis:p=2", in_flow_time, 2),
        ("deis:p=3", in_flow_time, 3),
        ("deis:p=4", in_flow_time, 4),
        ("lms:p=1", in_rho, 1),
        ("lms:p=2", in_rho, 2),
        ("lms:p=3", in_rho, 3),
        ("lms:p=4", in_rho, 4),
    ],
)  # fmt: skip
def test_integrates_polynomials_below_its_order_exactly(spec, polynomial, p, schedule):
    solver = make_solver(spec)
    for k in range(p + 1):
        model = polynomial(schedule, k)
        full = list(errors_of_single_steps(solver, model, UNEVEN))[p:]
        scale = max(1.0, 10.0**k if polynomial is in_rho else 1.0)
        if k < p:
            assert max(full) < 1e-11 * scale
        else:
            assert min(full) > 1e-7  # and no higher: the test can fail


@pytest.mark.parametrize("p", [2, 3])
def test_unipc_corrects_to_one_degree_more(p):
    """Predicted wrongly from an exact state, x is right once the new prediction is known."""
    solver, model = make_solver(f"unipc:p={p}"), in_lambda(VP(), p)
    x, levels = torch.full((1, 1), 0.7, dtype=f64), ()
    for i, (t, s) in enumerate(pairwise(UNEVEN[:-1])):
        predicted, memory = solver.step(model, x, t, s, (levels, None), Gaussian())
        x, levels = model.flow(x, t, s), memory[0]
        if i >= p:
            onward = s, UNEVEN[i + 2]
            corrected, _ = solver.step(model, predicted, *onward, memory, Gaussian())
            exact, _ = solver.step(model, x, *onward, (levels, None), Gaussian())
            assert float((predicted - x).abs().max()) > 1e-5
            torch.testing.assert_close(corrected, exact, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize("spec", ["ipndm:p={p}", "pndm"])
def test_equal_step_weights_are_exact_on_equal_steps_of_rho(spec, p):
    """Where iPNDM and PNDM have order p, and not only 2."""
    solver = make_solver(spec.format(p=p))
    for grid, exact in ((T([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]), True), (UNEVEN, False)):
        full = list(errors_of_single_steps(solver, in_rho(VE(2.0), p - 1), grid))[3:]
        assert (max(full) < 1e-12) == exact


@pytest.fixture(scope="module")
def ends():
    """Where the flow carries the start noise on the mixture."""
    return {
        name: sample(
            Exact(MIXTURE, SCHEDULES[name]),
            noise_and_data(MIXTURE, SCHEDULES[name]),
            smooth(1500, SCHEDULES[name]),
            Adams(),
        )
        for name in ("linear", "vp")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "grid"),
    [
        ("deis:p=1", angular), ("deis:p=2", angular), ("deis:p=4,start=runge-kutta", smooth),
        ("lms:p=1", smooth), ("lms:p=2", smooth),
        ("unipc:p=1", angular), ("unipc:variant=bh1", smooth),
        ("unipc:p=3,start=runge-kutta", smooth),
        ("unipc:p=3,variant=bh1,start=runge-kutta", smooth),
        ("ipndm:p=1", angular), ("ipndm:p=2", angular), ("ipndm:p=3", angular),
        ("pndm:start=runge-kutta", angular),
        ("dpmpp-3m:start=runge-kutta", smooth),
        # The other grid than the default one.
        ("deis", smooth), ("unipc", smooth), ("dpm-solver-2", smooth), ("dpm-solver-3", smooth),
        ("dpmpp-2s", smooth), ("dpmpp-3s", smooth), ("ipndm", smooth), ("pndm", smooth),
        ("euler", angular),
    ],
)  # fmt: skip
def test_variants_have_their_order_from_pure_noise_to_clean_data(spec, grid, ends):
    solver = make_solver(spec)
    error = end_to_end_error(MIXTURE, Linear(), solver, ends["linear"], grid)
    assert observed_order(error, 96 if solver.order == 1 else 192) == pytest.approx(
        solver.order, abs=0.2
    )


def order_inside(spec, schedule, power=1):
    """Between two noisy levels, with even steps in the log-SNR: a poor start is not forgiven."""
    x = torch.randn(32, 2, dtype=f64, generator=torch.Generator().manual_seed(0))

    def error(n):
        grid = interior(schedule, n, power=power)
        start, end = schedule(grid[0]), schedule(grid[-1])
        y = sample(Exact(NORMAL, schedule), x, grid, make_solver(spec))
        return rms(y - NORMAL.flow(x, start, end))

    return observed_order(error, 192)


@pytest.mark.parametrize("spec", ["dpmpp-3m", "deis:p=3"])
def test_the_start_caps_the_order_or_does_not(spec):
    for start, order in (("lower", 2), ("corrected", 3), ("runge-kutta", 3)):
        option = f"{spec}{',' if ':' in spec else ':'}start={start}"
        assert make_solver(option).order == order
        assert order_inside(option, VP()) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(
    "spec", ["deis:p=4,start=runge-kutta", "lms:p=4,start=runge-kutta",
             "unipc:p=3,start=runge-kutta", "unipc:p=3,start=runge-kutta,variant=bh1"],
)  # fmt: skip
def test_a_runge_kutta_start_keeps_order_four(spec):
    solver = make_solver(spec)
    assert solver.order == 4
    assert order_inside(spec, VP()) == pytest.approx(4, abs=0.2)


def test_lms_of_fourth_order_loses_a_logarithm_from_pure_noise(ends):
    """As its documentation says, with the figures."""
    for name, order in (("linear", 3.5), ("vp", 3.8)):
        solver = make_solver("lms:p=4,start=runge-kutta")
        error = end_to_end_error(MIXTURE, SCHEDULES[name], solver, ends[name])
        assert observed_order(error, 192) == pytest.approx(order, abs=0.1)


def test_ipndm_stays_at_order_two_whatever_p():
    for p in (2, 3, 4):
        assert order_inside(f"ipndm:p={p}", VP(), power=2) == pytest.approx(2, abs=0.2)


class Network(nn.Module):
    """Small weights, rounded as the precision they run in demands."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x, clock):
        return self.layer(torch.cat([x, clock[:, None].to(x)], 1)).tanh()


def network(schedule):
    torch.manual_seed(0)
    return Denoiser(Network().bfloat16(), schedule, V(), dtype=torch.bfloat16)


VARIANTS = [*NAMES, "pndm:start=runge-kutta", "unipc:p=3,variant=bh1", "lms:p=4,start=runge-kutta",
            "deis:p=4,start=runge-kutta", "unipc:p=3,start=runge-kutta"]  # fmt: skip


# One for each way to begin and to end; the contract has all, in float32.
ENDS = ["linear", "vp", "ve", "sigmoid", "table-zero-snr", "shifted-zero-vp"]


@pytest.mark.slow
@pytest.mark.parametrize("spec", VARIANTS)
def test_finite_in_few_steps_with_a_bf16_network(spec):
    for schedule in map(SCHEDULES.get, ENDS):
        x = torch.randn(4, 2) * schedule(T(1.0))[1].float()
        for n in (1, 2, 3, 5, 10):
            for grid in (uniform(n), smooth(n, schedule)):
                y = sample(network(schedule), x, grid, make_solver(spec))
                assert torch.isfinite(y).all()
                assert y.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize("spec", NAMES)
def test_finite_in_a_thousand_steps_with_a_bf16_network(spec):
    y = sample(network(Linear()), torch.randn(4, 2), uniform(1000), make_solver(spec))
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("spec", VARIANTS)
def test_counts_its_evaluations(spec):
    solver = make_solver(spec)
    for schedule in (Linear(), VP()):  # from pure noise and from nearly pure noise
        for n in (1, 2, 3, 4, 5, 9):
            calls = 0

            class Counting:
                def __init__(self, inner):
                    self.inner, self.schedule = inner, inner.schedule

                def __call__(self, x, t, **cond):
                    nonlocal calls
                    calls += 1
                    return self.inner(x, t)

            sample(
                Counting(Exact(MIXTURE, schedule)), torch.randn(2, 2, dtype=f64), uniform(n), solver
            )
            assert calls == solver.evaluations(n)


def test_unipc_keeps_what_a_constraint_moved():
    """Its correction is a difference: a shift shrinks like the noise, and is not taken back."""
    model, x = in_lambda(VP(), 2), torch.full((1, 1), 0.7, dtype=f64)

    def run(shift):
        states = trajectory(
            model, x, UNEVEN, make_solver("unipc"),
            constrain=lambda y, s: y + shift * (s == UNEVEN[2]),
        )  # fmt: skip
        return list(states)[-1].x

    (_, g), (_, f) = VP()(UNEVEN[2]), VP()(UNEVEN[-1])
    torch.testing.assert_close(run(0.1) - run(0.0), (0.1 * f / g).expand(1, 1))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("unipc:p=4", "between 1 and 3, got 4"),
        ("unipc:variant=bh3", "'bh3' is none of bh1, bh2"),
        ("unipc:start=corrected", "'corrected' is none of lower, runge-kutta"),
        ("deis:p=0", "between 1 and 4, got 0"),
        ("deis:start=warm", "no start 'warm'"),
        ("lms:p=5", "between 1 and 4, got 5"),
        ("dpmpp-3m:start=warm", "no start 'warm'; there are: lower, corrected, runge-kutta"),
        ("ipndm:p=5", "between 1 and 4, got 5"),
        ("pndm:start=lower", "no start 'lower'; there are: heun, runge-kutta"),
    ],
)
def test_says_what_is_wrong_with_an_option(spec, said):
    with pytest.raises(UsageError, match=said):
        make_solver(spec)
