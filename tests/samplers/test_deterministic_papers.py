"""Equality with the recurrences as the papers and their authors' code print them.

Each is written in the paper's variables, by other means than the package: closed-form inverses,
linear solves, polynomials by numpy.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.polynomial import Polynomial

from demist.core import VE, VP, Cosine, Linear
from demist.core.exact import Exact
from demist.samplers import DDIM, make_solver, sample, smooth, trailing, uniform
from truth import DDPM_TABLE, MIXTURE, T, f64

BAR = DDPM_TABLE.alpha_bar
EXACT = Exact(MIXTURE, DDPM_TABLE)
START = torch.randn(16, 2, dtype=f64, generator=torch.Generator().manual_seed(0))
STEPS = list(range(999, -1, -100))
TIMES = [(i + 1) / 1000 for i in STEPS]


def check(ours, paper, tolerance=1e-9):
    torch.testing.assert_close(ours, paper, rtol=tolerance, atol=tolerance)


def on_the_table(spec):
    return sample(EXACT, START, trailing(10), make_solver(spec))


class PaperVP:
    """The continuous VP schedule in the letters of DPM-Solver (appendix D)."""

    low, high = 0.1, 20.0
    model = Exact(MIXTURE, VP(0.1, 20.0))

    def log_alpha(self, t):
        return -(self.high - self.low) / 4 * t**2 - self.low / 2 * t

    def levels(self, t):
        alpha = math.exp(self.log_alpha(t))
        sigma = math.sqrt(1 - alpha**2)
        return alpha, sigma, math.log(alpha / sigma)

    def t_lambda(self, lam):
        root = self.low**2 + 2 * (self.high - self.low) * math.log(math.exp(-2 * lam) + 1)
        return 2 * math.log(math.exp(-2 * lam) + 1) / (math.sqrt(root) + self.low)

    def eps(self, x, t):
        return self.model(x, T(t)).eps

    def x0(self, x, t):
        return self.model(x, T(t)).x0


VP_GRID = [1.0, 0.8, 0.55, 0.4, 0.2, 0.07, 0.0]


def on_vp(one_step, final):
    """Run a singlestep method of a paper along VP_GRID; the last step is DDIM's."""
    paper, x = PaperVP(), START
    for t, s in pairwise(VP_GRID[:-1]):
        x = one_step(paper, x, t, s)
    return final(paper, x, VP_GRID[-2])


def denoise(paper, x, t):
    return paper.x0(x, t)


def test_dpm_solver_2_of_lu_et_al():
    """arXiv:2206.00927, algorithm 1."""

    def step(v, x, t, s):
        (a, _, lam), (b, f, end) = v.levels(t), v.levels(s)
        h = end - lam
        m = v.t_lambda((lam + end) / 2)
        am, gm, _ = v.levels(m)
        u = am / a * x - gm * (math.exp(h / 2) - 1) * v.eps(x, t)
        return b / a * x - f * (math.exp(h) - 1) * v.eps(u, m)

    ours = sample(PaperVP.model, START, T(VP_GRID), make_solver("dpm-solver-2"))
    check(ours, on_vp(step, denoise))


def test_dpm_solver_3_of_lu_et_al():
    """arXiv:2206.00927, algorithm 2."""

    def step(v, x, t, s):
        (a, _, lam), (b, f, end) = v.levels(t), v.levels(s)
        h, r1, r2 = end - lam, 1 / 3, 2 / 3
        s1, s2 = v.t_lambda(lam + r1 * h), v.t_lambda(lam + r2 * h)
        (a1, g1, _), (a2, g2, _) = v.levels(s1), v.levels(s2)
        e = v.eps(x, t)
        u1 = a1 / a * x - g1 * (math.exp(r1 * h) - 1) * e
        d1 = v.eps(u1, s1) - e
        u2 = a2 / a * x - g2 * (math.exp(r2 * h) - 1) * e
        u2 = u2 - g2 * r2 / r1 * ((math.exp(r2 * h) - 1) / (r2 * h) - 1) * d1
        d2 = v.eps(u2, s2) - e
        return b / a * x - f * (math.exp(h) - 1) * e - f / r2 * ((math.exp(h) - 1) / h - 1) * d2

    ours = sample(PaperVP.model, START, T(VP_GRID), make_solver("dpm-solver-3"))
    check(ours, on_vp(step, denoise))


