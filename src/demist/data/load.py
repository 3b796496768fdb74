"""From what the user typed to a data set: built-in names, folders, archives and files."""

import difflib
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from demist.data.dataset import Dataset, Samples, choose
from demist.data.division import divided
from demist.data.files.tree import Tree
from demist.data.images.buckets import Bucketed, choose_buckets
from demist.data.images.decode import Found, cut_of, extensions
from demist.data.images.decode import fit as brought
from demist.data.images.levels import in_words, to_bytes
from demist.data.images.metadata import Asked
from demist.data.images.rules import Rules
from demist.data.images.tally import Tally, key_of
from demist.data.images.told import NAMES as NAMES_OF_SIZES
from demist.data.images.told import told_columns
from demist.data.readers import READERS, Reader, Source
from demist.data.readers.reader import files_of
from demist.data.report import Report
from demist.data.words import canonical_split
from demist.errors import (
    DataError,
    DemistError,
    MissingError,
    RefusedError,
    UsageError,
)
from demist.io import hub
from demist.io.notation import parse_buckets, parse_sides
from demist.io.untrusted import is_pickle
from demist.machine.memory import check_memory

NAMES = tuple(name for cls in READERS.classes for name in cls.sets)
"""Of the built-in data sets."""
_KINDS = (
    "a folder of images or of archives, a tar or zip archive of images, IDX files (MNIST), "
    "CIFAR batches, .npz or .npy, what `datasets` saves, .parquet"
)

ALSO = {
    "mnist": ["digits"], "digit": ["digits"], "gaussians": ["25-gaussians"],
    "music": ["loops"], "drums": ["one-shots", "loops"],
}  # fmt: skip
"""What the built-in data is called elsewhere."""


def load(
    path: str,
    *,
    size: int | str | tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    fit: str = "crop",
    range: str | None = None,  # noqa: A002 (the flag's name)
    split: str = "train",
    limit: int | None = None,
    max_bad: float = 0.01,
    seed: int = 0,
    kind: str | None = None,
    tree: Tree | None = None,
    label_column: str | None = None,
    caption_column: str | None = None,
    class_level: int | None = None,
    buckets: str | None = None,
    sizes: bool = False,
) -> Dataset:
    """Load a built-in data set or the user's own: images, or points.

    `demist.load` knows other kinds of data, too, and asks where a folder holds two.

    Args:
        path: One of `NAMES`; or a folder or archive of images, or a folder of plain tar or zip
            archives (see `layout`); IDX files or CIFAR batches; an IDX file; a `.npz` or `.npy`
            file (see `arrays`); what the library `datasets` saves (see `columns`). A name wins
            over a folder called the same: write "./digits" for that.
        size: Side of a square, or height and width as "48x64" or (48, 64), to which images are
            brought; None keeps the size they share.
        channels: 1 (grey), 3 (RGB) or 4 (RGBA); None is 3 if one is in colour, else 1.
        background: What shows through transparent pixels: a colour name or "#rrggbb".
        fit: How images of another shape are brought to `size`: "crop" keeps the middle, "random" a
            part that lies anywhere, "pad" all
            between margins, "squash" all out of proportion.
        range: What becomes black and white, as "0:4095"; None: bytes are 0 to 255, and of other
            numbers the data set says it (see `levels`).
        split: "train", "valid" or "test". Data without splits is all "train".
        limit: Use at most so many samples, as evenly over the classes as can be.
        max_bad: Largest fraction of images that may be unreadable. They are left out and listed
            in `Dataset.bad`.
        seed: Seed of the choice for `limit`, of random cuts, and of the points of the toy sets.
        kind: What an array holds, "images" or "points"; None: its shape says it.
        tree: The files at `path`, if they have been listed already.
        label_column: Column of the classes of images, in files that list them; None: by its name.
        caption_column: Column of their captions; None: by its name.
        class_level: Which of the folders below each other is the class, from 1; None: 1.
        buckets: How many shapes of about the area of `size` images are brought to, or which, as
            "64x64,48x80": each image to that of the nearest shape. None: all to `size`.
        sizes: Add the columns `original_size`, `crop` and `target_size`, in pixels.

    Raises:
        UsageError: An argument makes no sense.
        MissingError: Nothing is there.
        DataError: The data is damaged, not of a known kind, or does not fit together.
        RefusedError: A file is a pickle with more than plain data.
        StorageError: A file or folder cannot be read.
    """
    rules = Rules(
        size, channels, background, fit, range, buckets=buckets_of(buckets, size), sizes=sizes,
        seed=seed if fit == "random" else 0,
    )  # fmt: skip
    split = canonical_split(split)
    if limit is not None and limit < 2:
        raise UsageError(f"--limit {limit}: a data set needs at least 2 samples")
    if not 0 <= max_bad <= 1:
        raise UsageError(f"--max-bad {max_bad}: a fraction lies between 0 and 1")
    if seed < 0:
        raise UsageError(f"--seed {seed}: seeds are 0 or larger")
    where = Path(path) if path in NAMES else existing(path)
    asked = Asked(label_column, caption_column, class_level)
    source = Source(path, where, split, rules, limit, max_bad, seed, kind, tree, asked)
    reader = reader_of(source)
    if reader is None:
        raise _unknown(where, source.head)
    data = reader.read(source)
    if rules.levels is not None and not reader.ranged and data.x.dtype == np.uint8:
        seen = Report(converted={in_words(rules.levels): len(data)})
        data = replace(data, x=to_bytes(np.arange(256), rules.levels)[data.x], seen=seen)
    if path not in reader.sets:
        data = replace(data, name=_short_name(where), source=path)
    if limit is not None and limit < len(data):
        data = data.subset(choose(len(data), data.labels, limit, seed))
    if len(data) < 2:
        raise DataError(f"{path}: {len(data)} usable sample(s); a data set needs at least 2")
    if rules.buckets and not isinstance(data.x, Bucketed):
        raise UsageError(
            f"--buckets {buckets}: {data.name} holds arrays, which are of one shape; leave it out"
        )
    return data if rules.buckets else _told(*_refit(data, rules), rules, data.x)


