"""What is measured of edited scenes: what a judge reads, how near they are, seams and films."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from demist.evaluation.judge.scenes import Judge, find
from field.edit_work import Work, parts
from field.shares import of_mean, wilson

INK = 45
"""How far a pixel of ink is from the background, as the judge has it."""
BAND, FAR = 4, 8
"""Columns on either side of a seam that are compared, and how far from it is elsewhere."""
CLOSE = 60
"""How far a pixel may be from a colour of the palette, of which it still is."""

Values = dict[str, Any]
"""Name -> middle, low and high of a 95 % interval, or a number of bytes."""


@dataclass(frozen=True)
class Seen:
    """What an edit made, and a judge who reads it.

    Attributes:
        reader: The judge.
        work: What was edited.
        made: Bytes `(n, k, 3, h, w)`: k samples, or frames, of each image.
        wanted: What images are compared with, `(n, 3, h, w)`.
    """

    reader: Judge
    work: Work
    made: np.ndarray
    wanted: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """One sample of each image."""
        return self.made[:, 0]

    @property
    def several(self) -> int:
        """Samples of each image."""
        return self.made.shape[1]

    @cached_property
    def flat(self) -> np.ndarray:
        """All squares of all samples."""
        return parts(self.made.reshape(-1, *self.made.shape[2:]))

    @cached_property
    def scenes(self) -> list[Any]:
        """What each of them should show."""
        across, scenes = self.work.across, self.work.scenes
        rows = [scenes[i : i + across] for i in range(0, len(scenes), across)]
        return [scene for row in rows for _ in range(self.several) for scene in row]

    @cached_property
    def things(self) -> list[dict[str, int]]:
        """The digit that is read of each colour, in each square."""
        return [{t.colour: t.digit for t in found} for found in self.reader.read(self.flat)]

    @cached_property
    def right(self) -> list[list[bool]]:
        """Of each square, whether each thing has its colour and its digit."""
        return rightly(self.things, self.scenes)

    def share(self, flags: Sequence[Any]) -> tuple[float, float, float]:
        """A share with its interval, of which an image counts as one trial."""
        share = float(np.mean([bool(flag) for flag in flags]))
        return (share, *wilson(share, len(self.work)))


Figure = Callable[[Seen], Values]


def rightly(things: Sequence[dict[str, int]], scenes: Sequence[Any]) -> list[list[bool]]:
    """Of each image, whether each thing of its scene has its colour and its digit."""
    return [
        [found.get(thing.colour) == thing.digit for thing in scene.things]
        for found, scene in zip(things, scenes, strict=True)
    ]


def digits(seen: Seen) -> Values:
    """Digits that have their colour, and scenes that are as their prompt says."""
    everything = float(seen.reader.score(seen.flat, seen.scenes)["all"])
    return {
        "digits": seen.share([right for row in seen.right for right in row]),
        "all": (everything, *wilson(everything, len(seen.work))),
    }


def named(seen: Seen) -> Values:
    """The digit that was asked for."""
    rows = zip(seen.right, seen.work.pairs, strict=True)
    return {"named": seen.share([row[pair.changed] for row, pair in rows])}


def colours(seen: Seen) -> Values:
    """Colours that are there, whatever their digits."""
    rows = zip(seen.things, seen.scenes, strict=True)
    return {"colours": seen.share([t.colour in found for found, s in rows for t in s.things])}


def on_the_right(seen: Seen) -> Values:
    """Digits with ink in the right half."""
    work = seen.work
    shown = np.where(work.right_halves[:, None] > 0, work.targets, ground(work.targets))
    there = [{t.colour for t in find(x.astype(np.uint8), seen.reader.palette)} for x in shown]
    rows = zip(seen.right, work.pairs, there, strict=True)
    touched = [
        right
        for row, pair, found in rows
        for right, thing in zip(row, pair.scene.things, strict=True)
        if thing.colour in found
    ]
    return {"on the right": seen.share(touched)}


def of_the_mean(seen: Seen) -> Values:
    """Of several samples of each image: the digits and the PSNR of their mean."""
    if seen.several == 1:
        return {}
    mean = seen.made.mean(1).round().astype(np.uint8)
    things = [{t.colour: t.digit for t in found} for found in seen.reader.read(mean)]
    right = rightly(things, seen.work.scenes)
    return {
        "digits of the mean": seen.share([digit for row in right for digit in row]),
        "PSNR of the mean": mean_of(psnr(mean, seen.wanted)),
    }


def near(seen: Seen) -> Values:
    """How near an image is to the wanted one."""
    return {
        "PSNR": mean_of(psnr(seen.first, seen.wanted)),
        "ink IoU": mean_of(iou(seen.first, seen.wanted)),
    }


def outside(masks: Callable[[Work], np.ndarray]) -> Figure:
    """Bytes that changed where a mask is 0."""

    def figure(seen: Seen) -> Values:
        kept = masks(seen.work)[:, None] == 0
        return {"outside": int(((seen.first != seen.work.targets) & kept).sum())}

    return figure


def seam(seen: Seen) -> Values:
    """Steps of the ground, in grey levels: where two scenes meet, and elsewhere."""
    steps = np.stack([steps_of_ground(image) for image in seen.first])
    middle = steps.shape[1] // 2
    elsewhere = np.abs(np.arange(steps.shape[1]) - middle) >= FAR
    return {
        "seam": mean_of(steps[np.isfinite(steps[:, middle]), middle]),
        "elsewhere": mean_of(np.nanmean(steps[:, elsewhere], axis=1)),
    }


def steps_of_ground(image: np.ndarray) -> np.ndarray:
    """Left of each column: by how many levels the ground changes there, `(w,)`.

    Means of `BAND` columns are compared, since an edit leaves noise in single ones. NaN where
    ink or the edge of the image leaves no ground.
    """
    seen = np.where(ink(image[None]), np.nan, image.astype(np.float64))
    width, found = image.shape[-1], np.full(image.shape[-1], np.nan)
    for column in range(BAND, width - BAND + 1):
        left, right = seen[..., column - BAND : column], seen[..., column : column + BAND]
        if np.isfinite(left).any() and np.isfinite(right).any():
            before, after = np.nanmean(left, axis=(1, 2)), np.nanmean(right, axis=(1, 2))
            found[column] = np.abs(after - before).mean()
    return found


def film(seen: Seen) -> Values:
    """How even the steps of a film are, whether it begins and ends well, what is between."""
    frames = seen.made.astype(np.float32)
    steps = np.sqrt(np.square(np.diff(frames, axis=1)).mean((2, 3, 4)))
    uneven = steps.max(1) / np.maximum(steps.mean(1), 1e-6)
    ends = [psnr(seen.made[:, 0], seen.work.sources), psnr(seen.made[:, -1], seen.work.targets)]
    palette = np.array(list(seen.reader.palette.values()), np.float32)
    between = [np.nanmean([full_colour(x, palette) for x in row[1:-1]]) for row in seen.made]
    return {
        "largest step": mean_of(uneven),
        "PSNR of the ends": mean_of(np.mean(ends, axis=0)),
        "full colour": mean_of(np.array(between)),
    }


def full_colour(image: np.ndarray, palette: np.ndarray) -> float:
    """Share of the ink that has a colour of the palette `(k, 3)`; NaN if there is no ink."""
    pixels = image.astype(np.float32)[:, ink(image[None])[0]]
    if not pixels.size:
        return float("nan")
    apart = np.linalg.norm(pixels[:, None] - palette.T[:, :, None], axis=0).min(0)
    return float((apart <= CLOSE).mean())


def ground(images: np.ndarray) -> np.ndarray:
    """The background of each image, `(n, 3, 1, 1)`."""
    return np.median(images.reshape(*images.shape[:2], -1), axis=2)[..., None, None]


def ink(images: np.ndarray) -> np.ndarray:
    """Where there is ink, `(n, h, w)`."""
    off = images.astype(np.float32) - ground(images)
    return np.asarray(np.linalg.norm(off, axis=1) > INK)


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each image, in decibels; 68 where they are equal."""
    error = ((a.astype(np.float32) - b) ** 2).reshape(len(a), -1).mean(1)
    return np.asarray(20 * np.log10(255) - 10 * np.log10(np.maximum(error, 1e-2)))


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the ink of each image."""
    x, y = ink(a), ink(b)
    return np.asarray((x & y).sum((1, 2)) / np.maximum((x | y).sum((1, 2)), 1))


def mean_of(values: np.ndarray) -> tuple[float, float, float]:
    """A mean with its interval, over images."""
    return (float(values.mean()), *of_mean(values))
