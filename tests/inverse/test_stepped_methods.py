"""Methods with steps of their own, against laws and closed forms."""

from dataclasses import dataclass, replace

import pytest
import torch

from demist.core import VE, VP, Exact, Gaussian, Linear, Mixture, Normal, Seeded
from demist.errors import UsageError
from demist.inverse import (
    METHODS,
    Dense,
    GaussianNoise,
    Mask,
    Measurement,
    Operator,
    PoissonNoise,
    make_method,
    near,
    walk,
)
from demist.inverse.methods import DAPS, DDNM, DDRM, ILVR, PnPDM, REDDiff, RePaint, Replacement
from demist.model import open_model
from demist.samplers import DDIM, SOLVERS, angular, make_solver, restart, sample

OWN = [
    "replacement", "repaint:jumps=2", "repaint:jumps=2,length=3", "ilvr", "ilvr:until=0.3", "ddrm",
    "ddnm", "diffpir", "diffpir:zeta=0.3", "reddiff", "daps", "pnpdm", "pnpdm:sweeps=2",
    "tds:particles=4", "tds-mmps:particles=4", "fps:particles=4",
]  # fmt: skip
PROJECTING = [
    "replacement",
    "repaint:jumps=1",
    "ilvr",
    "ddrm",
    "ddnm",
    "diffpir",
    "fps:particles=3",
]
SCHEDULES = {"vp": VP(), "linear": Linear(), "ve": VE()}
D = 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def started(n, schedule, shape=(D,), seed=9):
    return schedule(torch.ones((), dtype=torch.float64))[1] * randn(n, *shape, seed=seed)


def drawn(method, model, measurement, x, steps=20, solver=None, noise=None, **given):
    method = make_method(method) if isinstance(method, str) else method
    grid = given.pop("grid", None)
    grid = angular(steps, model.schedule) if grid is None else grid
    *_, point = method.trajectory(model, measurement, x, grid, solver, noise, **given)
    return point.x


def correlated(seed=1, n=D):
    root = randn(n, n, seed=seed) / n**0.5
    return root @ root.T + 0.05 * torch.eye(n, dtype=torch.float64)


def posterior(covariance, matrix, y, variance):
    """Mean and covariance of N(0, C) given y = M x + noise."""
    noise = variance * torch.eye(len(y), dtype=torch.float64)
    gain = covariance @ matrix.T @ torch.linalg.inv(matrix @ covariance @ matrix.T + noise)
    return gain @ y, covariance - gain @ matrix @ covariance


MODES = Mixture(torch.tensor([1.0, 2, 3]).double(), randn(3, D, seed=2), 0.1)
MATRIX = randn(2, D, seed=3) / D**0.5
Y = randn(8, 2, seed=4)


def measured(std=0.2, rows=slice(None), shape=(D,)):
    return Measurement(Dense(shape, MATRIX), Y[rows], GaussianNoise(std))


@pytest.mark.slow
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", OWN)
def test_a_batch_is_its_samples(method, schedule):
    model = Exact(MODES, SCHEDULES[schedule])
    x, grid = started(8, model.schedule), angular(5, model.schedule)
    together = drawn(method, model, measured(), x, grid=grid, noise=Seeded(range(8)))
    assert together.isfinite().all()
    assert together.dtype == torch.float64
    for i in (0, 3, 7):
        one = slice(i, i + 1)
        alone = drawn(method, model, measured(rows=one), x[one], grid=grid, noise=Seeded([i]))
        torch.testing.assert_close(alone, together[one], rtol=1e-9, atol=1e-9)


@dataclass(frozen=True)
class Unfolded:
    """A denoiser of vectors, for images."""

    model: Exact

    @property
    def schedule(self):
        return self.model.schedule

    def __call__(self, x, t, **cond):
        p = self.model(x.flatten(1), t)
        return replace(p, x0=p.x0.reshape(x.shape), eps=p.eps.reshape(x.shape))


