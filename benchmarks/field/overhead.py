"""Time that each library adds to the network's own, per step.

The network returns a constant, so all the time is the sampler's and that of the library's own
network wrapper (scaling, time conversion, parameterization). One step of every library in turn, so
that all see the same machine; medians over many turns.
"""

import contextlib
import os
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from field.problem import TABLE

SHAPE = (16, 3, 32, 32)
STEPS = 50
METHODS = ("Euler / DDIM", "Heun", "DPM-Solver++(2M)", "linear multistep, order 3")
Run = Callable[[], Tensor]


class Constant(nn.Module):
    """A network that costs nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Parameter(torch.randn(SHAPE), requires_grad=False)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.output


def runs() -> dict[tuple[str, str], Run]:
    """One call that makes `STEPS` steps, for each method and library."""
    with contextlib.redirect_stderr(open(os.devnull, "w")):
        return {**_demist(), **_k_diffusion(), **_diffusers(), **_azula()}


def _demist() -> dict[tuple[str, str], Run]:
    from demist.core import Denoiser, Eps, IndexClock
    from demist.core.prediction import Prediction
    from demist.samplers import make_grid, make_solver, sample

    wrapped = Denoiser(Constant(), TABLE, Eps(), clock=IndexClock(1000))
    x, grid = torch.randn(SHAPE), make_grid("angular", STEPS, TABLE)

    class Bare:
        schedule = TABLE

        def __call__(self, x: Tensor, t: Tensor) -> Prediction:
            return Prediction(x, x, *TABLE(t))

    names = dict(zip(METHODS, ("ddim", "heun", "dpmpp-2m", "lms:p=3"), strict=True))
    return {
        (method, label): lambda name=name, model=model: sample(model, x, grid, make_solver(name))
        for method, name in {**names, "Adams (demist's default)": "adams"}.items()
        for label, model in (("demist", wrapped), ("demist, no wrapper", Bare()))
    }


def _k_diffusion() -> dict[tuple[str, str], Run]:
    from field.peer_k_diffusion import K, external

    wrapped = external.DiscreteEpsDDPMDenoiser(Constant(), TABLE.alpha_bar.float(), quantize=False)
    output = torch.randn(SHAPE)
    sigmas, x = wrapped.get_sigmas(STEPS), torch.randn(SHAPE)
    names = ("sample_euler", "sample_heun", "sample_dpmpp_2m", "sample_lms")
    found = {}
    for method, name in zip(METHODS, names, strict=True):
        extra = {"order": 3} if name == "sample_lms" else {}
        for label, model in (
            ("k-diffusion", wrapped),
            ("k-diffusion, no wrapper", lambda x, sigma: output),
        ):
            found[method, label] = lambda name=name, model=model, extra=extra: getattr(K, name)(
                model, x, sigmas, disable=True, **extra
            )
    return found


def _diffusers() -> dict[tuple[str, str], Run]:
    import diffusers

    net, x = Constant(), torch.randn(SHAPE)

    def loop(scheduler: object) -> Tensor:
        state = x
        scheduler.set_timesteps(STEPS)
        for t in scheduler.timesteps:
            output = net(scheduler.scale_model_input(state, t), t)
            state = scheduler.step(output, t, state).prev_sample
        return state

    classes = ("DDIM", "HeunDiscrete", "DPMSolverMultistep", "LMSDiscrete")
    made = [getattr(diffusers, f"{name}Scheduler")() for name in classes]
    return {
        (method, "diffusers"): lambda scheduler=scheduler: loop(scheduler)
        for method, scheduler in zip(METHODS, made, strict=True)
    }


def _azula() -> dict[tuple[str, str], Run]:
    from azula import denoise, noise, sample

    model, x = denoise.KarrasDenoiser(Constant(), noise.VPSchedule()), torch.randn(SHAPE)
    makers = (sample.DDIMSampler, sample.HeunSampler, sample.xEABSampler, sample.zABSampler)
    found = {}
    for method, maker in zip(METHODS, makers, strict=True):
        extra = {"order": 3} if maker is sample.zABSampler else {}
        sampler = maker(model, steps=STEPS, silent=True, **extra)
        found[method, "azula"] = lambda sampler=sampler: sampler(x)
    return found


def measure(turns: int = 15) -> dict[tuple[str, str], float]:
    """Median milliseconds per step, all libraries taking turns."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every = runs()
    times: dict[tuple[str, str], list[float]] = {key: [] for key in every}
    with torch.no_grad():
        for turn in range(turns + 1):
            for key, run in every.items():
                start = time.perf_counter()
                run()
                if turn:  # the first turn warms up
                    times[key].append(1e3 * (time.perf_counter() - start) / STEPS)
    return {key: statistics.median(values) for key, values in times.items()}
