"""What is checked of any file before it is believed."""

import os
import pickletools
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
            f"{path} leads out of {os.fspath(folder)}, to {path.resolve()}; what belongs to a run "
            f"or model lies in its folder. Copy it there if you trust it"
        )
    return path


def refuse_links_out(folder: str | os.PathLike[str]) -> None:
    """Check that nothing in a folder is a link that leads out of it.

    Raises:
        RefusedError: Something is.
    """
    for path in Path(folder).rglob("*"):
        if path.is_symlink():
            inside(folder, str(path.relative_to(folder)))


def refuse_pickle(head: bytes, path: str | os.PathLike[str]) -> None:
    """Refuse a file whose first bytes are a pickle's, or an archive's as `torch.save` makes it.

    Raises:
        RefusedError: It is one.
    """
    if is_pickle(head) or head.startswith(b"PK\x03\x04"):
        raise RefusedError(
            f"{os.fspath(path)} is a pickle, which could run code when loaded; it is refused "
            f"whatever its name. Use a safetensors file from a source you trust"
        )


def is_pickle(head: bytes) -> bool:
    """Whether the first bytes of a file are a pickle's."""
    binary = len(head) > 1 and head[:1] == b"\x80" and head[1] <= 5
    return binary or _is_text_pickle(head)


def _is_text_pickle(head: bytes) -> bool:
    """Whether this is the beginning of a pickle without a protocol byte: instructions only."""
    if head[:1] not in (b"c", b"(", b"]", b"}", b"l", b"d", b"i"):
        return False
    count = 0
    try:
        for _ in pickletools.genops(head):
            count += 1
    except ValueError as error:  # an unknown instruction, or the end of what we were given
        return count >= 3 and "unknown" not in str(error)
    return count >= 3
