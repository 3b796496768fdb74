"""`scheduler_config.json` of diffusers, as a schedule and what the network predicts.

A key that is not there means what that class means by it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from demist.core import (
    X0,
    Clock,
    Eps,
    IndexClock,
    Linear,
    Parameterization,
    ScaledClock,
    Schedule,
    Table,
    V,
    Velocity,
    rescale_to_zero_terminal,
)
from demist.errors import DataError

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "DDPMScheduler": {"clip_sample": True, "timestep_spacing": "leading"},
    "DDIMScheduler": {
        "clip_sample": True, "set_alpha_to_one": True, "timestep_spacing": "leading",
    },
    "PNDMScheduler": {"set_alpha_to_one": False, "timestep_spacing": "leading"},
    "EulerDiscreteScheduler": {},
    "EulerAncestralDiscreteScheduler": {},
    "HeunDiscreteScheduler": {"beta_start": 0.00085, "beta_end": 0.012},
    "LMSDiscreteScheduler": {},
    "DPMSolverMultistepScheduler": {},
    "DPMSolverSinglestepScheduler": {},
    "KDPM2DiscreteScheduler": {"beta_start": 0.00085, "beta_end": 0.012},
    "KDPM2AncestralDiscreteScheduler": {"beta_start": 0.00085, "beta_end": 0.012},
    "DEISMultistepScheduler": {},
    "UniPCMultistepScheduler": {},
    "LCMScheduler": {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "set_alpha_to_one": True, "timestep_spacing": "leading",
    },
}  # fmt: skip
"""Class -> those of its defaults that are not `COMMON`."""

FLOWS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler")
"""Straight paths: their shift says where steps are, not what the path is."""

COMMON: Mapping[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "linspace",
    "steps_offset": 0,
    "set_alpha_to_one": True,
}

PREDICTIONS: Mapping[str, Parameterization] = {
    "epsilon": Eps(),
    "sample": X0(),
    "v_prediction": V(),
}


@dataclass(frozen=True)
class Scheduled:
    """What a scheduler says of a model.

    Attributes:
        schedule: The path.
        parameterization: What the network predicts.
        steps: Steps of training.
        bounds: Range to which predictions of the data are clamped; None: they are not.
        clock: How the network sees the time.
    """

    schedule: Schedule
    parameterization: Parameterization
    steps: int
    bounds: tuple[float, float] | None
    clock: Clock


def read_scheduler(config: Mapping[str, Any], where: str) -> Scheduled:
    """The schedule that a configuration describes.

    Args:
        config: Content of `scheduler_config.json`.
        where: For messages.

    Raises:
        DataError: Its class, or one of its values, is not known.
    """
    kind = str(config.get("_class_name"))
    if kind in FLOWS:
        return _straight(config, where)
    if kind not in DEFAULTS:
        raise DataError(
            f"{where} is of the class {kind!r}, which is not known; known are "
            f"{', '.join([*DEFAULTS, *FLOWS])}"
        )
    values = {**COMMON, **DEFAULTS[kind], **{k: v for k, v in config.items() if v is not None}}
    predicted = values["prediction_type"]
    if values.get("use_flow_sigmas") and predicted == "flow_prediction":
        return _straight(config, where)
    if predicted not in PREDICTIONS:
        raise DataError(
            f"{where} has prediction_type = {predicted!r}; known are {', '.join(PREDICTIONS)}"
        )
    try:
        bar = alpha_bar(values)
        reach = float(values["clip_sample_range"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{where} describes no schedule: {error}") from None
    return Scheduled(
        Table(bar),
        PREDICTIONS[predicted],
        len(bar),
        (-reach, reach) if values["clip_sample"] is True else None,
        IndexClock(len(bar)),
    )


def _straight(config: Mapping[str, Any], where: str) -> Scheduled:
    """A straight path whose network predicts the velocity."""
    steps = config.get("num_train_timesteps", 1000)
    if not isinstance(steps, int) or not 1 <= steps <= 1_000_000:
        raise DataError(f"{where} has num_train_timesteps = {steps!r}; it must be a number")
    return Scheduled(Linear(), Velocity(), steps, None, ScaledClock(float(steps)))


def alpha_bar(values: Mapping[str, Any]) -> Tensor:
    """The cumulative products of 1 - beta, rounded to float32 where diffusers rounds.

    Raises:
        ValueError: The kind of betas is not known, or they make no schedule.
    """
    count, kind = int(values["num_train_timesteps"]), values["beta_schedule"]
    low, high = float(values["beta_start"]), float(values["beta_end"])
    if values["trained_betas"] is not None:
        betas = torch.tensor(values["trained_betas"], dtype=torch.float32)
    elif not 2 <= count <= 1_000_000:
        raise ValueError(f"num_train_timesteps = {count} is not between 2 and a million")
    elif kind == "linear":
        betas = torch.linspace(low, high, count, dtype=torch.float32)
    elif kind == "scaled_linear":
        betas = torch.linspace(low**0.5, high**0.5, count, dtype=torch.float32) ** 2
    elif kind == "squaredcos_cap_v2":
        t = torch.arange(count + 1, dtype=torch.float64) / count
        bar = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = (1 - bar[1:] / bar[:-1]).clamp(max=0.999).float()
    elif kind == "sigmoid":
        wave = torch.sigmoid(torch.linspace(-6, 6, count, dtype=torch.float32))
        betas = wave * (high - low) + low
    else:
        raise ValueError(
            f"beta_schedule = {kind!r} is not known; known are linear, scaled_linear, "
            f"squaredcos_cap_v2 and sigmoid"
        )
    bar = torch.cumprod(1 - betas, 0)
    return rescale_to_zero_terminal(bar) if values["rescale_betas_zero_snr"] else bar.double()
