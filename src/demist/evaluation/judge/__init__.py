"""The judge of a data set: a classifier trained on it, or rules that read its scenes."""

from demist.evaluation.judge.classifier import (
    Card,
    Classifier,
    Network,
    softmax,
    unit_range,
    weights_hash,
)
from demist.evaluation.judge.pseudo import clusters
from demist.evaluation.judge.scenes import Found, Judge, find, train_judge
from demist.evaluation.judge.train import (
    LabelledImages,
    augment,
    default_classifier,
    fingerprint_of,
    one_cycle,
    train_classifier,
)

__all__ = [
    "Card",
    "Classifier",
    "Found",
    "Judge",
    "LabelledImages",
    "Network",
    "augment",
    "clusters",
    "default_classifier",
    "find",
    "fingerprint_of",
    "one_cycle",
    "softmax",
    "train_classifier",
    "train_judge",
    "unit_range",
    "weights_hash",
]