def buckets_of(
    text: str | None, size: int | str | tuple[int, int] | None, multiple: int = 8
) -> tuple[tuple[int, int], ...]:
    """Heights and widths of buckets, the size first if there is one; none for None.

    Args:
        text: How many, or which.
        size: Of images where only one shape can be named.
        multiple: Of which all sides are multiples where they are chosen.

    Raises:
        UsageError: The text makes no sense, or there is no size whose area they could have.
    """
    if text is None:
        return ()
    try:
        found, sides = parse_buckets(text), None if size is None else parse_sides(size)
    except UsageError as error:
        raise UsageError(f"--buckets {text}: {error}") from None
    if isinstance(found, tuple):
        return found if sides is None else (sides, *(one for one in found if one != sides))
    if sides is None:
        raise UsageError(f"--buckets {text} needs --size, whose area they are to have")
    return choose_buckets(found, sides, multiple)


def _told(data: Dataset, cut: np.ndarray, rules: Rules, before: Samples) -> Dataset:
    """The data with the columns of sizes, if they are asked for and not there yet."""
    if not rules.sizes or NAMES_OF_SIZES[0] in data.columns or data.x.dtype != np.uint8:
        return data
    sides = np.full((len(data), 2), before.shape[2:])
    return replace(data, columns={**data.columns, **told_columns(sides, rules, data.x, cut)})


def train_and_test(
    path: str,
    *,
    size: int | str | tuple[int, int] | None = None,
    channels: int | None = None,
    background: str = "white",
    fit: str = "crop",
    range: str | None = None,  # noqa: A002 (the flag's name)
    limit: int | None = None,
    max_bad: float = 0.01,
) -> tuple[Dataset, Dataset]:
    """Training and held-out data of images or points; see `demist.data.division`.

    Args:
        path: As for `load`, which says what is raised, too.
        size: As for `load`.
        channels: As for `load`.
        background: As for `load`.
        fit: As for `load`.
        range: As for `load`.
        limit: As for `load`.
        max_bad: As for `load`.
    """

    def part(split: str) -> Dataset:
        return load(
            path, size=size, channels=channels, background=background, fit=fit, range=range,
            split=split, limit=limit, max_bad=max_bad,
        )  # fmt: skip

    found = divided(part, splits(path))
    return found.train, found.test


