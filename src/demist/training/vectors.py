"""Vectors that a CLIP makes of the data's images and captions: made once, kept in the cache folder.

A file is named by hashes of the CLIP's weights and of the data; see `demist.io.kept`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from demist.conditions import (
    Conditioner,
    ImageVector,
    TextVector,
)
from demist.data import Dataset
from demist.io.kept import kept
from demist.machine.streams import tell
from demist.model.components import hash_of
from demist.networks.clip import Clip
from demist.training.parallel import World
from demist.training.stand_in import StandIn

FORMAT, BLOCK = 1, 128
"""Version of the files, and images seen at a time."""


@dataclass(frozen=True)
class KeptVectors(StandIn):
    """Vectors of a CLIP in training, whose values are rows of what is kept.

    Attributes:
        told: The condition that it stands for.
        rows: `(N, D)`: the unit vector of each image; then, if images are mirrored, another `N` of
            the mirrored ones. Or that of each caption.
        count: `N`; 0 for captions, which stay as they are where images are mirrored.
        drop: As of the condition.
        group: As of the condition.
    """

    told: ImageVector | TextVector
    rows: np.ndarray = field(repr=False, compare=False)
    count: int
    drop: float = 0.1
    group: str = ""

    reads: ClassVar[str] = "vectors"

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """What the network gets of the images or captions with these numbers, int `(n,)`."""
        return self.told.told(torch.from_numpy(np.array(self.rows[np.asarray(values)])))

    def mirrored(self, values: np.ndarray) -> np.ndarray:
        return values + self.count


def kept_vectors(
    conditioner: Conditioner, values: Mapping[str, Any], data: Dataset, flip: bool, world: World
) -> tuple[Conditioner, dict[str, Any]]:
    """The conditions and their values as batches read them: vectors of a CLIP are looked up.

    Args:
        conditioner: Of the model.
        values: Of its conditions in the data.
        data: The images.
        flip: Whether the vectors of mirrored images are needed.
        world: The processes that train together; the first makes the files, all read them.

    Raises:
        StorageError: A file cannot be written.
    """
    made, found = dict(conditioner.conditions), dict(values)
    for name, condition in conditioner.conditions.items():
        if isinstance(condition, ImageVector):
            x = values.get(name, data.x)
            rows = firsts(partial(_kept, condition, name, x, data, flip), world)
            made[name] = KeptVectors(condition, rows, len(x), condition.drop, condition.group)
            found[name] = np.arange(len(x))
        elif isinstance(condition, TextVector):
            captions, found[name] = np.unique(np.asarray(values[name]), return_inverse=True)
            rows = firsts(partial(_kept_captions, condition, captions), world)
            made[name] = KeptVectors(condition, rows, 0, condition.drop, condition.group)
    return Conditioner(made), found


def vectors_in_place(data: Dataset, clip: Clip, world: World) -> Dataset:
    """The data with the unit vectors `(N, D)` of its images in their place.

    Args:
        data: Images of one shape.
        clip: Sees them.
        world: As of `kept_vectors`.

    Raises:
        StorageError: A file cannot be written.
    """
    seen = ImageVector(clip.eval().requires_grad_(False))
    x = firsts(partial(_kept, seen, "", data.x, data, False), world)
    return replace(data, x=x, kind="points", known_fingerprint="")


def clips_of(conditioner: Conditioner) -> str:
    """A hash of the weights of all CLIPs that make vectors; empty: there are none."""
    kinds = (ImageVector, TextVector)
    seen = [c for c in conditioner.conditions.values() if isinstance(c, kinds)]
    return "/".join(hash_of(c.saved_networks) for c in seen)


def firsts(made: Callable[[], np.ndarray], world: World) -> np.ndarray:
    """What is kept, made by the first process while the others wait."""
    first = made() if world.first else None
    world.agree(True)
    return made() if first is None else first


def _kept(condition: ImageVector, name: str, x: Any, data: Dataset, flip: bool) -> np.ndarray:
    own = (condition.clip.config["in_channels"], *condition.clip.config["size"])
    if tuple(x.shape[1:]) != own:
        shapes = ("x".join(map(str, shape)) for shape in (own, x.shape[1:]))
        tell("CLIP sees images of {}: those of the data, {}, are resized for it".format(*shapes))
    column = name if name in data.columns else ""
    weights = hash_of(condition.saved_networks)
    key = f"{FORMAT}/{weights}/{data.fingerprint}/{column}/{flip}"
    shape = (len(x) * (1 + flip), condition.features)
    return kept("vectors", key, shape, _blocks(condition, x, flip))


def _blocks(condition: ImageVector, x: Any, flip: bool) -> Iterator[np.ndarray]:
    for mirrored in (False, True)[: 1 + flip]:
        order = range(0, len(x), BLOCK)
        for begin in tqdm(order, "seeing images", delay=1, leave=False, disable=None):
            part = x[begin : begin + BLOCK]
            yield condition.see(part[..., ::-1] if mirrored else part).numpy()


def _kept_captions(condition: TextVector, captions: np.ndarray) -> np.ndarray:
    digest = hashlib.sha256("\0".join(captions.tolist()).encode())
    words = hashlib.sha256("\n".join(condition.pairs).encode())
    weights = hash_of(condition.saved_networks)
    key = f"{FORMAT}/{weights}/captions/{words.hexdigest()}/{digest.hexdigest()}"
    blocks = _caption_blocks(condition, captions)
    return kept("vectors", key, (len(captions), condition.features), blocks)


def _caption_blocks(condition: TextVector, captions: np.ndarray) -> Iterator[np.ndarray]:
    order = range(0, len(captions), BLOCK)
    for begin in tqdm(order, "reading captions", delay=1, leave=False, disable=None):
        part = captions[begin : begin + BLOCK].tolist()
        vectors = condition.read(part)
        vectors[[not text for text in part]] = 0  # as `TextVector.encode` has it
        yield vectors.numpy()
