"""The model of digits that comes with the package, and who looks at its images.

There is one of it: ± is over seeds of sampling.
"""

from functools import cache

import numpy as np

from demist.data import Dataset, load
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.precision_recall import precision_recall
from demist.evaluation.metrics.vendi import vendi_score
from demist.measuring import judging
from demist.model.pipeline import Pipeline


@cache
def model() -> Pipeline:
    """It, with classes, 28 x 28 pixels."""
    return Pipeline.load("digits")


@cache
def digits(split: str) -> Dataset:
    """The embedded digits."""
    return load("digits", split=split)


@cache
def judge() -> Classifier:
    """The classifier of the embedded digits."""
    return judging.judge(digits("train"), digits("test"))


@cache
def moments() -> tuple[Moments, np.ndarray]:
    """Of all training digits; and where they lie, for precision and recall."""
    features = judge().features(digits("train").x)
    return Moments.of(features), features


@cache
def floor(n: int) -> float:
    """Distance of so many test digits to the training digits."""
    some = digits("test").x[np.random.default_rng(0).permutation(len(digits("test").x))[:n]]
    return frechet_distance(Moments.of(judge().features(some)), moments()[0])


def images(n: int, seed: int, **settings: object) -> np.ndarray:
    """Digits of all classes in equal parts."""
    asked = [i % 10 for i in range(n)]
    return model().sample(n, label=asked, seed=seed, batch_size=250, **settings)


def fdr(x: np.ndarray) -> float:
    """FD(generated, train) / FD(test, train)."""
    return frechet_distance(Moments.of(judge().features(x)), moments()[0]) / floor(len(x))


def looked_at(x: np.ndarray) -> list[float]:
    """FDr, share of the asked digits, precision, recall, variety."""
    seen = judge().features(x)
    right = (judge().head(seen).argmax(1) == np.arange(len(x)) % 10).mean()
    every = moments()[1]
    near = precision_recall(every[:: max(1, len(every) // len(x))], seen)
    variety = vendi_score(seen - moments()[0].mean)
    return [fdr(x), float(right), near.precision, near.recall, variety]