def splits(path: str, *, kind: str | None = None, tree: Tree | None = None) -> tuple[str, ...]:
    """Which of train, valid and test are there; no sample is read.

    Args:
        path: As for `load`, which says what is raised, too.
        kind: As for `load`.
        tree: As for `load`.
    """
    where = Path(path) if path in NAMES else existing(path)
    source = Source(path, where, kind=kind, listed=tree)
    reader = reader_of(source)
    if reader is None:
        raise _unknown(where, source.head)
    return reader.splits(source)


def digits(split: str = "train") -> Dataset:
    """The embedded digits of MNIST: 10,000 to train on, 2,000 to test, 28 x 28 grey, labelled."""
    return load("digits", split=split)


def reader_of(source: Source) -> Reader | None:
    """The reader that knows what was named; None: nobody does."""
    every = sorted(READERS.classes, key=lambda cls: cls.order)
    return next((made for cls in every if (made := cls()).recognises(source)), None)


def files_at(text: str) -> Tree:
    """The files of a folder, of an archive, or of a folder of archives.

    Raises:
        MissingError: Nothing is there.
        DataError: An archive is damaged.
        StorageError: A file or folder cannot be read.
    """
    return files_of(existing(text))


def _unknown(path: Path, head: bytes) -> DemistError:
    if not head:
        return DataError(f"{path} is empty")
    if is_pickle(head):
        return RefusedError(
            f"{path} is a pickle, which could run code when loaded: pass the folder if it is a "
            "CIFAR batch, or save the arrays as .npz"
        )
    if path.suffix.lower() in extensions():
        return DataError(f"{path} is a single image: pass the folder that holds all of them")
    return DataError(f"{path} is of no kind that is read here, which are: {_KINDS}")


def existing(text: str) -> Path:
    """The path that was typed, or where the data of the hub is, `hf:owner/name[@revision]`.

    Raises:
        MissingError: Nothing is there.
    """
    if hub.is_named(text):
        return hub.fetched(text, "dataset")
    path = Path(text).expanduser()
    if text and os.path.exists(path):
        return path
    beside: list[str] = []
    with suppress(OSError, ValueError):
        beside = os.listdir(path.parent)
    near = ALSO.get(text.lower(), []) or difflib.get_close_matches(text, NAMES, 2)
    near += [str(path.parent / n) for n in difflib.get_close_matches(path.name, beside, 2)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"built in are {', '.join(NAMES)}"
    raise MissingError(f"there is no data at {text!r}: {hint}")


def _short_name(path: Path) -> str:
    """The last part of the path, of a file without its extensions."""
    if hub.origin_of(path):
        return hub.title(path)
    name = path.resolve().name
    return name if path.is_dir() else name.split(".")[0] or name


def _refit(data: Dataset, rules: Rules) -> tuple[Dataset, np.ndarray]:
    """Images that came as arrays in the size and channels asked for, and what was cut off them.

    The latter is as in `told_columns`.
    """
    cut = np.zeros((len(data), 2))
    if data.x.dtype != np.uint8:  # images are bytes, points are not
        if rules != Rules(background=rules.background, sizes=rules.sizes):
            kind = data.kind.partition(":")[0] or "points"
            raise UsageError(f"{data.name} holds {kind}: --size and --channels are for images")
        return data, cut
    channels, *sides = data.x.shape[1:]
    if channels == 4 and rules.channels is None:
        rules = replace(rules, channels=3)  # without transparency, as images from files are
    if rules.sides in (None, tuple(sides)) and rules.channels in (None, channels):
        return data, cut
    rules = replace(rules, range=None)  # the reader has heeded it
    first = brought(_image(data.x[0]), rules)
    check_memory((len(data) * (first.size + data.x[0].size),), data.name)
    x = np.empty((len(data), *first.shape), np.uint8)
    tally = Tally(rules)
    for index, picture in enumerate(tqdm(data.x, "resizing", delay=1, leave=False, disable=None)):
        image = _image(picture)
        transparent = channels == 4 and int(picture[-1].min()) < 255
        place = rules.place(picture.tobytes())
        x[index], cut[index] = brought(image, rules, place), cut_of(image, rules, place)
        found = Found((image.height, image.width), image.mode, transparent, 1)
        tally.add(found, x[index], key_of(picture.tobytes()))
    return replace(data, x=x, seen=tally.report(len(first), data.seen)), cut


def _image(picture: UInt8[np.ndarray, "c h w"]) -> Image.Image:
    return Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