@pytest.mark.parametrize("method", OWN)
def test_an_image_is_its_numbers(method):
    model = Exact(MODES, Linear())
    flat = started(8, model.schedule)
    image = flat.reshape(8, 1, 2, 3)
    a = drawn(method, model, measured(), flat, 6, noise=Seeded(range(8)))
    b = drawn(method, Unfolded(model), measured(shape=(1, 2, 3)), image, 6, noise=Seeded(range(8)))
    torch.testing.assert_close(b.flatten(1), a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", OWN)
def test_going_on_is_as_without_a_stop(method):
    model, method = Exact(MODES, VP()), make_method(method)
    x, grid, noise = started(8, VP()), angular(7, VP()), Seeded(range(8))
    whole = list(method.trajectory(model, measured(), x, grid, None, noise))
    assert [point.index for point in whole] == [1, 2, 3, 4, 5, 6, 7]
    for stop in (1, 3):
        half = whole[stop]
        *_, end = method.trajectory(
            model, measured(), half.x, grid, None, noise, index=half.index, memory=half.memory
        )
        assert torch.equal(end.x, whole[-1].x)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("method", PROJECTING)
def test_measurements_without_noise_are_met(method, schedule):
    model = Exact(MODES, SCHEDULES[schedule])
    x = drawn(method, model, measured(0.0), started(8, model.schedule), 8, noise=Seeded(range(8)))
    torch.testing.assert_close(x @ MATRIX.T, Y, rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", ["ddim", "ddpm", "adams", "heun", "unipc", "dpmpp-2m"])
def test_ddnm_meets_the_measurement_with_every_solver(solver):
    assert solver in SOLVERS.names()
    model = Exact(MODES, VP())
    x = drawn("ddnm", model, measured(0.0), started(8, VP()), 8, make_solver(solver))
    torch.testing.assert_close(x @ MATRIX.T, Y, rtol=0, atol=1e-12)


INDEPENDENT = Mixture(
    torch.ones(1).double(),
    torch.tensor([[0.5, -1, 0, 2]]).double(),
    torch.tensor([[1, 0.5, 2, 0.1]]).double(),
)


def seen_first_two(n, y, std):
    hidden = Mask((4,), torch.tensor([0, 0, 1, 1]))
    return Measurement(hidden, torch.tensor([y]).double().expand(n, 2), GaussianNoise(std))


EXACT = [
    "replacement",
    "repaint:jumps=1",
    "ilvr",
    "ddrm:eta=0",
    "ddnm",
    "diffpir",
    "fps:particles=3",
]


@pytest.mark.parametrize("method", EXACT)
def test_exact_where_the_parts_are_independent(method):
    """As far as 60 steps are; jumps repeat what an ancestral step loses of the spread."""
    n, model = 2000, Exact(INDEPENDENT, VP())
    x = drawn(
        method, model, seen_first_two(n, [1.0, -2.0], 0.0), started(n, VP(), (4,)), 60,
        DDIM(eta=1.0), Gaussian(generator()),
    )  # fmt: skip
    assert torch.allclose(x[:, :2], torch.tensor([1.0, -2.0]).double(), atol=1e-9)
    hidden = INDEPENDENT.means[0, 2:], INDEPENDENT.variances[0, 2:].sqrt()
    assert ((x[:, 2:].mean(0) - hidden[0]).abs() < 0.1 * hidden[1]).all()
    assert (x[:, 2:].std(0) / hidden[1] - 1).abs().max() < 0.1


@pytest.mark.parametrize("method", [Replacement(), RePaint(jumps=2)])
def test_replacement_counts_the_noise_of_the_measurement(method):
    n, std, y = 2000, 0.5, torch.tensor([1.5, -2.0]).double()
    model = Exact(INDEPENDENT, VP())
    x = drawn(
        method, model, seen_first_two(n, y.tolist(), std), started(n, VP(), (4,)), 100,
        DDIM(eta=1.0), Gaussian(generator()),
    )  # fmt: skip
    prior = INDEPENDENT.variances[0, :2]
    gain = prior / (prior + std**2)
    mean = INDEPENDENT.means[0, :2] + gain * (y - INDEPENDENT.means[0, :2])
    true = (prior - gain * prior).sqrt()
    assert ((x[:, :2].mean(0) - mean).abs() < 0.1 * true).all()
    assert (x[:, :2].std(0) / true - 1).abs().max() < 0.1


def test_without_jumps_repaint_is_replacement():
    for solver in (None, DDIM(eta=1.0)):
        model, x = Exact(MODES, Linear()), started(8, Linear())
        a, b = (
            drawn(m, model, measured(), x, 8, solver, Seeded(range(8)))
            for m in (Replacement(), RePaint(jumps=0))
        )
        assert torch.equal(a, b)


def test_ilvr_to_the_end_is_replacement():
    model, x = Exact(MODES, Linear()), started(8, Linear())
    a, b, c = (
        drawn(m, model, measured(0.0), x, 8, None, Seeded(range(8)))
        for m in (Replacement(), ILVR(), ILVR(until=0.5))
    )
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)


def test_diffpir_without_noise_is_ddnm():
    model, x = Exact(MODES, VP()), started(8, VP())
    a, b = (
        drawn(m, model, measured(0.0), x, 8, None, Seeded(range(8))) for m in ("ddnm", "diffpir")
    )
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_jumps_of_a_grid():
    grid = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.0], dtype=torch.float64)
    told = torch.ones(5, dtype=torch.bool)
    times, reached = RePaint(jumps=2, length=2).jumping(grid, told)
    assert times.tolist() == [1, 0.8, 0.6, 1, 0.8, 0.6, 1, 0.8, 0.6, 0.4, 0]
    assert reached == [0, 1, 8, 9, 10]
    times, reached = RePaint(jumps=1).jumping(grid, told & (grid > 0.7))
    assert times.tolist() == [1, 0.8, 1, 0.8, 0.6, 0.4, 0]
    assert reached == [0, 3, 4, 5, 6]


