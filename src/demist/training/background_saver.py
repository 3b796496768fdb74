"""Checkpoints written while training goes on.

A save copies the state into buffers of its own, which is all that training waits for, and a thread
writes them. At most one write is under way: the next save waits for it. A write that fails, such as
on a full disk, is tried again after each of `PAUSES`, while training goes on; after the last try
the error is raised in the training thread.
"""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from demist.errors import StorageError
from demist.io.tensors import bytes_of
from demist.runs import checkpoint
from demist.runs.checkpoint import Checkpoint
from demist.training.parallel import ALONE, World
from demist.training.sharding import collected

PAUSES = (2.0, 10.0, 30.0)
"""Seconds before each further try."""

Parts = Mapping[str, Mapping[str, Tensor]]


class BackgroundSaver:
    """Writes checkpoints into `folder`, keeping the newest `keep`.

    Args:
        folder: Where to.
        keep: How many are kept, at least two.
        say: Routed of each failed try.
        world: The processes that train together: all must call `save`, the first one writes.
    """

    def __init__(
        self, folder: Path, keep: int, say: Callable[[str], None], world: World = ALONE
    ) -> None:
        self._folder, self._keep, self._say, self._world = folder, keep, say, world
        self._buffers: dict[str, dict[str, Tensor]] = {}
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def prepare(self, parts: Parts) -> None:
        """Make the buffers now, so that the first save is as quick as the others."""
        self._buffers = {
            part: {name: _buffer(value) for name, value in tensors.items()}
            for part, tensors in parts.items()
        }

    def save(self, live: Checkpoint) -> None:
        """Take a copy of a checkpoint and write it in the background.

        Raises:
            StorageError: The write before failed for good.
        """
        self.wait()
        if not self._buffers and self._world.first:
            self.prepare(live.parts)
        copy_parts(live.parts, self._buffers, self._world)
        if not self._world.first:
            return
        snapshot = Checkpoint(live.step, self._buffers, live.state)
        self._thread = threading.Thread(target=self._write, args=(snapshot,), daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise what a finished write has to say; does not wait."""
        if self._thread is not None and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            StorageError: It could not be.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, snapshot: Checkpoint) -> None:
        try:
            for pause in (*PAUSES, None):
                try:
                    checkpoint.save(self._folder, snapshot, self._keep)
                    return
                except StorageError as error:
                    if pause is None:
                        raise StorageError(f"{error}, and the same command goes on") from None
                    self._say(f"{error}; trying again in {pause:g} seconds")
                    time.sleep(pause)
        except Exception as error:  # for the training thread to raise
            self._error = error


def copy_parts(live: Parts, buffers: Parts, world: World = ALONE) -> None:
    """Copy all tensors into the first process's buffers of the same names and shapes."""
    device = None
    for part, tensors in live.items():
        for name, found in collected(tensors, world):
            value = found.detach()
            if value.device.type == "cpu" and value.is_contiguous():
                # One thread's memcpy: several threads wait for each other on a busy machine.
                bytes_of(buffers[part][name])[:] = bytes_of(value)
            else:
                buffers[part][name].copy_(value, non_blocking=True)
                device = value.device if value.is_cuda else device
    if device is not None:
        torch.cuda.synchronize(device)


def _buffer(value: Tensor) -> Tensor:
    # Zeroed and not merely reserved: the system hands out pages when they are first written.
    return torch.zeros(value.shape, dtype=value.dtype, device="cpu", pin_memory=value.is_cuda)
