"""Restoration: draws of the data that a damaged measurement may come from.

`demist.restore("digits", damaged, "half:lower", noise=0.05)` gives several samples of the
posterior, their mean and spread, and how they fit what was measured; with `simulate=True` the data
given is clean, is damaged first, and the samples are compared with it.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demist.editing.damage import Damage, Noise, from_unit, to_unit
from demist.errors import UsageError
from demist.inverse import (
    GaussianNoise,
    Measurement,
    Method,
    Operator,
    PoissonNoise,
    make_method,
    walk,
)
from demist.model.fits import unshifted
from demist.model.keywords import whole
from demist.model.open import open_model
from demist.model.pipeline import Pipeline
from demist.model.plan import Plan
from demist.model.sampling import Sampling, split

AUTO = "auto"
STEPS = 40
"""Steps, if nobody says: a measurement that is led by wants more of them than a sample."""


@dataclass(frozen=True, eq=False)
class Restored:
    """What one damaged measurement may come from.

    Attributes:
        samples: As the model's data is stored, `(n, ...)`.
        damaged: What was measured, as data is stored: hidden numbers are 0 in its unit.
        misfit: Of each sample, `(n,)`: mean square of what it leaves of the measurement, over the
            variance of the noise. Of the truth it is 1.
        truth: The clean data, if it is known.
    """

    samples: np.ndarray
    damaged: np.ndarray
    misfit: np.ndarray
    truth: np.ndarray | None = None

    @property
    def mean(self) -> np.ndarray:
        """The mean of the samples, which has the least square error."""
        return from_unit(to_unit(self.samples).mean(0), self.samples)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of the samples in the unit of the data; of one sample 0."""
        x = to_unit(self.samples)
        return np.asarray((x.std(0) if len(x) > 1 else torch.zeros_like(x[0])).numpy())

    def scores(self) -> dict[str, float]:
        """How good it is, in numbers; see `scores_of` for those that need the truth."""
        found = {"misfit": float(self.misfit.mean()), "spread": _rms(self.spread)}
        if self.truth is not None:
            found |= scores_of(self.samples, self.truth)
        return found


