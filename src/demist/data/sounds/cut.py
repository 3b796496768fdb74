"""Whether a file ends early: WAV and AIFF say in the beginning how much follows.

Decoders give what there is of such a file without a word.
"""

from io import BufferedIOBase
from typing import Literal

_UNKNOWN = (0, 0xFFFFFFFF)
"""What streams say, whose length nobody knew when they began."""
_MOST = 1000
"""Chunks that are passed over."""


def require_whole(file: BufferedIOBase) -> None:
    """Check that a WAV or AIFF file holds as much sound as it says; others are not looked at.

    Args:
        file: At its beginning, to which it is brought back.

    Raises:
        ValueError: It ends early.
    """
    try:
        form = file.read(12)
        orders: dict[bytes, tuple[Literal["little", "big"], bytes]]
        orders = {b"RIFF": ("little", b"data"), b"FORM": ("big", b"SSND")}
        if form[:4] not in orders:
            return
        order, wanted = orders[form[:4]]
        end = file.seek(0, 2)
        place = 12
        for _ in range(_MOST):
            file.seek(place)
            head = file.read(8)
            if len(head) < 8:
                return
            size = int.from_bytes(head[4:], order)
            if head[:4] == wanted:
                there = end - place - 8
                if size not in _UNKNOWN and size > there + 1:
                    raise ValueError(f"it is cut: {there:,} of {size:,} bytes of sound are there")
                return
            place += 8 + size + size % 2
    finally:
        file.seek(0)
