"""A file of `torch.save` as safetensors, without running what is in it."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from demist.errors import CannotCreateError, DataError, UsageError
from demist.interop.choose import Chosen, choose
from demist.io.files import atomic
from demist.io.headers import MAX_HEADER
from demist.io.pickles import Checkpoint, Storage, open_checkpoint, shown
from demist.io.tensors import write_stream

SHARED, SMALL = 4, 2**24
"""Tensors that share numbers may take so many times the file, and so many bytes more."""
LISTED = 8


@dataclass(frozen=True)
class Converted:
    """What was written, and what was not.

    Attributes:
        out: The file.
        count: Of its tensors.
        nbytes: Of its tensors.
        types: Name of a type -> how many tensors have it.
        chosen: Which were taken, and what was left out.
    """

    out: Path
    count: int
    nbytes: int
    types: dict[str, int]
    chosen: Chosen

    def sentences(self) -> list[str]:
        """What a person should know, one sentence a line."""
        chosen = self.chosen
        kinds = ", ".join(f"{count} {name}" for name, count in self.types.items())
        plural = "s" * (self.count != 1)
        lines = [f"{self.count:,} tensor{plural} ({kinds}), {self.nbytes / 1e6:,.1f} MB"]
        if chosen.place:
            lines.append(f"taken from {shown(chosen.place)!r}, whose name is not in theirs")
        if chosen.others:
            lines.append(f"left out: {_some([f'{k} ({v})' for k, v in chosen.others.items()])}")
        if chosen.names:
            named = [f"{name} ({count})" for name, count in chosen.names.items()]
            lines.append(f"classes and functions met, none of them run: {_some(named)}")
        return lines


def convert(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    only: str | None = None,
    replace: bool = False,
) -> Converted:
    """Write the weights of a checkpoint as safetensors.

    Memory: the largest storage of the file, and one tensor where its numbers are not in order.

    Args:
        path: File of `torch.save` (.ckpt, .bin, .pt, .pth), of any age since torch 0.4.
        out: New file, `.safetensors`.
        only: Dotted path of the dict to take, as "ema"; None: a `state_dict`, or all there is.
        replace: Whether a file at `out` may be replaced.

    Raises:
        MissingError: There is no such file, or nothing at `only`.
        DataError: It is damaged, no such file, or its tensors have no place in safetensors.
        RefusedError: A tensor depends on what would have to be run.
        CannotCreateError: `out` exists, or its folder does not.
        UsageError: `out` is not called .safetensors.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise UsageError(f"{out} should end in .safetensors, which is what is written")
    if out.exists() and not replace:
        raise CannotCreateError(f"{out} exists already; choose another name, or add --force")
    if not out.absolute().parent.is_dir():
        raise CannotCreateError(f"there is no folder {out.parent} to write {out.name} in")
    with open_checkpoint(path) as checkpoint:
        chosen = choose(checkpoint.value, only)
        _require_bounded(chosen, checkpoint.size)
        # Tensors of one storage come together, so that it is read once.
        tensors = dict(sorted(chosen.tensors.items(), key=lambda item: item[1].storage.key))
        layout = {name: (stored.dtype, stored.shape) for name, stored in tensors.items()}
        with atomic(out) as temporary:
            write_stream(temporary, layout, _reader(checkpoint, chosen))
    types = Counter(str(stored.dtype).removeprefix("torch.") for stored in tensors.values())
    nbytes = sum(stored.nbytes for stored in tensors.values())
    return Converted(out, len(tensors), nbytes, dict(types), chosen)


def _reader(checkpoint: Checkpoint, chosen: Chosen) -> Callable[[str], Tensor]:
    """Tensors by name; the storage read last is kept."""
    kept: list[tuple[Storage, Tensor]] = []

    def read(name: str) -> Tensor:
        stored = chosen.tensors[name]
        if not kept or kept[0][0] != stored.storage:
            kept.clear()
            kept.append((stored.storage, checkpoint.numbers(stored.storage)))
        return checkpoint.tensor(stored, kept[0][1])

    return read


def _require_bounded(chosen: Chosen, size: int) -> None:
    """Check, before anything is read, that the tensors are of this file and can be written."""
    total = sum(stored.nbytes for stored in chosen.tensors.values())
    if total > SHARED * size + SMALL:
        raise DataError(
            f"its tensors would take {total:,} bytes, and the file has {size:,}: they repeat the "
            f"same numbers, and more than {SHARED} times is refused"
        )
    letters = 0
    for name, stored in chosen.tensors.items():
        if stored.dtype == torch.complex128:
            raise DataError(f"{shown(name)!r} is of complex128, which safetensors has not")
        if not name.isprintable() or any("\ud800" <= c <= "\udfff" for c in name):
            raise DataError(f"the name {shown(name)!r} has letters that are none")
        letters += len(name.encode()) + 400  # its entry: a type, up to 16 sides, two places
    if letters > MAX_HEADER:
        raise DataError(f"{len(chosen.tensors):,} tensors are more than one file can list")


def _some(words: list[str]) -> str:
    more = f" and {len(words) - LISTED:,} more" if len(words) > LISTED else ""
    return ", ".join(shown(word) for word in words[:LISTED]) + more
