"""Several processes as one trainer: `torchrun --nproc-per-node=8 -m demist train ...`.

Every process draws its share of the global batch from the same streams, so nothing but gradients
has to travel, and what is decided (a limit reached, a signal, a file to resume from) is decided
once and sent to all.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from demist.errors import UsageError
from demist.machine.processes import die_with_parent


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes:
        rank: Which of them this is, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether it is true on any process."""
        if self.size == 1:
            return list(flags)
        values = torch.tensor(flags, dtype=torch.float32, device=_device())
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return values.bool().tolist()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.size == 1:
            return value
        value = value.detach().clone()
        dist.all_reduce(value)
        return value / self.size

    def agree(self, value: Any) -> Any:
        """The JSON value that the first process has; the others' are ignored."""
        if self.size == 1:
            return value
        data = json.dumps(value).encode() if self.first else b""
        length = torch.tensor(len(data), device=_device())
        dist.broadcast(length, 0)
        buffer = torch.zeros(int(length), dtype=torch.uint8)
        if self.first:
            buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        buffer = buffer.to(_device())
        dist.broadcast(buffer, 0)
        return json.loads(bytes(buffer.tolist()))

    def share(self, tensor: Tensor) -> None:
        """Overwrite a tensor by the first process's, in place."""
        if self.size == 1:
            return
        held = tensor.to(_device())
        dist.broadcast(held, 0)
        if held is not tensor:
            tensor.copy_(held)

    def collect(self, value: Tensor) -> list[Tensor]:
        """Every process's tensor, all of one shape, on the first process; on the others nothing."""
        found = [torch.empty_like(value) for _ in range(self.size)] if self.first else []
        dist.gather(value, found or None)
        return found

    def clock(self) -> float:
        """The first process's monotonic clock, seconds; all must ask together."""
        if self.size == 1:
            return time.monotonic()
        value = torch.tensor(time.monotonic(), dtype=torch.float64, device=_device())
        dist.broadcast(value, 0)
        return float(value)

    def sum_in_order(self, value: Tensor) -> Tensor:
        """The sum over all processes, added in pairs: (0 + 1) + (2 + 3), ...

        Every process gets the same bits, and they are those that one process gets by adding in the
        same pairs. The number of processes must be a power of two.
        """
        distance = 1
        while distance < self.size:
            theirs, peer = torch.empty_like(value), self.rank ^ distance
            sent = dist.isend(value, peer)
            dist.recv(theirs, peer)
            assert sent is not None
            sent.wait()
            value = value + theirs  # addition of two numbers gives the same bits either way round
            distance *= 2
        return value


ALONE = World()
"""One process, as without `torchrun`."""


@contextlib.contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[World]:
    """Within the block, this process is one of those that `torchrun` started; or it is alone.

    It ends when its parent does, even by kill -9.

    Raises:
        UsageError: `torchrun`'s variables make no sense.
    """
    try:
        size = int(environment.get("WORLD_SIZE", "1"))
        rank, local = int(environment.get("RANK", "0")), int(environment.get("LOCAL_RANK", "0"))
    except ValueError as error:
        raise UsageError(f"WORLD_SIZE, RANK and LOCAL_RANK should be numbers: {error}") from None
    if size == 1:
        yield ALONE
        return
    die_with_parent()
    cuda = torch.cuda.is_available() and torch.cuda.device_count() > local
    if cuda:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(rank, size)
    finally:
        with contextlib.suppress(Exception):  # a peer may be gone; the first error counts
            dist.destroy_process_group()


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
