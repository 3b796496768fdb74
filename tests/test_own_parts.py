"""Parts of one's own, outside the package: given as objects, saved by name, never imported."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import demist
from demist import parts
from demist.config import TrainConfig, update
from demist.core import SCHEDULES, Schedule
from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.model import Pipeline
from demist.networks import NETWORKS, Network
from demist.samplers import GRIDS, SOLVERS, Grid, Heun, Solver

TINY = {
    "steps": 2, "batch_size": 4, "precision": "fp32", "sample_count": 0, "device": "cpu",
    "channels_per_level": [8], "norm_groups": 2, "head_dim": 8, "hold_out": 0,
}  # fmt: skip


@dataclass(frozen=True)
class OwnEuler(Solver):
    order = 1
    scale: float = 1.0

    def step(self, model, x, t, s, memory, noise):
        alpha, sigma = model.schedule(s)
        p = model(x, t)
        return alpha * p.x0 + self.scale * sigma * p.eps, None


@dataclass(frozen=True)
class Squares(Grid):
    def __call__(self, n, schedule):
        return torch.linspace(1, 0, n + 1, dtype=torch.float64) ** 2


@dataclass(frozen=True)
class SlowPower(Schedule):
    power: float = 2.0

    def __call__(self, t):
        u = t**self.power
        return torch.sin(math.pi / 2 * (1 - u)), torch.sin(math.pi / 2 * u)


class Scaled(Network):
    kinds = ("images",)

    def __init__(self, *, shape, outputs, inlets, width=4):
        super().__init__()
        self._config = {"shape": list(shape), "outputs": outputs, "inlets": inlets, "width": width}
        self.inner = nn.Conv2d(shape[0], outputs * shape[0], 3, padding=1)

    @property
    def config(self):
        return copy.deepcopy(self._config)

    def forward(self, x, t, **cond):
        return self.inner(x)


@pytest.fixture(autouse=True)
def _nothing_registered():
    yield
    for family in parts.FAMILIES:
        for kept in ("classes", "_named", "kinds"):
            family.__dict__.pop(kept, None)
    parts.OWN.clear()


@pytest.fixture
def data():
    x = np.random.default_rng(0).integers(0, 255, (8, 1, 8, 8)).astype(np.uint8)
    return Dataset(x, np.arange(8) % 2, ("a", "b"), name="tiny")


def test_a_solver_and_a_grid_are_given_as_objects():
    pipeline = Pipeline.load("digits")
    how = {"steps": 3, "label": "3"}
    named, given = (pipeline.sample(2, solver=s, **how) for s in ("heun", Heun()))
    assert np.array_equal(named, given)
    plan = pipeline.plan(2, solver=OwnEuler(0.5), grid=Squares(), **how)
    assert (plan.sampling.solver, plan.sampling.grid) == ("own-euler:scale=0.5", "squares")
    assert plan.solver == OwnEuler(0.5)
    assert plan.grid.tolist() == pytest.approx([1, 4 / 9, 1 / 9, 0])
    again = pipeline.sample(2, solver="own-euler:scale=0.5", grid="squares", **how)
    assert np.array_equal(plan.sample(), again)
    assert pipeline.plan(2, solver=OwnEuler, **how).solver == OwnEuler()
    assert "own-euler" in SOLVERS.names()
    assert "squares" in GRIDS.names()


def test_a_schedule_and_a_network_train_and_are_saved_by_name(tmp_path, data):
    run = demist.train(
        {**TINY, "runs": str(tmp_path)}, data=data, quiet=True,
        schedule=SlowPower(3.0), network=Scaled,
    )  # fmt: skip
    config = run.config()
    assert (config.diffusion.schedule, config.network.network) == ("slow-power:power=3.0", "scaled")
    pipeline = Pipeline.load(run.model)
    assert pipeline.denoiser.schedule == SlowPower(3.0)
    assert type(pipeline.denoiser.net) is Scaled
    whole = pipeline.sample(2, steps=2)
    _forget()
    for read in (lambda: Pipeline.load(run.model), lambda: Pipeline.from_run(run)):
        with pytest.raises(DataError, match=r"class Scaled, which is not known here.*register it"):
            read()
    NETWORKS.register(Scaled)
    with pytest.raises(DataError, match=r"unknown kind 'SlowPower'.*register it first"):
        Pipeline.load(run.model)
    SCHEDULES.register(SlowPower)
    assert np.array_equal(Pipeline.load(run.model).sample(2, steps=2), whole)


def _forget():
    for family in parts.FAMILIES:
        for kept in ("classes", "_named", "kinds"):
            family.__dict__.pop(kept, None)
    parts.OWN.clear()


def test_names_that_are_taken_and_options_that_cannot_be_written():
    @dataclass(frozen=True)
    class Other(Heun):
        name = "heun"

    with pytest.raises(UsageError, match=r"there is a solver 'heun'.*a name of its own"):
        SOLVERS.register(Other)
    with pytest.raises(UsageError, match="Linear is no solver: that is a class below Solver"):
        SOLVERS.register(nn.Linear)

    @dataclass(frozen=True)
    class Called(Grid):
        f: object = None

        def __call__(self, n, schedule):
            return self.f(n)

    with pytest.raises(UsageError, match="options have to be numbers, words"):
        update(TrainConfig(), {"sample_solver": Called(print)})
    assert SOLVERS.register(Heun) is Heun
    assert parts.spec_of("a") == "a"


@pytest.mark.slow
def test_options_are_given_by_path_by_name_or_as_a_config(tmp_path, data):
    tiny = {**TINY, "runs": str(tmp_path), "quiet": True, "data": data}
    given = [
        demist.train("elsewhere", **tiny),
        demist.train({"path": "elsewhere"}, **tiny),
        demist.train(update(TrainConfig(), {"path": "elsewhere"}), **tiny),
    ]
    assert len({run.config().data.path for run in given}) == 1
    assert demist.plan({"path": "x"}, data, **TINY).steps == 2
    with pytest.raises(UsageError, match="no option 'bugdet'; did you mean 'budget'"):
        demist.train("elsewhere", bugdet="1m")


def test_names_of_the_package():
    assert demist.recipes.find("demo").name == "demo"
    with pytest.raises(AttributeError, match="demist has no 'Piepline'; did you mean 'Pipeline'"):
        demist.Piepline
