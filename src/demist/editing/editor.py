"""What `demist edit` does: images of a file or a folder, edited in batches and written."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from demist.data.images.decode import read_image as read_image
from demist.editing.inpainting import extended, sheet_of
from demist.editing.kinds import Kind
from demist.editing.masks import parse_box as parse_box
from demist.editing.redrawing import Edit, hard, sides_of, told_masks
from demist.editing.sheet import Bytes, Sheet
from demist.editing.sources import ALPHA, Item, Say, items_in
from demist.editing.sources import Masking as Masking
from demist.editing.sources import variants as variants
from demist.editing.tiles import Tiled, windowed, windows_said
from demist.editing.writing import Writer as Writer
from demist.editing.writing import claim
from demist.errors import DataError, DemistError, MissingError, UsageError
from demist.measuring import pages
from demist.measuring.pages import require_endings as require_endings
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.model.values import typed_conditions as typed_conditions


@dataclass(frozen=True)
class Windows:
    """How images larger than the model are cut; see `demist.editing.windowed`."""

    overlap: float = 0.5
    seamless: bool = False


@dataclass(frozen=True)
class Editor:
    """A model, and all that was asked of it.

    Attributes:
        pipeline: The model.
        sampling: How it is sampled.
        cond: Conditions by name, for all images.
        kind: What is made of them.
        masking: The masks.
        extend: Pixels to add, by edge.
        only_masked: Show the model only what lies around the mask.
        padding: Pixels around it.
        windows: Whether and how images are shown in windows; None: whole, at the model's size.
        facts: What was asked, as JSON values, for what is written.
        writer: Writes the results.
        say: Told what the user should know.
        make: What takes the steps of an edit, for those who watch them.

    Raises:
        UsageError: This kind of edit makes no use of windows.
    """

    pipeline: Pipeline
    sampling: Sampling
    cond: Mapping[str, Any]
    kind: Kind
    masking: Masking = Masking()  # noqa: RUF009
    extend: Mapping[str, int] = field(default_factory=dict)
    only_masked: bool = False
    padding: int = 32
    windows: Windows | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    writer: Writer = Writer()  # noqa: RUF009
    say: Say = print
    make: Callable[[Edit], Sequence[Bytes]] = field(default=Edit.sample)

    def __post_init__(self) -> None:
        if self.windows is None:
            return
        if self.kind.without_windows:
            raise UsageError(f"{self.kind.without_windows}; leave --windows out")
        if self.only_masked:
            raise UsageError(
                "--only-masked shows one part of an image at the model's size, --windows all of "
                "it; ask for one of them"
            )

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
        self._tell()
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
        recipe = {**self.sampling.recipe(), **self.told(), "n": n, "images": str(source.absolute())}
        claim(out, {**self.writer.about, "sampling": recipe}, resume)
        left = [(item, i) for item in items for i, path in enumerate(item.outs)
                if not path.exists()]  # fmt: skip
        if len(left) < n * len(items):
            self.say(f"{n * len(items) - len(left)} of {n * len(items)} images are there already")
        self._tell()
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

    def _tell(self) -> None:
        """Say what the kind of edit decides by itself."""
        if self.kind.says:
            self.say(self.kind.says)

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
            shapes = {sheet.image.shape for sheet in (*(one[2] for one in batch[:1]), last[1])}
            if len(shapes) > 1 and (self.windows or not self.kind.resized):
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
        image = self.read(item, say)
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
        if (fitted := self._fitted(sheet)) is not None:
            if said := windows_said(self.pipeline, *fitted):
                _, height, width = fitted[0].shape
                say(f"{width}x{height} pixels are made {said}")
            return sheet
        if not self.kind.resized:
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

    def read(self, item: Item, say: Say) -> Bytes:
        """One image, in the model's channels; raises as `sheet`."""
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
        pipeline, cond, own = self.pipeline, dict(self.cond), self.cond.get("guide")
        if (fitted := self._fitted(sheets[0])) is not None:
            pipeline, windows = fitted
            # Guidance that was asked for besides acts in each window.
            cond["guide"] = windows if own is None else lambda model: windows(own(model))
        how = replace(self.sampling, seed=tuple(seeds))
        return self.kind.edit(pipeline, sheets, how, cond)

    def _fitted(self, sheet: Sheet) -> tuple[Pipeline, "partial[Tiled]"] | None:
        """The model in windows for images of this size, and what shows it them; None: whole."""
        if self.windows is None:
            return None
        size = self.kind.size(self.pipeline, sheet.image)
        return windowed(
            self.pipeline, size, overlap=self.windows.overlap, seamless=self.windows.seamless
        )

    def _write(self, batch: list[tuple[Item, int, Sheet]]) -> None:
        seeds = [item.seed + i for item, i, _ in batch]
        edit = self.edit([sheet for _, _, sheet in batch], seeds)
        for (item, i, _), image, seed in zip(batch, self.make(edit), seeds, strict=True):
            path = item.outs[i]
            path.parent.mkdir(parents=True, exist_ok=True)
            recipe = {} if edit.plan is None else edit.plan.sampling.recipe()
            options = {**recipe, "seed": seed, **self.told()}
            self.writer.save(self.pipeline, image, path, {"image": item.name, **options})

    def told(self) -> dict[str, Any]:
        """What was asked, as JSON."""
        return {**pages.plain(self.cond), "edit": dict(self.facts)}


def _once(say: Say, said: set[str], name: str) -> Say:
    """Says each sentence for the first image of a folder only."""

    def tell(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            say(f"{name}: {sentence} (said once for all images)")

    return tell
