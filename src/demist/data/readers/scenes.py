"""DigitScenes: coloured digits in scenes that are described in words, made by code.

One to three real MNIST digits in different colours, large or small, in stated places or relations,
on a dark or light background; each scene comes with a caption in one of several wordings. Some
combinations never occur in training, so that a model can be asked for what it has never seen:

- `bindings`: each digit misses one colour;
- `relations`: some ordered pairs of digits are never side by side, others never stacked;
- `triples`: three digits whose sum is a multiple of 7.

The set `scenes-long` has the same images, and captions that say everything in one fixed order for
95 of 100 of them (Betker et al. 2023, "Improving Image Generation with Better Captions", table 3).
What scenes are, and how captions say them, stands in `demist.scenes`.

The digits of the splits "train" and "test" are those of MNIST's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from demist.data.dataset import Dataset
from demist.data.long_captions import long_ones
from demist.data.readers.reader import Reader, Source
from demist.errors import UsageError
from demist.scenes import COLOURS as COLOURS
from demist.scenes import DIGITS as DIGITS
from demist.scenes import LONG as LONG
from demist.scenes import PLACES as PLACES
from demist.scenes import RELATIONS as RELATIONS
from demist.scenes import TRIPLES as TRIPLES
from demist.scenes import Scene as Scene
from demist.scenes import Thing as Thing
from demist.scenes import describe as describe
from demist.scenes import describe_long as describe_long
from demist.scenes import rewritten as rewritten
from demist.scenes import understood as understood

HeldOut = Literal["bindings", "relations", "triples"]
HELD_OUT: tuple[HeldOut, ...] = ("bindings", "relations", "triples")


COUNT = 40_000
"""Scenes, where nobody says how many."""


def dataset(count: int, split: str = "train", seed: int = 0, size: int = 32) -> Dataset:
    """`count` scenes as images with captions; nothing in them is held out."""
    return draw(count, split, seed, size)[0]


def draw(
    count: int,
    split: str = "train",
    seed: int = 0,
    size: int = 32,
    held_out: HeldOut | None = None,
) -> tuple[Dataset, tuple[Scene, ...]]:
    """Scenes with their images and captions.

    Args:
        count: How many.
        split: Whose digits: "train" or "test".
        seed: Other seeds and splits give independent scenes.
        size: Side of the images in pixels, 32 or 64.
        held_out: Only scenes with this held-out combination; by default scenes with none.

    Raises:
        UsageError: The size or the split is another.
    """
    if size not in (32, 64):
        raise UsageError(f"scenes of {size} pixels: choose --size 32 or 64")
    if split not in ("train", "test"):
        raise UsageError(f"scenes have no split {split!r}; there are train and test")
    rng = np.random.default_rng([seed, split == "test", (*HELD_OUT, None).index(held_out)])
    wanted = {held_out} if held_out else set()
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = invent(rng)
        if scene.unseen == wanted:
            scenes.append(scene)
    alphas = alphas_of(split, size)
    x = np.stack([render(scene, rng, alphas, size) for scene in scenes])
    texts = tuple(describe(scene, rng) for scene in scenes)
    about = Dataset(x, texts=texts, name="scenes", source="made of MNIST digits; CC BY-SA 3.0")
    return about, tuple(scenes)


def invent(rng: np.random.Generator) -> Scene:
    """A random scene of any kind."""
    n = int(rng.choice([1, 2, 3], p=[0.3, 0.45, 0.25]))
    colours = rng.choice(list(COLOURS), n, replace=False)
    things = tuple(
        Thing(int(rng.integers(10)), str(colour), bool(rng.random() < 0.5)) for colour in colours
    )
    layouts: Sequence[str] = (list(PLACES), RELATIONS, TRIPLES)[n - 1]
    return Scene(things, str(rng.choice(layouts)), str(rng.choice(["dark", "light"])))


def render(
    scene: Scene, rng: np.random.Generator, alphas: "Alphas", size: int
) -> UInt8[np.ndarray, "3 s s"]:
    """An image of the scene: other digits of the same kind, slightly moved, each time."""
    level = rng.uniform(10, 40) if scene.background == "dark" else rng.uniform(215, 245)
    page = np.full((3, size, size), level, np.float32)
    for thing, (y, x) in zip(scene.things, centres(scene), strict=True):
        alpha = alphas(thing.digit, thing.large, rng)
        jitter = rng.uniform(-0.04, 0.04, 2)
        put(page, alpha, thing.colour, y + jitter[0], x + jitter[1])
    return page.round().astype(np.uint8)


def put(
    page: Float32[np.ndarray, "3 s s"],
    alpha: Float32[np.ndarray, "a a"],
    colour: str,
    y: float,
    x: float,
) -> None:
    """Draw a digit on a page.

    Args:
        page: Changed in place, 0 to 255.
        alpha: Its ink, 0 to 1.
        colour: Of `COLOURS`.
        y: Centre as a fraction of the page; the ink stays on the page.
        x: Likewise.
    """
    side, size = alpha.shape[0], page.shape[1]
    inked = 20 / 28 * side / 2  # digits fill 20 of 28 pixels, and must stay on the page
    top, left = (int(np.clip(c * size, inked, size - inked) - side / 2 + 0.5) for c in (y, x))
    rows, columns = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
    shown = alpha[max(-top, 0) :, max(-left, 0) :]
    target = page[:, rows, columns]
    shown = shown[: target.shape[1], : target.shape[2]]
    ink = np.array(COLOURS[colour], np.float32)[:, None, None]
    page[:, rows, columns] = target + shown * (ink - target)


def centres(scene: Scene) -> list[tuple[float, float]]:
    """Where the things of a scene stand: y and x as fractions of the page."""
    if len(scene.things) == 1:
        return [PLACES[scene.layout]]
    if len(scene.things) == 2:
        beside = [(0.5, 0.27), (0.5, 0.73)]
        return beside if scene.layout == "beside" else [(x, y) for y, x in beside]
    pair, third = (0.29, 0.75) if scene.layout == TRIPLES[0] else (0.71, 0.25)
    return [(pair, 0.27), (pair, 0.73), (third, 0.5)]


Alphas = Callable[[int, bool, np.random.Generator], Float32[np.ndarray, "a a"]]
"""How much ink a digit of this kind and size puts where: one of many, drawn at random."""

LARGE, SMALL = 22, 14
"""Sides of the digits' patches in a scene of 32 pixels; ink fills 20 / 28 of them."""


