"""From what the user typed to a data set: built-in names, folders, archives and files."""

import difflib
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from demist.data.dataset import Dataset, choose
from demist.data.files.folder import Folder
from demist.data.files.shards import Shards, is_compressed, plain_shards
from demist.data.files.tar import Tar
from demist.data.files.tree import Tree
from demist.data.images.decode import Rules, extensions, fit
from demist.data.images.layout import canonical_split, require_split
from demist.data.images.read import read_pictures
from demist.data.readers import scenes, toy
from demist.data.readers.arrays import read_npy, read_npz
from demist.data.readers.arrow import is_saved, open_table
from demist.data.readers.cifar import find_cifar, read_cifar
from demist.data.readers.idx import find_idx, is_idx, read_idx
from demist.errors import (
    DataError,
    DemistError,
    MissingError,
    RefusedError,
    StorageError,
    UsageError,
)
from demist.io.untrusted import is_pickle
from demist.machine.memory import check_memory

NAMES = ("digits", "scenes", *toy.NAMES)
_DIGITS = Path(__file__).parent / "digits"
_DIGITS_SOURCE = "MNIST (LeCun, Cortes, Burges), a class-balanced part; CC BY-SA 3.0"
_NPY = b"\x93NUMPY"
_TOY_COUNT, _SCENE_COUNT = 20_000, 40_000
MEASURED = 50_000
"""How many samples of data that memory would not hold are measured against: the field's custom."""
_KINDS = (
    "a folder of pictures or of tar archives, a tar archive of pictures, IDX files (MNIST), "
    "CIFAR batches, .npz or .npy, what `datasets` saves, .parquet"
)


def load(
    path: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    background: str = "white",
    split: str = "train",
    limit: int | None = None,
    max_bad: float = 0.01,
    seed: int = 0,
    kind: str | None = None,
    tree: Tree | None = None,
) -> Dataset:
    """Load a built-in data set or the user's own: images, or points.

    `demist.load` knows other kinds of data, too, and asks where a folder holds two.

    Args:
        path: One of `NAMES`; or a folder or tar archive of pictures, or a folder of plain tar
            archives (see `layout`); IDX files or CIFAR batches; an IDX file; a `.npz` or `.npy`
            file (see `arrays`); what the library `datasets` saves (see `columns`). A name wins
            over a folder called the same: write "./digits" for that.
        size: Crop pictures to a centred square and resize it; None keeps the size they share.
        channels: 1 (grey) or 3 (RGB); None keeps what they share.
        background: What shows through transparent pixels: a colour name or "#rrggbb".
        split: "train", "valid" or "test". Data without splits is all "train".
        limit: Use at most so many samples, as evenly over the classes as can be.
        max_bad: Largest fraction of pictures that may be unreadable. They are left out and listed
            in `Dataset.bad`.
        seed: Seed of the choice for `limit`, and of the points of the toy sets.
        kind: What an array holds, "images" or "points"; None: its shape says it.
        tree: The files at `path`, if they have been listed already.

    Raises:
        UsageError: An argument makes no sense.
        MissingError: Nothing is there.
        DataError: The data is damaged, not of a known kind, or does not fit together.
        RefusedError: A file is a pickle with more than plain data.
        StorageError: A file or folder cannot be read.
    """
    rules = Rules(size, channels, background)
    split = canonical_split(split)
    if limit is not None and limit < 2:
        raise UsageError(f"--limit {limit}: a data set needs at least 2 samples")
    if not 0 <= max_bad <= 1:
        raise UsageError(f"--max-bad {max_bad}: a fraction lies between 0 and 1")
    if seed < 0:
        raise UsageError(f"--seed {seed}: seeds are 0 or larger")
    if path in toy.NAMES:
        data = toy.draw(path, limit or _TOY_COUNT, split, seed)
    elif path == "scenes":
        data = scenes.dataset(limit or _SCENE_COUNT, split, seed, size or 32)
    elif path == "digits":
        data = _read(_DIGITS, split, rules, limit=limit, max_bad=max_bad, seed=seed)
        data = replace(data, name=path, source=_DIGITS_SOURCE)
    else:
        where = existing(path)
        data = _read(
            where, split, rules, limit=limit, max_bad=max_bad, seed=seed, kind=kind, tree=tree
        )
        data = replace(data, name=_short_name(where), source=path)
    if limit is not None and limit < len(data):
        data = data.subset(choose(len(data), data.labels, limit, seed))
    if len(data) < 2:
        raise DataError(f"{path}: {len(data)} usable sample(s); a data set needs at least 2")
    return _refit(data, rules)


