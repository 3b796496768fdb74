"""What a job of Generate does: makes samples step by step, and writes each with its recipe."""

import io
import math
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from demist.conditions import ImageVector
from demist.drawing import image_grid
from demist.errors import UsageError
from demist.io import files
from demist.io.arrays import write_array
from demist.measuring import pages
from demist.measuring.parameters import parameters_of
from demist.model import Pipeline, Plan, Sampling
from demist.model.guided import negative_for
from demist.model.rewording import reworded
from demist.model.sampling import flag
from demist.model.sweep import Axis, parse_axes, swept
from demist.model.values import CLASS, conditions_of, name_of, negative_of, spread, value_of
from demist.model.watched import Watched
from demist.studio.telling import Tell

if TYPE_CHECKING:
    from demist.studio.jobs.generate import Settings

TILE = 128
"""Pixels of the longer side of a picture in a preview, at most."""
PAGE = 2**26
"""Numbers of all pictures of a job together up to which a page of all is drawn."""
SHARE = 10
"""A preview may take a tenth of the time."""


@dataclass(frozen=True)
class Part:
    """Samples that are made by one plan.

    Attributes:
        places: Where each of them belongs.
        rows: Which of the plan they are.
        plan: Makes them.
        options: How each was made, for its recipe.
    """

    places: Sequence[int]
    rows: Sequence[int]
    plan: Plan
    options: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Order:
    """Everything that is to be made.

    Attributes:
        pipeline: The model.
        parts: One after another.
        n: How many samples there will be.
        options: How all of them are made, for the recipe of the page.
        facts: Version and model, for all recipes.
        labels: Class of each; or none.
        axes: Rows and columns of a grid; or none.
        command: What one would type; parts of a batch have no command.
    """

    pipeline: Pipeline
    parts: Sequence[Part]
    n: int
    options: Mapping[str, Any]
    facts: Mapping[str, Any]
    command: str
    labels: Sequence[str] = ()
    axes: tuple[Axis, Axis] | None = None


def ordered(pipeline: Pipeline, settings: "Settings", spec: str) -> Order:
    """What settings ask for, decided.

    Raises:
        UsageError: They make no sense for this model.
    """
    if settings.size:
        pipeline = pipeline.sized(sides(settings.size))
    facts = pages.facts_of(pipeline, {})
    if settings.weights not in (None, facts["model"]["sha256"]):
        raise UsageError(
            "the recipe is of other weights than this model has (it may have been trained on); "
            "to use it all the same, take everything but the seed"
        )
    how, n = settings.sampling(), settings.n
    negative = negative_of(pipeline, settings.negative) if settings.negative else None
    cond = conditions_of(pipeline, [f"{k}={v}" for k, v in settings.cond.items() if _one(v)])
    beside: dict[str, Any] = {"size": settings.size} if settings.size else {}
    command = shlex.join(["demist", "sample", spec, *_words(pipeline, settings, how)])
    if settings.grid:
        if not pages.of(pipeline).spatial:
            raise UsageError("a grid shows images, and this model makes others; leave it out")
        if several := [name for name, value in settings.cond.items() if not _one(value)]:
            raise UsageError(f"{several[0]} has several values: in a grid give one, or an axis")
        axes = parse_axes(settings.grid, list(pipeline.conditioner.conditions))
        parts = list(_cells(pipeline, axes, how, negative, cond, beside))
        whole = {
            **how.over(pipeline.defaults).recipe(), **beside, "seed": how.seed or 0,
            **_negative(negative), **pages.plain(cond), "grid_of": list(settings.grid),
        }  # fmt: skip
        number = sum(len(part.places) for part in parts)
        return Order(pipeline, parts, number, whole, facts, command, axes=axes)
    for name, texts in settings.cond.items():
        if not _one(texts):
            values = [value_of(pipeline, name, text) for text in spread(texts, n)]
            cond[name_of(pipeline, name)] = values
    cond = reworded(pipeline, cond, how.over(pipeline.defaults).rewrite is not False)
    plan = pipeline.plan(n, how, negative=negative, **cond)
    base = {"n": n, **plan.sampling.recipe(), **beside, **_negative(negative)}
    rows = range(n) if settings.only is None else [settings.only]
    alone = [{"only": i} if n > 1 else {} for i in rows]  # which of a batch a picture is
    options = [
        base | one | pages.plain(_of_row(cond, i, n)) for i, one in zip(rows, alone, strict=True)
    ]
    part = Part(range(len(rows)), rows, plan, options)
    label = cond.get(name_of(pipeline, CLASS))
    labels = [str(one) for one in label] if isinstance(label, list) and len(rows) == n else []
    page = options[0] if settings.only is not None else base | pages.plain(cond)
    return Order(pipeline, [part], len(rows), page, facts, command, labels)


