"""Equality with diffusers and k-diffusion where those are right, and what is known to differ.

Needs packages that the project does not depend on: `pip install diffusers k-diffusion`.

Known differences, seen with diffusers 0.42 and k-diffusion 0.1.1:

- their third-order DPM-Solver++(3M) has phi_3 where Newton's divided difference needs 2 phi_3;
- diffusers lowers the order in the last steps by default (`lower_order_final`), here the very last
  step alone is DDIM's; its UniPC with `bh1` gives NaN where the last sigma is zero;
- its DEIS is a polynomial in log(sigma / alpha), the paper's in t, ours in flow time;
- its multistep schedulers round times to whole steps, so that only grids of whole steps compare.
"""

import pytest
import torch

from demist.core import VE
from demist.core.exact import Exact
from demist.samplers import karras, make_solver, sample, trailing
from truth import DDPM_TABLE, MIXTURE, T, f64

EXACT = Exact(MIXTURE, DDPM_TABLE)
START = torch.randn(16, 2, dtype=f64, generator=torch.Generator().manual_seed(0))
TABLE = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


def run(scheduler, n, leave=0):
    """Sample with a scheduler of diffusers, given the exact eps; the last steps may be left out."""
    scheduler.set_timesteps(n)
    x = START
    for step in scheduler.timesteps[: len(scheduler.timesteps) - leave]:
        assert step == step.round()
        eps = EXACT(x, T((float(step) + 1) / 1000)).eps
        x = scheduler.step(eps, step, x).prev_sample
    return x


def ours(spec, n, leave=0):
    return sample(EXACT, START, trailing(n)[: n + 1 - leave], make_solver(spec))


def close(a, b):
    torch.testing.assert_close(a, b, rtol=2e-4, atol=2e-4)  # their tables are float32


@pytest.mark.parametrize("n", [10, 20])
@pytest.mark.parametrize("skip", [True, False])
def test_pndm_of_diffusers(skip, n):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.PNDMScheduler(
        **TABLE, skip_prk_steps=skip, set_alpha_to_one=True, timestep_spacing="trailing"
    )
    close(ours(f"pndm:start={'heun' if skip else 'runge-kutta'}", n), run(scheduler, n))


@pytest.mark.parametrize("variant", ["bh1", "bh2"])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_unipc_of_diffusers(p, variant):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.UniPCMultistepScheduler(
        **TABLE, solver_order=p, solver_type=variant, timestep_spacing="trailing",
        final_sigmas_type="zero",
    )  # fmt: skip
    leave = {"bh1": 1, "bh2": 0}[variant] if p < 3 else 2
    close(ours(f"unipc:p={p},variant={variant}", 10, leave), run(scheduler, 10, leave))


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_lms_of_k_diffusion(p):
    sampling = pytest.importorskip("k_diffusion.sampling")
    model, grid = Exact(MIXTURE, VE(80.0)), karras(12, VE(80.0))

    def denoiser(x, sigma):
        return model(x, sigma[0] / 80).x0

    theirs = sampling.sample_lms(denoiser, 80 * START, 80 * grid, disable=True, order=p)
    close(sample(model, 80 * START, grid, make_solver(f"lms:p={p},start=lower")), theirs)


def test_third_order_of_k_diffusion_is_of_second_order():
    """phi_3 for 2 phi_3: between two noisy levels its error falls by 4 where ours falls by 8."""
    sampling = pytest.importorskip("k_diffusion.sampling")
    model, n = Exact(MIXTURE, VE(80.0)), 320
    levels = torch.linspace(4, -3, n + 1, dtype=f64).exp() / 80  # even in log(sigma)

    def denoiser(x, sigma):
        return model(x, sigma[0] / 80).x0

    start = float(80 * levels[0]) * START
    end = sample(model, start, levels, make_solver("deis:p=4,start=runge-kutta"))

    def errors(stride):
        grid = levels[::stride]
        theirs = sampling.sample_dpmpp_3m_sde(denoiser, start, 80 * grid, eta=0.0, disable=True)
        own = sample(model, start, grid, make_solver("dpmpp-3m:start=lower"))
        return torch.stack([(y - end).square().mean().sqrt() for y in (theirs, own)])

    order = (errors(2) / errors(1)).log2()
    assert order.tolist() == pytest.approx([2, 3], abs=0.3)
