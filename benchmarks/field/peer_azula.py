"""azula: its ODE samplers, whose time grid is even in the time of the chosen schedule.

azula's denoisers are told sigma / alpha, so that the schedule "can be replaced at any time": every
schedule counts as a setting. Each is made to start at the table's noisiest ratio.
"""

import importlib.metadata
from itertools import product

import torch
from azula import noise, sample
from azula.denoise import Denoiser, DiracPosterior
from torch import Tensor

from field.problem import Problem, Sampler, f64

VERSION = importlib.metadata.version("azula")


class _Exact(Denoiser):
    def __init__(self, problem: Problem, schedule: noise.Schedule):
        super().__init__()
        self.problem = problem
        self.schedule = schedule

    def forward(self, x_t: Tensor, t: Tensor) -> DiracPosterior:
        return DiracPosterior(self.problem.predict(x_t, *self.schedule(t))[0].to(x_t))


def _schedules() -> dict[str, object]:
    """Schedules by settings, from the start's sigma / alpha; the first is the default."""
    found = {}
    for low in (1e-3, 1e-2, 1e-4):
        tail = f"(sigma_min={low:g})"

        def alpha(top: float, low: float = low) -> float:
            return ((1 + low**2) / (1 + top**2)) ** 0.5

        found["VP" + tail] = lambda top, low=low: noise.VPSchedule(alpha(top, low), low)
        found["VE" + tail] = lambda top, low=low: noise.VESchedule(low, top)
        found["Cosine" + tail] = lambda top, low=low: noise.CosineSchedule(alpha(top, low), low)
        found["Rectified" + tail] = lambda top, low=low: noise.RectifiedSchedule(1 / top, low)
        for gamma in (0.1, 0.01, 0.001):
            name = f"Decay(sigma_min={low:g}, gamma={gamma:g})"
            found[name] = lambda top, low=low, gamma=gamma: noise.DecaySchedule(1 / top, low, gamma)
    return found


def samplers() -> list[Sampler]:
    methods = {(name, ""): {} for name in ("DDIM", "Euler", "Heun")}
    methods["Ito", "eta=0"] = {"eta": 0.0}
    for name in ("zAB", "vAB", "zEAB", "xEAB", "REAB"):
        methods[name, ""] = {}
        for order in (1, 3, 4):
            methods[name, f"order={order}"] = {"order": order}
    found = []
    for (i, (tail, make)), ((name, options), kwargs) in product(
        enumerate(_schedules().items()), methods.items()
    ):

        def run(problem: Problem, n: int, make=make, name=name, kwargs=kwargs) -> Tensor:
            schedule = make(problem.top)
            method = getattr(sample, f"{name}Sampler")
            sampler = method(_Exact(problem, schedule), steps=n, silent=True, dtype=f64, **kwargs)
            return sampler(schedule(torch.ones((), dtype=f64))[1] * problem.z)

        mark = "" if options or i else "library" if name == "DDIM" else "class"
        settings = ", ".join(filter(None, (options, tail)))
        found.append(Sampler("azula", f"{name}Sampler", settings, run, mark))
    return found
