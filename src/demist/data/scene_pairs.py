"""Pairs of DigitScenes, to learn edits from: an image before and after, and what was asked for.

A pair differs in exactly what its instruction says. All else is drawn once: the same glyphs in the
same places on the same ground, so that every byte that the changed digit's ink does not touch is
the same. Pair i depends on the seed, the split, the task and i alone.

| task | source | target | beside |
|---|---|---|---|
| `recolour` | a scene | one digit in another colour | |
| `remove` | two or three digits | one of them is gone | |
| `move` | one digit | the same elsewhere | |
| `resize` | a scene | one digit large instead of small, or small instead of large | |
| `hole` | | a scene | `mask`: a rectangle around one digit is white |
| `control` | | a scene | `edges`: the outlines of its digits |
| `low` | | a scene | `low`: the same, blocks of pixels averaged |
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from tqdm import tqdm

from demist.data.readers.scenes import alphas_of, centres, invent, put
from demist.errors import CannotCreateError, UsageError
from demist.io.folders import atomic_folder
from demist.scenes import COLOURS, DIGITS, PLACES, RELATIONS, Scene, Thing, describe

TASKS = ("recolour", "remove", "move", "resize", "hole", "control", "low")
RECIPES = {"hole": "--recipe inpaint", "low": "--recipe upscale", "control":
           "--conditions text,edges"}  # fmt: skip
"""Task -> what trains on its pairs; all others take `--recipe instruct`."""
FACTORS = (2, 4, 8)
"""How many times smaller the images `low` can be."""
TRIES = 10_000
"""Scenes that are invented until one fits a task."""


@dataclass(frozen=True)
class Glyph:
    """One digit on a page.

    Attributes:
        thing: What it is.
        form: Seed of the handwriting.
        y: Centre as a fraction of the page.
        x: Likewise.
    """

    thing: Thing
    form: int
    y: float
    x: float


@dataclass(frozen=True)
class Pair:
    """An image, what it is made from, and what was asked for.

    Attributes:
        image: What a model shall make, bytes `(3, s, s)`.
        scene: What it shows.
        prompt: Says so.
        source: What it was before, of tasks with instructions.
        before: What that shows.
        instruction: What is to change.
        changed: Which thing of `before`, or of `scene` where there is no source.
        beside: Other images by name: `mask`, `edges` `(1, s, s)`, `low` `(3, s / f, s / f)`.
    """

    image: UInt8[np.ndarray, "3 s s"]
    scene: Scene
    prompt: str
    source: UInt8[np.ndarray, "3 s s"] | None = None
    before: Scene | None = None
    instruction: str = ""
    changed: int = 0
    beside: Mapping[str, np.ndarray] | None = None

    def images(self) -> dict[str, np.ndarray]:
        """All of them by the name of their column; that of the image itself is `target`."""
        source = {} if self.source is None else {"source": self.source}
        return {"target": self.image, **source, **(self.beside or {})}


@dataclass(frozen=True)
class _Drawing:
    """A scene with all that chance decides of its image."""

    scene: Scene
    glyphs: tuple[Glyph, ...]
    level: float
    split: str
    size: int

    @classmethod
    def of(cls, scene: Scene, rng: np.random.Generator, split: str, size: int) -> "_Drawing":
        level = rng.uniform(10, 40) if scene.background == "dark" else rng.uniform(215, 245)
        jitter = rng.uniform(-0.04, 0.04, (len(scene.things), 2))
        forms = rng.integers(2**31, size=len(scene.things))
        glyphs = [
            Glyph(thing, int(form), y + dy, x + dx)
            for thing, form, (y, x), (dy, dx) in zip(
                scene.things, forms, centres(scene), jitter, strict=True
            )
        ]
        return cls(scene, tuple(glyphs), level, split, size)

    def image(self) -> UInt8[np.ndarray, "3 s s"]:
        page = np.full((3, self.size, self.size), self.level, np.float32)
        for glyph in self.glyphs:
            put(page, self.alpha(glyph), glyph.thing.colour, glyph.y, glyph.x)
        return page.round().astype(np.uint8)

    def alpha(self, glyph: Glyph) -> Float32[np.ndarray, "a a"]:
        chance = np.random.default_rng(glyph.form)  # the same writing, large and small
        return alphas_of(self.split, self.size)(glyph.thing.digit, glyph.thing.large, chance)

    def ink(self, glyph: Glyph) -> Float32[np.ndarray, "s s"]:
        """Where the ink of one digit lies, 0 to 1; others may lie over it."""
        page = np.zeros((3, self.size, self.size), np.float32)
        put(page, self.alpha(glyph), "red", glyph.y, glyph.x)
        found: np.ndarray = page[0] / COLOURS["red"][0]
        return found

    def with_glyph(self, k: int, scene: Scene, glyph: Glyph | None) -> "_Drawing":
        """Another scene, in which thing `k` is this, or gone."""
        put_in = () if glyph is None else (glyph,)
        return replace(self, scene=scene, glyphs=(*self.glyphs[:k], *put_in, *self.glyphs[k + 1 :]))


_Change = tuple[int, Scene, Glyph | None, str]
"""Which thing, the scene afterwards, what the thing becomes, and the instruction."""


def draw_pair(
    task: str, index: int, split: str = "train", seed: int = 0, size: int = 64, factor: int = 4
) -> Pair:
    """One pair.

    Args:
        task: Of `TASKS`.
        index: Which one, from 0 on.
        split: Whose digits: "train" or "test".
        seed: Other seeds give other pairs.
        size: Side of the images, 32 or 64 pixels.
        factor: How many times smaller the images `low` are.

    Raises:
        UsageError: An argument makes no sense.
    """
    require_sane(task, split, seed, size, factor)
    rng = np.random.default_rng([seed, split == "test", TASKS.index(task), index])
    for _ in range(TRIES):
        scene = invent(rng)
        drawing = _Drawing.of(scene, rng, split, size)
        if scene.unseen:
            continue
        if task not in _CHANGES:
            return _beside(task, drawing, rng, factor)
        change = _CHANGES[task](drawing, rng)
        if change is not None and not change[1].unseen:
            k, after, glyph, words = change
            made = drawing.with_glyph(k, after, glyph)
            return Pair(made.image(), after, describe(after, rng), drawing.image(), scene, words, k)
    raise AssertionError(f"no scene fits the task {task}")


def require_sane(task: str, split: str, seed: int, size: int, factor: int) -> None:
    """Raise UsageError if `draw_pair` knows no such task, split or size."""
    if task not in TASKS:
        raise UsageError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
    if split not in ("train", "test"):
        raise UsageError(f"scenes have no split {split!r}; there are train and test")
    if size not in (32, 64):
        raise UsageError(f"scenes of {size} pixels: choose --size 32 or 64")
    if factor not in FACTORS:
        raise UsageError(f"--factor {factor}: images are made 2, 4 or 8 times smaller")
    if seed < 0:
        raise UsageError(f"--seed {seed}: seeds are 0 or larger")


def _named(scene: Scene, k: int, rng: np.random.Generator) -> str:
    """Words that mean one thing of a scene and no other."""
    thing = scene.things[k]
    digit = _one_of(rng, DIGITS[thing.digit], DIGITS[thing.digit], str(thing.digit))
    alone = sum(other.digit == thing.digit for other in scene.things) == 1
    return f"the {digit}" if alone and rng.random() < 0.5 else f"the {thing.colour} {digit}"


def _one_of(rng: np.random.Generator, *ways: str) -> str:
    return ways[int(rng.integers(len(ways)))]


def _with_thing(scene: Scene, k: int, thing: Thing) -> Scene:
    return replace(scene, things=(*scene.things[:k], thing, *scene.things[k + 1 :]))


def _recolour(drawing: _Drawing, rng: np.random.Generator) -> _Change:
    scene = drawing.scene
    k = int(rng.integers(len(scene.things)))
    used = {thing.colour for thing in scene.things}
    colour = _one_of(rng, *(name for name in COLOURS if name not in used))
    it = _named(scene, k, rng)
    thing = replace(scene.things[k], colour=colour)
    words = _one_of(
        rng, f"make {it} {colour}", f"turn {it} {colour}", f"paint {it} {colour}",
        f"change {it} to {colour}", f"{it} should be {colour}",
    )  # fmt: skip
    return k, _with_thing(scene, k, thing), replace(drawing.glyphs[k], thing=thing), words


def _resize(drawing: _Drawing, rng: np.random.Generator) -> _Change:
    scene = drawing.scene
    k = int(rng.integers(len(scene.things)))
    it = _named(scene, k, rng)
    thing = replace(scene.things[k], large=not scene.things[k].large)
    words = (
        _one_of(rng, f"make {it} larger", f"make {it} big", f"enlarge {it}", f"make {it} bigger")
        if thing.large
        else _one_of(rng, f"make {it} smaller", f"make {it} small", f"shrink {it}")
    )
    return k, _with_thing(scene, k, thing), replace(drawing.glyphs[k], thing=thing), words


def _remove(drawing: _Drawing, rng: np.random.Generator) -> _Change | None:
    """Of three only the last can go: the other two are side by side, and no others are."""
    scene, count = drawing.scene, len(drawing.scene.things)
    if count == 1:
        return None
    k = int(rng.integers(2)) if count == 2 else 2
    others = (*scene.things[:k], *scene.things[k + 1 :])
    layout = RELATIONS[0]
    if count == 2:
        where = centres(scene)[1 - k]
        layout = next(name for name, place in PLACES.items() if place == where)
    it = _named(scene, k, rng)
    words = _one_of(
        rng, f"remove {it}", f"take away {it}", f"delete {it}", f"erase {it}", f"without {it}"
    )
    return k, replace(scene, things=others, layout=layout), None, words


def _move(drawing: _Drawing, rng: np.random.Generator) -> _Change | None:
    scene = drawing.scene
    if len(scene.things) != 1:
        return None
    place = _one_of(rng, *(name for name in PLACES if name != scene.layout))
    (was_y, was_x), (y, x) = PLACES[scene.layout], PLACES[place]
    glyph = drawing.glyphs[0]
    glyph = replace(glyph, y=glyph.y - was_y + y, x=glyph.x - was_x + x)
    it, side = _named(scene, 0, rng), place.split()[-1]
    words = _one_of(rng, f"move {it} to the {side}", f"put {it} {place}", f"place {it} {place}")
    return 0, replace(scene, layout=place), glyph, words


_CHANGES: Mapping[str, Callable[[_Drawing, np.random.Generator], _Change | None]] = {
    "recolour": _recolour, "remove": _remove, "move": _move, "resize": _resize,
}  # fmt: skip


def _beside(task: str, drawing: _Drawing, rng: np.random.Generator, factor: int) -> Pair:
    """A scene and an image that says something of it."""
    image, scene, size = drawing.image(), drawing.scene, drawing.size
    prompt, k = describe(scene, rng), 0
    if task == "hole":
        k = int(rng.integers(len(scene.things)))
        ys, xs = np.nonzero(drawing.ink(drawing.glyphs[k]) > 0.02)
        margins = rng.integers(1, 4 * size // 64 + 1, 4)
        beside = np.zeros((1, size, size), np.uint8)
        top, left = max(ys.min() - margins[0], 0), max(xs.min() - margins[1], 0)
        beside[0, top : ys.max() + 1 + margins[2], left : xs.max() + 1 + margins[3]] = 255
    elif task == "control":
        ink = np.max([drawing.ink(glyph) for glyph in drawing.glyphs], axis=0) > 0.5
        near = np.pad(ink, 1, mode="edge")
        inside = near[:-2, 1:-1] & near[2:, 1:-1] & near[1:-1, :-2] & near[1:-1, 2:]
        beside = (255 * (ink & ~inside).astype(np.uint8))[None]
    else:
        blocks = image.reshape(3, size // factor, factor, size // factor, factor)
        beside = blocks.mean((2, 4)).round().astype(np.uint8)
    name = {"hole": "mask", "control": "edges"}.get(task, "low")
    return Pair(image, scene, prompt, changed=k, beside={name: beside})


def write_pairs(
    out: Path, task: str, n: int = 1000, split: str = "train", seed: int = 0, size: int = 64,
    factor: int = 4,
) -> list[str]:  # fmt: skip
    """Write pairs into a new folder: images as PNG and `metadata.jsonl`.

    The folder appears when it is whole; what already has its name stays.

    Args:
        out: The folder.
        task: As for `draw_pair`, which has the other arguments, too.
        n: How many pairs.
        split: As for `draw_pair`.
        seed: As for `draw_pair`.
        size: As for `draw_pair`.
        factor: As for `draw_pair`.

    Returns:
        Sentences: what was written, and the command that trains on it.

    Raises:
        UsageError: An argument makes no sense.
        CannotCreateError: There is such a folder, or no place to make it in.
    """
    require_sane(task, split, seed, size, factor)
    if n < 1:
        raise UsageError(f"n = {n}: write 1 pair or more")
    if not out.absolute().parent.is_dir():
        raise CannotCreateError(f"there is no folder {out.parent} to make {out.name} in")
    with atomic_folder(out) as folder:
        rows = []
        for i in tqdm(range(n), "drawing pairs", delay=1, leave=False, disable=None):
            pair = draw_pair(task, i, split, seed, size, factor)
            for name, image in pair.images().items():
                place = folder / name / f"{i:06d}.png"
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(_png(image))
            rows.append(json.dumps(_row(pair, i)))
        (folder / "metadata.jsonl").write_text("\n".join([*rows, ""]), encoding="utf-8")
    columns = [name for name in pair.images() if name != "target"]
    columns += ["instruction"] * bool(pair.instruction) + ["text"]
    return [
        f"{n:,} pairs of the task {task}, {size}x{size} pixels, digits of the split {split}; "
        f"columns {', '.join(columns)}",
        f"train on them: demist train {out} {RECIPES.get(task, '--recipe instruct')}",
    ]


def _png(image: np.ndarray) -> bytes:
    content = BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(content, "PNG")
    return content.getvalue()


def _row(pair: Pair, i: int) -> dict[str, Any]:
    """A line of the metadata; `judge` is for who measures, and no column."""
    files = {name: f"{name}/{i:06d}.png" for name in pair.images()}
    row: dict[str, Any] = {"file_name": files.pop("target"), **files}
    if pair.instruction:
        row["instruction"] = pair.instruction
    scenes = {"scene": pair.scene, "before": pair.before}
    judge = {name: _facts(scene) for name, scene in scenes.items() if scene is not None}
    return {**row, "text": pair.prompt, "judge": {**judge, "changed": pair.changed}}


def _facts(scene: Scene) -> dict[str, Any]:
    things = [vars(thing) for thing in scene.things]
    return {"things": things, "layout": scene.layout, "background": scene.background}
