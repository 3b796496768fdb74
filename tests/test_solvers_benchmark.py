"""The benchmark of samplers on trained networks can run: what it names exists."""

import importlib
from pathlib import Path

import pytest
import torch

from demist.core.exact import Mixture

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def program(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("solvers_networks")


def test_settings_of_ours_that_are_compared_exist(program):
    known = {(one.method, one.settings): one for one in program.samplers("demist")}
    chosen = program.CHOSEN["demist"]
    assert set(chosen) <= set(known)
    assert [key for key in chosen if known[key].default == "library"] == [chosen[0]]


def test_a_stochastic_solver_costs_what_is_counted_and_repeats_itself(program):
    problem = importlib.import_module("field.problem")
    data = Mixture(torch.ones(1).double(), torch.zeros(1, 3).double(), 0.2)
    one = problem.Problem("round", data, torch.randn(5, 3, dtype=torch.float64))
    sampler = program.noisy("sde-adams", "angular:clean=1,noisy=1")
    first = sampler.run(one, 7)
    assert one.calls == 7
    assert torch.equal(sampler.run(one, 7), first)
    assert not torch.equal(sampler.run(one, 8), first)
