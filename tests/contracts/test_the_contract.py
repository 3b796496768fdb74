"""The contract of order passes a right method, also one better than it claims, and no wrong one."""

from dataclasses import dataclass

import pytest
import test_solvers as contract
import torch

from demist.samplers import Solver

GAUSSIAN = contract.test_order_from_pure_noise_to_clean_data_gaussian
INSIDE = contract.test_order_inside
MIXTURE = contract.test_order_from_pure_noise_to_clean_data_mixture


@dataclass(frozen=True)
class Midpoint(Solver):
    """The midpoint rule in flow time, right as it stands; its options make it wrong."""

    order: int = 2
    where: float = 0.5
    late: float = 1.0  # the weight of what is found at the midpoint

    name = "midpoint"

    def step(self, model, x, t, s, memory, noise):
        scale, tau = flow_time(model.schedule, t)
        scale_s, tau_s = flow_time(model.schedule, s)
        half = tau + self.where * (tau_s - tau)
        middle = model.schedule.time_at_angle(torch.atan2(half, 1 - half))
        alpha, sigma = model.schedule(middle)
        p = model(x, t)
        q = model(alpha * p.x0 + sigma * p.eps, middle)
        v = self.late * (q.eps - q.x0) + (1 - self.late) * (p.eps - p.x0)
        return scale_s * ((1 / scale) * x + (tau_s - tau) * v), None

    def evaluations(self, steps):
        return 2 * steps


def flow_time(schedule, t):
    alpha, sigma = schedule(t)
    return alpha + sigma, sigma / (alpha + sigma)


def passes(proof, solver, name="linear"):
    try:
        proof(solver, name)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("name", ["linear", "ve"])
def test_a_right_method_passes(name):
    assert all(passes(proof, Midpoint(), name) for proof in (GAUSSIAN, INSIDE, MIXTURE))


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [Midpoint(where=0.4), Midpoint(late=0.9), Midpoint(late=0.0)],
    ids=["not-in-the-middle", "wrong-weight", "the-first-velocity-alone"],
)
def test_a_wrong_method_fails_everywhere(wrong):
    assert not any(passes(proof, wrong) for proof in (GAUSSIAN, INSIDE, MIXTURE))


@pytest.mark.parametrize("claim", [1, 3])
def test_a_method_must_be_what_it_claims_on_the_mixture(claim):
    """On Gaussian data the midpoint rule is of third order at least, by symmetry."""
    assert passes(GAUSSIAN, Midpoint(claim))
    assert passes(INSIDE, Midpoint(claim))
    assert not passes(MIXTURE, Midpoint(claim))