def _cells(
    pipeline: Pipeline,
    axes: tuple[Axis, Axis],
    how: Sampling,
    negative: Mapping[str, Any] | None,
    cond: Mapping[str, Any],
    beside: Mapping[str, Any],
) -> Iterator[Part]:
    """The cells of a grid; each is the first of its seed."""
    rows, columns = axes
    for group in swept(pipeline, rows, columns, how, negative=negative, **cond):
        recipe = group.plan.sampling.recipe()
        options = [
            {
                "n": 1, **recipe, **beside, "seed": cell.seed,
                **_negative(negative_for(cell.sampling, cell.negative)), **pages.plain(cell.cond),
            }
            for cell in group.cells
        ]  # fmt: skip
        yield Part(group.places, range(len(group.places)), group.plan, options)


@dataclass
class Progress:
    """Tells steps and shows previews, as often as they cost little."""

    order: Order
    tell: Tell
    of: int
    board: dict[int, np.ndarray] = field(default_factory=dict)
    done: int = 0
    began: float | None = None
    _next: float = 0.0

    def step(self, places: Sequence[int], x: np.ndarray) -> None:
        """A step is done; `x` is what is predicted at these places."""
        now = time.monotonic()
        if now >= self._next:
            self.board |= dict(zip(places, x, strict=True))
            self.tell.preview("preview.png", sheet(self.order, self.board), now)
            self._next = time.monotonic() + SHARE * (time.monotonic() - now)
        self.done += 1
        # The first step has the opening of the model in it.
        each = None if self.began is None else (now - self.began) / (self.done - 1)
        self.began = self.began or now
        self.tell.step(
            self.done, max(self.of, self.done), each=each and round(each, 5), batch=len(places),
            n=self.order.n, columns=columns_of(self.order),
        )  # fmt: skip


def made(order: Order, tell: Tell) -> Iterator[tuple[Sequence[int], np.ndarray]]:
    """Places and samples, batch by batch; every step is told."""
    batches = [(part, rows) for part in order.parts for rows in part.plan.batches(part.rows)]
    progress = Progress(order, tell, sum(_steps(part.plan) for part, _ in batches))
    for part, rows in batches:
        first = part.rows.index(rows[0])
        places = part.places[first : first + len(rows)]
        x = _through(part.plan, rows, places, progress)
        progress.board |= dict(zip(places, x, strict=True))
        yield places, x


def _through(
    plan: Plan, rows: Sequence[int], places: Sequence[int], progress: Progress
) -> np.ndarray:
    if plan.sampling.best_of not in (None, 1):
        x = plan.sample(rows)
        progress.step(places, x)
        return x
    known = plan.pipeline.conditioner.conditions
    for name, feed in plan.feeds.items():
        if not isinstance(known[name], ImageVector):
            for frame in feed.frames(rows):
                if frame.step:
                    progress.step(places, frame.x)
    watched = Watched(plan.model)
    for point in replace(plan, model=watched).states(rows):
        if point.index == 0:
            continue
        own = plan.until is None or point.index <= plan.until
        seen = watched.seen if own else None
        if point.index < plan.steps:
            progress.step(places, plan.preview(point.x if seen is None else seen[: len(rows)]))
    x = plan.decode(point.x)
    progress.step(places, x)
    return x


def _steps(plan: Plan) -> int:
    """Steps of a batch, those of the stages before it included."""
    if plan.sampling.best_of not in (None, 1):
        return 1
    known = plan.pipeline.conditioner.conditions
    feeds = [f for name, f in plan.feeds.items() if not isinstance(known[name], ImageVector)]
    return plan.steps + sum(_steps(feed.plan) for feed in feeds)