@cache
def alphas_of(split: str, size: int) -> Alphas:
    """The ink of the digits of a split, for scenes of `size` pixels."""
    import torch  # only here: importing the readers of data needs no torch

    from demist.data.load import digits

    data = digits(split)
    assert data.labels is not None
    ink = torch.from_numpy(data.x / np.float32(255))
    sides = {True: LARGE * size // 32, False: SMALL * size // 32}
    kept = {
        (digit, large): torch.nn.functional.interpolate(
            ink[data.labels == digit], (side, side), mode="bilinear", antialias=True
        )[:, 0].numpy()
        for digit in range(10)
        for large, side in sides.items()
    }

    def drawn(digit: int, large: bool, rng: np.random.Generator) -> np.ndarray:
        some = kept[digit, large]
        one: np.ndarray = some[int(rng.integers(len(some)))]
        return one

    return drawn


@dataclass(frozen=True)
class Scenes(Reader):
    """DigitScenes, built in: one or two coloured digits, described by captions."""

    name: ClassVar[str] = "scenes"
    order: ClassVar[int] = 0
    sets: ClassVar[tuple[str, ...]] = ("scenes", LONG)

    def recognises(self, source: Source) -> bool:
        return source.text in self.sets

    def splits(self, source: Source) -> tuple[str, ...]:
        return ("train", "test")

    def read(self, source: Source) -> Dataset:
        height, width = source.rules.sides or (32, 32)
        if height != width:
            raise UsageError(f"--size {height}x{width}: {source.text} are square; give one side")
        data, scenes = draw(source.limit or COUNT, source.split, source.seed, height)
        return with_long_captions(data, scenes, source) if source.text == LONG else data


def with_long_captions(data: Dataset, scenes: Sequence[Scene], source: Source) -> Dataset:
    """The same images; most captions of the training part are long, and all of the others."""
    assert data.texts is not None
    long = long_ones(len(scenes), source.split, source.seed)
    texts = tuple(
        describe_long(scene) if is_long else text
        for scene, text, is_long in zip(scenes, data.texts, long, strict=True)
    )
    return Dataset(data.x, texts=texts, name=LONG, source=data.source)
