"""What to minimise: the denoising loss, its weights and its distributions of times."""

from demist.objectives import weights
from demist.objectives.autoencoding import autoencoding_loss, kl_divergence
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
    "autoencoding_loss",
    "denoising_loss",
    "few_steps",
    "hybrid_loss",
    "kl_divergence",
    "matching_loss",
    "step_bound",
    "stratified",
    "weights",
]
