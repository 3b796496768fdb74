"""What `demist edit` does: images of a file or a folder, edited in batches and written.

A folder of results also holds `edit.json`, how they were made, so that nothing else goes into it.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from demist.data.images.decode import read_image as read_image
from demist.drawing import save_image
from demist.editing.inpainting import extended, sheet_of
from demist.editing.instructing import instructed
from demist.editing.known import Fill
from demist.editing.masks import parse_box as parse_box
from demist.editing.redrawing import Edit, hard, redraw, sides_of, told_masks
from demist.editing.sheet import Bytes, Sheet
from demist.editing.sources import ALPHA, Item, Say, items_in
from demist.editing.sources import Masking as Masking
from demist.editing.sources import variants as variants
from demist.editing.swap import swap_plan
from demist.editing.upscaling import enlarging
from demist.errors import CannotCreateError, DataError, DemistError, MissingError, UsageError
from demist.io.files import read_json, write_json
from demist.io.folders import sweep
from demist.measuring import pages
from demist.measuring.pages import require_endings as require_endings
from demist.measuring.parameters import parameters_of
from demist.model.images import shown
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.values import typed_conditions as typed_conditions

FACTS = "edit.json"


@dataclass(frozen=True)
class Writer:
    """Writes images that say how they were made.

    Attributes:
        about: Version and model, as `pages.facts_of` gives them.
        command: What was typed.
        metadata: Whether anything is said.
    """

    about: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    metadata: bool = True

    @classmethod
    def of(cls, pipeline: Pipeline, command: str | None, metadata: bool) -> "Writer":
        """One for images of this model."""
        return cls({**pages.facts_of(pipeline, {})}, command, metadata)

    def save(
        self, pipeline: Pipeline, image: Bytes, path: Path, options: Mapping[str, Any]
    ) -> None:
        """Write one image, with its recipe."""
        picture = shown(np.asarray(image)[None])[0].to_pil()
        if not self.metadata:
            save_image(picture, path)
            return
        line = parameters_of(pipeline, options)
        facts = {"command": self.command, **self.about, "sampling": dict(options)}
        save_image(picture, path, facts, {} if line is None else {"parameters": line})


@dataclass(frozen=True)
class Editor:
    """A model, and all that was asked of it.

    Attributes:
        pipeline: The model.
        sampling: How it is sampled.
        cond: Conditions by name, for all images.
        strength: Time at which sampling begins; see `demist.editing.redraw`.
        masking: The masks.
        extend: Pixels to add, by edge.
        only_masked: Show the model only what lies around the mask.
        padding: Pixels around it.
        fill: See `redraw`.
        jumps: See `redraw`.
        blend: See `redraw`.
        instruction: What is to be changed; see `demist.editing.instruct`.
        image_guidance: See `demist.editing.instruct`.
        larger: Whether small images are made large; see `demist.editing.upscale`.
        level: See `demist.editing.upscale`.
        swap: Words of the prompt to change, `old->new`; see `demist.editing.swap`.
        facts: What was asked, as JSON values, for what is written.
        writer: Writes the results.
        say: Told what the user should know.
    """

    pipeline: Pipeline
    sampling: Sampling
    cond: Mapping[str, Any]
    strength: float = 1.0
    masking: Masking = Masking()  # noqa: RUF009
    extend: Mapping[str, int] = field(default_factory=dict)
    only_masked: bool = False
    padding: int = 32
    fill: Fill = "original"
    jumps: int = 0
    blend: int = 0
    instruction: str | None = None
    image_guidance: float | None = None
    larger: bool = False
    level: int | None = None
    swap: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    writer: Writer = Writer()
    say: Say = print

    def file(self, path: Path, out: Path, n: int) -> tuple[Path, ...]:
        """Edit one image; returns the files written.

        Raises:
            UsageError: Nothing of it would be made anew, or something makes no sense.
        """
        seed = self.sampling.seed
        assert isinstance(seed, int)
        item = Item(path, path.name, seed, variants(out, n))
        sheet = self.sheet(item, self.say)
        if sheet.is_empty:
            raise UsageError(
                f"the mask of {item.name} is empty, so nothing would be made anew; white is made "
                f"anew, and --invert turns it"
            )
        self._write([(item, i, sheet) for i in range(n)])
        return item.outs

    def folder(self, source: Path, out: Path, n: int, resume: bool) -> int:
        """Edit the images of a folder into another; returns how many are there in the end.

        Raises:
            CannotCreateError: The other folder holds something, and nothing is to be resumed; or
                what it holds was made otherwise.
            DataError: Some images could not be edited, of which each was told; the others are.
        """
        seed = self.sampling.seed
        assert isinstance(seed, int)
        items = items_in(source, out, seed, n)
        self._rehearse(items[0])
        self._claim(out, {"n": n, "images": str(source.absolute())}, resume)
        left = [(item, i) for item in items for i, path in enumerate(item.outs)
                if not path.exists()]  # fmt: skip
        if len(left) < n * len(items):
            self.say(f"{n * len(items) - len(left)} of {n * len(items)} images are there already")
        failed = set[str]()
        with tqdm(total=len(left), unit="image", disable=not sys.stderr.isatty()) as bar:
            for batch in self._batches(left, failed, bar):
                self._write(batch)
                bar.update(len(batch))
        if failed:
            raise DataError(
                f"{len(failed)} of {len(items)} images were not edited, as told above; the others "
                f"are in {out}"
            )
        return n * len(items)

    def _rehearse(self, item: Item) -> None:
        """Make the plan of one image, so that what makes no sense is told before any folder."""
        try:
            sheet = self.sheet(item, lambda sentence: None)
        except DemistError:
            return  # told when it is its turn
        self.edit([sheet], [item.seed])

    def _batches(
        self, left: list[tuple[Item, int]], failed: set[str], bar: "tqdm[Any]"
    ) -> Iterator[list[tuple[Item, int, Sheet]]]:
        """Sheets of variants, as many at once as the recipe's batch; each image is read once."""
        size = self.sampling.over(self.pipeline.defaults).batch_size or 1
        said, batch, last = set[str](), list[tuple[Item, int, Sheet]](), None
        for item, i in left:
            if item.name in failed:
                continue
            if last is None or last[0] is not item:
                try:
                    last = item, self.sheet(item, _once(self.say, said, item.name))
                except DemistError as error:
                    failed.add(item.name)
                    self.say(f"{item.name} is left out: {error}")
                    continue
                if last[1].is_empty:
                    self.say(f"{item.name}: its mask is empty, so it stays as it is")
            if self.larger and batch and batch[0][2].image.shape != last[1].image.shape:
                yield batch
                batch = []
            batch.append((item, i, last[1]))
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def sheet(self, item: Item, say: Say) -> Sheet:
        """One image with its mask.

        Raises:
            UsageError: It cannot be read, or its mask does not fit.
            MissingError: There is no such file.
        """
        sides = sides_of(self.pipeline)
        image = self._read(item, say)
        height, width = image.shape[1:]
        mask = self.masking.of(item, (height, width), say)
        if self.extend:
            sheet = extended(image, self.extend)
        elif mask is None:
            sheet = Sheet.whole(image)
        else:
            if told_masks(self.pipeline, self.cond) is not None:
                hard(mask)
            sheet = sheet_of(self.pipeline, image, mask, self.only_masked, self.padding)
        if self.larger:
            return sheet
        part, seen = sheet.window, f"{sides[1]}x{sides[0]}"
        if (part.height, part.width) != sides:
            whole = (part.height, part.width) == sheet.image.shape[1:]
            what = f"{part.width}x{part.height} pixels" + (
                "" if whole else f" at {part.x},{part.y}"
            )
            even = part.width * sides[0] == part.height * sides[1]
            say(
                f"the model makes {seen}: {what} of the image are resized to that"
                f"{'' if even else ', out of proportion'}, and what is made is resized back"
            )
        return sheet

    def _read(self, item: Item, say: Say) -> Bytes:
        if not item.path.is_file():
            raise MissingError(f"there is no image {item.path}")
        channels = self.pipeline.shape[0]
        full = read_image(str(item.path), 4, None)
        if channels == 4:
            return full
        if (full[3] < 255).any() and str(self.masking.file) != ALPHA:
            say("what is transparent is laid over white")
        if channels == 1 and ((full[0] != full[1]) | (full[1] != full[2])).any():
            say("the model makes grey images: colours are left out")
        return read_image(str(item.path), channels, None)

    def edit(self, sheets: list[Sheet], seeds: list[int]) -> Edit:
        """The edit of some images, each with a seed of its own."""
        if self.larger:
            images = [sheet.image for sheet in sheets]
            plan = enlarging(
                self.pipeline, images, self.sampling, level=self.level, seed=seeds, **self.cond
            )
            return Edit(sheets, plan, whole=True)
        sampling, told = self.sampling, dict[str, Any]()
        if self.instruction is not None:
            sampling, told = instructed(
                self.pipeline, sheets, self.instruction, sampling, self.image_guidance
            )
            if twice := [name for name in told if name in self.cond]:
                raise UsageError(f"--instruct gives {twice[0]}, too; leave it out elsewhere")
        if self.swap:
            return self._swapped(sheets, seeds)
        return redraw(
            self.pipeline, sheets, sampling, seed=seeds, strength=self.strength,
            fill=self.fill, jumps=self.jumps, blend=self.blend, **told, **self.cond,
        )  # fmt: skip

    def _swapped(self, sheets: list[Sheet], seeds: list[int]) -> Edit:
        """Words of the prompt changed, in images that are inverted."""
        images = np.stack([sheet.shown(sides_of(self.pipeline)) for sheet in sheets])
        name = self.pipeline.conditioner.called("prompt")
        prompt = self.cond.get(name or "")
        if not prompt:
            raise UsageError("--swap changes words of the prompt: say what is shown with --prompt")
        further = {k: v for k, v in self.cond.items() if k != name}
        how = replace(self.sampling, seed=tuple(seeds))
        start = {"start": self.strength} if self.strength < 1 else {}
        plan = swap_plan(
            self.pipeline, prompt, self.swap, images, sampling=how, **start, **further
        )  # fmt: skip
        return Edit(sheets, plan)

    def _write(self, batch: list[tuple[Item, int, Sheet]]) -> None:
        seeds = [item.seed + i for item, i, _ in batch]
        edit = self.edit([sheet for _, _, sheet in batch], seeds)
        for (item, i, _), image, seed in zip(batch, edit.sample(), seeds, strict=True):
            path = item.outs[i]
            path.parent.mkdir(parents=True, exist_ok=True)
            recipe = {} if edit.plan is None else edit.plan.sampling.recipe()
            options = {**recipe, "seed": seed, **self.told()}
            self.writer.save(self.pipeline, image, path, {"image": item.name, **options})

    def told(self) -> dict[str, Any]:
        """What was asked, as JSON."""
        return {**pages.plain(self.cond), "edit": dict(self.facts)}

    def _claim(self, out: Path, more: Mapping[str, Any], resume: bool) -> None:
        """Make the folder of results, or make sure that it holds what is being made."""
        recipe = {**self.sampling.recipe(), **self.told(), **more}
        facts = {**self.writer.about, "sampling": recipe}
        if out.is_dir() and any(out.iterdir()):
            if not (out / FACTS).is_file():
                raise CannotCreateError(f"{out} holds other files; choose another folder: --out")
            if not resume:
                raise CannotCreateError(
                    f"{out} holds edited images already; add --resume to go on, or choose another "
                    f"folder: --out"
                )
            there = read_json(out / FACTS)
            old, new = ({**one.get("sampling", {}), "model": one.get("model"),
                         "demist": one.get("demist")} for one in (there, facts))  # fmt: skip
            differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            if differing:
                raise CannotCreateError(
                    f"{out} holds images made otherwise ({', '.join(differing)} differ; see "
                    f"{FACTS}); choose another folder: --out"
                )
            sweep(out)
            return
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotCreateError(f"cannot make {out}: {error.strerror}") from None
        write_json(out / FACTS, facts)


def _once(say: Say, said: set[str], name: str) -> Say:
    """Says each sentence for the first image of a folder only."""

    def tell(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            say(f"{name}: {sentence} (said once for all images)")

    return tell
