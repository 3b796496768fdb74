"""Files of named tensors in the safetensors format, written and read without trust.

```
8 bytes           length of the header, little-endian
header            JSON: name -> {"dtype", "shape", "data_offsets": [begin, end]}
data              the tensors' bytes, back to back
```

A file may come from anyone, so every number in its header is checked before anything is allocated,
and a pickle is refused by its first bytes, whatever it is called. Writing goes through `open`, so
that a full disk is an ordinary OSError with its number.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError, MissingError
from demist.io.untrusted import open_regular, refuse_pickle

MAX_HEADER = 2**24
"""Bytes; no header is longer, whatever the file says."""
MAX_NUMBERS = 2**44
"""Numbers in one tensor, its empty axes counted as one."""

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors; the widest types come first, so that all are aligned.

    Args:
        path: Of the file, which is written in place; see `demist.io.files.atomic`.
        tensors: By name, of any layout and on any device.
        metadata: Texts kept in the header.

    Raises:
        OSError: That failed; part of the file may be there.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    order = sorted(plain, key=lambda name: (-plain[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in order:
        begin, end = end, end + plain[name].nbytes
        header[name] = {
            "dtype": _NAMES[plain[name].dtype],
            "shape": list(plain[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(bytes_of(plain[name]))


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read named tensors, after checking the header.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is not a whole safetensors file, or its header cannot be true.
    """
    with _opened(path) as (file, header):
        data = file.tell()
        layout = read_layout(header, os.fstat(file.fileno()).st_size - data)
        tensors = {name: torch.empty(shape, dtype=t) for name, (t, shape, _) in layout.items()}
        for name, (_, _, begin) in layout.items():
            file.seek(data + begin)
            if file.readinto(bytes_of(tensors[name])) != tensors[name].nbytes:
                raise ValueError(f"it ends within {name!r}")
    return tensors


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the texts kept in the header of a file, after checking all of the header.

    Raises:
        MissingError: See `read_tensors`, also for the others.
        RefusedError: It is a pickle.
        DataError: It is damaged.
    """
    with _opened(path) as (file, header):
        read_layout(header, os.fstat(file.fileno()).st_size - file.tell())
        found = json.loads(header).get("__metadata__", {})
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise ValueError("its metadata are not texts by name")
    return found


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[tuple[BufferedReader, bytes]]:
    """The file, at its first tensor, and its header; what goes wrong is one sentence."""
    if not Path(path).is_file():
        raise MissingError(f"there is no file {os.fspath(path)}")
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(256)
            refuse_pickle(head, path)
            length = int.from_bytes(head[:8], "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError(f"{size} bytes cannot hold a header of {length}")
            file.seek(8)
            yield file, file.read(length)
    except (ValueError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{os.fspath(path)} is not a whole safetensors file: {reason}") from None


Layout = dict[str, tuple[torch.dtype, tuple[int, ...], int]]
"""Name -> type, shape, first byte in the data."""


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
        dtype, shape, begin, end = _entry(name, entry)
        layout[name] = dtype, shape, begin
        spans.append((begin, end))
    spans.sort()
    borders = [0, *(border for span in spans for border in span), size]
    # The end of each must be the beginning of the next: no overlap, no hole, nothing left over.
    for end, begin in islice(pairwise(borders), 0, None, 2):
        if begin != end:
            raise ValueError(f"tensors overlap or leave a hole at byte {min(begin, end)}")
    return layout


def _entry(name: str, entry: Any) -> tuple[torch.dtype, tuple[int, ...], int, int]:
    try:
        dtype, shape, (begin, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        numbers = [*shape, begin, end]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"its entry {name!r} is incomplete or of an unknown type") from None
    if any(type(n) is not int or not 0 <= n <= 2**53 for n in numbers) or len(shape) > 16:
        raise ValueError(f"its entry {name!r} has numbers that cannot be right")
    if math.prod(max(n, 1) for n in shape) > MAX_NUMBERS:
        raise ValueError(f"{name!r} has the absurd shape {shape}")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"{name!r} has {end - begin} bytes, which is not its shape {shape}")
    return dtype, tuple(shape), begin, end


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice in its header")
    return found


def bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def require_same(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    """Check that both have the same names and shapes.

    Raises:
        DataError: They do not; the message is one table of name, expected and found.
    """
    rows = []
    for name in sorted(expected.keys() | found.keys()):
        want = tuple(expected[name].shape) if name in expected else "nothing"
        have = tuple(found[name].shape) if name in found else "missing"
        if want != have:
            rows.append(f"  {name:48s} {want!s:>20s} {have!s:>20s}")
    if rows:
        more = [f"  ... and {len(rows) - 20} more"] if len(rows) > 20 else []
        head = f"  {'name':48s} {'expected':>20s} {'found':>20s}"
        table = "\n".join([head, *rows[:20], *more])
        raise DataError(f"the tensors in {where} do not fit this network:\n{table}")
