"""The sampler that `scheduler_config.json` describes: a solver, its times, and where it starts."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from demist.errors import DataError, DemistError, UsageError
from demist.interop import levels
from demist.interop.asked import MORE, Asked, PublishedSampler, SeenClock
from demist.interop.schedulers import COMMON, DEFAULTS, FLOWS
from demist.samplers import LMS, Solver
from demist.samplers.published import (
    PLMS,
    UNBOUNDED,
    Consistency,
    Exponential,
    Line,
    Posterior,
    Range,
    Stride,
    Trapezoid,
    UniformPC,
)

EVENLY = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline", "QwenImagePipeline")
"""Pipelines that hand even levels to their flow scheduler."""


def published_sampler(
    config: Mapping[str, Any], asked: Mapping[str, Any], where: str
) -> PublishedSampler:
    """The sampler of a configuration.

    Args:
        config: Content of `scheduler_config.json`.
        asked: The other fields of `Asked`, by name.
        where: For messages.

    Raises:
        DataError: Its class has no sampler here, or a value makes no sense.
        UsageError: Such a number of steps is impossible.
    """
    kind = str(config.get("_class_name"))
    if kind not in SAMPLERS:
        raise DataError(
            f"{where} is of the class {kind!r}, whose sampler is not known; leave 'published' out: "
            f"any solver of `demist list solvers` goes with this model. Known are "
            f"{', '.join(SAMPLERS)}"
        )
    values = _values(config)
    try:
        return SAMPLERS[kind](Asked(values=values, **asked))
    except UsageError:
        raise
    except DemistError as error:
        raise DataError(f"{where}: {error}") from None
    except (TypeError, ValueError, ArithmeticError, KeyError, IndexError) as error:
        raise DataError(f"{where} describes no sampler: {error}") from None


def published_shift(config: Mapping[str, Any], tokens: int, where: str) -> float:
    """By what a flow scheduler multiplies the noise levels of its steps; 1 for other schedulers.

    Args:
        config: Content of `scheduler_config.json`.
        tokens: Of the image, as the network counts.
        where: For messages.

    Raises:
        DataError: It is no positive number.
    """
    if config.get("_class_name") not in FLOWS:
        return 1.0
    try:
        shift = levels.shift_of(_values(config), tokens)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise DataError(f"{where} describes no shift: {error}") from None
    if not 0 < shift < math.inf:
        raise DataError(f"{where} shifts its steps by {shift:g}; it must be a positive number")
    return shift


def _values(config: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in config.items() if value is not None}
    return {**COMMON, **MORE, **DEFAULTS.get(str(config.get("_class_name")), {}), **given}


def _ddim(asked: Asked) -> PublishedSampler:
    steps = levels.spaced(asked.values, asked.n, asked.total)
    end = 0.0 if asked.values["set_alpha_to_one"] else asked.first
    aim = Stride((asked.total // asked.n) / asked.total, asked.first, end)
    return PublishedSampler(Line(asked.eta, aim, asked.range), asked.at_steps(steps))


def _ddpm(asked: Asked) -> PublishedSampler:
    kind = asked.values["variance_type"]
    known = {
        "fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large",
        "learned_range": "learned",
    }  # fmt: skip
    if kind not in known:
        raise DataError(f"it has variance_type = {kind!r}; known are {', '.join(known)}")
    if known[kind] == "learned" and not asked.learned:
        raise DataError(f"it has variance_type = {kind!r}, and the network predicts no variance")
    steps = levels.spaced(asked.values, asked.n, asked.total)
    solver = Posterior(asked.first, known[kind])
    return PublishedSampler(solver, asked.at_steps(steps), asked.range)


def _pndm(asked: Asked) -> PublishedSampler:
    values, n, total = asked.values, asked.n, asked.total
    predicted, warm = values["prediction_type"], bool(values["skip_prk_steps"])
    if predicted not in ("epsilon", "v_prediction"):
        raise DataError(f"it has prediction_type = {predicted!r}; known are epsilon, v_prediction")
    if not warm and n < 4:
        raise UsageError(f"{n} steps: PNDM begins with three Runge-Kutta steps; take 4 or more")
    end = 0.0 if values["set_alpha_to_one"] else asked.first
    aim = Stride((total // n) / total, asked.first, end)
    solver = PLMS(aim, (total // n // 2) / total, warm, predicted == "v_prediction")
    return PublishedSampler(solver, asked.at_steps(levels.spaced(values, n, total)))


def _in_sigmas(asked: Asked, solver: Solver, within: Range = UNBOUNDED) -> PublishedSampler:
    """Euler's kin: the start is scaled to the first level, except with leading steps."""
    values = asked.values
    steps, rho = asked.in_table(multistep=False)
    if values["timestep_type"] == "continuous" and values["prediction_type"] == "v_prediction":
        steps = 0.25 * np.log(rho)
    times = asked.at_levels(rho)
    clock = SeenClock(tuple(times[:-1].tolist()), tuple(map(float, steps)))
    scale = 1.0 if values["timestep_spacing"] == "leading" else None
    return PublishedSampler(solver, times, within, clock, scale)


def _euler(asked: Asked) -> PublishedSampler:
    end = asked.end
    if asked.values["interpolation_type"] == "log_linear":
        end = asked.first
    return _in_sigmas(asked, Line(aim=Stride(end=end), whole=True))


