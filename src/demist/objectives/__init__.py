"""What to minimise: the denoising loss, its weights and its distributions of times."""

from demist.objectives import weights
from demist.objectives.denoising import denoising_loss
from demist.objectives.matching import few_steps, matching_loss
from demist.objectives.times import LogitNormal, LogNormal, Times, Uniform, stratified
from demist.objectives.vlb import hybrid_loss, step_bound
from demist.objectives.weights import Weight

__all__ = [
    "LogNormal",
    "LogitNormal",
    "Times",
    "Uniform",
    "Weight",
    "denoising_loss",
    "few_steps",
    "hybrid_loss",
    "matching_loss",
    "step_bound",
    "stratified",
    "weights",
]
