"""DigitScenes: coloured digits in scenes that are described in words, made by code.

One to three real MNIST digits in different colours, large or small, in stated places or relations,
on a dark or light background; each scene comes with a caption in one of several wordings. Some
combinations never occur in training, so that a model can be asked for what it has never seen:

- `bindings`: each digit misses one colour;
- `relations`: some ordered pairs of digits are never side by side, others never stacked;
- `triples`: three digits whose sum is a multiple of 7.

The set `scenes-long` has the same images, and captions that say everything in one fixed order for
95 of 100 of them (Betker et al. 2023, "Improving Image Generation with Better Captions", table 3).
`rewritten` does that to a prompt.

The digits of the splits "train" and "test" are those of MNIST's own.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from demist.data.dataset import Dataset
from demist.data.readers.reader import Reader, Source
from demist.errors import UsageError

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 50, 40),
    "green": (30, 170, 60),
    "blue": (40, 70, 250),
    "yellow": (245, 215, 30),
    "purple": (170, 50, 215),
    "cyan": (30, 210, 210),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLACES = {
    "in the middle": (0.5, 0.5),
    "on the left": (0.5, 0.27),
    "on the right": (0.5, 0.73),
    "at the top": (0.27, 0.5),
    "at the bottom": (0.73, 0.5),
}
"""Of a single digit: centre as fractions of height and width."""
RELATIONS = ("beside", "above")
"""Of two digits: the first is left of the second, or above it."""
TRIPLES = ("with one below", "with one above")
"""Of three: the first left of the second, the third below or above both."""

HeldOut = Literal["bindings", "relations", "triples"]
HELD_OUT: tuple[HeldOut, ...] = ("bindings", "relations", "triples")


COUNT = 40_000
"""Scenes, where nobody says how many."""


@dataclass(frozen=True)
class Thing:
    """One digit of a scene."""

    digit: int
    colour: str
    large: bool


@dataclass(frozen=True)
class Scene:
    """What a caption says.

    Attributes:
        things: One to three, of different colours.
        layout: From `PLACES`, `RELATIONS` or `TRIPLES`, by the number of things.
        background: "dark" or "light".
    """

    things: tuple[Thing, ...]
    layout: str
    background: str

    @property
    def unseen(self) -> set[str]:
        """Which held-out combinations it has; training scenes have none."""
        digits = [thing.digit for thing in self.things]
        names = list(COLOURS)
        found = set[str]()
        if any(names.index(t.colour) == (1 - t.digit) % 6 for t in self.things):
            found.add("bindings")
        if len(digits) > 1:
            beside = len(digits) == 3 or self.layout == "beside"
            if (3 * digits[0] + digits[1]) % 10 == (0 if beside else 5):
                found.add("relations")
        if len(digits) == 3 and sum(digits) % 7 == 0:
            found.add("triples")
        return found


LONG = "scenes-long"
SHARE = 0.95
"""Of the captions of `scenes-long`, those that are long; all of the held-out ones are."""
_THING = re.compile(rf"\ba (?:(large|big|small|little) )?({'|'.join(COLOURS)}) (\w+)\b")


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
    alphas = _alphas(split, size)
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


def describe(scene: Scene, rng: np.random.Generator) -> str:
    """One of many ways to say it; each has all the facts."""

    def pick(*ways: str) -> str:
        return ways[int(rng.integers(len(ways)))]

    def named(thing: Thing) -> str:
        size = pick("", "large ", "big ") if thing.large else pick("small ", "little ")
        digit = pick(DIGITS[thing.digit], DIGITS[thing.digit], str(thing.digit))
        return f"a {size}{thing.colour} {digit}"

    things = [named(thing) for thing in scene.things]
    if len(things) == 1:
        sentence = f"{things[0]} {scene.layout}"
    elif len(things) == 2:
        a, b = things
        sentence = (
            pick(f"{a} to the left of {b}", f"{a} left of {b}", f"{b} to the right of {a}")
            if scene.layout == "beside"
            else pick(f"{a} above {b}", f"{a} over {b}", f"{b} below {a}")
        )
    else:
        a, b, c = things
        where = pick("below", "underneath") if scene.layout == TRIPLES[0] else pick("above", "over")
        sentence = pick(f"{a} to the left of {b}", f"{a} left of {b}") + pick(
            f", with {c} {where}", f", {c} {where} them"
        )
    ground = f"{scene.background} background"
    return pick(f"{sentence} on a {ground}", f"{sentence}, {ground}", f"on a {ground}, {sentence}")


def describe_long(scene: Scene) -> str:
    """All that a caption can say of a scene, in one fixed order and wording."""

    def named(thing: Thing) -> str:
        size = "large" if thing.large else "small"
        return f"a {size} {thing.colour} {DIGITS[thing.digit]}"

    count = ("one digit", "two digits", "three digits")[len(scene.things) - 1]
    words = f"{count} on a {scene.background} background: "
    a, *others = [named(thing) for thing in scene.things]
    if not others:
        return f"{words}{a} {scene.layout}"
    if len(others) == 1:
        where = "on the left and {} on the right" if scene.layout == "beside" else "above {}"
        return f"{words}{a} {where.format(others[0])}"
    top, bottom = ("top", "bottom") if scene.layout == TRIPLES[0] else ("bottom", "top")
    b, c = others
    return f"{words}{a} on the {top} left, {b} on the {top} right and {c} at the {bottom}"


def understood(prompt: str) -> Scene:
    """The scene that a prompt in one of the wordings of `describe` asks for.

    Raises:
        UsageError: It is in other words.
    """
    text = prompt.lower()
    names = [*DIGITS, *(str(digit) for digit in range(10))]
    found = [(size, colour, word) for size, colour, word in _THING.findall(text) if word in names]
    grounds = [ground for ground in ("dark", "light") if f"{ground} background" in text]
    if not 1 <= len(found) <= 3 or len(grounds) != 1:
        raise UsageError(
            f"the prompt {prompt!r} is in other words than the captions of scenes, such as 'a "
            f"small blue five left of a red 2 on a dark background'; say it like these"
        )
    things = tuple(
        Thing(names.index(word) % 10, colour, size not in ("small", "little"))
        for size, colour, word in found
    )
    rest = _THING.sub("THING", text)
    down = re.search(r"\b(below|underneath)\b", rest) is not None
    if len(things) == 1:
        places = [place for place in PLACES if place in rest]
        return Scene(things, places[0] if places else "in the middle", grounds[0])
    if len(things) == 3:
        return Scene(things, TRIPLES[0] if down else TRIPLES[1], grounds[0])
    beside = re.search(r"\b(left|right) of\b", rest)
    swapped = down if beside is None else beside[1] == "right"
    things = things[::-1] if swapped else things
    return Scene(things, "above" if beside is None else "beside", grounds[0])


def rewritten(prompt: str) -> str:
    """A prompt as the long captions say it.

    Raises:
        UsageError: It is not understood.
    """
    return describe_long(understood(prompt))


def render(
    scene: Scene, rng: np.random.Generator, alphas: "Alphas", size: int
) -> UInt8[np.ndarray, "3 s s"]:
    """An image of the scene: other digits of the same kind, slightly moved, each time."""
    level = rng.uniform(10, 40) if scene.background == "dark" else rng.uniform(215, 245)
    page = np.full((3, size, size), level, np.float32)
    for thing, (y, x) in zip(scene.things, _centres(scene), strict=True):
        alpha = alphas(thing.digit, thing.large, rng)
        side = alpha.shape[0]
        jitter = rng.uniform(-0.04, 0.04, 2)
        inked = 20 / 28 * side / 2  # digits fill 20 of 28 pixels, and must stay on the page
        top, left = (
            int(np.clip((c + j) * size, inked, size - inked) - side / 2 + 0.5)
            for c, j in zip((y, x), jitter, strict=True)
        )
        rows, columns = slice(max(top, 0), top + side), slice(max(left, 0), left + side)
        shown = alpha[max(-top, 0) :, max(-left, 0) :]
        target = page[:, rows, columns]
        shown = shown[: target.shape[1], : target.shape[2]]
        colour = np.array(COLOURS[thing.colour], np.float32)[:, None, None]
        page[:, rows, columns] = target + shown * (colour - target)
    return page.round().astype(np.uint8)


def _centres(scene: Scene) -> list[tuple[float, float]]:
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
def _alphas(split: str, size: int) -> Alphas:
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
    share = SHARE if source.split == "train" else 1.0
    long = np.random.default_rng([source.seed, len(LONG)]).random(len(scenes)) < share
    texts = tuple(
        describe_long(scene) if is_long else text
        for scene, text, is_long in zip(scenes, data.texts, long, strict=True)
    )
    return Dataset(data.x, texts=texts, name=LONG, source=data.source)
