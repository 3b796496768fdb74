"""The terms of an autoencoder's loss, one file each."""

from demist.training.terms.adversarial import Adversarial
from demist.training.terms.perceptual import Perceptual
from demist.training.terms.plain import Commitment, Divergence, Error
from demist.training.terms.term import Rebuilt, Setting, Term

TERMS: tuple[type[Term], ...] = (Error, Perceptual, Divergence, Commitment, Adversarial)
"""All of them, in the order in which they see a batch: those that ask for likeness come first."""

__all__ = [
    "TERMS",
    "Adversarial",
    "Commitment",
    "Divergence",
    "Error",
    "Perceptual",
    "Rebuilt",
    "Setting",
    "Term",
    "adversarial",
    "perceptual",
    "plain",
    "term",
]