def test_dpmpp_2s_of_lu_et_al():
    """arXiv:2211.01095, algorithm 1, r = 1/2."""

    def step(v, x, t, s):
        (_, g, lam), (b, f, end) = v.levels(t), v.levels(s)
        h = end - lam
        m = v.t_lambda(lam + h / 2)
        am, gm, _ = v.levels(m)
        u = gm / g * x - am * math.expm1(-h / 2) * v.x0(x, t)
        return f / g * x - b * math.expm1(-h) * v.x0(u, m)

    ours = sample(PaperVP.model, START, T(VP_GRID), make_solver("dpmpp-2s"))
    check(ours, on_vp(step, denoise))


def test_dpmpp_3s_of_the_authors_code():
    """`singlestep_dpm_solver_third_update` with data prediction and the Taylor type."""

    def step(v, x, t, s):
        (_, g, lam), (b, f, end) = v.levels(t), v.levels(s)
        h, r1, r2 = end - lam, 1 / 3, 2 / 3
        s1, s2 = v.t_lambda(lam + r1 * h), v.t_lambda(lam + r2 * h)
        (a1, g1, _), (a2, g2, _) = v.levels(s1), v.levels(s2)
        phi_11, phi_12, phi_1 = math.expm1(-r1 * h), math.expm1(-r2 * h), math.expm1(-h)
        phi_22 = math.expm1(-r2 * h) / (r2 * h) + 1
        phi_2 = phi_1 / h + 1
        phi_3 = phi_2 / h - 0.5
        m = v.x0(x, t)
        m1 = v.x0(g1 / g * x - a1 * phi_11 * m, s1)
        m2 = v.x0(g2 / g * x - a2 * phi_12 * m + r2 / r1 * a2 * phi_22 * (m1 - m), s2)
        d1_0, d1_1 = (m1 - m) / r1, (m2 - m) / r2
        d1 = (r2 * d1_0 - r1 * d1_1) / (r2 - r1)
        d2 = 2 * (d1_1 - d1_0) / (r2 - r1)
        return f / g * x - b * phi_1 * m + b * phi_2 * d1 - b * phi_3 * d2

    ours = sample(PaperVP.model, START, T(VP_GRID), make_solver("dpmpp-3s"))
    check(ours, on_vp(step, denoise))


def levels(i):
    alpha, sigma = float(BAR[i].sqrt()), float((1 - BAR[i]).sqrt())
    return alpha, sigma, math.log(alpha / sigma)