@pytest.mark.parametrize("method", ["replacement", "repaint", "ilvr", "ddrm", "ddnm", "diffpir"])
def test_a_grid_may_rise(method):
    model, grid = Exact(MODES, VP()), restart(angular(8, VP()), 0.3, 0.7, repeats=2)
    x = drawn(method, model, measured(0.0), started(8, VP()), grid=grid, noise=Seeded(range(8)))
    torch.testing.assert_close(x @ MATRIX.T, Y, rtol=0, atol=1e-12)


def test_rising_keeps_the_noisy_law():
    """A state put back and re-noised has the law of the upper time: variance of measured parts."""
    n, model = 8000, Exact(INDEPENDENT, VP())
    grid = torch.tensor([1.0, 0.3, 0.5]).double()
    x = drawn(
        "replacement", model, seen_first_two(n, [1.0, -2.0], 0.0), started(n, VP(), (4,)),
        grid=grid, noise=Gaussian(generator()),
    )  # fmt: skip
    alpha, sigma = VP()(grid[-1])
    assert torch.allclose(x[:, :2].mean(0), alpha * torch.tensor([1.0, -2.0]).double(), atol=0.03)
    assert torch.allclose(x[:, :2].std(0), sigma.expand(2), rtol=0.03)


def test_jumps_bring_the_hidden_part_to_what_was_measured():
    """Two numbers of correlation 0.9, one seen as 2: the other is 1.8 on average, not 0."""
    covariance = torch.tensor([[1, 0.9], [0.9, 1]]).double()
    model, n = Exact(Normal(torch.zeros(2).double(), covariance), VP()), 1000
    seen = Measurement(
        Mask((2,), torch.tensor([0, 1])), torch.full((n, 1), 2.0).double(), GaussianNoise(0.0)
    )
    off = []
    for jumps in (0, 2, 10):
        x = drawn(
            RePaint(jumps=jumps), model, seen, started(n, VP(), (2,)), 20, DDIM(eta=1.0),
            Gaussian(generator()),
        )  # fmt: skip
        off.append(abs(float(x[:, 1].mean()) - 1.8))
    assert off[0] > 0.3
    assert off[1] < 0.6 * off[0]
    assert off[2] < 0.1


def spread_of(method, steps=50, n=256, solver=None, seed=1, std=0.1):
    """Its standard deviation over the posterior's, on a Gaussian with two measurements."""
    covariance = correlated(seed)
    model = Exact(Normal(torch.zeros(D).double(), covariance), VP())
    y = randn(2, seed=seed)
    seen = Measurement(Dense((D,), MATRIX), y.expand(n, 2), GaussianNoise(std))
    x = drawn(method, model, seen, started(n, VP()), steps, solver, Gaussian(generator(seed)))
    mean, true = posterior(covariance, MATRIX, y, std**2)
    off = float((x.mean(0) - mean).norm() / true.trace().sqrt())
    return float((x.var(0).sum() / true.trace()).sqrt()), off, float(seen.misfit(x).mean())


@pytest.mark.parametrize("seed", [1, 2])
def test_daps_is_too_wide(seed):
    assert spread_of(DAPS(), seed=seed)[0] > 1.15


@pytest.mark.parametrize("seed", [1, 2])
def test_ddrm_is_too_sure(seed):
    ratio, _, misfit = spread_of(DDRM(), seed=seed)
    assert ratio < 0.9
    assert misfit < 0.5


