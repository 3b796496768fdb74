"""The judge of a data set: a classifier, trained elsewhere, or what reads scenes or loops."""

from demist.evaluation.judge.classifier import (
    Card,
    Classifier,
    Network,
    softmax,
    unit_range,
    weights_hash,
)
from demist.evaluation.judge.loops import Discriminant, LoopJudge, compared, period
from demist.evaluation.judge.pseudo import clusters
from demist.evaluation.judge.scenes import Found, Judge, find

__all__ = [
    "Card",
    "Classifier",
    "Discriminant",
    "Found",
    "Judge",
    "LoopJudge",
    "Network",
    "clusters",
    "compared",
    "find",
    "period",
    "softmax",
    "unit_range",
    "weights_hash",
]
