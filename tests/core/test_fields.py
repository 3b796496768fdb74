"""A state of several tensors does what its tensors do apart."""

from dataclasses import dataclass

import pytest
import torch

from demist.core import Brownian, Fields, Gaussian, Linear, Noise, Prediction, Seeded, left
from demist.core.exact import Exact
from demist.guidance import CFG
from demist.objectives import denoising_loss
from demist.samplers import SOLVERS, integrate, make_solver, sample, trajectory, uniform
from truth import MIXTURE, NORMAL, T, f64

SPECS = [*SOLVERS.names(), "ddim:eta=1", "corrected:solver=heun"]
SEEDS = [3, 4, 5]


@dataclass(frozen=True)
class Apart:
    """A denoiser of fields made of one for each."""

    models: dict
    schedule = Linear()

    def __call__(self, x, t, **cond):
        found = {name: model(x[name], t, **cond) for name, model in self.models.items()}
        alpha, sigma = (left(c, x) for c in self.schedule(t))
        x0 = Fields({name: p.x0 for name, p in found.items()})
        return Prediction(x0, Fields({n: p.eps for n, p in found.items()}), alpha, sigma)


@dataclass(frozen=True)
class Shifted:
    """The mixture, moved by what is said."""

    scale: float
    schedule = Linear()

    def __call__(self, x, t, move=0.0):
        p = Exact(MIXTURE if self.scale == 1 else NORMAL, self.schedule)(x, t)
        move = left(move, x) if isinstance(move, torch.Tensor) else move
        return p.with_x0(p.x0 + move)


MODEL = Apart({"a": Shifted(1.0), "b": Shifted(2.0)})
SHAPES = {"a": (3, 2), "b": (3, 5, 2)}


def start(noise):
    return noise(Fields({name: torch.empty(s, dtype=f64) for name, s in SHAPES.items()}))


def gap(fields, apart):
    return max(float((fields[name] - x).abs().max()) for name, x in apart.items())


def brownian(seeds, field=""):
    return Brownian(seeds, Linear(), field=field)


@pytest.mark.parametrize(
    ("spec", "make"), [*((s, Seeded) for s in SPECS), ("ddpm", brownian), ("sde-adams", brownian)]
)
def test_every_solver_as_on_the_fields_apart(spec, make):
    grid = uniform(6)
    x = sample(MODEL, start(make(SEEDS)), grid, make_solver(spec), make(SEEDS))
    apart = {
        name: sample(
            model, start(make(SEEDS))[name], grid, make_solver(spec), make(SEEDS, field=name)
        )
        for name, model in MODEL.models.items()
    }
    assert gap(x, apart) <= 1e-12


def test_up_again_and_guided():
    """Re-noising, and guidance with a scale for each sample."""
    grid = torch.cat([uniform(6)[:4], T([0.8]), uniform(4)[2:]])
    cond = {"move": T([0.1, 0.2, 0.3])}
    scale = T([1.0, 2.0, 3.0])

    def guided(model):
        return CFG(model, lambda t: scale, lambda c: {"move": 0 * c["move"]})

    solver = make_solver("ddpm")
    x = sample(guided(MODEL), start(Seeded(SEEDS)), grid, solver, Seeded(SEEDS), **cond)
    apart = {
        name: sample(
            guided(model), start(Seeded(SEEDS))[name], grid, solver, Seeded(SEEDS, field=name),
            **cond,
        )
        for name, model in MODEL.models.items()
    }  # fmt: skip
    assert gap(x, apart) <= 1e-12


@pytest.mark.parametrize("spec", SPECS)
def test_a_sample_does_not_depend_on_its_batch(spec):
    grid, solver = uniform(4), make_solver(spec)
    all_of_them = sample(MODEL, start(Seeded(SEEDS)), grid, solver, Seeded(SEEDS))
    one = start(Seeded(SEEDS)).rows(slice(1, 2))
    alone = sample(MODEL, one, grid, solver, Seeded(SEEDS[1:2]))
    assert all(torch.equal(all_of_them[name][1:2], alone[name]) for name in SHAPES)


def test_what_a_field_gets_depends_on_its_name_alone():
    like = {"a": torch.empty(3, 4), "b": torch.empty(3, 4)}
    both = Seeded(SEEDS)(Fields(like))
    turned = Seeded(SEEDS)(Fields({"b": like["b"], "a": like["a"]}))
    assert torch.equal(both["a"], turned["a"])
    assert torch.equal(both["b"], Seeded(SEEDS)(Fields({"b": like["b"]}))["b"])
    assert not torch.equal(both["a"], both["b"])
    assert torch.equal(Seeded(SEEDS, field="a")(like["a"]), both["a"])


def test_arithmetic_aligns_coefficients_from_the_left():
    x = Fields({"a": torch.ones(3, 3), "b": torch.ones(3, 2, 3)})
    c = torch.tensor([1.0, 2.0, 3.0])
    for scaled in (c * x, x * c, left(c, x) * x):
        assert torch.equal(scaled["a"], c[:, None].expand(3, 3))
        assert torch.equal(scaled["b"], c[:, None, None].expand(3, 2, 3))
    y = 2 * x - x / 2 + (-x)
    assert torch.equal(y["b"], torch.full((3, 2, 3), 0.5))
    with pytest.raises(ValueError, match="does not match"):
        left(torch.ones(2), x)
    with pytest.raises(ValueError, match="one batch axis"):
        Fields({"a": torch.ones(2, 1), "b": torch.ones(3, 1)})


def test_the_loss_is_the_mean_over_all_numbers():
    x0 = Fields({"a": torch.randn(3, 2, dtype=f64), "b": torch.randn(3, 5, 2, dtype=f64)})
    t = T([0.1, 0.5, 0.9])
    joint = denoising_loss(MODEL, x0, t, noise=Seeded(SEEDS))
    apart = {
        name: denoising_loss(model, x0[name], t, noise=Seeded(SEEDS, field=name))
        for name, model in MODEL.models.items()
    }
    torch.testing.assert_close(joint, (2 * apart["a"] + 10 * apart["b"]) / 12)


def test_a_generator_serves_fields_too():
    torch.manual_seed(0)
    drawn = Gaussian()(Fields({"a": torch.empty(1000, 3), "b": torch.empty(1000, 2)}))
    assert isinstance(Gaussian(), Noise)
    assert abs(float(torch.corrcoef(torch.cat([drawn["a"], drawn["b"]], 1).T)[0, 3])) < 0.15
    log_prob = Gaussian().log_prob(drawn)
    assert torch.allclose(
        log_prob, Gaussian().log_prob(drawn["a"]) + Gaussian().log_prob(drawn["b"])
    )


def test_points_of_a_trajectory_are_fields():
    points = list(trajectory(MODEL, start(Seeded(SEEDS)), uniform(3), noise=Seeded(SEEDS)))
    assert [type(p.x) for p in points] == [Fields] * 3


def test_the_flow_of_fields_is_integrated_to_a_tolerance():
    x = start(Seeded(SEEDS))
    found = integrate(MODEL, x, rtol=1e-8, atol=1e-8, keep=True)
    apart = {name: integrate(MODEL.models[name], x[name], rtol=1e-8, atol=1e-8).x for name in x}
    assert gap(found.x, apart) < 1e-6
    assert gap(found.states[-1], {name: found.x[name] for name in x}) == 0
    assert gap(integrate(MODEL, found.x, 0.0, 1.0, rtol=1e-8, atol=1e-8).x, x.parts) < 1e-5
