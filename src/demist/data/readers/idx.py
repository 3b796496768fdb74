"""IDX files, the format of MNIST: a magic number, the sizes as big-endian integers, then bytes.

Reference:
    LeCun, Cortes, Burges, "The MNIST database of handwritten digits",
    http://yann.lecun.com/exdb/mnist/, "File formats".
"""

import gzip
import math
import re
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from demist.data.dataset import Dataset, numbered
from demist.data.files.folder import Folder
from demist.data.files.tree import Tree, read
from demist.data.images.layout import require_split
from demist.data.images.tally import dark
from demist.data.readers.reader import Reader, Source
from demist.data.report import Report
from demist.errors import DataError
from demist.machine.memory import check_memory

_IMAGES = re.compile(r"(.*/)?[^/]*images[-.]idx3[-.]ubyte(\.gz)?")
_GZIP = b"\x1f\x8b"


def find_idx(tree: Tree) -> dict[str, str]:
    """The image file of every split, by the canonical names; empty if there is none.

    Raises:
        DataError: There are several data sets.
    """
    found: dict[str, str] = {}
    for name in filter(_IMAGES.fullmatch, tree.names):  # sorted: x comes before x.gz
        file = name.rpartition("/")[2]
        split = "test" if "t10k" in file or "test" in file else "train"
        if found.setdefault(split, name) not in (name, name.removesuffix(".gz")):
            raise DataError(
                f"{tree.path} holds several IDX sets, such as {found[split]!r} and {name!r}: "
                "pass the folder of one"
            )
    return found


def is_idx(head: bytes) -> bool:
    """Whether a file that begins with `head` (a hundred bytes will do) is an IDX file of bytes."""
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 4)
        except zlib.error:
            return False
    return head[:4] in (b"\0\0\x08\x01", b"\0\0\x08\x03")


def read_idx(tree: Tree, images: str) -> Dataset:
    """Read the image file `images` and, if there is one beside it, the label file.

    Raises:
        DataError: A file is damaged, not what its name says, or the labels are not as many.
    """
    x = parse_idx(read(tree, images), images, 3)
    source = _labels_beside(tree, images)
    seen = Report(notes=dark(int(x.min(initial=255)), int(x.max(initial=0))))
    if source is None:
        return Dataset(x[:, None], seen=seen)
    labels = parse_idx(read(tree, source), source, 1).astype(np.int64)
    if len(labels) != len(x):
        raise DataError(f"{source} has {len(labels)} labels, but {images} has {len(x)} images")
    return Dataset(x[:, None], labels, numbered(labels), seen=seen)


def parse_idx(data: bytes, name: str, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file, gzipped or not, which must have so many dimensions."""
    stream = gzip.GzipFile(fileobj=BytesIO(data)) if data.startswith(_GZIP) else BytesIO(data)
    try:
        header = stream.read(4 + 4 * dimensions)
        if header[:4] != bytes([0, 0, 8, dimensions]):
            raise DataError(
                f"{name} begins with {header[:4].hex(' ') or 'nothing'}, not with "
                f"00 00 08 {dimensions:02x} as an IDX file of {dimensions}-dimensional bytes does"
            )
        shape = [int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4)]
        if len(shape) == dimensions and 0 in shape[1:]:
            raise DataError(f"{name} says that its images have no pixels: {shape}")
        check_memory(shape, name)
        size = math.prod(shape)
        body = stream.read(size + 1)  # one more: also reads, and checks, the end of the gzip file
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{name} is damaged or incomplete: {error}") from None
    if len(body) != size or len(shape) != dimensions:
        raise DataError(f"{name} is damaged or incomplete: it does not hold the {size} bytes of "
                        f"{' x '.join(map(str, shape))}")  # fmt: skip
    return np.frombuffer(body, np.uint8).reshape(shape)


def _labels_beside(tree: Tree, images: str) -> str | None:
    folder, slash, file = images.removesuffix(".gz").rpartition("/")
    name = folder + slash + file.replace("images", "labels").replace("idx3", "idx1")
    names = set(tree.names) - {images}
    return next((n for n in (name, name + ".gz") if n in names), None)


@dataclass(frozen=True)
class IdxFile(Reader):
    """The image file of an IDX set (MNIST); other splits are looked for beside it."""

    name: ClassVar[str] = "idx"
    order: ClassVar[int] = 20

    def recognises(self, source: Source) -> bool:
        return is_idx(source.head)

    def splits(self, source: Source) -> tuple[str, ...]:
        try:
            return tuple({"train": "", **find_idx(Folder.scan(source.path.parent, deep=False))})
        except DataError:  # of several sets beside it, nobody knows which is its own
            return ("train",)

    def read(self, source: Source) -> Dataset:
        path, split = source.path, source.split
        folder = Folder.scan(path.parent, deep=False)
        # The file that was named is the split "train".
        named = {"train": path.name}
        images = named if split == "train" else {**find_idx(folder), **named}
        require_split(split, images, str(path))
        return read_idx(folder, images[split])


@dataclass(frozen=True)
class IdxFolder(Reader):
    """A folder or an archive of IDX files, as MNIST comes."""

    name: ClassVar[str] = "idx-folder"
    order: ClassVar[int] = 21
    packed: ClassVar[bool] = True

    def recognises(self, source: Source) -> bool:
        return source.tree is not None and bool(find_idx(source.tree))

    def splits(self, source: Source) -> tuple[str, ...]:
        return tuple(find_idx(source.tree)) if source.tree is not None else ()

    def read(self, source: Source) -> Dataset:
        assert source.tree is not None
        images = find_idx(source.tree)
        require_split(source.split, images, str(source.path))
        return read_idx(source.tree, images[source.split])
