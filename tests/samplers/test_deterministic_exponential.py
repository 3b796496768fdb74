"""The numbers under the exponential integrators, against quadrature and closed forms."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from demist.core import VE, VP, Cosine, Linear, combine
from demist.core.exact import Exact
from demist.samplers import angular
from demist.samplers.numerics.flow import flow_time, runge_kutta
from demist.samplers.numerics.multistep import heun_correction
from demist.samplers.numerics.polynomials import (
    exponential_moments,
    half_log_snr,
    lagrange,
    phi,
    time_at_half,
)
from demist.samplers.solvers.deis import flow_moments
from truth import MIXTURE, NORMAL, T, f64, observed_order, rms

U, W = (0.5 * c for c in np.polynomial.legendre.leggauss(60))
U = U + 0.5


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "z", [-40.0, -5.0, -1.0001, -0.9999, -0.01, -1e-9, 0.0, 1e-6, 0.5, 1.1, 9.0]
)
def test_phi_is_its_integral(k, z):
    """Hochbruck & Ostermann 2010, eq. 2.10; the closed form loses all digits near 0."""
    want = (W * np.exp((1 - U) * z) * U ** (k - 1)).sum() / math.factorial(k - 1)
    assert phi(k, z) == pytest.approx(want, rel=2e-13)


def test_phi_at_the_ends():
    assert [phi(k, -math.inf) for k in (1, 2, 3)] == [0, 0, 0]
    assert phi(0, 0.3) == pytest.approx(math.exp(0.3), rel=1e-15)
    assert math.isfinite(phi(2, 1e6))


@pytest.mark.parametrize("z", [-3.0, -1e-3, 2.0])
def test_exponential_moments_are_integrals(z):
    want = [(W * np.exp((1 - U) * z) * U**k).sum() for k in range(4)]
    assert exponential_moments(z, 4) == pytest.approx(want, rel=1e-13)


@pytest.mark.parametrize("ratio", [1.0001, 1.5, 4.0, 150.0])
def test_flow_moments_are_integrals(ratio):
    """int u^k d / (1 + u d)^2 du with d = ratio - 1."""
    d = ratio - 1
    pieces = np.linspace(0, 1, 401)  # composite, so that the pole near u = 0 does no harm
    u = (pieces[:-1, None] + np.diff(pieces)[:, None] * U).ravel()
    w = (np.diff(pieces)[:, None] * W).ravel()
    want = [(w * d * u**k / (1 + d * u) ** 2).sum() for k in range(4)]
    assert flow_moments(ratio, 4) == pytest.approx(want, rel=1e-9)
    log = math.log(ratio)
    if d > 1:
        assert flow_moments(ratio, 2) == pytest.approx(
            [1 - 1 / ratio, (log - d / ratio) / d], rel=1e-9
        )


@pytest.mark.parametrize("nodes", [(0.3,), (0.0, -1.0), (0.0, -0.4, -1.9), (0.0, 1.0, -0.5, -2.0)])
def test_lagrange_integrates_what_it_interpolates(nodes):
    moments = [1 / (k + 1) for k in range(4)]
    weights = lagrange(nodes, moments)
    for k in range(len(nodes)):
        assert sum(w * u**k for w, u in zip(weights, nodes, strict=True)) == pytest.approx(
            moments[k], rel=1e-12
        )


def test_lagrange_gives_adams_and_bashforth():
    """Hairer, Norsett & Wanner 1993, section III.1."""
    weights = lagrange((0.0, -1.0, -2.0, -3.0), [1 / (k + 1) for k in range(4)])
    assert weights == pytest.approx([55 / 24, -59 / 24, 37 / 24, -9 / 24], rel=1e-12)


def test_combine():
    assert combine([2.0, -1.0], [T([1.0, 2.0]), T([0.5, 0.5])]).tolist() == [1.5, 3.5]


@pytest.mark.parametrize("schedule", [Linear(), VP(), VE(), Cosine()])
def test_half_log_snr_and_back(schedule):
    half = half_log_snr(*schedule(T(0.3)))
    assert half == pytest.approx(float(schedule.log_snr(T(0.3))) / 2)
    assert float(time_at_half(schedule, half)) == pytest.approx(0.3, rel=1e-12)
    assert half_log_snr(*Linear()(T(1.0))) == -math.inf
    assert half_log_snr(*Linear()(T(0.0))) == math.inf
    assert flow_time(*Linear()(T(0.3))) == pytest.approx(0.3)


@pytest.mark.slow
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("schedule", [Linear(), VP(), VE()], ids=["linear", "vp", "ve"])
def test_runge_kutta_has_its_order_from_pure_noise(schedule, order):
    """On a mixture: on one Gaussian the midpoint rule in flow time happens to be of order 3."""
    model, start = Exact(MIXTURE, schedule), torch.randn(16, 2, dtype=f64) * schedule(T(1.0))[1]

    def end(n, order):
        x = start
        for t, s in pairwise(angular(n, schedule)[: n // 2 + 1]):
            x = runge_kutta(model, x, model(x, t), s, order)
        return x

    fine = end(768, 3)
    assert observed_order(lambda n: rms(end(n, order) - fine), 48) == pytest.approx(order, abs=0.1)


def test_heun_correction_turns_euler_into_the_trapezoidal_rule():
    schedule = VP()
    model, t, s = Exact(NORMAL, schedule), T(0.5), T(0.4)
    x = torch.randn(4, 2, dtype=f64)
    (a, g), (b, f) = schedule(t), schedule(s)
    p = model(x, t)
    q = model(b * p.x0 + f * p.eps, s)
    want = x + (b - a) * (p.x0 + q.x0) / 2 + (f - g) * (p.eps + q.eps) / 2
    torch.testing.assert_close(b * p.x0 + f * p.eps + heun_correction(p, q), want)
