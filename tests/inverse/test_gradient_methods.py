"""Methods that differentiate the denoiser, against exact posteriors in closed form."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from demist.core import VE, VP, X0, Cosine, Denoiser, Exact, Linear, Normals, Prediction, Seeded
from demist.errors import UsageError
from demist.guidance import Clamp, Reward
from demist.inverse import (
    Dense,
    GaussianNoise,
    Led,
    Linearised,
    Mask,
    Measurement,
    Operator,
    PoissonNoise,
    conjugate_residuals,
    make_method,
    walk,
)
from demist.model import open_model
from demist.samplers import SOLVERS, make_solver, smooth
from truth import T, f64

D = 5
SPECS = ("dps:scale=0.2", "lgd", "mmps", "mmps-langevin:n=1", "pigdm", "tmpd")
WRAPPED = ("lgd", "mmps", "pigdm", "tmpd")
TIMES = (1.0, 1 - 1e-8, 1 - 1e-6, 1 - 1e-5, 0.99, 0.5, 0.1, 1e-3, 1e-6)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=f64)


def gaussian(covariance):
    return Normals(torch.ones(1, dtype=f64), draw(1, D, seed=1), covariance[None])


ROOT = draw(D, D, seed=2)
FULL = gaussian(ROOT @ ROOT.T)
ISOTROPIC = gaussian(0.49 * torch.eye(D, dtype=f64))
MIXTURE = Normals(
    torch.ones(3, dtype=f64), 2 * draw(3, D, seed=3), (0.1 * ROOT @ ROOT.T)[None].expand(3, D, D)
)
MATRIX, Y = draw(3, D, seed=4), draw(3, seed=5)


def measured(matrix=MATRIX, y=Y, std=0.05):
    return Measurement(Dense((D,), matrix), y[None] if y.ndim == 1 else y, GaussianNoise(std))


def off(spec, prior, schedule, t, n=3, std=0.05):
    """Largest error of the guidance term, as a share of the term itself."""
    matrix, y, t = MATRIX[:n], Y[:n], T(t)
    alpha, sigma = schedule(t)
    x = alpha * prior.sample(4, torch.Generator().manual_seed(6)) + sigma * draw(4, D, seed=7)
    got = make_method(spec).wrap(Exact(prior, schedule), measured(matrix, y, std))(x, t)
    want = Exact(prior.given(matrix, y, std**2), schedule)(x, t).x0
    assert (got.alpha * got.x0 + got.sigma * got.eps - x).abs().max() < 1e-11
    term = (want - prior.posterior(x, alpha, sigma)[0]).abs().max()
    rounding = 1e-14 * want.abs().max()  # of x0 itself, above the whole term near clean data
    return float(((got.x0 - want).abs().max() - rounding).clamp(min=0) / term)


@pytest.mark.parametrize("schedule", [Linear(), VP(), VE(), Cosine()], ids=lambda s: s.name)
def test_mmps_is_exact_on_gaussians(schedule):
    for t in TIMES:
        assert off("mmps:tolerance=0", FULL, schedule, t) < 1e-8, t
    for size in (1e-2, 1e2):
        wide = gaussian(size**2 * ROOT @ ROOT.T)
        for t in (1.0, 0.9, 0.3):
            assert off("mmps:tolerance=0", wide, schedule, t) < 1e-8, (size, t)
    assert off("mmps", FULL, schedule, 0.7) < 0.1
    assert off("pigdm", FULL, schedule, 0.7) > 1e-2


def test_pigdm_is_exact_on_isotropic_gaussians():
    for t in TIMES:
        assert off("pigdm:std=0.7", ISOTROPIC, Linear(), t) < 1e-8, t
    assert off("pigdm", ISOTROPIC, Linear(), 0.9) > 1e-3


def test_tmpd_is_exact_with_one_measurement():
    for t in TIMES:
        assert off("tmpd", FULL, Linear(), t, n=1) < 1e-8, t
    assert off("tmpd", FULL, Linear(), 0.7) > 1e-2


def test_lgd_tends_to_pigdm():
    errors = [off(f"lgd:n={n},std=0.7", ISOTROPIC, Linear(), 0.8, 1, 1.0) for n in (16, 8192)]
    assert errors[1] < 0.05 < errors[0]


def last(spec, x, measurement, model=None, solver=None, steps=8, seeds=None):
    model = model or Exact(MIXTURE, Linear())
    noise = Seeded(seeds or range(len(x)))
    *_, point = make_method(spec).trajectory(
        model, measurement, x, smooth(steps, model.schedule), solver, noise
    )
    return point.x


@pytest.mark.parametrize("spec", SPECS)
def test_a_batch_of_eight_is_eight_singles(spec):
    x, y = draw(8, D, seed=8), draw(8, 3, seed=9)
    together = last(spec, x, measured(y=y))
    for i in range(8):
        alone = last(spec, x[i : i + 1], measured(y=y[i]), seeds=[i])
        assert (together[i] - alone[0]).abs().max() < 1e-9


@pytest.mark.parametrize("name", SOLVERS.names())
def test_every_solver_goes(name):
    x = draw(4, D, seed=8)
    for spec in ("pigdm", "dps:scale=0.05"):
        y = last(spec, x, measured(std=0.3), solver=make_solver(name), steps=6)
        assert y.isfinite().all()
        assert y.abs().max() < 20


@pytest.mark.parametrize("spec", WRAPPED)
def test_rules_of_guidance_go_around_it_and_inside(spec):
    method, prior, x = make_method(spec), Exact(MIXTURE, Linear()), draw(4, D, seed=8)
    inside = method.wrap(Clamp(prior, -1, 1), measured())(x, T(0.5))
    around = Clamp(method.wrap(prior, measured()), -1, 1)(x, T(0.5))
    rewarded = Reward(method.wrap(prior, measured()), lambda x0: -x0.square().sum(1))(x, T(0.5))
    for p in (inside, around, rewarded):
        assert (0.5 * p.x0 + 0.5 * p.eps - x).abs().max() < 1e-11
    plain = method.wrap(prior, measured())(x, T(0.5))
    per_sample = method.wrap(prior, measured())(x, T(0.5).expand(4))
    assert (plain.x0 - per_sample.x0).abs().max() < 1e-12
    assert (rewarded.x0 - plain.x0).abs().max() > 1e-3


def test_no_shift_goes_beyond_what_fits_best():
    twice = replace(measured(), y=torch.zeros(1, 3, dtype=f64))

    @dataclass(frozen=True)
    class Steep:
        schedule: Linear

        def __call__(self, x, t, **cond):
            return Prediction(x, (x - 0.5 * x) / 0.5, T(0.5), T(0.5))

    x = draw(2, D, seed=8)
    far = Led(Steep(Linear()), twice, lambda at: -7 * at.prediction.x0)(x, T(0.5))
    away = Led(Steep(Linear()), twice, lambda at: 7 * at.prediction.x0)(x, T(0.5))
    near = Led(Steep(Linear()), twice, lambda at: -0.3 * at.prediction.x0)(x, T(0.5))
    assert far.x0.abs().max() < 1e-14
    assert torch.equal(away.x0, x)
    assert (near.x0 - 0.7 * x).abs().max() < 1e-14


def test_conjugate_residuals_stand_a_matrix_that_is_no_covariance():
    y, noise = draw(4, 6, seed=13), torch.tensor(0.1, dtype=f64)
    root = draw(6, 6, seed=14)
    true = root @ root.T
    want = torch.linalg.solve(true + 0.1 * torch.eye(6, dtype=f64), y.T).T
    found = conjugate_residuals(lambda u: u @ true, noise, y)
    assert (found - want).abs().max() < 1e-8
    for matrix in (true + 2 * (root - root.T), true - 4 * torch.eye(6, dtype=f64), -true):
        left = [
            (y - found @ matrix.T - 0.1 * found).norm(dim=1)
            for most in range(1, 8)
            for found in [conjugate_residuals(lambda u, m=matrix: u @ m.T, noise, y, most=most)]
        ]
        lengths = torch.stack([y.norm(dim=1), *left])
        assert (lengths.diff(dim=0) < 1e-9).all()
    assert (conjugate_residuals(lambda u: -u, noise, y) == 0).all()
    alone = conjugate_residuals(lambda u: u @ true, noise, y[2:3])
    assert (conjugate_residuals(lambda u: u @ true, noise, y)[2:3] - alone).abs().max() < 1e-12


class Overshooting(nn.Module):
    def forward(self, x, clock):
        return 3 * x


@pytest.mark.parametrize("spec", WRAPPED)
def test_a_clamped_background_still_learns_from_the_measurement(spec):
    model = Denoiser(Overshooting(), Linear(), X0(), bounds=(-1, 1)).eval()
    x, t = torch.full((2, D), -0.6), T(0.5)
    assert (model(x, t).x0 == -1).all()
    measurement = measured(std=0.5).to(x)
    with torch.inference_mode():
        moved = make_method(spec).wrap(model, measurement)(x, t).x0 + 1
    assert (moved.abs().amax(1) > 0.02).all()


@dataclass(frozen=True, eq=False)
class Bent(Operator):
    """A map that is linear for bend = 0."""

    shape: tuple[int, ...]
    bend: float = 0.0

    def forward(self, x):
        y = x @ MATRIX.to(x).T
        return y + self.bend * y.sin()


def test_nonlinear_operators_are_taken_as_linear_where_the_data_is_predicted():
    x0 = draw(2, D, seed=10)
    tangent = Linearised.at(Bent((D,), 0.7), x0)
    jacobians = torch.stack(
        [
            torch.autograd.functional.jacobian(lambda x: Bent((D,), 0.7).forward(x), row)
            for row in x0
        ]
    )
    v, u = draw(2, D, seed=11), draw(2, 3, seed=12)
    assert (tangent.forward(v) - torch.einsum("bij,bj->bi", jacobians, v)).abs().max() < 1e-13
    assert (tangent.adjoint(u) - torch.einsum("bij,bi->bj", jacobians, u)).abs().max() < 1e-13


@pytest.mark.parametrize("spec", WRAPPED)
def test_a_linear_map_that_nobody_calls_linear_gives_the_same(spec):
    x, t, prior = draw(4, D, seed=8), T(0.6), Exact(MIXTURE, Linear())
    known = make_method(spec).wrap(prior, measured())(x, t).x0
    bare = Measurement(Bent((D,)), Y[None], GaussianNoise(0.05))
    assert (make_method(spec).wrap(prior, bare)(x, t).x0 - known).abs().max() < 1e-8


def test_poisson_noise_has_the_variance_of_the_predicted_mean():
    x, t, noise = draw(2, D, seed=8), T(0.6), PoissonNoise(30.0, low=-5.0, high=5.0)
    measurement = replace(measured(), noise=noise)
    prior = Exact(FULL, Linear())
    p = prior(x, t)
    got = make_method("mmps:tolerance=0").wrap(prior, measurement)(x, t).x0
    covariance = torch.linalg.inv(
        torch.linalg.inv(ROOT @ ROOT.T) + torch.eye(D, dtype=f64) * (0.4 / 0.6) ** 2
    )
    clean = p.x0 @ MATRIX.T
    total = MATRIX @ covariance @ MATRIX.T + torch.diag_embed(noise.variance(clean))
    want = p.x0 + torch.linalg.solve(total, Y - clean) @ MATRIX @ covariance
    assert (got - want).abs().max() < 1e-10
    for spec in ("pigdm", "tmpd", "lgd"):
        assert make_method(spec).wrap(prior, measurement)(x, t).x0.isfinite().all()


def test_the_step_of_dps_is_that_of_the_paper():
    x, scale = draw(3, D, seed=8), 0.3
    grid, prior = smooth(6, Linear()), Exact(MIXTURE, Linear())
    state = x
    for t, s in pairwise(grid):
        at = state.clone().requires_grad_()
        p = prior(at, t if t < 1 else Linear().time_at_angle(torch.atan(T(1e7))))
        (slope,) = torch.autograd.grad((Y - p.x0 @ MATRIX.T).norm(dim=1).sum(), at)
        (one, *_) = [
            point.x
            for point in make_method("prior").trajectory(
                prior, measured(), state, torch.stack([t, s]), make_solver("ddim")
            )
        ]
        state = one - scale * slope
    got = last(f"dps:scale={scale}", x, measured(), solver=make_solver("ddim"), steps=6)
    assert (got - state).abs().max() < 1e-3


@pytest.mark.slow
def test_digits_are_sampled_from_an_open_plan():
    pipeline = open_model("digits")
    shape = pipeline.state_shape
    hidden = torch.zeros(shape)
    hidden[:, shape[1] // 2 :] = 1
    mask = Mask(shape, hidden)
    plan = pipeline.plan(2, steps=6, label="3", seed=5)
    truth = torch.from_numpy(pipeline.plan(1, steps=6, label="3", seed=6).sample())
    y = mask.forward(pipeline.encode(truth.numpy()))
    measurement = Measurement(mask, y, GaussianNoise(0.1))
    floor = measurement.misfit(torch.from_numpy(plan.sample()).float()).mean()
    for spec in ("mmps:most=3", "pigdm", "dps:scale=3"):
        guided = replace(plan, walk=walk(make_method(spec), measurement))
        *_, point = guided.states()
        assert point.x.isfinite().all()
        assert measurement.misfit(point.x).mean() < 0.3 * floor, spec


@pytest.mark.parametrize(
    "spec",
    [
        "dps:scale=-1",
        "lgd:n=3",
        "mmps:most=0",
        "mmps:tolerance=1",
        "pigdm:std=0",
        "mmps-langevin:most=0",
    ],
)
def test_options_out_of_range_are_refused(spec):
    with pytest.raises(UsageError):
        make_method(spec)


@pytest.mark.parametrize("spec", ["tmpd", "lgd"])
def test_those_that_divide_by_the_noise_need_some(spec):
    with pytest.raises(UsageError, match="divides by the noise"):
        last(spec, draw(2, D), measured(std=0.0))
