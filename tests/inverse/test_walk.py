"""A plan that samples a posterior: its door, and what methods refuse."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from demist.core import Exact, Linear, Mixture, Seeded
from demist.errors import UsageError
from demist.inverse import (
    Dense,
    GaussianNoise,
    Guided,
    Mask,
    Measurement,
    Operator,
    PoissonNoise,
    make_method,
    walk,
)
from demist.model import open_model
from demist.samplers import sample, trajectory, uniform

MODEL = Exact(Mixture(torch.ones(2), torch.tensor([[-1.0, 0], [1, 2]]).double(), 0.1), Linear())


@dataclass(frozen=True)
class Fixed(Guided):
    """Predicts the measurement itself: each sample ends at its own."""

    def wrap(self, model, measurement):
        return Ending(model, measurement.linear.pinv(measurement.y))


@dataclass(frozen=True)
class Ending:
    model: object
    x0: torch.Tensor

    @property
    def schedule(self):
        return self.model.schedule

    def __call__(self, x, t, **cond):
        return self.model(x, t, **cond).with_x0(self.x0.expand_as(x))


def test_without_a_walk_nothing_changes_and_the_plain_one_is_the_same():
    pipeline = open_model("digits")
    plan = pipeline.plan(3, steps=3, label="3", seed=5)
    asked = []

    def of(rows):
        asked.append(list(rows))
        return trajectory

    assert np.array_equal(plan.sample(), replace(plan, walk=of).sample())
    assert asked == [[0, 1, 2, *[2] * (pipeline.bucket - 3)]]


def test_each_sample_is_given_its_own_measurement():
    pipeline = open_model("digits")
    shape = pipeline.state_shape
    hidden = Mask(shape, torch.zeros(1))
    y = torch.linspace(-0.9, 0.9, 5)[:, None] * torch.ones(5, int(np.prod(shape)))
    plan = pipeline.plan(5, steps=3, seed=5)
    plan = replace(plan, walk=walk(Fixed(), Measurement(hidden, y, GaussianNoise(0.1))))
    (*_, point) = plan.states([4, 1])
    assert torch.allclose(point.x.flatten(1), y[[4, 1]], atol=1e-5)


def test_the_prior_is_the_prior():
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    measurement = Measurement(Mask((2,), torch.tensor([0, 1])), x[:, :1], GaussianNoise(0.1))
    method = make_method("prior")
    (*_, point) = method.trajectory(MODEL, measurement, x, uniform(5), noise=Seeded(range(4)))
    assert torch.equal(point.x, sample(MODEL, x, uniform(5), noise=Seeded(range(4))))


@dataclass(frozen=True, eq=False)
class Square(Operator):
    shape: tuple[int, ...]

    def forward(self, x):
        return x.square()


@pytest.mark.parametrize(
    ("needs", "measurement", "words"),
    [
        (
            {},
            Measurement(Square((2,)), torch.ones(1, 2), GaussianNoise(1.0)),
            "Square is not linear",
        ),
        (
            {"spectral": True},
            Measurement(
                Dense((2,), torch.eye(2)) @ Dense((2,), torch.eye(2)),
                torch.ones(1, 2),
                GaussianNoise(1.0),
            ),
            "needs the singular values",
        ),
        (
            {},
            Measurement(Dense((2,), torch.eye(2)), torch.ones(1, 2), PoissonNoise(9.0)),
            "for Gau",
        ),
        (
            {"noisy": True},
            Measurement(Dense((2,), torch.eye(2)), torch.ones(1, 2), GaussianNoise(0.0)),
            "divides by the noise",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(needs, measurement, words):
    method = type("Choosy", (Fixed,), needs)()
    with pytest.raises(UsageError, match=words):
        walk(method, measurement)
    with pytest.raises(UsageError, match=words):
        next(method.trajectory(MODEL, measurement, torch.zeros(1, 2), uniform(2)))


@dataclass(frozen=True)
class Leads(Guided):
    """Takes the gradient of the misfit through the model, as many methods do."""

    def wrap(self, model, measurement):
        return Led(model, measurement)


@dataclass(frozen=True)
class Led:
    model: object
    measurement: Measurement

    @property
    def schedule(self):
        return self.model.schedule

    def __call__(self, x, t, **cond):
        with torch.inference_mode(False), torch.enable_grad():
            leaf = x.clone().requires_grad_()
            x0 = self.model(leaf, t, **cond).x0
            back = self.measurement.linear.solve(self.measurement.residual(x0), 1.0, 0.1)
            torch.autograd.grad(back.square().sum(), leaf)
        return self.model(x, t, **cond)


@pytest.mark.parametrize(
    "make", [lambda s: Mask(s, torch.eye(28)), lambda s: Dense(s, torch.ones(2, 784))]
)
def test_gradients_pass_through_what_plans_give(make):
    """Neither a measurement's rows nor what an operator keeps is of inference mode."""
    pipeline = open_model("digits")
    operator = make(pipeline.state_shape)
    measurement = Measurement(operator, torch.zeros(2, *operator.out), GaussianNoise(0.1))
    operator = make(pipeline.state_shape)  # one that has kept nothing yet
    object.__setattr__(operator, "_checked", True)
    plan = pipeline.plan(2, steps=2, seed=5)
    led = replace(plan, walk=walk(Leads(), replace(measurement, operator=operator)))
    assert np.array_equal(plan.sample(), led.sample())
