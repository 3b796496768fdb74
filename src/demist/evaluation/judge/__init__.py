"""The judge of a data set: a classifier of it, trained elsewhere, or rules that read its scenes."""

from demist.evaluation.judge.classifier import (
    Card,
    Classifier,
    Network,
    softmax,
    unit_range,
    weights_hash,
)
from demist.evaluation.judge.pseudo import clusters
from demist.evaluation.judge.scenes import Found, Judge, find

__all__ = [
    "Card",
    "Classifier",
    "Found",
    "Judge",
    "Network",
    "clusters",
    "find",
    "softmax",
    "unit_range",
    "weights_hash",
]