def test_pnpdm_is_too_narrow_where_its_walks_are_short():
    few, many = (spread_of(PnPDM(inner=inner), steps=30) for inner in (5, 20))
    assert few[0] < 0.9 < many[0] < 1.1
    assert max(few[1], many[1]) < 0.2


def test_ddnm_plus_believes_the_measurement_too_much():
    assert spread_of(DDNM(), solver=DDIM(eta=1.0))[2] < 0.3


def test_reddiff_looks_for_one_answer():
    ratio, off, misfit = spread_of(REDDiff(), steps=200)
    assert ratio < 0.6
    assert misfit < 0.1
    assert off < 0.5


def test_reddiff_takes_as_many_evaluations_as_steps():
    calls = []

    @dataclass(frozen=True)
    class Counted:
        schedule = VP()

        def __call__(self, x, t, **cond):
            calls.append(1)
            return Exact(MODES, VP())(x, t)

    drawn(REDDiff(), Counted(), measured(), started(8, VP()), 12)
    assert len(calls) == 12


@pytest.mark.parametrize("variance", [0.0, 0.04])
def test_draws_near_a_point_have_the_closed_law(variance):
    n, v = 20000, 0.5
    centre, y = randn(1, D, seed=5), randn(1, 2, seed=6)
    operator = Dense((D,), MATRIX)
    x = near.draw_near(
        operator, y.expand(n, 2), centre.expand(n, D), torch.tensor(v).double(),
        torch.tensor(variance).double(), Gaussian(generator()),
    )  # fmt: skip
    eye = v * torch.eye(D, dtype=torch.float64)
    mean, true = posterior(eye, MATRIX, (y - centre @ MATRIX.T)[0], variance)
    assert torch.allclose(x.mean(0), centre[0] + mean, atol=0.02)
    assert torch.allclose(x.T.cov(), true, atol=0.02)


@dataclass(frozen=True, eq=False)
class Any(Operator):
    """A linear map that does not say that it is one."""

    shape: tuple[int, ...]

    def forward(self, x):
        return x @ MATRIX.to(x).T


def test_langevin_draws_near_a_point_have_the_closed_law():
    n, v, std = 1000, 0.5, 0.3
    centre, y = randn(1, D, seed=5), randn(1, 2, seed=6)
    seen = Measurement(Any((D,)), y.expand(n, 2), GaussianNoise(std))
    with torch.inference_mode():
        x = near.sample_near(
            seen, centre.expand(n, D), torch.tensor(v).double(), Gaussian(generator()), 100
        )
    mean, true = posterior(
        v * torch.eye(D, dtype=torch.float64), MATRIX, (y - centre @ MATRIX.T)[0], std**2
    )
    assert torch.allclose(x.mean(0), centre[0] + mean, atol=0.05)
    assert torch.allclose(x.T.cov(), true, atol=0.08)


@pytest.mark.parametrize(
    "method", ["daps:langevin=20", "pnpdm:inner=3,langevin=20", "reddiff", "tds"]
)
def test_what_takes_any_operator_goes_with_one(method):
    model, seen = Exact(MODES, VP()), Measurement(Any((D,)), Y, GaussianNoise(0.2))
    x = drawn(method, model, seen, started(8, VP()), 20, noise=Seeded(range(8)))
    free = sample(model, started(8, VP()), angular(20, VP()), noise=Seeded(range(8)))
    assert (seen.misfit(x) < 0.5 * seen.misfit(free)).float().mean() > 0.7


def test_ddrm_is_far_from_the_weights_of_25_modes():
    ij = torch.cartesian_prod(torch.arange(-2.0, 3), torch.arange(-2.0, 3)).double()
    prior = Mixture(
        0.2 + torch.rand(25, generator=generator()).double(), 0.8 * ij.repeat(1, 4), 0.01
    )
    matrix, n, std = randn(1, 8, seed=3) / 8**0.5, 200, 0.1
    y = matrix @ prior.means[7] + 0.05
    # Given a mode, y is normal; that weighs the modes.
    scale = (std**2 + 0.01 * matrix.square().sum()).sqrt()
    logits = prior.weights.log() - 0.5 * ((y - prior.means @ matrix[0]) / scale).square()
    seen = Measurement(Dense((8,), matrix), y.expand(n, 1), GaussianNoise(std))
    model = Exact(prior, VP())
    x = drawn(DDRM(), model, seen, started(n, VP(), (8,)), 50, noise=Gaussian(generator()))
    found = torch.cdist(x, prior.means).argmin(1).bincount(minlength=25) / n
    assert 0.5 * (found - logits.softmax(0)).abs().sum() > 0.4


