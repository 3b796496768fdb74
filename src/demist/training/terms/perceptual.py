"""The perceptual term; see `demist.objectives.perceptual`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.evaluation.judge.classifier import Classifier
from demist.evaluation.judge.pseudo import clusters
from demist.io.files import cache_folder, sha256
from demist.io.tensors import read_tensors
from demist.networks.vgg16 import BLOCKS, VGG16
from demist.objectives.perceptual import inverse_deviations, lpips, scaled_distance
from demist.training.judge import default_classifier
from demist.training.terms.term import Rebuilt, Setting, Term

Distance = Callable[[Tensor, Tensor], Tensor]
"""Maps images and their reconstructions, in [-1, 1], to their distances, `(B,)`."""

SEEN = 256
"""Images on which the deviations of the judge's features are measured."""


class Perceptual(Term):
    """Distance in the features of a frozen network.

    Args:
        distance: With the network in it.
        weight: Of the term.
    """

    name: ClassVar[str] = "perceptual"
    logged: ClassVar[tuple[str, ...]] = ("perceptual",)
    likeness: ClassVar[bool] = True

    def __init__(self, distance: Distance, weight: float):
        super().__init__()
        self.distance, self.weight = distance, weight

    @classmethod
    def of(cls, setting: Setting) -> "Perceptual | None":
        """Where it has a weight.

        Raises:
            UsageError: There is nothing to look with, or it cannot see such images.
            DataError: The file does not hold what it should.
        """
        latents, data = setting.config.latents, setting.data
        if not latents.perceptual:
            return None
        spec = latents.perceptual_features
        if spec is None:
            raise UsageError(
                f"perceptual = {latents.perceptual:g} needs features: --perceptual-features judge "
                f"(of a classifier of this data), or a file of VGG16's weights with LPIPS's"
            )
        if spec == "judge":
            first = judge_of(data) if setting.world.first else None
            setting.world.agree(True)  # the others wait for the first
            judge = first or judge_of(data)
            distance: Distance = judge_distance(judge, data, setting.device)
            what, known = "feature distance of the judge", judge.card.weights
            note = f"perceptual: {what} ({judge.card})"
        else:
            distance = lpips_distance(Path(spec), data.x.shape[1:], setting.device)
            what, known = "LPIPS with VGG16", sha256(Path(spec))
            note = f"perceptual: {what}, from {spec}"
        term = cls(distance, latents.perceptual)
        term.facts, term.notes = {"perceptual": known}, (note,)
        return term

    def forward(self, seen: Rebuilt) -> tuple[Tensor, ...]:
        """One number."""
        return (self.weight * self.distance(seen.x, seen.rebuilt),)


def judge_of(data: Dataset) -> Classifier:
    """The classifier of the data's labels, or of clusters of its images if it has none.

    Raises:
        UsageError: The images are no bytes, or fewer than two.
    """
    x = np.asarray(data.x[:1])
    if x.dtype != np.uint8 or len(data) < 2:
        raise UsageError(
            f"perceptual_features = 'judge': a judge learns from two or more images of bytes, and "
            f"these are {len(data)} of {x.dtype}; give a file of VGG16's weights instead"
        )
    if data.labels is None or len(data.classes) < 2:
        images = np.asarray(data.x[: len(data)])
        labels = clusters(images, images[:1])[0]
        data = data.with_labels(labels, tuple(f"cluster {j}" for j in range(labels.max() + 1)))
    return default_classifier(data, cache_folder())


def judge_distance(judge: Classifier, data: Dataset, device: torch.device) -> Distance:
    """The distance in all layers of a judge, in units of their deviations on some of the data."""
    network = judge.network.to(device)
    rows = np.unique(np.linspace(0, len(data) - 1, SEEN).astype(np.int64))
    x = torch.from_numpy(np.array(data.x[rows])).to(device)
    with torch.no_grad():
        inverse = inverse_deviations(network.maps(x.float() / 127.5 - 1))

    def distance(x: Tensor, rebuilt: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = network.maps(x)
        return scaled_distance(network.maps(rebuilt), wanted, inverse)

    return distance


def lpips_distance(path: Path, shape: tuple[int, ...], device: torch.device) -> Distance:
    """LPIPS of images of `shape` with the weights of a file.

    Args:
        path: safetensors with `features.0.weight`, ... of torchvision's VGG16, and LPIPS's
            `lin0` ... `lin4`, also as `lin0.weight` or `lin0.model.1.weight`.
        shape: `(C, H, W)`.
        device: Where to compute.

    Raises:
        UsageError: Images that VGG16 cannot see.
        DataError: The file holds something else.
        MissingError: There is none.
        RefusedError: It is a pickle.
    """
    net, weights = read_lpips(path)
    if shape[0] not in (1, 3) or min(shape[1:]) < net.smallest:
        raise UsageError(
            f"perceptual_features = {str(path)!r}: VGG16 sees images of 1 or 3 channels and sides "
            f"of at least {net.smallest}, and these are {' x '.join(map(str, shape))}; use judge"
        )
    net.to(device).eval().requires_grad_(False)
    weights = [w.to(device) for w in weights]

    def distance(x: Tensor, rebuilt: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = net(x)
        return lpips(net(rebuilt), wanted, weights)

    return distance


def read_lpips(
    path: Path, blocks: tuple[tuple[int, int], ...] = BLOCKS
) -> tuple[VGG16, list[Tensor]]:
    """VGG16 and the weights of its channels, from a file; raises as `lpips_distance`."""
    tensors = read_tensors(path)
    with torch.device("meta"):
        net = VGG16(blocks)
    wanted = net.state_dict()
    for name, like in wanted.items():
        _require(tensors, name, like.shape, path)
    weights = []
    for k, (wide, _) in enumerate(blocks):
        names = [n for n in tensors if re.fullmatch(rf"lin{k}(\.model\.1)?(\.weight)?", n)]
        found = tensors[names[0]].flatten() if names else None
        _require({} if found is None else {f"lin{k}": found}, f"lin{k}", (wide,), path)
        assert found is not None
        weights.append(found.float())
    net.load_state_dict({name: tensors[name].float() for name in wanted}, assign=True)
    return net, weights


def _require(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> None:
    found = tensors.get(name)
    if found is None or tuple(found.shape) != tuple(shape):
        what = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
        raise DataError(
            f"{path} holds no LPIPS: {name} of shape {tuple(shape)} {what}; it takes torchvision's "
            f"VGG16 (features.0.weight, ...) and LPIPS's lin0 to lin4 in one safetensors file"
        )
