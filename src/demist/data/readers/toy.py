"""Point sets with a known shape, for seeing a diffusion at work in a second.

A shape maps u in (0, 1) to a point of the plane. Uniform u, shifted and scaled so that the shape
has mean 0 and mean variance 1 over its coordinates, plus Gaussian noise, is the data; the sum is
divided by its own standard deviation. "eight" is the set in which every sample is the number 8.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32

from demist.data.dataset import Dataset
from demist.data.readers.reader import Reader, Source

_Shape = Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "n 2"]]


@dataclass(frozen=True)
class Toy:
    """A shape, the standard deviation of its noise, and its number of classes.

    Class k of K is the part of the shape with k / K <= u < (k + 1) / K.
    """

    shape: _Shape
    noise: float
    classes: int = 1


def moons(u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
    """Two half circles of radius 1, each reaching into the other."""
    lower = u >= 0.5
    angle = np.pi * (2 * u - lower)
    x, y = np.cos(angle), np.sin(angle)
    return np.stack([np.where(lower, 1 - x, x), np.where(lower, 0.5 - y, y)], axis=1)


def spiral(u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
    """An Archimedean spiral of two turns; the root spreads points evenly over its length."""
    angle = 4 * np.pi * np.sqrt(u)
    return np.stack([angle * np.cos(angle), angle * np.sin(angle)], axis=1)


def grid(u: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 2"]:
    """The 25 points with coordinates in -2, -1, 0, 1, 2."""
    index = np.floor(25 * u)
    return np.stack([index // 5 - 2, index % 5 - 2], axis=1)


TOYS = {
    "moons": Toy(moons, noise=0.08, classes=2),
    "spiral": Toy(spiral, noise=0.04),
    "25-gaussians": Toy(grid, noise=0.05, classes=25),
}
NAMES = (*TOYS, "eight")
COUNT = 20_000
"""Points, where nobody says how many."""


def draw(name: str, count: int, split: str, seed: int) -> Dataset:
    """Draw `count` points of the set `name`; other splits and seeds give independent points."""
    if name == "eight":
        return Dataset(np.full((count, 1), 8, np.float32), name=name, source="synthetic")
    toy = TOYS[name]
    rng = np.random.default_rng([seed, ("train", "valid", "test").index(split)])
    u = rng.random(count)
    labels = np.floor(toy.classes * u).astype(np.int64)
    return Dataset(
        _points(toy, u, rng.standard_normal((count, 2))),
        labels=labels if toy.classes > 1 else None,
        classes=tuple(map(str, range(toy.classes))) if toy.classes > 1 else (),
        name=name,
        source="synthetic",
    )


def _points(
    toy: Toy, u: Float[np.ndarray, "n"], noise: Float[np.ndarray, "n 2"]
) -> Float32[np.ndarray, "n 2"]:
    curve = toy.shape((np.arange(10_000) + 0.5) / 10_000)  # moments by the midpoint rule
    mean, scale = curve.mean(axis=0), np.sqrt(curve.var(axis=0).mean())
    points = (toy.shape(u) - mean) / scale + toy.noise * noise
    scaled: np.ndarray = (points / np.sqrt(1 + toy.noise**2)).astype(np.float32)
    return scaled


@dataclass(frozen=True)
class Toys(Reader):
    """Points in the plane, built in: moons, spiral, 25-gaussians, eight."""

    name: ClassVar[str] = "toys"
    order: ClassVar[int] = 0
    sets: ClassVar[tuple[str, ...]] = NAMES
    kind: ClassVar[str] = "points"

    def recognises(self, source: Source) -> bool:
        return source.text in self.sets

    def splits(self, source: Source) -> tuple[str, ...]:
        return ("train", "valid", "test")

    def read(self, source: Source) -> Dataset:
        return draw(source.text, source.limit or COUNT, source.split, source.seed)
