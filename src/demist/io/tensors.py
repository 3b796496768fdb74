"""Files of named tensors in the safetensors format, written and read without trust.

See `demist.io.headers` for the format. Writing goes through `open`, so that a full disk is an
ordinary OSError with its number.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demist.errors import DataError
from demist.io.headers import opened, read_header, read_layout
from demist.io.kinds import PLAIN

_NAMES = {dtype: name for name, dtype in PLAIN.items()}


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
    layout = {name: (t.dtype, tuple(t.shape)) for name, t in sorted(tensors.items())}
    write_stream(path, layout, lambda name: tensors[name], metadata)


def write_stream(
    path: str | os.PathLike[str],
    layout: Mapping[str, tuple[torch.dtype, tuple[int, ...]]],
    read: Callable[[str], Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors one after the other, so that one is in memory.

    Args:
        path: As in `write_tensors`.
        layout: Name -> type and shape; of one size of type, they are read in this order.
        read: Gives the tensor of a name, of any layout and on any device.
        metadata: Texts kept in the header.

    Raises:
        OSError: That failed; part of the file may be there.
    """
    order = sorted(layout, key=lambda name: -layout[name][0].itemsize)
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in order:
        dtype, shape = layout[name]
        begin, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {
            "dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [begin, end],
        }  # fmt: skip
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(bytes_of(read(name).detach().cpu().contiguous()))


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read named tensors, after checking the header.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is not a whole safetensors file, or its header cannot be true.
    """
    with opened(path) as (file, header):
        data = file.tell()
        layout = read_layout(header, os.fstat(file.fileno()).st_size - data)
        tensors = {name: torch.empty(row[1], dtype=PLAIN[row[0]]) for name, row in layout.items()}
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
    return read_header(path)[1]


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
