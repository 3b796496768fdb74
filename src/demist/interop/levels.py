"""At which steps and noise levels published samplers stand, from `scheduler_config.json`.

A level is rho = sigma / alpha, on a straight path sigma itself. Steps are the 0-based, perhaps
fractional, indices that the network is told.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from demist.errors import DataError, UsageError
from demist.samplers import beta

Values = Mapping[str, Any]
"""Keys of a scheduler's configuration, its class's defaults filled in."""

RHO = 7.0
"""Karras et al. 2022, section 4."""

RESHAPED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
"""Keys that replace levels by others between the same ends."""

HIDDEN = 2.0**-24
"""What stands for a last alpha_bar of 0, so that its level is finite."""


def spaced(values: Values, n: int, total: int, whole: bool = True) -> np.ndarray:
    """`n` steps of `total`, the noisiest first.

    Args:
        values: With `timestep_spacing` and `steps_offset`.
        n: How many.
        total: Steps of the model.
        whole: Round those that are evenly spaced from the first to the last.

    Raises:
        DataError: The spacing is not known.
        UsageError: They lead beyond the model's last step.
    """
    if not 1 <= n <= total:
        raise UsageError(f"{n} steps: the model has {total}; take from 1 to {total}")
    spacing, offset = values["timestep_spacing"], int(values["steps_offset"])
    if spacing == "linspace":
        evenly = np.linspace(0, total - 1, n)[::-1]
        return evenly.round() if whole else evenly.astype(np.float32).astype(np.float64)
    if spacing == "leading":
        steps = np.arange(n)[::-1] * float(total // n) + offset
        if steps[0] > total - 1:
            raise UsageError(
                f"{n} steps, moved by {offset}, lead beyond the model's last; take fewer"
            )
        return steps
    if spacing == "trailing":
        return np.arange(total, 0, -total / n).round() - 1
    raise DataError(
        f"the scheduler has timestep_spacing = {spacing!r}; known are linspace, leading, trailing"
    )


def spaced_for_multistep(values: Values, n: int, total: int) -> np.ndarray:
    """The steps of DPM-Solver and UniPC, which count one more and leave out the cleanest.

    Args:
        values: With `timestep_spacing` and `steps_offset`.
        n: How many.
        total: Steps of the model, or those that are not too noisy.
    """
    if not 1 <= n < total:
        raise UsageError(f"{n} steps: this sampler takes from 1 to {total - 1} of the model's")
    spacing = values["timestep_spacing"]
    if spacing == "linspace":
        return np.linspace(0, total - 1, n + 1).round()[::-1][:-1]
    if spacing == "leading":
        steps = np.arange(n + 1)[::-1][:-1] * float(total // (n + 1))
        return steps + int(values["steps_offset"])
    whole = int(values["num_train_timesteps"])
    return (
        np.arange(total, 0, -whole / n).round() - 1
        if spacing == "trailing"
        else spaced(values, n, total)
    )


def distilled(values: Values, n: int, total: int) -> np.ndarray:
    """Steps of a latent consistency model: some of those with which it was distilled."""
    known = int(values["original_inference_steps"])
    if not 1 <= known <= total:
        raise DataError(f"the scheduler has original_inference_steps = {known}, of {total} steps")
    if not 1 <= n <= known:
        raise UsageError(f"{n} steps: this model was distilled to {known}; take from 1 to {known}")
    learned = np.arange(1, known + 1)[::-1] * float(total // known) - 1
    taken = np.floor(np.linspace(0, known, n, endpoint=False)).astype(int)
    return np.asarray(learned[taken])


def table_levels(bar: np.ndarray) -> np.ndarray:
    """The levels of a table of alpha_bar, that of the cleanest step first."""
    # In float32, as published: elsewhere fractional steps are cut to whole ones.
    bar = np.where(bar > 0, bar, HIDDEN).astype(np.float32)
    return np.asarray(((1 - bar) / bar) ** np.float32(0.5))


def steps_at(levels: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The fractional steps of levels, between which log rho is linear."""
    logs = np.log(np.maximum(levels, 1e-10))
    return np.asarray(np.interp(logs, np.log(table), np.arange(len(table))))


