"""What a file of weights says of itself, safetensors or GGUF: names, types and shapes, no numbers.

```
8 bytes           length of the header, little-endian
header            JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}
data              the tensors' bytes, back to back
```

is safetensors; see `demist.io.gguf` for the other. A file may come from anyone, so every number in
its header is checked, and a pickle is refused by its first bytes, whatever it is called. Nothing
here needs torch.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from demist.errors import DataError, MissingError
from demist.io import gguf
from demist.io.sizes import MAX_NUMBERS, WIDTHS, nbytes
from demist.io.untrusted import open_regular, refuse_pickle

MAX_HEADER = 2**24
"""Bytes; no header is longer, whatever the file says."""

SCALES = (".scale_weight", ".weight_scale")
"""After a layer's name: what its weight, kept in eight bits, is multiplied by."""
BESIDE = (".scale_input", ".input_scale", ".comfy_quant")
"""After a layer's name: for arithmetic in eight bits, and how the layer is kept."""
MARK = "scaled_fp8"
"""A tensor of this name says that all weights in eight bits have scales."""
EIGHT_BITS = {"float8_e4m3fn", "float8_e5m2"}


@dataclass(frozen=True)
class Entry:
    """A tensor as it lies in a file.

    Attributes:
        kind: Its type, by the name it has in the file: `F32`, `F8_E4M3`, `Q4_K`.
        shape: Its shape.
        begin: Its first byte in the file.
    """

    kind: str
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """How many bytes it takes there."""
        return nbytes(self.kind, self.shape)


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        path: Of the file.
        entries: Tensors by name, without the scales, which belong to their weights.
        metadata: Texts in its header.
        scales: Name of a weight in eight bits -> its scale.
    """

    path: Path
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    scales: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by name."""
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def kinds(self) -> dict[str, str]:
        """Types by name, as the file calls them."""
        return {name: entry.kind for name, entry in self.entries.items()}


def header_of(path: str | os.PathLike[str]) -> Header:
    """What a file of weights holds, after checking its header; the kind is told by first bytes.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is neither safetensors nor GGUF, is cut, or its header cannot be true.
    """
    path = Path(path)
    if path.is_file():
        with sentences(path, "is not a whole GGUF file"), open_regular(path) as file:
            if file.peek(4)[:4] == gguf.MAGIC:
                found, metadata = gguf.read_header(file)
                entries = {name: Entry(*row) for name, row in found.items()}
                return Header(path, entries, metadata)
    layout, metadata = read_header(path)
    with sentences(path, "is not a whole safetensors file"):
        return _with_scales(path, {k: Entry(*row) for k, row in layout.items()}, metadata)


def _with_scales(path: Path, entries: Mapping[str, Entry], metadata: Mapping[str, str]) -> Header:
    """The file whose scales are known by the weights they belong to.

    Raises:
        ValueError: A scale is missing, fits nothing, or a layer is kept in another way.
    """
    scales, kept, marked = {}, {}, False
    for name, entry in entries.items():
        layer, dot, last = name.rpartition(".")
        weight, ending = f"{layer}.weight", dot + last
        if last == MARK:
            marked = True
        elif ending in SCALES and weight in entries:
            _require_fit(weight, entries[weight], entry)
            scales[weight] = entry
        elif ending == ".comfy_quant":
            _require_eight_bits(path, layer, entry)
        elif ending not in BESIDE:
            kept[name] = entry
    for name, entry in kept.items():
        bare = entry.kind.startswith("F8") and name.endswith(".weight") and len(entry.shape) > 1
        if marked and bare and name not in scales:
            raise ValueError(f"{name!r} is in eight bits and its scale is missing")
    return Header(path, kept, metadata, scales)


def _require_fit(name: str, weight: Entry, scale: Entry) -> None:
    """Check that a scale is one number, or one for each row, of a weight of real numbers."""
    if not weight.kind.startswith(("F", "BF")):
        raise ValueError(f"{name!r} is kept as scaled {weight.kind}, which is not read")
    sides = [side for side in scale.shape if side != 1]
    if not scale.kind.startswith(("F", "BF")) or (
        sides and (sides != list(weight.shape[:1]) or scale.shape[0] == 1)
    ):
        raise ValueError(
            f"{name!r} of shape {weight.shape} has a scale of shape {scale.shape} in {scale.kind}; "
            f"one number, or one for each row, is read"
        )


