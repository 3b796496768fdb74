"""The best of several draws, where a model can say which is best: a prior of image vectors.

A prior is a model of the vectors of a CLIP that is told the vector which the same CLIP makes of a
prompt. Of some draws it keeps the one whose dot product with that vector is largest.

References:
    Ramesh et al. 2022, "Hierarchical Text-Conditional Image Generation with CLIP Latents",
    arXiv:2204.06125, section 2.2: two draws.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int64

from demist.conditions import TextVector
from demist.errors import UsageError
from demist.model.sampling import Sampling

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline
    from demist.model.plan import Plan

USUAL = 2
"""Draws of a prior, where nobody says how many, as in the paper."""


def told_by(pipeline: "Pipeline") -> str:
    """The condition of a prior in whose space it draws; empty: the model is none."""
    for name, condition in pipeline.conditioner.conditions.items():
        if isinstance(condition, TextVector) and pipeline.shape == (condition.features,):
            return name
    return ""


def require_draws(pipeline: "Pipeline", sampling: Sampling) -> None:
    """Check that a model can say which of its draws is best, if several are asked for.

    Raises:
        UsageError: It cannot.
    """
    if sampling.best_of in (None, 1):
        return
    if not told_by(pipeline):
        raise UsageError(
            f"best_of = {sampling.best_of}: only a prior, which draws the vectors of a CLIP, can "
            f"say which draw is best; leave it out, or say it of that stage: prior:best-of=4"
        )
    if sampling.noise == "torch":
        raise UsageError(
            f"best_of = {sampling.best_of}: noise = 'torch' has one draw for each seed; leave one "
            f"of them out"
        )


def best_draws(
    plan: "Plan", rows: Sequence[int] | None, progress: bool = False
) -> Float[np.ndarray, "n d"]:
    """The best of the draws of a plan's samples; the first draw is what one draw alone gives.

    Args:
        plan: Of a prior.
        rows: Which samples; None: all.
        progress: Show a bar.
    """
    once = replace(plan.sampling, best_of=1)
    draws = np.stack([
        replace(plan, sampling=once, draw=k).sample(rows, progress=progress)
        for k in range(plan.sampling.best_of or 1)
    ])  # fmt: skip
    wanted = plan.cond[f"{told_by(plan.pipeline)}.vector"].cpu().numpy()
    wanted = wanted[np.arange(plan.n) if rows is None else np.asarray(rows)]
    kept: np.ndarray = draws[nearest(draws, wanted), np.arange(draws.shape[1])]
    return kept


def nearest(
    draws: Float[np.ndarray, "k n d"], texts: Float[np.ndarray, "n d"]
) -> Int64[np.ndarray, " n"]:
    """Which draw of each sample has the largest cosine with its text; the first of equals.

    Where there is no text, whose vector is zeros, that is the first.
    """
    lengths = np.linalg.norm(draws, axis=2)
    found: np.ndarray = ((draws * texts).sum(2) / np.maximum(lengths, 1e-12)).argmax(0)
    return found


def draw_seed(seed: int, draw: int) -> int:
    """The seed of a further draw of a sample; that of draw 0 is the sample's own."""
    if draw == 0:
        return seed
    digest = hashlib.blake2b(f"{seed}/draw/{draw}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
