"""What a published sampler is made of, and what comes of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.core import Clock, Schedule, Table
from demist.errors import DataError
from demist.interop import levels
from demist.samplers import Solver
from demist.samplers.published import UNBOUNDED, Range

MORE: Mapping[str, Any] = {
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
    "variance_type": "fixed_small",
    "skip_prk_steps": False,
    "interpolation_type": "linear",
    "timestep_type": "discrete",
    "final_sigmas_type": "zero",
    "solver_order": 2,
    "algorithm_type": "dpmsolver++",
    "lower_order_final": True,
    "euler_at_final": False,
    "lambda_min_clipped": -math.inf,
    "predict_x0": True,
    "disable_corrector": (),
    "original_inference_steps": 50,
    "timestep_scaling": 10.0,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "time_shift_type": "exponential",
}
"""Defaults of keys that say how to sample, the same in every class that has them."""


@dataclass(frozen=True)
class SeenClock(Clock):
    """What a network is told at given times, and between them in proportion.

    Attributes:
        times: From noise to data.
        seen: What it is told there.
    """

    times: tuple[float, ...]
    seen: tuple[float, ...]

    def __call__(self, t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        told = np.interp(t.detach().cpu().numpy(), self.times[::-1], self.seen[::-1])
        return torch.as_tensor(told, dtype=t.dtype, device=t.device)


@dataclass(frozen=True)
class PublishedSampler:
    """All that a scheduler says of sampling, for a number of steps.

    Attributes:
        solver: Takes the steps.
        times: The grid, which ends in 0; float64.
        range: Within which the predicted data is kept, after guidance.
        clock: How the network sees the times of the grid; None: as always.
        scale: Standard deviation of the start in pure noise; None: the schedule's sigma there.
    """

    solver: Solver
    times: Tensor
    range: Range = UNBOUNDED
    clock: Clock | None = None
    scale: float | None = 1.0


@dataclass(frozen=True)
class Asked:
    """What a sampler is made of.

    Attributes:
        values: The configuration, with the defaults of its class.
        schedule: The model's path.
        n: Number of steps.
        eta: Noise of DDIM, which no configuration holds.
        tokens: Of the image, as the network counts.
        maker: Class of the pipeline.
        learned: Whether the network predicts its variance.
    """

    values: levels.Values
    schedule: Schedule
    n: int
    eta: float
    tokens: int
    maker: str
    learned: bool

    @property
    def total(self) -> int:
        """Steps of the model."""
        return self.table.steps

    @property
    def table(self) -> Table:
        """The schedule, where it is a table."""
        if not isinstance(self.schedule, Table):
            raise DataError(f"it goes with a table of betas, not with {self.schedule!r}")
        return self.schedule

    @property
    def first(self) -> float:
        """Time of the cleanest step."""
        return 1 / self.total

    @property
    def end(self) -> float:
        """Where the last step leads, by what is said of the last level."""
        kind = self.values["final_sigmas_type"]
        if kind not in ("zero", "sigma_min"):
            raise DataError(f"it has final_sigmas_type = {kind!r}; known are zero and sigma_min")
        return self.first if kind == "sigma_min" else 0.0

    @property
    def range(self) -> Range:
        """Of the predicted data."""
        values = self.values
        if values["thresholding"]:
            ratio = float(values["dynamic_thresholding_ratio"])
            return Range(float(values["sample_max_value"]), ratio)
        return Range(float(values["clip_sample_range"])) if values["clip_sample"] else UNBOUNDED

    def at_steps(self, steps: np.ndarray) -> Tensor:
        """The times of steps of the model, and 0."""
        return torch.from_numpy(np.append((steps + 1) / self.total, 0.0))

    def at_levels(self, rho: np.ndarray) -> Tensor:
        """The times at which sigma / alpha has these values, and 0."""
        rounded = rho.astype(np.float32).astype(np.float64)  # as published
        angles = torch.from_numpy(np.append(np.arctan(rounded), 0.0))
        return self.schedule.time_at_angle(angles)

    def in_table(self, *, multistep: bool) -> tuple[np.ndarray, np.ndarray]:
        """Steps and levels of samplers that work on sigma / alpha."""
        table = levels.table_levels(self.table.alpha_bar.numpy())
        return (_of_multistep if multistep else _of_sigmas)(self, table)


def _of_sigmas(asked: Asked, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and one level more, of Euler's kin."""
    values, n = asked.values, asked.n
    steps = levels.spaced(values, n, asked.total, whole=False)
    rho = np.interp(steps, np.arange(len(table)), table)
    if values["interpolation_type"] == "log_linear":
        rho = np.exp(np.linspace(math.log(table[-1]), math.log(table[0]), n + 1))[:n]
    elif values["interpolation_type"] != "linear":
        raise DataError(f"it has interpolation_type = {values['interpolation_type']!r}")
    other = levels.reshaped(values, float(rho[0]), float(rho[-1]), n)
    return (steps, rho) if other is None else (levels.steps_at(other, table), other)


def _of_multistep(asked: Asked, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps, in whole numbers, and levels of DPM-Solver and UniPC."""
    values, n = asked.values, asked.n
    clipped = float(values["lambda_min_clipped"])
    # -log rho rises towards clean data; steps below the limit are too noisy.
    total = len(table) - int(np.searchsorted(np.flip(-np.log(table)), clipped))
    high, low = float(table[-1]), float(table[0])
    if values.get("use_lu_lambdas"):
        other: np.ndarray | None = np.exp(np.linspace(math.log(high), math.log(low), n))
    else:
        other = levels.reshaped(values, high, low, n)
    if other is None:
        steps = levels.spaced_for_multistep(values, n, total)
        return steps, np.interp(steps, np.arange(len(table)), table)
    steps = levels.steps_at(other, table)
    unipc, evenly = values["_class_name"] == "UniPCMultistepScheduler", values["beta_schedule"]
    near = values.get("use_karras_sigmas") or values.get("use_lu_lambdas")
    if near and (unipc or evenly != "squaredcos_cap_v2"):
        steps = steps.round()
    return np.floor(steps), other