def sheet(order: Order, board: Mapping[int, np.ndarray]) -> bytes:
    """A PNG of what there is so far; of images tiles in rows, clear where nothing is yet."""
    if not pages.of(order.pipeline).spatial:
        shown = np.stack([board[i] for i in sorted(board)])
        return _png(pages.of(order.pipeline).draw(shown))
    columns = columns_of(order)
    shrunk = {i: _tile(x) for i, x in board.items()}
    width, height = next(iter(shrunk.values())).size
    page = Image.new("RGBA", (columns * width, -(-order.n // columns) * height))
    for i, tile in shrunk.items():
        page.paste(tile.resize((width, height)), (i % columns * width, i // columns * height))
    return _png(page)


def columns_of(order: Order) -> int:
    """Tiles in a row of a preview."""
    return len(order.axes[1].words) if order.axes else math.ceil(math.sqrt(order.n))


def write(order: Order, batches: Iterable[tuple[Sequence[int], np.ndarray]], folder: Path) -> None:
    """Write samples into the folder of their job, each when its batch is there.

    `image-NNN.png` each (`sound-NNN.wav` too; points and the like as `samples.npy`), `result.json`,
    which says what is where, and in the end the page of all as `demist sample` writes it
    (`page.png`), if it is not larger than `PAGE`. What was written stays if the job is cancelled or
    fails, and `result.json` speaks of that.
    """
    options = {
        place: options
        for part in order.parts
        for place, options in zip(part.places, part.options, strict=True)
    }
    found, pictures = dict[int, np.ndarray](), dict[int, dict[str, Any]]()
    try:
        for places, x in batches:
            for place, sample in zip(places, x, strict=True):
                found[place] = sample
                if one := _written(order, place, sample, options[place], folder):
                    pictures[place] = one
    finally:
        grid = order.axes and {
            side: {"name": axis.name, "labels": axis.labels}
            for side, axis in zip(("rows", "columns"), order.axes, strict=True)
        }
        result = {
            "kind": pages.of(order.pipeline).name, "grid": grid, "command": order.command,
            "pictures": [pictures[place] for place in sorted(pictures)],
            "model": order.facts["model"], "sampling": dict(order.options),
        }  # fmt: skip
        if not pictures and len(found) == order.n:
            write_array(np.stack([found[i] for i in range(order.n)]), folder / "samples.npy")
        files.write_json(folder / "result.json", result)
    if pictures and math.prod(found[0].shape[1:]) * order.n > PAGE:
        return
    x = np.stack([found[place] for place in range(order.n)])
    whole = _page(order, x, order.options, order.labels, _rows(order))
    if order.axes:
        rows, columns = order.axes
        image = image_grid(
            x, columns=len(columns.words), rows_say=rows.labels, columns_say=columns.labels
        )
        whole = replace(whole, image=image)
    whole.save(folder / "page.png", order.command)


def _written(
    order: Order, place: int, x: np.ndarray, options: Mapping[str, Any], folder: Path
) -> dict[str, Any] | None:
    """What `result.json` says of a sample, once it is written; None: its kind has no such file."""
    modality = pages.of(order.pipeline)
    if not (modality.spatial or modality.lasting):
        return None
    page, name = _page(order, x[None], options), f"image-{place:03d}.png"
    if modality.spatial:
        page = replace(page, image=picture(x))
    page.save(folder / name, order.command)
    told: dict[str, Any] = {"file": name, "sampling": options}
    if modality.lasting and (sounds := modality.write(x[None], folder / "sounds")):
        told["sound"] = f"sound-{place:03d}.wav"
        next(iter(sounds.glob("*.wav"))).rename(folder / told["sound"])
        sounds.rmdir()
    return told


def _page(
    order: Order,
    x: np.ndarray,
    options: Mapping[str, Any],
    labels: Sequence[str] = (),
    columns: int | None = None,
) -> pages.Page:
    """As `pages.made_page`, without a hash of all weights for each picture."""
    modality, line = pages.of(order.pipeline), parameters_of(order.pipeline, options)
    return pages.Page(
        x, modality.draw(x, labels, columns), {**order.facts, "sampling": dict(options)},
        texts={} if line is None else {"parameters": line}, modality=modality,
    )  # fmt: skip


def picture(x: np.ndarray) -> Image.Image:
    """A sample `(C, H, W)` of bytes as it is, pixel by pixel."""
    return Image.fromarray(np.ascontiguousarray(x[0] if len(x) == 1 else x.transpose(1, 2, 0)))


def sides(text: str) -> tuple[int, int]:
    """Height and width of 512 or 768x512, width first.

    Raises:
        UsageError: It is neither.
    """
    width, _, height = text.lower().partition("x")
    if not width.isdecimal() or not (height or width).isdecimal():
        raise UsageError(f"size = {text[:40]!r}: write 512, or 768x512 for width and height")
    return int(height or width), int(width)


def _rows(order: Order) -> int | None:
    """Columns of a page, so that a row is of one class, as in `demist sample`."""
    rows = len(set(order.labels))
    return order.n // rows if rows > 1 and order.n % rows == 0 else None


def _tile(x: np.ndarray) -> Image.Image:
    tile = picture(x).convert("RGBA")
    tile.thumbnail((TILE, TILE))
    return tile


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _one(value: str | list[str]) -> bool:
    return isinstance(value, str)


def _of_row(cond: Mapping[str, Any], row: int, n: int) -> dict[str, Any]:
    return {k: v[row] if isinstance(v, list) and len(v) == n else v for k, v in cond.items()}


def _negative(negative: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if negative is None else {"negative": dict(negative)}


def _words(pipeline: Pipeline, settings: "Settings", how: Sampling) -> list[str]:
    """The same for `demist sample`."""
    words = ["--grid", *settings.grid] if settings.grid else ["--n", str(settings.n)]
    for name, value in how.given().items():
        if name == "stages":
            words += [word for one in settings.stage for word in ("--stage", one)]
        elif name == "rewrite":
            words.append("--no-rewrite")
        else:
            text = ":".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [f"--{flag(name)}", text]
    label = name_of(pipeline, CLASS)
    for name, typed in settings.cond.items():
        if name_of(pipeline, name) == label:
            words += ["--class", typed if isinstance(typed, str) else ",".join(typed)]
        else:
            words += ["--cond", f"{name}={typed if isinstance(typed, str) else '|'.join(typed)}"]
    if label not in {name_of(pipeline, name) for name in settings.cond}:
        words += ["--class", "none"]
    words += ["--negative", settings.negative] if settings.negative else []
    return words + (["--size", settings.size] if settings.size else [])