def train_and_test(
    path: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    background: str = "white",
    limit: int | None = None,
    max_bad: float = 0.01,
) -> tuple[Dataset, Dataset]:
    """Training and test data of images or points; see `divided`.

    Args:
        path: As for `load`, which says what is raised, too.
        size: As for `load`.
        channels: As for `load`.
        background: As for `load`.
        limit: As for `load`.
        max_bad: As for `load`.
    """

    def part(split: str) -> Dataset:
        return load(
            path, size=size, channels=channels, background=background, split=split, limit=limit,
            max_bad=max_bad,
        )  # fmt: skip

    return divided(part)


def divided(part: Callable[[str], Dataset]) -> tuple[Dataset, Dataset]:
    """Training and test data: the one place where they are divided.

    Where the data has no split "test", every tenth sample of the split "train" is the test data.
    Of data that stays on the disk both are at most `MEASURED` samples, in memory.

    Args:
        part: Loads the data of a split.
    """
    train = part("train")
    try:
        test = part("test")
    except DataError:
        tenth = np.arange(len(train)) % 10 == 9
        train, test = (train.subset(np.flatnonzero(rows)) for rows in (~tenth, tenth))
    return in_memory(train), in_memory(test)


def in_memory(data: Dataset) -> Dataset:
    """The data in memory; if it stays on the disk, `MEASURED` samples of it."""
    if not data.lazy:
        return data
    some = data.subset(choose(len(data), data.labels, MEASURED, 0))
    return replace(some, x=some.x[:])


def digits(split: str = "train") -> Dataset:
    """The embedded digits of MNIST: 10,000 to train on, 2,000 to test, 28 x 28 grey, labelled."""
    return load("digits", split=split)


def _read(
    path: Path,
    split: str,
    rules: Rules,
    *,
    limit: int | None,
    max_bad: float,
    seed: int,
    kind: str | None = None,
    tree: Tree | None = None,
) -> Dataset:
    """Find out what is at `path`, and read it. Arrays are not yet limited or resized."""
    if not path.is_dir():
        head = first_bytes(path)
        if head.startswith(_NPY):
            require_split(split, ["train"], str(path))
            return read_npy(path, limit, seed, kind)
        if is_arrays(path, head):
            return read_npz(path, split, kind)
        if is_idx(head):
            return _read_idx_file(path, split)
        if not (is_tar(path) or path.suffix == ".parquet"):
            raise _unknown(path, head)
    tree = _tree(path) if tree is None else tree
    if images := find_idx(tree):
        require_split(split, images, str(path))
        return read_idx(tree, images[split])
    if cifar := find_cifar(tree):
        version, batches = cifar
        require_split(split, batches, str(path))
        return read_cifar(tree, version, batches[split])
    if path.suffix == ".parquet" or (path.is_dir() and is_saved(tree)):
        table = open_table(path, split)
        return read_pictures(
            table, split, rules, limit=limit, max_bad=max_bad, seed=seed,
            arrange=lambda tree, split: table.listing(),
        )  # fmt: skip
    return read_pictures(tree, split, rules, limit=limit, max_bad=max_bad, seed=seed)


def is_arrays(path: Path, head: bytes) -> bool:
    """Whether a file that begins so holds arrays of NumPy."""
    return head.startswith(_NPY) or (head.startswith(b"PK\x03\x04") and path.suffix == ".npz")


def is_packed(tree: Tree) -> bool:
    """Whether the files are of a format that holds many images in one file: IDX, CIFAR, Arrow."""
    return bool(find_idx(tree) or find_cifar(tree) or is_saved(tree))