def _require_eight_bits(path: Path, layer: str, entry: Entry) -> None:
    """Check that a layer's own description says eight-bit floats with one scale."""
    with open_regular(path) as file:
        file.seek(entry.begin)
        said = json.loads(file.read(min(entry.nbytes, 2**16)))
    form = said.get("format") if isinstance(said, dict) else said
    if form not in EIGHT_BITS:
        raise ValueError(f"the layer {layer!r} is kept as {form!r}, which is not read")


Layout = dict[str, tuple[str, tuple[int, ...], int]]
"""Name -> type, shape, first byte."""


def read_header(path: str | os.PathLike[str]) -> tuple[Layout, dict[str, str]]:
    """The tensors of a safetensors file as they are, and the texts in its header.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is not a whole safetensors file, or its header cannot be true.
    """
    with opened(path) as (file, header):
        data = file.tell()
        layout = read_layout(header, os.fstat(file.fileno()).st_size - data)
        found = json.loads(header).get("__metadata__", {})
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise ValueError("its metadata are not texts by name")
    return {name: (kind, shape, data + at) for name, (kind, shape, at) in layout.items()}, found


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[BufferedReader, bytes]]:
    """The file, at its first tensor, and its header; what goes wrong is one sentence."""
    if not Path(path).is_file():
        raise MissingError(f"there is no file {os.fspath(path)}")
    with sentences(path, "is not a whole safetensors file"), open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(256)
        refuse_pickle(head, path)
        length = int.from_bytes(head[:8], "little")
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ValueError(f"{size} bytes cannot hold a header of {length}")
        file.seek(8)
        yield file, file.read(length)


@contextmanager
def sentences(path: str | os.PathLike[str], fault: str) -> Iterator[None]:
    """What goes wrong with a file is one sentence that names it.

    Raises:
        DataError: In place of ValueError and OSError.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{os.fspath(path)} {fault}: {reason}") from None


def read_layout(header: bytes, size: int) -> Layout:
    """What a header says of `size` bytes of data, if it can be true.

    Raises:
        ValueError: Not JSON, a name twice, an unknown type, an absurd shape, or tensors that
            overlap, leave holes or do not fill the data.
    """
    try:
        entries = json.loads(header, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    if not isinstance(entries, dict):
        raise ValueError("its header is no JSON object")
    entries.pop("__metadata__", None)
    layout: Layout = {}
    spans = []
    for name, entry in entries.items():
        kind, shape, begin, end = _entry(name, entry)
        layout[name] = kind, shape, begin
        spans.append((begin, end))
    spans.sort()
    borders = [0, *(border for span in spans for border in span), size]
    # The end of each must be the beginning of the next: no overlap, no hole, nothing left over.
    for end, begin in islice(pairwise(borders), 0, None, 2):
        if begin != end:
            raise ValueError(f"tensors overlap or leave a hole at byte {min(begin, end)}")
    return layout


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"its entry {name!r} is incomplete") from None
    if not isinstance(kind, str) or kind not in WIDTHS:
        raise ValueError(f"{name!r} is of the unknown type {kind!r}; known are {', '.join(WIDTHS)}")
    width = WIDTHS[kind]
    if any(type(n) is not int or not 0 <= n <= 2**53 for n in numbers) or len(shape) > 16:
        raise ValueError(f"its entry {name!r} has numbers that cannot be right")
    if math.prod(max(n, 1) for n in shape) > MAX_NUMBERS:
        raise ValueError(f"{name!r} has the absurd shape {shape}")
    if math.prod(shape) * width != end - begin:
        raise ValueError(f"{name!r} has {end - begin} bytes, which is not its shape {shape}")
    return kind, tuple(shape), begin, end


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice in its header")
    return found
