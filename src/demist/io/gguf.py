"""The container GGUF (github.com/ggml-org/ggml, docs/gguf.md): what it says of its tensors.

```
"GGUF", version       4 + 4 bytes, little-endian
counts                of tensors and of metadata, 8 bytes each
metadata              name, type, value
tensors               name, number of axes, sides (innermost first), type, first byte in the data
data                  begins at a multiple of `general.alignment`
```

Every number is checked against the length of the file before anything is allocated.
"""

import math
import os
import struct
from io import BufferedReader
from typing import Any

from demist.io.sizes import BLOCKS, MAX_NUMBERS, block_of, nbytes

MAGIC = b"GGUF"
MAX_HEADER = 2**26
"""Bytes; vocabularies of language models are kept in it."""

KINDS = {
    0: "F32", 1: "F16", 2: "Q4_0", 8: "Q8_0", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 30: "BF16",
}  # fmt: skip
"""Number of a type of tensor -> its name."""
UNKNOWN = {
    3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS",
    17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
"""Types that are not read, to call them by name."""

VALUES = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
TEXT, ARRAY = 8, 9

SHAPE = "comfy.gguf.orig_shape."
"""Before a tensor's name in the metadata: its shape, where it was folded to fit whole blocks."""

Entry = tuple[str, tuple[int, ...], int]
"""Type, shape, first byte in the file."""


def read_header(file: BufferedReader) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors of a file, and those of its metadata that are texts.

    Raises:
        ValueError: It is none, is cut, or a number in it cannot be right.
    """
    size = os.fstat(file.fileno()).st_size
    read = _Reader(file, min(size, MAX_HEADER))
    if read.bytes(4) != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = read.number("<I")
    if version not in (2, 3):
        raise ValueError(f"it is of version {version}, and 2 and 3 are read")
    tensors, pairs = read.count(24), read.count(13)
    metadata: dict[str, Any] = {}
    for _ in range(pairs):
        name = read.text()
        if name in metadata:
            raise ValueError(f"{name!r} comes twice in its metadata")
        metadata[name] = read.value(read.number("<I"))
    found: dict[str, Entry] = {}
    for _ in range(tensors):
        name = read.text()
        if name in found:
            raise ValueError(f"the tensor {name!r} comes twice")
        sides = [read.number("<Q") for _ in range(_axes(read.number("<I"), name))]
        kind = _kind(read.number("<I"), name)
        found[name] = kind, _shape(name, kind, sides, metadata), read.number("<Q")
    step = metadata.get("general.alignment", 32)
    if type(step) is not int or not 0 < step <= 2**16 or step & (step - 1):
        raise ValueError(f"general.alignment is {step!r}, which is no power of 2")
    begin = -(-read.position // step) * step
    entries = {name: (kind, shape, begin + at) for name, (kind, shape, at) in found.items()}
    _require_apart(entries, step, begin, size)
    return entries, {name: v for name, v in metadata.items() if isinstance(v, str)}


class _Reader:
    """Reads numbers and texts up to a limit, which no header of a sound file reaches."""

    def __init__(self, file: BufferedReader, limit: int):
        self.file, self.limit, self.position = file, limit, 0

    def bytes(self, count: int) -> bytes:
        if count > self.limit - self.position:
            raise ValueError("its header is cut, or longer than any is")
        self.position += count
        return self.file.read(count)

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def count(self, least: int) -> int:
        """How many things of at least `least` bytes follow, in the header and not before it."""
        count = int(self.number("<Q"))
        if count * least > self.limit - self.position:
            raise ValueError(f"its header cannot hold {count} entries")
        return count

    def text(self) -> str:
        return self.bytes(self.count(1)).decode()

    def value(self, kind: int, nested: bool = False) -> Any:
        if kind in VALUES:
            return self.number(VALUES[kind])
        if kind == TEXT:
            return self.text()
        if kind != ARRAY or nested:
            raise ValueError(f"its metadata have a value of the type {kind}, which is not known")
        inner = self.number("<I")
        count = self.count(struct.calcsize(VALUES[inner]) if inner in VALUES else 8)
        return [self.value(inner, True) for _ in range(count)]


def _axes(count: int, name: str) -> int:
    if count > 8:
        raise ValueError(f"the tensor {name!r} has {count} axes")
    return count


def _kind(number: int, name: str) -> str:
    if number not in KINDS:
        raise ValueError(
            f"the tensor {name!r} is of the type {UNKNOWN.get(number, number)}, which is not read; "
            f"read are {', '.join(KINDS.values())}"
        )
    return KINDS[number]


def _shape(name: str, kind: str, sides: list[int], metadata: dict[str, Any]) -> tuple[int, ...]:
    """The shape of a tensor, outermost side first."""
    if math.prod(max(side, 1) for side in sides) > MAX_NUMBERS:
        raise ValueError(f"the tensor {name!r} has the absurd sides {sides}")
    numbers, _ = block_of(kind)
    if kind in BLOCKS and (not sides or sides[0] % numbers):
        raise ValueError(f"the tensor {name!r} has rows that are no whole blocks of {numbers}")
    given = metadata.get(SHAPE + name)
    if given is None:
        return tuple(reversed(sides))
    if (
        not isinstance(given, list)
        or any(type(side) is not int or side < 0 for side in given)
        or len(given) > 8
        or math.prod(given) != math.prod(sides)
    ):
        raise ValueError(f"the tensor {name!r} of {sides} numbers cannot have the shape {given!r}")
    return tuple(given)


def _require_apart(entries: dict[str, Entry], step: int, begin: int, size: int) -> None:
    """Check that tensors lie in the file, aligned, and do not overlap."""
    end = begin
    for name, (kind, shape, at) in sorted(entries.items(), key=lambda item: item[1][2]):
        if at % step or at < end:
            raise ValueError(f"the tensor {name!r} overlaps another, or is not aligned")
        end = at + nbytes(kind, shape)
        if end > size:
            raise ValueError(f"it ends within {name!r}: it has {size} bytes of {end}")