def reshaped(values: Values, high: float, low: float, n: int) -> np.ndarray | None:
    """`n` levels from `high` to `low` in the shape that is asked for; None: in none.

    Raises:
        DataError: Several shapes are asked for.
        MissingError: The quantiles of the Beta distribution need scipy.
    """
    asked = [key for key in RESHAPED if values.get(key)]
    if not asked:
        return None
    if len(asked) > 1:
        raise DataError(f"the scheduler has {' and '.join(asked)}, of which only one can be")
    high = float(values.get("sigma_max") or high)
    low = float(values.get("sigma_min") or low)
    u = np.linspace(0, 1, n)
    if asked == ["use_karras_sigmas"]:
        ends = high ** (1 / RHO), low ** (1 / RHO)
        return np.asarray((ends[0] + u * (ends[1] - ends[0])) ** RHO)
    if asked == ["use_exponential_sigmas"]:
        return np.asarray(np.exp(np.linspace(math.log(high), math.log(low), n)))
    quantiles = beta(n - 1).numpy() if n > 1 else np.ones(1)
    return np.asarray(low + quantiles * (high - low))


def straight(values: Values, n: int, tokens: int, evenly: bool) -> np.ndarray:
    """The levels of a straight path, from noise on, without the last one, 0.

    Args:
        values: Of a flow scheduler.
        n: How many.
        tokens: Of the image, on which the shift may depend.
        evenly: Begin with 1, 1 - 1/n, ..., 1/n, not with steps of the model.
    """
    dynamic, shift = bool(values["use_dynamic_shifting"]), shift_of(values, tokens)
    if evenly:
        u = np.linspace(1, 1 / n, n)
    else:  # the model's last step, which is shifted twice where the shift is always the same
        low = 1 / int(values["num_train_timesteps"])
        u = np.linspace(1, low if dynamic else shift * low / (1 + (shift - 1) * low), n)
    u = shift * u / (1 + (shift - 1) * u)
    if terminal := values.get("shift_terminal"):
        u = 1 - (1 - u) / ((1 - u[-1]) / (1 - float(terminal)))
    other = reshaped(values, float(u[0]), float(u[-1]), n)
    return np.asarray((u if other is None else other).astype(np.float32), dtype=np.float64)


def straight_for_multistep(values: Values, n: int, from_noise: bool) -> np.ndarray:
    """The same for DPM-Solver, and for UniPC, which begins in all but pure noise.

    Raises:
        DataError: The shift depends on what the configuration does not hold, or levels are
            reshaped.
    """
    for key in ("use_dynamic_shifting", "use_lu_lambdas", *RESHAPED):
        if values.get(key):
            raise DataError(f"it has {key} with use_flow_sigmas, which is not known")
    total, shift = int(values["num_train_timesteps"]), float(values.get("flow_shift", 1.0))
    ends = (1.0, 1 / total) if from_noise else (1 - 1 / total, 0.0)
    u = np.linspace(*ends, n + 1)[:-1]
    u = shift * u / (1 + (shift - 1) * u)
    if from_noise:
        if terminal := values.get("shift_terminal"):
            u = 1 - (1 - u) / ((1 - u[-1]) / (1 - float(terminal)))
        u[0] -= 1e-6 if u[0] > 1 - 1e-6 else 0.0
    return np.asarray(u)


def shift_of(values: Values, tokens: int) -> float:
    """By what a flow scheduler multiplies sigma / alpha, at this size or always.

    Args:
        values: With its shift, or with two sizes and what belongs to them.
        tokens: Of the image, as the network counts.
    """
    if not values["use_dynamic_shifting"]:
        return float(values["shift"])
    few, many = float(values["base_image_seq_len"]), float(values["max_image_seq_len"])
    low, high = float(values["base_shift"]), float(values["max_shift"])
    mu = low + (tokens - few) * (high - low) / (many - few)
    return math.exp(mu) if values["time_shift_type"] == "exponential" else mu
