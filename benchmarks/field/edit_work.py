"""What edits are tried on: scenes before and after, side by side, and as two ends of a film."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from demist.data.readers import scenes
from demist.data.scene_pairs import Pair, draw_pair
from demist.model import Pipeline
from demist.scenes import COLOURS, Scene, describe

SIZE = 64
SEED = 1


@dataclass(frozen=True)
class Work:
    """What one task edits.

    Attributes:
        pipeline: The model.
        pairs: Scenes before and after.
        across: How many of them lie side by side in an image.
        seed: Of the first image; each has one of its own.
    """

    pipeline: Pipeline
    pairs: Sequence[Pair]
    across: int = 1
    seed: int = 0

    def __len__(self) -> int:
        return len(self.pairs) // self.across

    @cached_property
    def targets(self) -> np.ndarray:
        """Images as they should be, bytes `(n, 3, SIZE, across x SIZE)`."""
        return joined(np.stack([pair.image for pair in self.pairs]), self.across)

    @cached_property
    def sources(self) -> np.ndarray:
        """Images before the edit; where there is none the targets."""
        found = [pair.image if pair.source is None else pair.source for pair in self.pairs]
        return joined(np.stack(found), self.across)

    def beside(self, name: str) -> np.ndarray:
        """Another image of each pair."""
        return np.stack([(pair.beside or {})[name] for pair in self.pairs])

    @cached_property
    def holes(self) -> np.ndarray:
        """Masks: 1 is made anew."""
        return (self.beside("mask")[:, 0] > 0).astype(np.float32)

    @cached_property
    def right_halves(self) -> np.ndarray:
        """The masks of outpainting."""
        masks = np.zeros((len(self), SIZE, SIZE), np.float32)
        masks[:, :, SIZE // 2 :] = 1
        return masks

    @property
    def scenes(self) -> list[Scene]:
        """What each part of the images should show."""
        return [pair.scene for pair in self.pairs]

    @property
    def prompts(self) -> list[str]:
        """Of the targets."""
        return [pair.prompt for pair in self.pairs]

    @cached_property
    def before(self) -> list[str]:
        """Prompts of the sources."""
        return [
            describe(pair.before, np.random.default_rng(i))
            for i, pair in enumerate(self.pairs)
            if pair.before is not None
        ]

    @cached_property
    def after(self) -> list[str]:
        """Prompts of what the sources become, in the same wording."""
        return [describe(pair.scene, np.random.default_rng(i)) for i, pair in enumerate(self.pairs)]


Draw = Callable[[Pipeline, str, int], Work]
"""The work of a model on a split, of so many images."""


def joined(images: np.ndarray, across: int) -> np.ndarray:
    """Images of which so many in a row lie side by side."""
    n, *rest = images.shape
    rows = images.reshape(n // across, across, *rest)
    return np.concatenate([rows[:, k] for k in range(across)], axis=-1)


def parts(images: np.ndarray) -> np.ndarray:
    """The squares of which images are made, from left to right; undoes `joined`."""
    cut = np.stack(np.split(images, images.shape[-1] // images.shape[-2], axis=-1), axis=1)
    return cut.reshape(-1, *cut.shape[2:])


def pairs_of(kind: str) -> Draw:
    """Pairs as `demist make-pairs scenes --task KIND` draws them."""

    def draw(pipeline: Pipeline, split: str, n: int) -> Work:
        return Work(pipeline, [draw_pair(kind, i, split, seed=SEED, size=SIZE) for i in range(n)])

    return draw


def redigited(pipeline: Pipeline, split: str, n: int) -> Work:
    """Scenes of which a digit becomes another one, in its own colour; the target is the source."""
    pairs = []
    for i in range(n):
        pair = draw_pair("recolour", i, split, seed=SEED, size=SIZE)
        assert pair.before is not None
        assert pair.source is not None
        k, things = pair.changed, pair.before.things
        others = [digit for digit in range(10) if digit != things[k].digit]
        thing = replace(things[k], digit=int(np.random.default_rng([7, i]).choice(others)))
        scene = replace(pair.before, things=(*things[:k], thing, *things[k + 1 :]))
        words = describe(scene, np.random.default_rng(i))
        pairs.append(replace(pair, image=pair.source, scene=scene, prompt=words))
    return Work(pipeline, pairs)


def side_by_side(pipeline: Pipeline, split: str, n: int) -> Work:
    """Two scenes on one ground."""
    pairs = []
    for i in range(n):
        rng = np.random.default_rng([SEED, split == "test", 1, i])
        left = _invented(rng)
        right = _invented(rng, left.background)
        form = int(rng.integers(2**31))  # the level of the ground is drawn first, so it is the same
        pairs += [_pair(scene, form, split, rng) for scene in (left, right)]
    return Work(pipeline, pairs, across=2)


def all_recoloured(pipeline: Pipeline, split: str, n: int) -> Work:
    """The same digits, each in another colour."""
    pairs = []
    for i in range(n):
        rng = np.random.default_rng([SEED, split == "test", 2, i])
        scene, form = _invented(rng), int(rng.integers(2**31))
        after = _recoloured(scene, rng)
        source = _rendered(scene, form, split)
        pairs.append(replace(_pair(after, form, split, rng), source=source, before=scene))
    return Work(pipeline, pairs)


def two_ends(pipeline: Pipeline, split: str, n: int) -> Work:
    """One scene, and another to which a film leads."""
    pairs = []
    for i in range(n):
        rng = np.random.default_rng([SEED, split == "test", 3, i])
        first = _pair(_invented(rng), int(rng.integers(2**31)), split, rng)
        last = _pair(_invented(rng), int(rng.integers(2**31)), split, rng)
        pairs.append(replace(last, source=first.image, before=first.scene))
    return Work(pipeline, pairs)


def _pair(scene: Scene, form: int, split: str, rng: np.random.Generator) -> Pair:
    return Pair(_rendered(scene, form, split), scene, describe(scene, rng))


def _rendered(scene: Scene, form: int, split: str) -> np.ndarray:
    """The scene in a handwriting: with the same digits, sizes and places the same ink."""
    alphas = scenes.alphas_of(split, SIZE)
    return scenes.render(scene, np.random.default_rng(form), alphas, SIZE)


def _invented(rng: np.random.Generator, background: str = "") -> Scene:
    """A scene with nothing that is held out, on a ground if one is said."""
    while True:
        scene = scenes.invent(rng)
        if not scene.unseen and background in ("", scene.background):
            return scene


def _recoloured(scene: Scene, rng: np.random.Generator) -> Scene:
    while True:
        colours = rng.choice(list(COLOURS), len(scene.things), replace=False)
        things = tuple(
            replace(thing, colour=str(colour))
            for thing, colour in zip(scene.things, colours, strict=True)
        )
        made = replace(scene, things=things)
        same = [a.colour == b.colour for a, b in zip(scene.things, things, strict=True)]
        if not any(same) and not made.unseen:
            return made