def files_at(text: str) -> Tree:
    """The files of a folder, of an archive, or of a folder of archives.

    Raises:
        MissingError: Nothing is there.
        DataError: An archive is damaged.
        StorageError: A file or folder cannot be read.
    """
    return _tree(existing(text))


def _tree(path: Path) -> Tree:
    if path.is_dir():
        folder = Folder.scan(path)
        shards = plain_shards(folder)
        return Shards.scan(path, shards) if shards else folder
    if path.suffix == ".parquet":
        return Folder(path.parent, (path.name,))
    return Tar.scan(path) if is_compressed(path) else Shards.scan(path)


def first_bytes(path: Path) -> bytes:
    """The beginning of a file.

    Raises:
        DataError: It is no file.
        StorageError: It cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path} is neither a file nor a folder")
    try:
        with path.open("rb") as file:
            return file.read(256)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from None


def _read_idx_file(path: Path, split: str) -> Dataset:
    """The file that was named is the split "train"; other splits are looked for beside it."""
    folder = Folder.scan(path.parent, deep=False)
    images = {**find_idx(folder), "train": path.name} if split != "train" else {split: path.name}
    require_split(split, images, str(path))
    return read_idx(folder, images[split])


def is_tar(path: Path) -> bool:
    """By its name, so that a damaged archive is reported as such; else by its content."""
    if {".tar", ".tgz", ".txz", ".tbz2"} & set(path.suffixes):
        return True
    try:
        return tarfile.is_tarfile(path)
    except (OSError, EOFError):
        return False


def _unknown(path: Path, head: bytes) -> DemistError:
    if not head:
        return DataError(f"{path} is empty")
    if head.startswith(b"PK"):
        return DataError(f"{path} is a zip archive: unpack it and pass the folder")
    if is_pickle(head):
        return RefusedError(
            f"{path} is a pickle, which could run code when loaded: pass the folder if it is a "
            "CIFAR batch, or save the arrays as .npz"
        )
    if path.suffix.lower() in extensions():
        return DataError(f"{path} is a single picture: pass the folder that holds all of them")
    return DataError(f"{path} is of no kind that is read here, which are: {_KINDS}")


def existing(text: str) -> Path:
    """The path that was typed.

    Raises:
        MissingError: Nothing is there.
    """
    path = Path(text).expanduser()
    if text and os.path.exists(path):
        return path
    beside: list[str] = []
    with suppress(OSError, ValueError):
        beside = os.listdir(path.parent)
    near = difflib.get_close_matches(text, NAMES, 2)
    near += [str(path.parent / n) for n in difflib.get_close_matches(path.name, beside, 2)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"built in are {', '.join(NAMES)}"
    raise MissingError(f"there is no data at {text!r}: {hint}")


def _short_name(path: Path) -> str:
    """The last part of the path, of a file without its extensions."""
    name = path.resolve().name
    return name if path.is_dir() else name.split(".")[0] or name


def _fits(shape: tuple[int, ...], rules: Rules) -> bool:
    right_size = rules.size is None or shape[2:] == (rules.size, rules.size)
    return right_size and rules.channels in (None, shape[1])


def _refit(data: Dataset, rules: Rules) -> Dataset:
    """Bring pictures that came as arrays to the size and channels asked for."""
    if data.x.dtype != np.uint8:  # pictures are bytes, points are not
        if rules.size is not None or rules.channels is not None:
            raise UsageError(f"{data.name} holds points: --size and --channels are for pictures")
        return data
    if _fits(data.x.shape, rules):
        return data
    first = fit(_image(data.x[0]), rules)
    check_memory((len(data), *first.shape), data.name)
    x = np.empty((len(data), *first.shape), np.uint8)
    for index, picture in enumerate(tqdm(data.x, "resizing", delay=1, leave=False, disable=None)):
        x[index] = fit(_image(picture), rules)
    return replace(data, x=x)


def _image(picture: UInt8[np.ndarray, "c h w"]) -> Image.Image:
    return Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