def test_dpmpp_3m_of_the_authors_code_with_the_third_order_term_mended():
    """`multistep_dpm_solver_third_update`, in which D2 is half the derivative that phi_3 needs."""
    x, past = START, []
    for i, j in pairwise(STEPS):
        (_, g, lam), (b, f, end) = levels(i), levels(j)
        h, m = end - lam, EXACT(x, T((i + 1) / 1000)).x0
        past = [(lam, m), *past][:3]
        phi_1 = math.expm1(-h)
        phi_2 = phi_1 / h + 1
        phi_3 = phi_2 / h - 0.5
        y = f / g * x - b * phi_1 * m
        if len(past) == 2:
            r0 = (lam - past[1][0]) / h
            y = y + b * phi_2 * (m - past[1][1]) / r0
        if len(past) == 3:
            (_, m0), (lam1, m1), (lam2, m2) = past
            r0, r1 = (lam - lam1) / h, (lam1 - lam2) / h
            d1_0, d1_1 = (m0 - m1) / r0, (m1 - m2) / r1
            d1 = d1_0 + r0 / (r0 + r1) * (d1_0 - d1_1)
            d2 = (d1_0 - d1_1) / (r0 + r1)
            y = y + b * phi_2 * d1 - 2 * b * phi_3 * d2
        x = y
    check(on_the_table("dpmpp-3m:start=lower"), EXACT(x, T((STEPS[-1] + 1) / 1000)).x0)


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_unipc_of_zhao_et_al(p, variant):
    """arXiv:2302.04867, algorithms 1 and 2 for data prediction: R_p(h) a_p B(h) = phi_p(h)."""

    def update(x, i, j, m, others, correct):
        """`others`: (lambda, x0) of the extra points; in a correction the last is the one at j."""
        (_, g, lam), (b, f, end) = levels(i), levels(j)
        hh = -(end - lam)
        rks = [(other - lam) / -hh for other, _ in others]
        h_phi_1 = math.expm1(hh)
        scale = hh if variant == "bh1" else h_phi_1
        y = f / g * x - b * h_phi_1 * m
        if not others:
            return y
        rows, right, h_phi_k, factorial = [], [], h_phi_1 / hh - 1, 1
        for k in range(1, len(others) + 1):
            rows.append([r ** (k - 1) for r in rks])
            right.append(h_phi_k * factorial / scale)
            factorial *= k + 1
            h_phi_k = h_phi_k / hh - 1 / factorial
        a = np.linalg.solve(np.array(rows), np.array(right)) if len(others) > 1 else [0.5]
        total = sum(float(c) * (q - m) / r for c, r, (_, q) in zip(a, rks, others, strict=True))
        return y - b * scale * total

    x, past, before = START, [], None
    for k, i in enumerate(STEPS):
        m, lam = EXACT(x, T((i + 1) / 1000)).x0, levels(i)[2]
        if before is not None:
            x = update(before, STEPS[k - 1], i, past[0][1], [*past[1:], (lam, m)], True)
        past = [(lam, m), *past][:p]
        if k + 1 < len(STEPS):
            before = x
            x = update(x, i, STEPS[k + 1], m, past[1:], False)
    check(on_the_table(f"unipc:p={p},variant={variant}"), past[0][1])


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_deis_is_tab_on_the_straight_path(p):
    """arXiv:2204.13902, tAB: int Psi(s, v) w(v) prod (v - t_k) / (t_j - t_k) dv, by quadrature."""
    model, grid = Exact(MIXTURE, Linear()), torch.linspace(0.97, 0, 9, dtype=f64) ** 1.5
    u, w = (T(c) for c in np.polynomial.legendre.leggauss(80))
    x, past = START, []
    for t, s in pairwise(grid.tolist()):
        past = [(t, model(x, T(t)).eps), *past][:p]
        v = (t + s) / 2 + (s - t) / 2 * u
        psi = (1 - s) / (1 - v)  # of dx = -x / (1 - t) dt
        weight = 1 / (1 - v)  # of eps in dx/dt = -x / (1 - t) + eps / (1 - t)
        y = (1 - s) / (1 - t) * x
        for j, (own, eps) in enumerate(past):
            basis = torch.ones_like(v)
            for k, (other, _) in enumerate(past):
                if k != j:
                    basis = basis * (v - other) / (own - other)
            y = y + (s - t) / 2 * (w * psi * weight * basis).sum() * eps
        x = y
    check(sample(model, START, grid, make_solver(f"deis:p={p},start=lower")), x)


def transfer(x, e, a, b):
    """Liu et al. 2022, eq. 9: `a` and `b` are alpha-bar before and after."""
    top = (b - a) * e
    return (b / a).sqrt() * x - top / (a.sqrt() * (((1 - b) * a).sqrt() + ((1 - a) * b).sqrt()))


def bar(i):
    return BAR[i] if i >= 0 else T(1.0)


def eps(x, i):
    return EXACT(x, T((i + 1) / 1000)).eps


def adams(past, p=4):
    past = past[:p]
    weights = {1: [1], 2: [3, -1], 3: [23, -16, 5], 4: [55, -59, 37, -9]}[len(past)]
    return sum(w * e for w, e in zip(weights, past, strict=True)) / sum(weights)


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_ipndm_of_zhang_and_chen(p):
    x, past = START, []
    for i in STEPS:
        past = [eps(x, i), *past]
        x = transfer(x, adams(past, p), bar(i), bar(i - 100))
    check(on_the_table(f"ipndm:p={p}"), x)