def test_all_are_found_by_their_names():
    own = {spec.partition(":")[0] for spec in OWN}
    assert own <= set(METHODS.names())
    assert METHODS.write(make_method("repaint:jumps=2,length=3")) == "repaint:jumps=2,length=3"


PRODUCT = Dense((D,), torch.eye(D).double()) @ Dense((D,), torch.eye(D).double())


@pytest.mark.parametrize(
    ("method", "measurement", "words"),
    [
        ("ddrm", Measurement(PRODUCT, Y.repeat(1, 3), GaussianNoise(0.1)), "singular values"),
        ("replacement", Measurement(PRODUCT, Y.repeat(1, 3), GaussianNoise(0.1)), "there is noise"),
        ("ddnm", Measurement(PRODUCT, Y.repeat(1, 3), GaussianNoise(0.1)), "there is noise"),
        ("tds", measured(0.0), "divides by the noise"),
        ("daps", Measurement(Any((D,)), Y, GaussianNoise(0.0)), "divides by the noise"),
        ("pnpdm", Measurement(Any((D,)), Y, PoissonNoise(5.0)), "Gaussian noise"),
        ("fps", Measurement(Any((D,)), Y, GaussianNoise(0.1)), "not linear"),
        ("ilvr", Measurement(Any((D,)), Y, GaussianNoise(0.1)), "not linear"),
        ("diffpir", Measurement(Any((D,)), Y, GaussianNoise(0.1)), "not linear"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(method, measurement, words):
    model = Exact(MODES, VP())
    with pytest.raises(UsageError, match=words):
        drawn(method, model, measurement, started(8, VP()), 3)


def test_replacement_without_noise_needs_no_singular_values():
    seen = Measurement(PRODUCT, Y.repeat(1, 3), GaussianNoise(0.0))
    x = drawn("replacement", Exact(MODES, VP()), seen, started(8, VP()), 4)
    torch.testing.assert_close(x, Y.repeat(1, 3), rtol=0, atol=1e-9)


@pytest.mark.parametrize("method", ["ddrm", "daps", "pnpdm", "reddiff", "tds", "fps"])
def test_the_solver_is_left_aside_by_what_says_so(method):
    model, x = Exact(MODES, VP()), started(8, VP())
    a, b = (
        drawn(method, model, measured(), x, 4, solver, Seeded(range(8)))
        for solver in (None, DDIM(eta=1.0))
    )
    assert torch.equal(a, b)


@pytest.mark.parametrize("method", ["reddiff", "tds", "tds-mmps", "fps"])
def test_a_grid_that_rises_is_refused_by_what_remembers(method):
    grid = restart(angular(8, VP()), 0.3, 0.7)
    with pytest.raises(UsageError, match="only falls"):
        drawn(method, Exact(MODES, VP()), measured(), started(8, VP()), grid=grid)


@pytest.mark.parametrize(
    "spec",
    [
        "repaint:jumps=-1", "repaint:length=0", "ilvr:until=2", "ddrm:eta=2", "diffpir:weight=0",
        "diffpir:zeta=2", "reddiff:rate=0", "daps:inner=0", "pnpdm:sweeps=0", "tds:particles=0",
        "tds:width=0", "tds-mmps:width=0", "tds-mmps:signal=0", "fps:threshold=2",
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(spec):
    with pytest.raises(UsageError, match=spec.partition(":")[2].partition("=")[0]):
        make_method(spec)


@pytest.mark.parametrize(
    "method", ["repaint:jumps=1", "ddrm", "daps:inner=2", "tds:particles=2", "tds-mmps", "fps"]
)
def test_a_plan_walks_its_way(method):
    """In inference mode, on images, with a label: the upper half is seen, each sample's own."""
    pipeline = open_model("digits")
    shape = pipeline.state_shape
    hidden = torch.zeros(shape)
    hidden[:, shape[1] // 2 :] = 1
    operator = Mask(shape, hidden)
    levels = torch.tensor([-1.0, -0.5, 0])[:, None].expand(3, *operator.out)
    plan = pipeline.plan(3, steps=4, label="3", seed=5)
    plan = replace(
        plan, walk=walk(make_method(method), Measurement(operator, levels, GaussianNoise(0.1)))
    )
    *_, point = plan.states([2, 0])
    assert point.x.isfinite().all()
    if method in {"repaint:jumps=1", "ddrm", "fps"}:
        seen = operator.forward(point.x).mean(1)
        assert float(seen[0] - seen[1]) > 0.3
