"""Types of numbers in files of weights, and how their bytes become a tensor of another type.

A block type (`Q4_0`, ...) keeps several numbers together, as small integers with scales of their
own. Its layouts are those of ggml (github.com/ggml-org/ggml, `ggml-common.h`).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demist.io.sizes import BLOCKS

FLOATS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
WHOLE = {
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
PLAIN = FLOATS | WHOLE | {"C64": torch.complex64}
"""Name in a file -> torch's type."""

Bytes = np.ndarray
"""Rows of bytes, one row for each block."""

Numbers = NDArray[np.float32]


def _half(raw: Bytes) -> Numbers:
    """Two bytes a row to one number a row, float32."""
    return np.ascontiguousarray(raw).view(np.float16).astype(np.float32)


def _q8_0(raw: Bytes) -> Numbers:
    return _half(raw[:, :2]) * np.ascontiguousarray(raw[:, 2:]).view(np.int8)


def _q4_0(raw: Bytes) -> Numbers:
    q = np.concatenate([raw[:, 2:] & 15, raw[:, 2:] >> 4], axis=1)
    return _half(raw[:, :2]) * (q.view(np.int8) - 8)


def _six_bits(raw: Bytes) -> tuple[np.ndarray, np.ndarray]:
    """Eight scales and eight offsets of six bits each, from twelve bytes."""
    low, middle, high = raw[:, :4], raw[:, 4:8], raw[:, 8:]
    scale = np.concatenate([low & 63, (high & 15) | ((low >> 6) << 4)], axis=1)
    offset = np.concatenate([middle & 63, (high >> 4) | ((middle >> 6) << 4)], axis=1)
    return scale, offset


def _scaled(raw: Bytes, q: np.ndarray) -> Numbers:
    """`q` `(n, 8, 32)` times its scales less its offsets, which are the first 16 bytes."""
    scale, offset = _six_bits(raw[:, 4:16])
    d, least = _half(raw[:, :2]) * scale, _half(raw[:, 2:4]) * offset
    found: Numbers = d[:, :, None] * q - least[:, :, None]
    return found.reshape(len(raw), 256)


def _nibbles(raw: Bytes) -> np.ndarray:
    """Groups of 32 bytes to twice as many groups of 32 numbers: low halves, then high ones."""
    groups = raw.reshape(len(raw), -1, 1, 32)
    return np.concatenate([groups & 15, groups >> 4], axis=2).reshape(len(raw), -1, 32)


def _q4_k(raw: Bytes) -> Numbers:
    return _scaled(raw, _nibbles(raw[:, 16:]))


def _q5_k(raw: Bytes) -> Numbers:
    bit = np.arange(8, dtype=np.uint8)[:, None]
    fifth = (raw[:, None, 16:48] >> bit) & 1
    return _scaled(raw, _nibbles(raw[:, 48:]) | (fifth << 4))


def _q6_k(raw: Bytes) -> Numbers:
    low = raw[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 2, 4, 32)
    shift = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    high = (raw[:, 128:192].reshape(-1, 2, 1, 32) >> shift) & 3
    q = (low | (high << 4)).view(np.int8) - 32
    scale = _half(raw[:, 208:]) * np.ascontiguousarray(raw[:, 192:208]).view(np.int8)
    found: Numbers = scale[:, :, None] * q.reshape(-1, 16, 16)
    return found.reshape(-1, 256)


DECODE: Mapping[str, Callable[[Bytes], Numbers]] = {
    "Q4_0": _q4_0, "Q8_0": _q8_0, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
}  # fmt: skip
"""Block type -> blocks `(n, bytes)` to numbers `(n, numbers)`."""


def convert(
    raw: np.ndarray, kind: str, out: Tensor, scale: float = 1.0, room: Tensor | None = None
) -> None:
    """Numbers from the bytes of a file, rounded to the type of `out` once.

    Args:
        raw: The bytes, uint8.
        kind: Their type.
        out: Where they go, of one axis.
        scale: What eight-bit floats are multiplied by.
        room: For as many float32 numbers; None: it is made.
    """
    if kind in BLOCKS:
        found = DECODE[kind](raw.reshape(-1, BLOCKS[kind][1]))
        out.copy_(torch.from_numpy(found).reshape(-1))
    elif kind.startswith("F8"):
        table, number = _table(kind, scale, out.dtype)
        np.take(table, raw, out=out.view(number).numpy())
    else:
        given = torch.from_numpy(raw).view(PLAIN[kind])
        halves = (torch.float16, torch.bfloat16)
        # Between the two halves torch goes number by number; by way of float32 it is five times
        # as fast, and the same numbers.
        if given.dtype in halves and out.dtype in halves:
            room = torch.empty(len(out)) if room is None else room[: len(out)]
            given = room.copy_(given)
        out.copy_(given)


@lru_cache(maxsize=8)
def _table(kind: str, scale: float, dtype: torch.dtype) -> tuple[np.ndarray, torch.dtype]:
    """What each of the 256 bytes is in `dtype`, as whole numbers of the same bits."""
    number = {8: torch.int64, 4: torch.int32, 2: torch.int16}[dtype.itemsize]
    values = torch.arange(256, dtype=torch.uint8).view(PLAIN[kind]).float() * scale
    return values.to(dtype).view(number).numpy(), number