def scores_of(samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Samples of one posterior beside the truth.

    Args:
        samples: As stored, `(n, ...)`.
        truth: As stored.

    Returns:
        `psnr`, of the samples' mean, in decibels, for data from -1 to 1; `psnr_sample`, of one
        sample, on average (exact posteriors lose at most 3 dB to the mean); `spread_over_error`,
        the spread of the samples over the error of their mean, 1 where they are as far from each
        other as from the truth, which needs two samples; `coverage`, the share of the numbers
        whose truth lies strictly between the samples in rank, ties counted by halves, where not all
        agree; `coverage_wanted`, what an exact posterior has, `(n - 1) / (n + 1)`.
    """
    x, x0, n = to_unit(samples), to_unit(truth), len(samples)
    error = (x.mean(0) - x0).square().mean()
    found = {"psnr": _decibels(error), "psnr_sample": _decibels((x - x0).square().mean())}
    if n < 2:
        return found
    expected = x.var(0).mean() * (1 + 1 / n)
    found["spread_over_error"] = float((expected / error.clamp(min=1e-12)).sqrt())
    below, alike = (samples < truth).sum(0), (samples == truth).sum(0)
    # The truth's rank is one of below ... below + alike; inner ranks are 1 ... n - 1.
    inner = np.minimum(below + alike, n - 1) - np.maximum(below, 1) + 1
    disagree = alike < n
    inside = (inner.clip(min=0) / (alike + 1))[disagree]
    found["coverage"] = float(inside.mean()) if disagree.any() else 1.0
    found["coverage_wanted"] = (n - 1) / (n + 1)
    return found


def restore(
    model: Pipeline | str | os.PathLike[str],
    data: np.ndarray,
    operator: str | Operator,
    noise: Noise = 0.0,
    *,
    method: str | Method = AUTO,
    n: int = 8,
    simulate: bool = False,
    sampling: Sampling | None = None,
    **cond: Any,
) -> Restored:
    """Draw what damaged data may come from.

    Args:
        model: The prior: a pipeline, or what `demist.model.open_model` opens.
        data: One damaged measurement as stored, of the shape that the operator gives; of operators
            that hide parts, whole data whose hidden parts may be anything. Bytes stand for -1 to 1.
        operator: What was measured; `demist list operators`.
        noise: Its standard deviation, in the unit of the data (images: -1 to 1), or
            `"poisson:PEAK"`.
        method: How to draw; `demist list methods`.
        n: How many samples.
        simulate: `data` is clean: damage it first, and keep it as the truth.
        sampling: How to sample; if it does not say, with 40 steps of the solver that suits the
            method.
        cond: Conditions of the model, and fields of `Sampling`: `label="3"`, `steps=40`.

    Raises:
        UsageError: Something makes no sense for this model, or does not go together.
    """
    pipeline = model if isinstance(model, Pipeline) else open_model(os.fspath(model))
    damage = Damage.of(pipeline, operator, noise)
    how, cond = split(sampling, cond)
    seed = how.over(pipeline.defaults).seed
    first = seed if isinstance(seed, int) else 0
    if isinstance(seed, tuple) and len(seed) != n:
        raise UsageError(f"got {len(seed)} seeds for {n} samples; give one for all, or {n}")
    y = measured(damage, data, first, simulate)
    seeds = [first + i for i in range(n)] if isinstance(seed, int | None) else list(seed)
    plan = planned(damage, y, method, seeds, how, cond)
    return restored(damage, y, plan.sample(), data if simulate else None)


def measured(damage: Damage, data: np.ndarray, seed: int, simulate: bool) -> Tensor:
    """One measurement `(1, *out)` of data as stored, which is clean if it is to be simulated.

    Raises:
        UsageError: The data has the wrong shape.
    """
    x = to_unit(data)[None]
    if not simulate:
        return damage.operator.measured(x)
    if data.shape != damage.pipeline.shape:
        raise UsageError(
            f"the clean data has shape {data.shape}, and the model's {damage.pipeline.shape}; they "
            f"must be the same"
        )
    return damage.simulate(x, [seed])


def planned(
    damage: Damage,
    y: Tensor,
    method: str | Method,
    seeds: Sequence[int],
    sampling: Sampling,
    cond: Mapping[str, Any],
) -> Plan:
    """The plan that draws posterior samples, `len(seeds) / len(y)` of each measurement in turn.

    Raises:
        UsageError: The method does not go with the measurement, or the model not with what is
            asked.
    """
    each = len(seeds) // whole("measurements", len(y))
    if isinstance(method, str):
        method = make_method(chosen(damage, method))
    pipeline, rows = damage.pipeline, y.repeat_interleave(each, 0)
    sampling = replace(usual(pipeline, sampling, method), seed=tuple(seeds))
    plan = pipeline.plan(len(seeds), sampling, **cond)
    walking = walk(method, damage.in_states(rows))
    then = plan.then and replace(plan.then, walk=walking)
    return replace(plan, walk=walking, then=then)


def usual(pipeline: Pipeline, sampling: Sampling, method: Method) -> Sampling:
    """The recipe with the steps and the solver of a restoration where it says none.

    Methods that walk by themselves take the grid as it is, on which they were measured.
    """
    return unshifted(pipeline, sampling.over(Sampling(steps=STEPS, solver=method.solver)))


def restored(damage: Damage, y: Tensor, samples: np.ndarray, truth: np.ndarray | None) -> Restored:
    """Samples of one measurement `(1, *out)` with all that is said of them."""
    x = to_unit(samples)
    misfit = Measurement(damage.operator, y, damage.noise).misfit(x)
    shown = damage.operator.shown(y)[0]
    return Restored(samples, from_unit(shown, samples), misfit.numpy(), truth)


def chosen(damage: Damage, method: str) -> str:
    """The method that is meant; `auto` is what `benchmarks/restore_digits.py` says.

    Particles weigh by the noise, and a nonlinear operator gives them no good guess to be led by.
    Poisson noise has variances that differ so much that four iterations do not solve for it.
    """
    if method != AUTO:
        return method
    if isinstance(damage.noise, PoissonNoise):
        return "mmps"
    noisy = isinstance(damage.noise, GaussianNoise) and damage.noise.std > 0
    return "tds-mmps" if noisy and damage.linear else "mmps:most=4"


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x))))


def _decibels(error: Tensor) -> float:
    """PSNR for data of width 2."""
    return float(10 * torch.log10(4 / error.clamp(min=1e-12)))