def _euler_ancestral(asked: Asked) -> PublishedSampler:
    return _in_sigmas(_plain(asked), Line(eta=1.0))


def _heun(asked: Asked) -> PublishedSampler:
    return _in_sigmas(_plain(asked, levels.RESHAPED), Trapezoid(), asked.range)


def _lms(asked: Asked) -> PublishedSampler:
    return _in_sigmas(_plain(asked, levels.RESHAPED), LMS(4, "lower"))


def _multistep(asked: Asked, solver: Callable[..., Solver], **options: Any) -> PublishedSampler:
    """DPM-Solver and UniPC."""
    values = asked.values
    if values.get("use_flow_sigmas"):
        rho = levels.straight_for_multistep(values, asked.n, solver is UniformPC)
        times = torch.from_numpy(np.append(rho.astype(np.float32), 0.0))
        steps = np.floor(rho * int(values["num_train_timesteps"]))
    else:
        steps, rho = asked.in_table(multistep=True)
        times = asked.at_levels(rho)
    clock = SeenClock(tuple(times[:-1].tolist()), tuple(map(float, steps)))
    p, data = int(values["solver_order"]), options.pop("data")
    if values.get("use_flow_sigmas") and values["final_sigmas_type"] != "zero":
        raise DataError("it has use_flow_sigmas, which is known with final_sigmas_type = zero")
    end = asked.end
    if not 1 <= p <= 3:
        raise DataError(f"it has solver_order = {p}; known are 1 to 3")
    if not data and end == 0:
        raise DataError("it integrates the noise, which has no limit at final_sigmas_type = zero")
    if p > 1 and end == 0 and solver is UniformPC and not values["lower_order_final"]:
        raise DataError("it has no lower_order_final, which final_sigmas_type = zero needs")
    made = solver(tuple(times.tolist()), p, data, end, lower=bool(values["lower_order_final"]),
                  **options)  # fmt: skip
    kept = asked.range if data and values["thresholding"] else UNBOUNDED
    return PublishedSampler(made, times, kept, clock)


def _dpm(asked: Asked) -> PublishedSampler:
    values = asked.values
    kinds = {"dpmsolver++": (True, False), "sde-dpmsolver++": (True, True),
             "dpmsolver": (False, False), "deis": (True, False)}  # fmt: skip
    kind = values["algorithm_type"]
    if kind not in kinds:
        raise DataError(f"it has algorithm_type = {kind!r}; known are {', '.join(kinds)}")
    data, noisy = kinds[kind]
    return _multistep(
        _plain(asked, (*levels.RESHAPED, "use_lu_lambdas")), Exponential, data=data, noisy=noisy,
        exact=values.get("solver_type") == "heun", euler=bool(values["euler_at_final"]),
    )  # fmt: skip


def _unipc(asked: Asked) -> PublishedSampler:
    values = asked.values
    if asked.end and any(values.get(key) for key in levels.RESHAPED):
        raise DataError("its last level is the one before it; known is final_sigmas_type = zero")
    variant = "bh1" if values.get("solver_type") == "bh1" else "bh2"
    return _multistep(
        asked, UniformPC, data=bool(values["predict_x0"]), variant=variant,
        uncorrected=tuple(map(int, values["disable_corrector"])),
    )  # fmt: skip


def _lcm(asked: Asked) -> PublishedSampler:
    steps = levels.distilled(asked.values, asked.n, asked.total)
    solver = Consistency(float(asked.values["timestep_scaling"]), asked.total)
    return PublishedSampler(solver, asked.at_steps(steps), asked.range)


def _flow(asked: Asked) -> PublishedSampler:
    values = asked.values
    if values.get("invert_sigmas"):
        raise DataError("it has invert_sigmas, which is not known")
    rho = levels.straight(values, asked.n, asked.tokens, asked.maker in EVENLY)
    times = torch.from_numpy(np.append(rho, 0.0))
    return PublishedSampler(Consistency() if values.get("stochastic_sampling") else Line(), times)


def _plain(asked: Asked, known: tuple[str, ...] = ()) -> Asked:
    """Without the keys that other classes have, except those `known`."""
    foreign = {"interpolation_type", "timestep_type", "sigma_min", "sigma_max", *levels.RESHAPED}
    kept = {k: v for k, v in asked.values.items() if k in known or k not in foreign}
    own = {key: MORE[key] for key in ("interpolation_type", "timestep_type")}
    return Asked(**{**vars(asked), "values": {**kept, **own}})


SAMPLERS: Mapping[str, Callable[[Asked], PublishedSampler]] = {
    "DDIMScheduler": _ddim,
    "DDPMScheduler": _ddpm,
    "PNDMScheduler": _pndm,
    "EulerDiscreteScheduler": _euler,
    "EulerAncestralDiscreteScheduler": _euler_ancestral,
    "HeunDiscreteScheduler": _heun,
    "DPMSolverMultistepScheduler": _dpm,
    "UniPCMultistepScheduler": _unipc,
    "LMSDiscreteScheduler": _lms,
    "LCMScheduler": _lcm,
    "FlowMatchEulerDiscreteScheduler": _flow,
}
"""Class of a scheduler -> its sampler."""
