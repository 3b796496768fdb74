"""The offline judge: a small convolutional classifier whose inner layer gives the features.

Pretrained extractors were made for photographs of 299 pixels and have to be downloaded. A
classifier trained on the data set itself takes seconds, sees what matters in *this* data, and
labels conditional samples as well. Its numbers compare only with numbers from the same weights, so
a `Card` with recipe, data and hash travels with every one of them.

The features are the layer before the logits: channel means at the two coarsest resolutions. The
finer one keeps them sensitive to noise and blur, which a layer trained only to name the object
learns to ignore.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64, UInt8
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from demist.errors import DataError, MissingError, RefusedError
from demist.evaluation.extractors.features import in_blocks
from demist.io.files import atomic
from demist.io.tensors import read_metadata, read_tensors, write_tensors

SPATIAL = 7
"""Channels that `Network.both` keeps with their places."""


class Network(nn.Module):
    """Convolutions to 8 pixels or less, then one linear layer on multi-scale channel means."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 16):
        super().__init__()
        channels, *sides = shape
        side, features = (max(sides) + 1) // 2, 2 * width
        self.stem = nn.Sequential(_conv(channels, width, 5, 2), _conv(width, features, 3, 1))
        self.down, self.refine = nn.ModuleList(), nn.ModuleList()
        pooled = features
        while side > 8 or not self.down:
            deeper = min(2 * features, 8 * width)
            self.down.append(_conv(features, features, 3, 2))
            self.refine.append(_conv(features, deeper, 3, 1))
            pooled = features + deeper
            side, features = (side + 1) // 2, deeper
        self.head = nn.Linear(pooled, classes)

    def features(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Channel means of the last two layers, for images in [-1, 1]."""
        fine, coarse = self._maps(x)
        return torch.cat([fine.mean((2, 3)), coarse.mean((2, 3))], dim=1)

    def both(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b ds"]:
        """The features, and behind them spatial ones: `SPATIAL` channels where they are.

        At most 7 x 7 places, as sFID takes 7 channels of an inner layer of Inception.
        """
        fine, coarse = self._maps(x)
        places = (min(7, fine.shape[2]), min(7, fine.shape[3]))
        where = F.adaptive_avg_pool2d(fine[:, :SPATIAL], places).flatten(1)
        return torch.cat([fine.mean((2, 3)), coarse.mean((2, 3)), where], dim=1)

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last two layers."""
        *_, fine, coarse = self.maps(x)
        return fine, coarse

    def maps(self, x: Float[Tensor, "b c h w"]) -> list[Tensor]:
        """What the stem and every further layer give for images in [-1, 1]: `(b, d, h, w)`."""
        found = [self.stem(x.contiguous(memory_format=torch.channels_last))]
        for down, refine in zip(self.down, self.refine, strict=True):
            found.append(down(found[-1]))
            found.append(refine(found[-1]))
        return found

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Logits for images in [-1, 1]."""
        logits: Tensor = self.head(self.features(x))
        return logits


@dataclass(frozen=True)
class Card:
    """Where a classifier comes from; printed beside every number made with it.

    Arguments:
        recipe: name and version of the training recipe.
        shape: channels, height, width of the images.
        classes: their names, in the order of the logits.
        width: of the network.
        epochs: passes over the data.
        seed: of weights, order and augmentation.
        data: fingerprint of images and labels.
        accuracy: share of correct labels on held-out images; None if it was not measured.
        weights: SHA-256 of the weights.
    """

    recipe: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    width: int
    epochs: int
    seed: int
    data: str
    accuracy: float | None
    weights: str

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", {100 * self.accuracy:.2f} % on held-out"
        return (
            f"{self.recipe}, width {self.width}, {self.epochs} epochs, seed {self.seed}{accuracy}, "
            f"data {self.data[:12]}, weights {self.weights[:12]}"
        )


class Classifier:
    """A trained classifier: logits, features and labels of uint8 images, in any number."""

    def __init__(self, network: Network, card: Card):
        self.network = network.eval().requires_grad_(False)
        self.card = card

    def features(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n d"]:
        """Penultimate features.

        Raises:
            DataError: images of another shape than the classifier was trained on.
        """
        self._check(images)
        return in_blocks(lambda x: self.network.features(unit_range(x)), images)

    @property
    def recipe(self) -> str:
        """What is printed beside every number made with these features."""
        return str(self.card)

    @property
    def dimension(self) -> int:
        """Length of the features."""
        return self.network.head.in_features

    def see(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n ds"]:
        """Features and behind them spatial features, in one pass; raises as `features`."""
        self._check(images)
        return in_blocks(lambda x: self.network.both(unit_range(x)), images)

    def logits(self, images: UInt8[np.ndarray, "n c h w"]) -> Float32[np.ndarray, "n classes"]:
        """Unnormalised log-probabilities; raises as `features`."""
        self._check(images)
        return in_blocks(lambda x: self.network(unit_range(x)), images)

    def probabilities(
        self, images: UInt8[np.ndarray, "n c h w"]
    ) -> Float64[np.ndarray, "n classes"]:
        """p(class | image); raises as `features`."""
        return softmax(self.logits(images))

    def head(self, features: Float32[np.ndarray, "n d"]) -> Float32[np.ndarray, "n classes"]:
        """Logits of features computed before, which costs next to nothing."""
        with torch.inference_mode():
            logits: np.ndarray = self.network.head(torch.tensor(features)).numpy()
            return logits

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and card to one safetensors file, atomically."""
        about = {"classifier": json.dumps(asdict(self.card))}
        with atomic(path) as temporary:
            write_tensors(temporary, self.network.state_dict(), about)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Classifier":
        """Read a classifier written by `save`.

        Raises:
            MissingError: there is no such file.
            DataError: not a classifier, or its weights do not match its card.
        """
        if not Path(path).is_file():
            raise MissingError(f"There is no classifier at {path}.")
        try:
            card = TypeAdapter(Card).validate_json(read_metadata(path).get("classifier", ""))
            with torch.device("meta"):  # allocate nothing on the card's word alone
                network = Network(card.shape, len(card.classes), card.width)
            network.load_state_dict(read_tensors(path), assign=True)
        except (DataError, RefusedError, ValidationError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path} is not a classifier of this program: {reason}") from error
        if weights_hash(network) != card.weights:
            raise DataError(f"{path} is damaged: its weights do not have the hash on its card.")
        return Classifier(network, card)

    def _check(self, images: np.ndarray) -> None:
        if images.shape[1:] != self.card.shape:
            expected, found = ("x".join(map(str, s)) for s in (self.card.shape, images.shape[1:]))
            raise DataError(
                f"The classifier was trained on {expected} images (channels, height, width) and "
                f"cannot judge {found}; train one on that data."
            )


def unit_range(images: UInt8[Tensor, "b c h w"]) -> Float32[Tensor, "b c h w"]:
    """The classifier's own input range: 0..255 to [-1, 1]."""
    return images.float() / 127.5 - 1


def softmax(logits: Float[np.ndarray, "n classes"]) -> Float64[np.ndarray, "n classes"]:
    """Probabilities in float64."""
    p = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    share: np.ndarray = p / p.sum(1, keepdims=True)
    return share


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all weights."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _conv(inputs: int, outputs: int, size: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
