"""What to minimise: the denoising loss, its weights and its distributions of times."""

from demist.objectives.adversarial import balance, critic_loss, fooling_loss
from demist.objectives.autoencoding import (
    Autoencode,
    autoencoding_loss,
    commitment,
    kl_divergence,
    reconstruction_error,
)
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
from demist.objectives.perceptual import Features, inverse_deviations, lpips, scaled_distance
from demist.objectives.stable import Candidates
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
    "Candidates",
    "Decoder",
    "EDMWeight",
    "Features",
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
    "balance",
    "bits_per_dim",
    "commitment",
    "continuous_elbo",
    "contrastive_loss",
    "critic_loss",
    "denoising_loss",
    "dequantise",
    "discrete_elbo",
    "discretised_decoder",
    "few_steps",
    "fooling_loss",
    "gaussian_decoder",
    "hybrid_loss",
    "inverse_deviations",
    "kl_divergence",
    "log_prob",
    "lpips",
    "matching_loss",
    "reconstruction_error",
    "scaled_distance",
    "step_bound",
    "stratified",
    "weighted_error",
]
