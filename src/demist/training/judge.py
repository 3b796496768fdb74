"""Training a judge (`demist.evaluation.judge`): seconds on a laptop, the same from the same seed.

One cycle of learning rate [1] with AdamW, label smoothing, and mild affine augmentation of half of
every batch: the other half keeps the crispness of real images, so that blur still looks unusual.
The work is a fixed number of pixels seen, whatever the size of the data set, because a budget in
seconds would give other weights on another machine.

References:
    [1] Smith, Topin. Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
        Rates, 2018. https://arxiv.org/abs/1708.07120
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from demist.config import LimitsConfig, OptimizationConfig
from demist.errors import DataError
from demist.evaluation.judge.classifier import Card, Classifier, Network, unit_range, weights_hash
from demist.evaluation.judge.scenes import Judge, Palette, find
from demist.evaluation.metrics.accuracy import check_labels, label_accuracy
from demist.training.fit import fit

RECIPE = "demist-cnn-2"
"""Changes whenever the same call would give other weights."""

PIXELS_SEEN = 140_000 * 28 * 28
BATCH = 128
OPTIONS = OptimizationConfig(
    optimizer="adamw", lr=5e-3, beta2=0.999, weight_decay=0.02, clip=0, ema=0, precision="fp32"
)

Progress = Callable[[int, int, float], None]
"""`progress(step, steps, loss)`, called after every step."""


@runtime_checkable
class LabelledImages(Protocol):
    """What is needed of a data set: uint8 images, labels, class names and a fingerprint."""

    @property
    def x(self) -> np.ndarray: ...
    @property
    def labels(self) -> np.ndarray | None: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Labelled:
    """What the judge sees in one step.

    Attributes:
        x: Images in [-1, 1], half of them augmented, `(B, C, H, W)`.
        labels: `(B,)`.
        seed: For torch's own draws, of which there are none.
    """

    x: Tensor
    labels: Tensor
    seed: int = 0

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.x.device

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class LabelledBatches:
    """Batches of images and labels, as a function of the step's number.

    Attributes:
        x: Images, uint8 `(N, C, H, W)`.
        labels: `(N,)`.
        rows: Which are in each step's batch, `(steps, B)`.
        moves: How the first of these are moved, `(steps, B // 2, 2, 3)`; see `move`.
    """

    x: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    moves: np.ndarray

    def __call__(self, step: int) -> Labelled:
        """The batch of step `step`, 0, 1, ..."""
        rows, moves = self.rows[step], self.moves[step]
        x = unit_range(torch.from_numpy(self.x[rows]))
        x = torch.cat([move(x[: len(moves)], moves), x[len(moves) :]])
        return Labelled(x, torch.from_numpy(self.labels[rows]))


def recognition_loss(network: Network, batch: Labelled) -> Tensor:
    """Cross-entropy with smoothed labels: `(B,)`."""
    return F.cross_entropy(network(batch.x), batch.labels, label_smoothing=0.1, reduction="none")


def train_classifier(
    images: UInt8[np.ndarray, "n c h w"],
    labels: Int64[np.ndarray, "_"],
    classes: tuple[str, ...],
    *,
    seed: int = 0,
    epochs: int | None = None,
    width: int = 16,
    test: tuple[UInt8[np.ndarray, "m c h w"], Int64[np.ndarray, "_"]] | None = None,
    fingerprint: str | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """Train a classifier; about 10 seconds for 10,000 grey images of 28 pixels on 2 cores.

    Arguments:
        images: at least two.
        labels: 0 .. len(classes) - 1.
        classes: names.
        seed: fixes weights, order and augmentation; torch's global generator is left alone.
        epochs: passes over the data; by default as many as see `PIXELS_SEEN`, 1 to 40.
        width: channels of the first layer.
        test: held-out images and labels, for the accuracy on the card.
        fingerprint: of the data, if the caller has one; otherwise it is computed.
        progress: called after every step.

    Raises:
        DataError: too few images, or labels that do not fit images or classes.
    """
    check_labels(len(images), labels, classes)
    if len(images) < 2:
        raise DataError("A classifier cannot learn from fewer than 2 images.")
    shape = (images.shape[1], images.shape[2], images.shape[3])
    if epochs is None:
        epochs = min(40, max(1, round(PIXELS_SEEN / (len(images) * shape[1] * shape[2]))))
    batch = min(BATCH, len(images))
    steps = epochs * len(images) // batch
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        network = Network(shape, len(classes), width)
        order = np.concatenate([rng.permutation(len(images)) for _ in range(epochs)])
        rows = order[: steps * batch].reshape(steps, batch)
        moves = np.stack([draw_moves(batch // 2, rng) for _ in range(steps)])
        batches = LabelledBatches(images, labels, rows, moves)
        for state in fit(
            network, batches, objective=recognition_loss, options=OPTIONS,
            limits=LimitsConfig(steps=steps), rate=lambda _, done, o: o.lr * one_cycle(done),
        ):  # fmt: skip
            if progress is not None:
                progress(state.step, steps, state.loss)
    data = fingerprint_of(images, labels) if fingerprint is None else fingerprint
    card = Card(RECIPE, shape, classes, width, epochs, seed, data, None, weights_hash(network))
    classifier = Classifier(network, card)
    if test is None:
        return classifier
    accuracy = label_accuracy(classifier, *test).overall
    return Classifier(network, replace(card, accuracy=accuracy))


def default_classifier(
    dataset: LabelledImages,
    folder: Path,
    *,
    test: LabelledImages | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Classifier:
    """The classifier of a data set, trained on first use and kept in `folder`.

    The file is named after the data's fingerprint and the recipe, so neither a changed data set nor
    a changed recipe meets an old judge. A damaged file is set aside as `bad-...`.

    Raises:
        DataError: a data set without labels.
    """
    if dataset.labels is None:
        raise DataError("The data set has no labels, so no classifier can be trained on it.")
    about_test = None if test is None else test.fingerprint
    key = hashlib.sha256(repr((RECIPE, seed, dataset.fingerprint, about_test)).encode())
    path = folder / f"classifier-{key.hexdigest()[:16]}.safetensors"
    if path.exists():
        try:
            return Classifier.load(path)
        except DataError:
            path.replace(path.with_name(f"bad-{path.name}"))
    held_out = None if test is None or test.labels is None else (test.x, test.labels)
    classifier = train_classifier(
        dataset.x,
        dataset.labels,
        dataset.classes,
        seed=seed,
        test=held_out,
        fingerprint=dataset.fingerprint,
        progress=progress,
    )
    folder.mkdir(parents=True, exist_ok=True)
    classifier.save(path)
    return classifier


def train_judge(
    images: UInt8[np.ndarray, "n 3 s s"],
    scenes: Sequence[Any],
    palette: Palette,
    places: Mapping[str, tuple[float, float]],
    seed: int = 0,
    epochs: int | None = None,
) -> Judge:
    """A judge whose classifier learns from the cut-outs of real scenes; under a minute.

    Args:
        images: Real scenes.
        scenes: What they show.
        palette: Colours by name.
        places: As in `Judge`.
        seed: Fixes the classifier.
        epochs: As in `train_classifier`.
    """
    cutouts, labels = [], []
    for image, scene in zip(images, scenes, strict=True):
        digit_of = {thing.colour: thing.digit for thing in scene.things}
        for thing in find(image, palette):
            if thing.colour in digit_of:
                cutouts.append(thing.cutout)
                labels.append(digit_of[thing.colour])
    classes = tuple(map(str, range(10)))
    x, y = np.stack(cutouts)[:, None], np.array(labels, np.int64)
    return Judge(palette, places, train_classifier(x, y, classes, seed=seed, epochs=epochs))


def draw_moves(n: int, rng: np.random.Generator) -> Float32[np.ndarray, "n 2 3"]:
    """Random rotation (0.2 rad), shear (0.2), scale (10 %) and shift (8 % of the side)."""
    angle, shear = rng.uniform(-0.2, 0.2, (2, n))
    scale, shift = rng.uniform(0.9, 1.1, (2, n)), rng.uniform(-0.16, 0.16, (2, n))
    rows = [
        [scale[0] * np.cos(angle), -np.sin(angle) + shear, shift[0]],
        [np.sin(angle), scale[1] * np.cos(angle), shift[1]],
    ]
    return np.array(rows, np.float32).transpose(2, 0, 1).copy()


def move(
    x: Float32[Tensor, "b c h w"], moves: Float32[np.ndarray, "b 2 3"]
) -> Float32[Tensor, "b c h w"]:
    """Images after affine maps of their coordinates, which are in [-1, 1]."""
    grid = F.affine_grid(torch.from_numpy(moves), list(x.shape), align_corners=False)
    moved: Tensor = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return moved


def one_cycle(progress: float, warm: float = 0.2) -> float:
    """Learning-rate factor: cosine from 0.04 up to 1 at `warm`, cosine down to 0 at 1."""
    if progress < warm:
        return 1 - 0.96 * (1 + float(np.cos(np.pi * progress / warm))) / 2
    return (1 + float(np.cos(np.pi * (progress - warm) / (1 - warm)))) / 2


def fingerprint_of(images: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 over images, labels and their shapes."""
    digest = hashlib.sha256(f"{images.shape} {labels.shape}\n".encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()
