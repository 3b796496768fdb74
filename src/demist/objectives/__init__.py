"""What to minimise: the denoising loss, its weights and its distributions of times."""

from demist.objectives.autoencoding import Autoencode, autoencoding_loss, kl_divergence
from demist.objectives.contrastive import contrastive_loss
from demist.objectives.denoising import denoising_loss, weighted_error
from demist.objectives.likelihood import (
    Bound,
    Likelihood,
    bits_per_dim,
    continuous_elbo,
    dequantise,
    discrete_elbo,
    log_prob,
)
from demist.objectives.make import TIMES, WEIGHTS
from demist.objectives.matching import few_steps, matching_loss
from demist.objectives.times import LogitNormal, LogNormal, Times, Uniform, stratified
from demist.objectives.vlb import (
    Decoder,
    discretised_decoder,
    gaussian_decoder,
    hybrid_loss,
    step_bound,
)
from demist.objectives.weights import (
    EDMWeight,
    MinSNRWeight,
    SigmoidWeight,
    SimpleWeight,
    VelocityWeight,
    VWeight,
    Weight,
    X0Weight,
)

__all__ = [
    "TIMES",
    "WEIGHTS",
    "Autoencode",
    "Bound",
    "Decoder",
    "EDMWeight",
    "Likelihood",
    "LogNormal",
    "LogitNormal",
    "MinSNRWeight",
    "SigmoidWeight",
    "SimpleWeight",
    "Times",
    "Uniform",
    "VWeight",
    "VelocityWeight",
    "Weight",
    "X0Weight",
    "autoencoding_loss",
    "bits_per_dim",
    "continuous_elbo",
    "contrastive_loss",
    "denoising_loss",
    "dequantise",
    "discrete_elbo",
    "discretised_decoder",
    "few_steps",
    "gaussian_decoder",
    "hybrid_loss",
    "kl_divergence",
    "log_prob",
    "matching_loss",
    "step_bound",
    "stratified",
    "weighted_error",
]
