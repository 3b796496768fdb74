"""Data, diffusion models and measurements that the claims share; everything small, on a CPU.

The digits are the embedded 28 x 28 ones, reduced to 8 x 8 pixels (antialiased) and flattened, so
that an MLP of the package learns them in seconds. Networks compared have equal numbers of
parameters; training work is counted as (parameters x samples x passes), a backward pass being two.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from demist.config import TrainConfig, update
from demist.data import Dataset, load
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.metrics.frechet import Moments, frechet_distance
from demist.evaluation.metrics.modes import count_modes, kl_to
from demist.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from demist.model.pipeline import Pipeline
from demist.training.build import build
from demist.training.fit import TrainState, fit
from demist.training.judge import train_classifier

SIDE, BATCH, LEVELS = 8, 128, 16


@dataclass(frozen=True)
class Data:
    """Vectors to learn, and how to look at them."""

    train: Dataset
    test: Dataset


@cache
def digits() -> Data:
    """8 x 8 digits as vectors of 64 numbers in [-1, 1], with classes."""
    return Data(*(as_vectors(load("digits", size=SIDE, split=s)) for s in ("train", "test")))


def as_vectors(data: Dataset) -> Dataset:
    """Bytes to numbers in [-1, 1], flat."""
    return replace(data, x=(data.x.reshape(len(data.x), -1) / 127.5 - 1).astype(np.float32))


def as_images(x: np.ndarray, channels: int = 1) -> np.ndarray:
    """Vectors to 8-bit images, as they would be in a file.

    Raises:
        ValueError: Some are not finite: a training broke down.
    """
    if not np.isfinite(x).all():
        raise ValueError("a model draws numbers that are not finite; its training broke down")
    return np.rint((x + 1) * 127.5).clip(0, 255).astype(np.uint8).reshape(-1, channels, SIDE, SIDE)


def ring(n: int, seed: int) -> Dataset:
    """Eight Gaussians of standard deviation 0.02 on a circle of radius 1."""
    return modes_of(ring_centres(), 0.02, n, seed, "8-ring")


def grid(n: int, seed: int) -> Dataset:
    """Twenty-five Gaussians of standard deviation 0.02 on a grid with step 0.5."""
    return modes_of(grid_centres(), 0.02, n, seed, "25-grid")


def ring_centres() -> np.ndarray:
    angle = 2 * np.pi * np.arange(8) / 8
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def grid_centres() -> np.ndarray:
    line = np.arange(-2, 3) / 2
    return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)


def modes_of(centres: np.ndarray, spread: float, n: int, seed: int, name: str) -> Dataset:
    """Equal Gaussians around the centres."""
    rng = np.random.default_rng(seed)
    x = centres[rng.integers(len(centres), size=n)] + spread * rng.standard_normal((n, 2))
    return Dataset(x.astype(np.float32), name=name)


def stacked(n: int, seed: int) -> Dataset:
    """Three digits at a time, one in each colour channel: 1000 modes."""
    source, rng = digits().train, np.random.default_rng(seed)
    x = source.x[rng.integers(len(source.x), size=(n, 3))].reshape(n, -1)
    return Dataset(np.ascontiguousarray(x), name="stacked digits")


def diffusion(
    data: Dataset,
    seed: int,
    steps: int,
    width: int,
    *,
    depth: int = 3,
    look: Callable[[TrainState, Pipeline], None] | None = None,
    **options: object,
) -> Pipeline:
    """A trained diffusion model of vectors, averaged weights, by AdamW: Adam trains its rivals.

    Each sample is its own target, as in the papers; `stable_targets` may be asked for.

    `look(state, pipeline)` is called after every step with the weights of that moment; `options`
    are those of `demist train`.
    """
    config = update(
        TrainConfig(),
        {"width": width, "depth": depth, "seed": seed, "steps": steps, "batch_size": BATCH,
         "lr": 2e-3, "ema": 0.995, "precision": "fp32", "optimizer": "adamw",
         "stable_targets": 0, **options},
    )  # fmt: skip
    experiment = build(config, data)
    pipeline = experiment.pipeline
    state = None
    for state in fit(
        pipeline.denoiser, experiment.batches, objective=experiment.objective,
        options=experiment.config.optimization, limits=experiment.config.limits,
    ):  # fmt: skip
        if look is not None:
            look(state, pipeline)
    assert state is not None
    pipeline.denoiser.net.load_state_dict(state.ema.tensors)
    pipeline.denoiser.eval()
    return pipeline


def sample(pipeline: Pipeline, n: int, seed: int = 0, **settings: object) -> np.ndarray:
    """Vectors, the classes in equal parts if the model has any; all in few large batches."""
    label = "label" in pipeline.conditioner.conditions
    cond = {"label": [i % 10 for i in range(n)]} if label else {}
    return pipeline.sample(n, seed=seed, batch_size=1000, **{"guidance": 1.0, **settings}, **cond)


@cache
def judge() -> Classifier:
    """The classifier of the 8 x 8 digits, the independent judge of all digits here."""
    train, test = (load("digits", size=SIDE, split=s) for s in ("train", "test"))
    return train_classifier(
        train.x, train.labels, train.classes, epochs=8, test=(test.x, test.labels)
    )


@cache
def reference(samples: int) -> tuple[Moments, float]:
    """Moments of all training digits, and the distance of so many test digits to them."""
    train = Moments.of(judge().features(as_images(digits().train.x)))
    test = as_images(digits().test.x[np.random.default_rng(0).permutation(2000)[:samples]])
    return train, frechet_distance(Moments.of(judge().features(test)), train)


def fdr(x: np.ndarray) -> float:
    """FD(generated, train) / FD(test, train) of digit vectors, on the judge's features."""
    train, floor = reference(len(x))
    return frechet_distance(Moments.of(judge().features(as_images(x))), train) / floor


def triples(x: np.ndarray) -> tuple[int, float]:
    """Modes among the 1000 of three digits, by the judge, and KL to equal proportions, nats."""
    images = as_images(x, 3)
    digits = [
        judge().logits(np.ascontiguousarray(images[:, i : i + 1])).argmax(1) for i in range(3)
    ]
    counts = count_modes(100 * digits[0] + 10 * digits[1] + digits[2], 1000)
    return int((counts > 0).sum()), kl_to(counts)


@cache
def fresh_grid() -> np.ndarray:
    """Points of the grid that no model learns from."""
    return grid(2000, 1000).x


def grid_distance(x: np.ndarray) -> float:
    """Sliced Wasserstein distance to the grid."""
    return sliced_wasserstein(x, fresh_grid(), projections=64)


def grey(x: np.ndarray) -> np.ndarray:
    """Numbers in [-1, 1] to the grey levels 0 to 15."""
    return np.floor((x + 1) / 2 * LEVELS).clip(0, LEVELS - 1)


def dequantised(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each grey level spread evenly over its sixteenth of [-1, 1]."""
    return ((grey(x) + rng.random(x.shape)) * (2 / LEVELS) - 1).astype(np.float32)


def parameters(module: torch.nn.Module) -> int:
    """Number of trained numbers."""
    return sum(p.numel() for p in module.parameters())
