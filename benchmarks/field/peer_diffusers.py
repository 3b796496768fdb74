"""diffusers: its deterministic schedulers, driven as its pipelines drive them.

The network is called at the timestep that the scheduler hands out, on the input that
`scale_model_input` returns; a scheduler that rounds its timesteps is so told the rounded noise
level, as a trained network would be. Timesteps that are not whole are read back with the very
interpolation that the scheduler made them with (in sigma, or in log sigma). Outputs are the exact
eps, or v, velocity or preconditioned output for the schedulers that want those.

`clip_sample`, which would clip x0 to [-1, 1], is off: the data is not in that range.
"""

import contextlib
import copy
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from typing import Any

import diffusers
import numpy as np
from torch import Tensor

from field.problem import Problem, Sampler, f64

VERSION = diffusers.__version__
diffusers.logging.set_verbosity(logging.CRITICAL)

_BETAS = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
_LEVELS = ("", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_SPACINGS = ("linspace", "leading", "trailing")
_IN_SIGMA = {"EulerDiscrete", "HeunDiscrete", "KDPM2Discrete", "LMSDiscrete"}
_DISCRETE = {"DDIM", "PNDM"}


def _combinations(**choices: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """All choices, the first one of each being the default; "" and None are left out."""
    for values in product(*choices.values()):
        row = {}
        for key, value in zip(choices, values, strict=True):
            if key == "levels":
                if value:
                    row[value] = True
            elif value is not None:
                row[key] = value
        yield row


def _fits(row: Mapping[str, Any]) -> bool:
    """Whether the order has the solver type: "heun" is for order 2 only."""
    return not (row.get("solver_order") and row.get("solver_type"))


def _settings() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every scheduler with every sensible set of options that differ from its defaults."""
    spacing = (None, "leading", "trailing")  # where the default is linspace
    for row in _combinations(
        timestep_spacing=(None, "linspace", "trailing"), set_alpha_to_one=(None, False)
    ):
        yield "DDIM", row
    for row in _combinations(
        timestep_spacing=(None, "linspace", "trailing"),
        skip_prk_steps=(None, True),
        set_alpha_to_one=(None, True),
    ):
        yield "PNDM", row
    for name in ("EulerDiscrete", "HeunDiscrete", "KDPM2Discrete"):
        for row in _combinations(timestep_spacing=spacing, levels=_LEVELS):
            yield name, row
    for row in _combinations(order=(None, 3, 2), timestep_spacing=spacing, levels=_LEVELS):
        yield "LMSDiscrete", row
    solver = {"solver_order": (None, 3), "solver_type": (None, "heun")}
    for row in _combinations(
        **solver,
        timestep_spacing=spacing,
        levels=(*_LEVELS, "use_lu_lambdas"),
        ends=(None, "sigma_min", "euler_at_final", "full_order_final"),
    ):
        ends = row.pop("ends", None)
        if ends == "sigma_min":
            row["final_sigmas_type"] = ends
        elif ends:
            row |= (
                {"euler_at_final": True}
                if ends == "euler_at_final"
                else {"lower_order_final": False}
            )
        if _fits(row):
            yield "DPMSolverMultistep", row
    for row in _combinations(
        **solver, timestep_spacing=spacing, levels=(*_LEVELS, "use_lu_lambdas")
    ):
        if _fits(row):
            row |= {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
            yield "DPMSolverMultistep", row
    for row in _combinations(
        **solver,
        levels=_LEVELS,
        final_sigmas_type=(None, "sigma_min"),
        lower_order_final=(None, True),
    ):
        if _fits(row):
            yield "DPMSolverSinglestep", row
    for row in _combinations(**solver, levels=_LEVELS, lower_order_final=(None, True)):
        if _fits(row):
            row |= {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
            yield "DPMSolverSinglestep", row
    for row in _combinations(
        solver_order=(None, 3),
        solver_type=(None, "bh1"),
        timestep_spacing=spacing,
        levels=_LEVELS,
        predict_x0=(None, False),
        ends=(None, "sigma_min", "full_order_final"),
    ):
        ends = row.pop("ends", None)
        if ends:
            row |= (
                {"final_sigmas_type": ends} if ends == "sigma_min" else {"lower_order_final": False}
            )
        yield "UniPCMultistep", row
    for row in _combinations(
        solver_order=(None, 3),
        timestep_spacing=spacing,
        levels=_LEVELS,
        lower_order_final=(None, False),
    ):
        yield "DEISMultistep", row
    for row in _combinations(
        predictor_order=(None, 3),
        corrector_order=(None, 3, 1),
        timestep_spacing=spacing,
        levels=_LEVELS,
        algorithm_type=(None, "noise_prediction"),
    ):
        yield "SASolver", row
    yield "IPNDM", {}
    ranges = {
        "sigma_max": (None, "top"),
        "sigma_min": (None, 0.01, 0.03),
        "sigma_schedule": (None, "exponential"),
    }
    for row in _combinations(**ranges):
        yield "EDMEuler", row
    for row in _combinations(
        **solver,
        **ranges,
        euler_at_final=(None, True),
        lower_order_final=(None, False),
    ):
        if _fits(row):
            yield "EDMDPMSolverMultistep", row
    for row in _combinations(shift=(None, 3.0), levels=_LEVELS):
        yield "FlowMatchEulerDiscrete", row
    for row in _combinations(shift=(None, 3.0)):
        yield "FlowMatchHeunDiscrete", row
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    for row in _combinations(**solver, flow_shift=(None, 2.0, 3.0)):
        if _fits(row):
            yield "DPMSolverMultistep", row | flow
    for row in _combinations(
        solver_order=(None, 3), solver_type=(None, "bh1"), flow_shift=(None, 2.0, 3.0)
    ):
        yield "UniPCMultistep", row | flow
    for row in _combinations(solver_order=(None, 3), flow_shift=(None, 2.0, 3.0)):
        yield "DEISMultistep", row | flow


def samplers() -> list[Sampler]:
    found = []
    for name, row in _settings():
        mark = "" if row else "library" if name == "DPMSolverMultistep" else "class"
        text = ", ".join(f"{key}={value}" for key, value in row.items())

        def run(problem: Problem, n: int, name=name, row=row) -> Tensor:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                return _run(problem, n, name, row)

        beyond = None
        if name == "IPNDM" or name.startswith("FlowMatch") or row.get("use_flow_sigmas"):
            beyond = math.inf
        found.append(Sampler("diffusers", f"{name}Scheduler", text, run, mark, noisier=beyond))
    return found


@cache
def _made(name: str, row: frozenset[tuple[str, Any]]) -> Any:
    options = dict(row)
    if name == "IPNDM" or name.startswith(("EDM", "FlowMatch")):
        pass
    elif name == "DDIM":
        options |= {**_BETAS, "clip_sample": False}
    elif name == "SASolver":
        options |= {**_BETAS, "tau_func": lambda t: 0.0}
    else:
        options |= _BETAS
    return getattr(diffusers, f"{name}Scheduler")(**options)


def _run(problem: Problem, n: int, name: str, row: Mapping[str, Any]) -> Tensor:
    row = {key: problem.top if value == "top" else value for key, value in row.items()}
    order = {"order": row.pop("order")} if "order" in row else {}
    scheduler = copy.deepcopy(_made(name, frozenset(row.items())))
    scheduler.set_timesteps(n)
    if name.startswith("EDM"):
        return _edm(problem, scheduler)
    if name == "IPNDM":
        return _v_diffusion(problem, scheduler)
    if name.startswith("FlowMatch") or row.get("use_flow_sigmas"):
        return _flow(problem, scheduler)
    return _ddpm(problem, scheduler, name, row, order)


def _ddpm(problem: Problem, scheduler: Any, name: str, row: Mapping, order: Mapping) -> Tensor:
    """Schedulers of a network that predicts eps at timesteps of DDPM's table."""
    bar = scheduler.alphas_cumprod.double().numpy()
    sigmas = ((1 - bar) / bar) ** 0.5
    converted = any(key.startswith("use_") for key in row)

    def told(t: Tensor) -> float:
        """sigma / alpha at the timestep that the network is told."""
        t = float(t)
        if t == int(t):
            return float(sigmas[int(t)])
        if converted or not getattr(scheduler, "state_in_first_order", True):
            return float(np.exp(np.interp(t, np.arange(len(bar)), np.log(sigmas))))
        return float(np.interp(t, np.arange(len(bar)), sigmas))

    first = told(scheduler.timesteps[0]) if name in _DISCRETE else float(scheduler.sigmas[0])
    x = (first if name in _IN_SIGMA else first / math.hypot(1, first)) * problem.z
    for t in scheduler.timesteps:
        level = told(t)
        alpha = 1 / math.hypot(1, level)
        seen = scheduler.scale_model_input(x, t)
        eps = problem.predict(seen, alpha, level * alpha)[1]
        x = scheduler.step(eps, t, x, **order).prev_sample
    return x.to(f64)


def _edm(problem: Problem, scheduler: Any) -> Tensor:
    """Schedulers of a network with EDM's preconditioning, told log(sigma) / 4."""
    x = float(scheduler.sigmas[0]) * problem.z
    std = scheduler.config.sigma_data
    for t in scheduler.timesteps:
        sigma = math.exp(4 * float(t))
        total = math.hypot(sigma, std)
        state = scheduler.scale_model_input(x, t) * total
        x0 = problem.predict(state, 1.0, sigma)[0]
        output = (x0 - std**2 / total**2 * state) / (sigma * std / total)
        x = scheduler.step(output, t, x).prev_sample
    return x.to(f64)


def _v_diffusion(problem: Problem, scheduler: Any) -> Tensor:
    """IPNDM: a network that predicts v at an angle, from pure noise."""
    x = problem.z
    for t in scheduler.timesteps:
        angle = float(t) * math.pi / 2
        x0, eps = problem.predict(x, math.cos(angle), math.sin(angle))
        v = math.cos(angle) * eps - math.sin(angle) * x0
        x = scheduler.step(v, t, x).prev_sample
    return x.to(f64)


def _flow(problem: Problem, scheduler: Any) -> Tensor:
    """Schedulers of a network that predicts the velocity eps - x0 of the linear path."""
    x = float(scheduler.sigmas[0]) * problem.z
    for t in scheduler.timesteps:
        sigma = float(t) / 1000
        x0, eps = problem.predict(x, 1 - sigma, sigma)
        x = scheduler.step(eps - x0, t, x).prev_sample
    return x.to(f64)
