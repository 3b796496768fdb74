"""What `demist restore` does: damaged images of a file or a folder, restored and written.

Of each: `NAME`, the mean of the samples; beside it `NAME-samples` and `NAME-spread`, `NAME-damaged`
of what was damaged first, and as JSON what was measured of it in `restore.json` of a folder.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from demist.data.images.decode import read_image as read_image
from demist.drawing import image_grid, save_image
from demist.editing.damage import Damage, read_array
from demist.editing.damage import Damages as Damages
from demist.editing.restoring import AUTO, Restored, chosen, measured, planned, restored, usual
from demist.editing.sources import Item, Say, items_in
from demist.errors import CannotCreateError, DataError, DemistError, MissingError, UsageError
from demist.inverse import GaussianNoise, make_method
from demist.io.arrays import write_array
from demist.io.files import read_json, write_json
from demist.io.folders import sweep
from demist.measuring import pages
from demist.measuring.pages import require_endings as require_endings
from demist.model.fits import settled
from demist.model.images import shown
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.values import typed_conditions as typed_conditions

FACTS = "restore.json"
"""In a folder of results: how they were made, and the scores of each."""


@dataclass(frozen=True)
class Restorer:
    """A model, the damage, and all that was asked.

    Attributes:
        damages: What happened to the data.
        method: How to draw, by name, or `auto`.
        n: Samples of each image.
        sampling: How.
        cond: Conditions of all images.
        simulate: Images are clean: damage them first.
        asked: What was typed, as JSON values, for what is written.
        say: Told what the user should know.
    """

    damages: Damages
    method: str
    n: int
    sampling: Sampling
    cond: Mapping[str, Any]
    simulate: bool
    asked: Mapping[str, Any] = field(default_factory=dict)
    say: Say = print

    def __post_init__(self) -> None:
        if self.method != AUTO:
            make_method(self.method)

    @property
    def pipeline(self) -> Pipeline:
        """The model."""
        return self.damages.pipeline

    def file(self, path: Path, out: Path) -> dict[str, float]:
        """Restore one image or array; returns its scores.

        Raises:
            UsageError: It has the wrong shape.
            MissingError: There is none, or it has no mask.
        """
        item = Item(path, path.name, self._seed, (out,))
        damage = self.damages.to(item.name)
        data = self._read(item, damage)
        self._tell(1, damage)
        (done,) = self._restore(damage, [item], [data], True)
        self._write(item, done)
        return done.scores()

    def folder(self, folder: Path, out: Path, resume: bool) -> dict[str, float]:
        """Restore the images of a folder, going on where files are missing; returns mean scores.

        Raises:
            CannotCreateError: `out` holds other files.
            DataError: No image can be restored, and nothing is written; or some could not, and
                the others were.
        """
        items = items_in(folder, out, self._seed, 1)
        first = self._rehearse(items)
        scores = self._claim(out, resume)
        left = [item for item in items if not (item.outs[0].exists() and item.name in scores)]
        if len(left) < len(items):
            self.say(f"{len(items) - len(left)} of {len(items)} images are there already")
        self._tell(len(left), first)
        failed, each = 0, max(1, (self.sampling.over(self.pipeline.defaults).batch_size or 1))
        # Masks see different numbers, which no batch can hold side by side.
        step = max(1, each // self.n) if self.damages.one else 1
        with tqdm(total=len(left), unit="image", disable=not sys.stderr.isatty()) as bar:
            for begin in range(0, len(left), step):
                batch, data = list[Item](), list[np.ndarray]()
                for item in left[begin : begin + step]:
                    try:
                        damage = self.damages.to(item.name)
                        data.append(self._read(item, damage))
                        batch.append(item)
                    except DemistError as error:
                        failed += 1
                        self.say(f"{item.name} is left out: {error}")
                restorations = self._restore(damage, batch, data, False) if batch else []
                for item, done in zip(batch, restorations, strict=True):
                    self._write(item, done)
                    scores[item.name] = done.scores()
                    self._keep(out, scores)
                bar.update(len(left[begin : begin + step]))
        if failed:
            raise DataError(
                f"{failed} of {len(items)} images were not restored, as told above; the others are "
                f"in {out}"
            )
        return _means(list(scores.values()))

    @property
    def _seed(self) -> int:
        seed = self.sampling.over(self.pipeline.defaults).seed
        assert isinstance(seed, int)
        return seed

    def _rehearse(self, items: Sequence[Item]) -> Damage:
        """Make one plan, so that what makes no sense is told before any folder; its damage."""
        told = list[DemistError]()
        for item in items:
            try:
                damage = self.damages.to(item.name)
                data = self._read(item, damage)
            except DemistError as error:
                told.append(error)  # of one among others told when it is its turn
                continue
            y = measured(damage, data, item.seed, self.simulate)
            planned(damage, y, self.method, [0], self.sampling, self.cond)
            return damage
        raise DataError(f"none of {len(items)} images can be restored; of the first: {told[0]}")

    def _tell(self, images: int, damage: Damage) -> None:
        """Say what is about to be done."""
        operator, noise = damage.operator, damage.noise
        image = self._draws
        unit = "the data's unit, from -1 (black) to 1 (white)" if image else "the data's own unit"
        said = f"{noise}"
        if isinstance(noise, GaussianNoise):
            said = f"Gaussian, standard deviation {noise.std:g}"
            said += f" ({noise.std * 127.5:.1f} of 255)" if image and noise.std else ""
        spec = chosen(damage, self.method)
        why = "as asked" if spec == self.method else "auto, by its figures on digits"
        asked = usual(self.pipeline, self.sampling, make_method(spec)).over(self.pipeline.defaults)
        each = settled(self.pipeline, asked)
        what = "damages each image, and restores it" if self.simulate else "restores each image"
        if not self.damages.one:
            what += ", each with the mask of its own name; of the first"
        self.say(
            f"{what}: {_count(operator.out)} numbers are measured of the {_count(operator.shape)} "
            f"of {' x '.join(map(str, operator.shape))} data; noise {said}, in {unit}"
        )
        self.say(
            f"method {spec} ({why}): {self.n} samples of {each.steps} steps of {each.solver} for "
            f"each of {images} image{'' if images == 1 else 's'}"
        )

    def _read(self, item: Item, damage: Damage) -> np.ndarray:
        """The damaged data of a file, or the clean data that is to be damaged."""
        shape = self.pipeline.shape if self.simulate else damage.shape
        if not item.path.is_file():
            raise MissingError(f"there is no file {item.path}")
        if item.path.suffix == ".npy":
            data = read_array(str(item.path))
            if data.shape != shape and (self.simulate or data.shape != damage.operator.out):
                raise UsageError(
                    f"{item.path} has shape {data.shape}, and {shape} is needed: see --operator"
                )
            return data if data.dtype == np.uint8 else data.astype(np.float32)
        if not self._shows(shape):
            raise UsageError(
                f"what is measured has shape {shape}, which is no image; give an array (.npy)"
            )
        if self.simulate:
            return read_image(str(item.path), shape[0], (shape[1], shape[2]))
        found = read_image(str(item.path), shape[0], None)
        if found.shape != shape:
            (_, high, wide), whole = shape, self.pipeline.shape
            raise UsageError(
                f"{item.path} has {found.shape[2]}x{found.shape[1]} pixels, and the operator gives "
                f"{wide}x{high} from the model's {whole[2]}x{whole[1]}; resize it, or see --size"
            )
        return found

    @property
    def _draws(self) -> bool:
        """Whether the model makes images."""
        return pages.of(self.pipeline).spatial

    def _shows(self, shape: tuple[int, ...]) -> bool:
        """Whether what has this shape is an image."""
        return self._draws and pages.of(self.pipeline).fits(shape)

    def _restore(
        self, damage: Damage, items: Sequence[Item], data: Sequence[np.ndarray], bar: bool
    ) -> list[Restored]:
        """As many images at once as are given, each with seeds of its own."""
        pairs = list(zip(items, data, strict=True))
        ys = [measured(damage, x, item.seed, self.simulate) for item, x in pairs]
        seeds = [item.seed + i for item in items for i in range(self.n)]
        plan = planned(damage, torch.cat(ys), self.method, seeds, self.sampling, self.cond)
        samples = plan.sample(progress=bar and sys.stderr.isatty())
        if bar:
            each = ", ".join(f"{count:g}" for count in plan.evaluations().values())
            self.say(f"evaluations of the network for one sample: {each}")
        parts = np.split(samples, len(items))
        truths = data if self.simulate else [None] * len(items)
        return [
            restored(damage, y, x, truth) for y, x, truth in zip(ys, parts, truths, strict=True)
        ]

    def _write(self, item: Item, done: Restored) -> None:
        """The samples, the spread, and last the mean, whose file says that all is there."""
        out, n = item.outs[0], len(done.samples)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == ".npy":
            write_array(done.samples, out)
            return
        facts = {
            **pages.facts_of(self.pipeline, {**self.sampling.recipe(), **self.asked}),
            "image": item.name,
            "seed": item.seed,
            "scores": _rounded(done.scores()),
        }
        if self.simulate and self._shows(done.damaged.shape):
            save_image(_shown(done.damaged), beside(out, "damaged"), facts)
        if n > 1:
            save_image(image_grid(done.samples), beside(out, "samples"), facts)
            save_image(_shown(shown_spread(done.spread)), beside(out, "spread"), facts)
        save_image(_shown(done.mean), out, facts)

    def _claim(self, out: Path, resume: bool) -> dict[str, dict[str, float]]:
        """Make the folder of results, or the scores of the one that is gone on with."""
        about = pages.facts_of(self.pipeline, {**self.sampling.recipe(), **self.asked})
        if out.is_dir() and any(out.iterdir()):
            if not resume:
                raise CannotCreateError(
                    f"{out} is not empty; add --resume to go on in it, or choose another: --out"
                )
            if not (out / FACTS).is_file():
                raise CannotCreateError(f"{out} holds other files; choose another folder: --out")
            there = read_json(out / FACTS)
            if there.get("made") != json.loads(json.dumps(about)):
                raise CannotCreateError(
                    f"{out} holds images that were restored otherwise (see {FACTS} in it); choose "
                    f"another folder: --out"
                )
            sweep(out)
            return dict(there.get("scores", {}))
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / FACTS, {"made": about, "scores": {}})
        return {}

    def _keep(self, out: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
        about = read_json(out / FACTS)["made"]
        write_json(
            out / FACTS, {"made": about, "scores": {k: _rounded(v) for k, v in scores.items()}}
        )


def beside(out: Path, word: str) -> Path:
    """`photo-spread.png` beside `photo.png`."""
    return out.with_stem(f"{out.stem}-{word}")


def shown_spread(spread: np.ndarray) -> np.ndarray:
    """A spread as an image: black where samples agree, white from a deviation of 1 on."""
    return (spread.clip(0, 1) * 255).round().astype(np.uint8)


def sentence(scores: Mapping[str, float]) -> str:
    """What the scores say, in one line."""
    words = [f"misfit {scores['misfit']:.3g} (of the truth 1)", f"spread {scores['spread']:.3g}"]
    if "psnr" in scores:
        words += [f"PSNR of the mean {scores['psnr']:.2f} dB, of one {scores['psnr_sample']:.2f}"]
    if "coverage" in scores:
        words += [
            f"coverage {scores['coverage']:.1%} (exact {scores['coverage_wanted']:.1%})",
            f"spread over error {scores['spread_over_error']:.2f}",
        ]
    return ", ".join(words)


def _shown(x: np.ndarray) -> Image.Image:
    image: Image.Image = shown(x[None])[0].to_pil()
    return image


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    """Five digits, and no number that JSON does not have."""
    return {name: float(f"{x:.5g}") if math.isfinite(x) else 1e300 for name, x in scores.items()}


def _means(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in scores])) for name in scores[0]}


def _count(shape: Sequence[int]) -> str:
    return f"{math.prod(shape):,}"
