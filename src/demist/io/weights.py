"""Files of weights, safetensors or GGUF: what is in them, and one tensor at a time in any type.

Bytes go from the file to their place in pieces: beside the tensor that is being read there is never
more than one piece. Eight-bit floats and blocks of integers come out as the type that is asked for.
"""

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader

import numpy as np
import torch
from torch import Tensor

from demist.io.headers import Entry, Header, header_of, sentences
from demist.io.kinds import FLOATS, PLAIN, convert
from demist.io.sizes import BLOCKS, block_of
from demist.io.tensors import bytes_of
from demist.io.untrusted import open_regular

PIECE = 2**18
"""Numbers that are converted at once; they stay in the processor's cache."""
JOB = 2**25
"""Bytes after which another thread goes on."""


class Room:
    """Where one thread keeps a piece: its bytes as they are in the file, and as float32."""

    def __init__(self) -> None:
        """Made once for many tensors, since memory freed among them would stay taken."""
        self.raw = np.empty(8 * PIECE, dtype=np.uint8)
        self.wide = torch.empty(PIECE)


@dataclass(frozen=True)
class TensorFile(Header):
    """A file of weights; nothing is kept open."""

    def read(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """One tensor, on the CPU.

        Args:
            name: Of the tensor.
            dtype: Of real numbers; whole ones keep theirs. None: as they are in the file, blocks
                and what has a scale as float32.

        Raises:
            KeyError: There is none of this name.
            DataError: The file is cut, or the tensor holds NaN or infinity, or numbers that
                `dtype` cannot hold.
        """
        with self._opened() as file:
            return self._read(file, name, dtype, Room())

    @contextmanager
    def _opened(self) -> Iterator[BufferedReader]:
        with sentences(self.path, "holds no sound weights"), open_regular(self.path) as file:
            yield file

    def _read(
        self, file: BufferedReader, name: str, dtype: torch.dtype | None, room: "Room"
    ) -> Tensor:
        entry = self.entries[name]
        kind = PLAIN.get(entry.kind, torch.float32)
        if entry.kind in FLOATS or entry.kind in BLOCKS:
            kind = dtype or (torch.float32 if name in self.scales else kind)
        scale = self._scale(file, name, room)
        # One scale of eight-bit floats is multiplied into the table of what each byte is.
        apart = scale.numel() > 1 or (name in self.scales and not entry.kind.startswith("F8"))
        out = torch.empty(entry.shape, dtype=torch.float32 if apart else kind)
        if name not in self.scales and PLAIN.get(entry.kind) == kind:
            _copy(file, entry, out, name)
        else:
            _convert(file, entry, out, name, 1.0 if apart else scale.item(), room)
        if apart:
            wide = out.mul_(scale)
            out = wide.to(kind)
            if not _finite(out.reshape(-1)):
                raise _broken(wide.reshape(-1), name)
        return out

    def _scale(self, file: BufferedReader, name: str, room: "Room") -> Tensor:
        """The scale of a weight: one number, or one for each row."""
        if name not in self.scales:
            return torch.ones(())
        entry = self.scales[name]
        found = torch.empty(entry.shape)
        _convert(file, entry, found, name, 1.0, room)
        axes = len(self.entries[name].shape) - 1
        return found if found.numel() == 1 else found.reshape(-1, *[1] * axes)


def read_all(
    files: Iterable[TensorFile],
    dtype: torch.dtype | None = None,
    wanted: Callable[[str], bool] = lambda name: True,
) -> dict[str, Tensor]:
    """The tensors of files, by several threads; see `TensorFile.read`, also for what is raised.

    Args:
        files: In which they are.
        dtype: Of real numbers.
        wanted: Whether a tensor of this name is read.
    """
    jobs, size = list[tuple[TensorFile, list[str]]](), 0
    for file in files:
        jobs, size = [*jobs, (file, [])], 0
        for name in filter(wanted, file.entries):
            if size > JOB:
                jobs, size = [*jobs, (file, [])], 0
            jobs[-1][1].append(name)
            size += file.entries[name].nbytes

    own = threading.local()

    def begin() -> None:
        own.room = Room()

    def work(job: tuple[TensorFile, list[str]]) -> dict[str, Tensor]:
        file, names = job
        with file._opened() as handle:
            return {name: file._read(handle, name, dtype, own.room) for name in names}

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), initializer=begin) as pool:
        found = [pool.submit(work, job) for job in jobs]
        try:
            return {name: value for part in found for name, value in part.result().items()}
        finally:
            pool.shutdown(cancel_futures=True)


def open_tensors(path: str | os.PathLike[str]) -> TensorFile:
    """A file of weights, after checking its header; see `demist.io.headers.header_of`.

    Raises:
        MissingError: There is no such file.
        RefusedError: It is a pickle.
        DataError: It is neither safetensors nor GGUF, is cut, or its header cannot be true.
    """
    found = header_of(path)
    return TensorFile(found.path, found.entries, found.metadata, found.scales)


def _copy(file: BufferedReader, entry: Entry, out: Tensor, name: str) -> None:
    """The bytes of a tensor as they are."""
    flat, step = out.reshape(-1), PIECE
    file.seek(entry.begin)
    for begin in range(0, len(flat), step):
        piece = flat[begin : begin + step]
        if file.readinto(bytes_of(piece)) != piece.nbytes:
            raise ValueError(f"it ends within {name!r}")
        if not _finite(piece):
            raise _broken(piece, name)


def _convert(
    file: BufferedReader, entry: Entry, out: Tensor, name: str, scale: float, room: Room
) -> None:
    """The numbers of a tensor in another type."""
    flat = out.reshape(-1)
    numbers, count = block_of(entry.kind)
    step = PIECE // numbers * numbers
    wide = room.wide
    file.seek(entry.begin)
    for begin in range(0, len(flat), step):
        piece = flat[begin : begin + step]
        raw = room.raw[: len(piece) // numbers * count]
        if file.readinto(raw.data) != len(raw):
            raise ValueError(f"it ends within {name!r}")
        convert(raw, entry.kind, piece, scale, wide)
        if not _finite(piece):
            convert(raw, entry.kind, wide[: len(piece)], scale)
            raise _broken(wide[: len(piece)], name)


def _finite(piece: Tensor) -> bool:
    """Whether there is neither NaN nor infinity; eight-bit floats as they are in a file may."""
    if not len(piece) or not piece.is_floating_point() or piece.dtype.itemsize == 1:
        return True
    return all(math.isfinite(end) for end in torch.aminmax(piece))


def _broken(piece: Tensor, name: str) -> ValueError:
    """What is wrong with numbers that are not finite, or will not be in fp16."""
    if _finite(piece):
        return ValueError(f"{name!r} holds numbers above 65504, the most of fp16; use bf16 or fp32")
    what = "NaN" if piece.isnan().any() else "infinity"
    return ValueError(f"{name!r} holds {what}, so every image would be noise; get the file again")
