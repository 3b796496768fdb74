"""Does a scene of coloured digits show what its prompt says? A judge for DigitScenes.

The colours of a scene differ, so its things are found by colour: every pixel is seen as a blend of
the background with one colour of the palette, and each colour with enough ink is a thing. Its ink
gives its place and size, and a small classifier of such cut-outs reads the digit. Nothing here
looks at the prompt until things are compared.

The score of a tag is the share of scenes that have it right, of all things at once:

| tag | right if |
|---|---|
| count | as many things are found as were asked for |
| colours | their colours are those asked for |
| digits | their digits are those asked for, whatever their colours |
| bindings | each colour is on its own digit |
| sizes | the things asked for, found by colour, are large or small as asked |
| layout | they stand where, or as, asked |
| background | dark or light as asked |
| all | all of these |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8

from demist.evaluation.judge.classifier import Classifier

TAGS = ("count", "colours", "digits", "bindings", "sizes", "layout", "background", "all")
Palette = Mapping[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Found:
    """One thing in an image.

    Attributes:
        colour: Its name.
        y: Centre of its ink, as a fraction of the height.
        x: Likewise of the width.
        extent: Longer side of its ink, as a fraction of the image's.
        cutout: The ink, 0 to 255, as MNIST has its digits: `(28, 28)`.
        digit: What the classifier reads; -1 before it was asked.
    """

    colour: str
    y: float
    x: float
    extent: float
    cutout: UInt8[np.ndarray, "28 28"]
    digit: int = -1


@dataclass(frozen=True)
class Judge:
    """Scores images against scenes.

    Attributes:
        palette: Colours by name.
        places: Centres of a single thing, by name, as fractions (y, x).
        classifier: Reads cut-outs.
        large: Extent from which on a thing counts as large.
    """

    palette: Palette
    places: Mapping[str, tuple[float, float]]
    classifier: Classifier
    large: float = 0.39

    def score(
        self, images: UInt8[np.ndarray, "n 3 s s"], scenes: Sequence[Any]
    ) -> dict[str, float]:
        """Share of `images` that show their scene, by tag.

        Args:
            images: One per scene.
            scenes: With `things` (of `digit`, `colour` and `large`), `layout` and `background`,
                such as `demist.data.readers.scenes.Scene`.
        """
        found = self.read(images)
        rows = [
            self._compare(scene, things, float(np.median(image)))
            for scene, things, image in zip(scenes, found, images, strict=True)
        ]
        return {tag: float(np.mean([row[tag] for row in rows])) for tag in TAGS}

    def read(self, images: UInt8[np.ndarray, "n 3 s s"]) -> list[list[Found]]:
        """The things in every image."""
        found = [find(image, self.palette) for image in images]
        cutouts = [thing.cutout for things in found for thing in things]
        if not cutouts:
            return found
        digits = iter(self.classifier.logits(np.stack(cutouts)[:, None]).argmax(1).tolist())
        return [
            [Found(t.colour, t.y, t.x, t.extent, t.cutout, next(digits)) for t in things]
            for things in found
        ]

    def _compare(self, scene: Any, found: list[Found], level: float) -> dict[str, bool]:
        asked, by_colour = scene.things, {thing.colour: thing for thing in found}
        matched = [by_colour.get(thing.colour) for thing in asked]
        pairs = list(zip(asked, matched, strict=True))
        row = {
            "count": len(found) == len(asked),
            "colours": set(by_colour) == {thing.colour for thing in asked},
            "digits": sorted(t.digit for t in found) == sorted(t.digit for t in asked),
            "bindings": all(m is not None and m.digit == a.digit for a, m in pairs),
            "sizes": all(m is not None and (m.extent >= self.large) == a.large for a, m in pairs),
            "layout": all(matched) and self._stands(scene.layout, matched),  # type: ignore[arg-type]
            "background": ("light" if level > 128 else "dark") == scene.background,
        }
        return row | {"all": all(row.values())}

    def _stands(self, layout: str, things: list[Found]) -> bool:
        if len(things) == 1:
            (thing,) = things
            distance = {
                name: (thing.y - y) ** 2 + (thing.x - x) ** 2
                for name, (y, x) in self.places.items()
            }
            return min(distance, key=lambda name: distance[name]) == layout
        a, b = things[:2]
        right, down = b.x - a.x, b.y - a.y
        if len(things) == 2:
            ahead, aside = (right, down) if layout == "beside" else (down, right)
            return ahead > max(0.1, abs(aside))
        third = things[2].y - (a.y + b.y) / 2
        return right > 0.1 and (third if "below" in layout else -third) > 0.1


def find(image: UInt8[np.ndarray, "3 s s"], palette: Palette, ink: float = 0.004) -> list[Found]:
    """The things in an image, one per colour of which at least `ink` of the pixels is seen."""
    side = image.shape[-1]
    pixels = image.reshape(3, -1).astype(np.float32)
    ground = np.median(pixels, axis=1, keepdims=True)
    off = pixels - ground
    strength = np.linalg.norm(off, axis=0)
    ways = np.array(list(palette.values()), np.float32).T - ground
    length = np.linalg.norm(ways, axis=0)
    likeness = (ways / length).T @ off / np.maximum(strength, 1e-6)
    nearest = likeness.argmax(0)
    seen = (strength > 45) & (likeness.max(0) > 0.8)
    found = []
    for k, name in enumerate(palette):
        mask = seen & (nearest == k)
        amount = np.where(mask, np.clip(strength / length[k], 0, 1), 0).reshape(side, side)
        if amount.sum() >= ink * side**2:
            found.append(_thing(name, amount))
    return found


def _thing(name: str, amount: Float32[np.ndarray, "s s"]) -> Found:
    side = len(amount)
    (top, bottom), (left, right) = _span(amount.sum(1)), _span(amount.sum(0))
    box = torch.from_numpy(amount[top:bottom, left:right].copy())[None, None]
    longer = max(box.shape[-2:])
    height, width = (max(1, round(20 * n / longer)) for n in box.shape[-2:])
    box = F.interpolate(box, (height, width), mode="bilinear", antialias=True, align_corners=False)
    cutout = np.zeros((28, 28), np.float32)
    y, x = (28 - height) // 2, (28 - width) // 2
    cutout[y : y + height, x : x + width] = box[0, 0].numpy()
    return Found(
        name,
        float((amount.sum(1) * (np.arange(side) + 0.5)).sum() / amount.sum() / side),
        float((amount.sum(0) * (np.arange(side) + 0.5)).sum() / amount.sum() / side),
        longer / side,
        (255 * cutout).clip(0, 255).astype(np.uint8),
    )


def _span(ink: Float32[np.ndarray, " s"]) -> tuple[int, int]:
    """First and last line with ink, a stray hundredth of it at either end left out."""
    share = ink.cumsum() / ink.sum()
    return int((share > 0.01).argmax()), int((share >= 0.99).argmax()) + 1
