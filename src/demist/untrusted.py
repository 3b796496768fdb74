"""What is checked of any file before it is believed."""

import os
import pickletools
from itertools import islice
from pathlib import Path

from demist.errors import RefusedError


def inside(folder: str | os.PathLike[str], name: str) -> Path:
    """The path of the file `name` in `folder`, if it really lies there.

    Raises:
        RefusedError: It leads elsewhere, by its name or by a link.
    """
    path = Path(folder) / name
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise RefusedError(
            f"{path} leads out of {os.fspath(folder)}, to {path.resolve()}; a model's files lie in "
            f"its folder. Copy the file there if you trust it"
        )
    return path


def refuse_pickle(head: bytes, path: str | os.PathLike[str]) -> None:
    """Refuse a file whose first bytes are a pickle's, or an archive's as `torch.save` makes it.

    Raises:
        RefusedError: It is one.
    """
    binary = head[:1] == b"\x80" and head[1:2] <= b"\x05" and len(head) > 1
    if binary or head.startswith(b"PK\x03\x04") or _is_text_pickle(head):
        raise RefusedError(
            f"{os.fspath(path)} is a pickle, which could run code when loaded; it is refused "
            f"whatever its name. Use a safetensors file from a source you trust"
        )


def _is_text_pickle(head: bytes) -> bool:
    """Whether the first three instructions are those of a pickle without a protocol byte."""
    if head[:1] not in (b"c", b"(", b"]", b"}", b"l", b"d", b"i"):
        return False
    try:
        return len(list(islice(pickletools.genops(head), 3))) == 3
    except ValueError:
        return False
