"""Frames between the server and its worker: one line of JSON, then as many bytes as it says."""

import json
from collections.abc import Mapping
from io import BufferedIOBase
from typing import Any

from demist.errors import DataError, UsageError

LONGEST_LINE, MOST_BYTES = 2**20, 2**28
"""Bytes of a header and of what follows it; more is no frame."""


def pack(header: Mapping[str, Any], data: bytes = b"") -> bytes:
    """A frame as it travels.

    Raises:
        UsageError: Its header is longer than is read.
        ValueError: A number in it is not finite.
        TypeError: A value in it is not of JSON.
    """
    line = json.dumps({**header, "bytes": len(data)}, allow_nan=False).encode() + b"\n"
    if len(line) > LONGEST_LINE:
        raise UsageError(
            f"{len(line)} bytes of JSON, and at most {LONGEST_LINE} go to the worker or come from "
            f"it; give shorter settings"
        )
    return line + data


def header_of(line: bytes) -> tuple[dict[str, Any], int]:
    """The header of a frame, and how many bytes follow.

    Raises:
        DataError: It is no header.
    """
    try:
        header = json.loads(line)
        size = header.pop("bytes")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise DataError(f"a frame begins with {line[:40]!r}, which is no header") from None
    if not isinstance(size, int) or not 0 <= size <= MOST_BYTES:
        raise DataError(f"a frame says it has {size!r} bytes; at most {MOST_BYTES} are read")
    return header, size


def read(file: BufferedIOBase) -> tuple[dict[str, Any], bytes] | None:
    """The next frame; None at the end.

    Raises:
        DataError: What comes is no frame, or is cut short.
    """
    line = file.readline(LONGEST_LINE)
    if not line:
        return None
    header, size = header_of(line)
    data = file.read(size) if size else b""
    if len(data) < size:
        raise DataError(f"a frame of {size} bytes ends after {len(data)}")
    return header, data