def test_pndm_of_liu_et_al():
    """arXiv:2202.09778, algorithm 2: three pseudo Runge-Kutta steps, then linear multistep."""
    x, past = START, []
    for k, i in enumerate(STEPS):
        e1 = eps(x, i)
        past = [e1, *past]
        if k < 3:
            half = transfer(x, e1, bar(i), bar(i - 50))
            e2 = eps(half, i - 50)
            e3 = eps(transfer(x, e2, bar(i), bar(i - 50)), i - 50)
            e4 = eps(transfer(x, e3, bar(i), bar(i - 100)), i - 100)
            e = (e1 + 2 * e2 + 2 * e3 + e4) / 6
        else:
            e = adams(past)
        x = transfer(x, e, bar(i), bar(i - 100))
    check(on_the_table("pndm:start=runge-kutta"), x)


def test_plms_of_stable_diffusion():
    """The first step is a pseudo improved Euler step, then multistep of growing order."""
    x, past = START, []
    for k, i in enumerate(STEPS):
        e = eps(x, i)
        past = [e, *past]
        if k == 0:
            e = (e + eps(transfer(x, e, bar(i), bar(i - 100)), i - 100)) / 2
        else:
            e = adams(past)
        x = transfer(x, e, bar(i), bar(i - 100))
    check(on_the_table("pndm:start=heun"), x)


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_lms_of_k_diffusion(p):
    """`sample_lms` on EDM's path; the integrals of Lagrange's polynomials by numpy."""
    schedule = VE(80.0)
    model, grid = Exact(MIXTURE, schedule), torch.linspace(1, 0, 13, dtype=f64) ** 3
    x, past = 80 * START, []
    for t, s in pairwise(grid):
        sigma, end = float(80 * t), float(80 * s)
        past = [(sigma, (x - model(x, t).x0) / sigma), *past][:p]
        for own, d in past:
            basis = Polynomial([1.0])
            for other, _ in past:
                if other != own:
                    basis = basis * Polynomial([-other, 1.0]) / (own - other)
            integral = basis.integ()
            x = x + float(integral(end) - integral(sigma)) * d
    check(sample(model, 80 * START, grid, make_solver(f"lms:p={p},start=lower")), x, 1e-7)


def test_euler_is_the_probability_flow_in_t():
    """Song et al. 2021, eq. 13: f x - g^2 / 2 score, with the drift and diffusion of VP."""
    schedule, x = VP(0.1, 20.0), START
    model, grid = Exact(MIXTURE, schedule), uniform(20)
    for t, s in pairwise(grid[:-1]):
        beta = 0.1 + 19.9 * t
        score = -model(x, t).eps / schedule(t)[1]
        x = x + (s - t) * (-beta / 2 * x - beta / 2 * score)
    x = model(x, grid[-2]).x0
    check(sample(model, START, grid, make_solver("euler")), x)


@pytest.mark.parametrize("schedule", [Linear(), VE()], ids=["linear", "ve"])
def test_euler_is_ddim_on_straight_paths_and_not_elsewhere(schedule):
    def gap(path):
        grid = smooth(9, path)
        start = START * path(T(1.0))[1]
        both = (
            sample(Exact(MIXTURE, path), start, grid, s) for s in (DDIM(), make_solver("euler"))
        )
        return float(torch.sub(*both).abs().max())

    assert gap(schedule) < 1e-12
    assert gap(Cosine()) > 1e-2


@pytest.mark.parametrize("spec", ["deis:p=1", "lms:p=1", "ipndm:p=1"])
@pytest.mark.parametrize("schedule", [Linear(), VP(), VE()], ids=["linear", "vp", "ve"])
def test_with_one_prediction_each_is_ddim(spec, schedule):
    model, start, grid = Exact(MIXTURE, schedule), START * schedule(T(1.0))[1], smooth(7, schedule)
    check(sample(model, start, grid, make_solver(spec)), sample(model, start, grid, DDIM()))
