"""How the gradient of one step is computed: at once, by several processes, or in parts.

Each way is a function from (model, batches, step, objective, bf16) to the mean loss and the
number of items; the mean gradient of the global batch is left in the parameters.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from demist.core import Denoiser
from demist.errors import DemistError
from demist.training.parallel import World

Objective = Callable[[Any, Any], Tensor]
"""Maps a model (a denoiser, an autoencoder, a classifier) and its batch to losses, `(B,)`."""
Gradient = Callable[[nn.Module, Any, int, Objective, bool], tuple[Tensor, int]]


@runtime_checkable
class AnyBatch(Protocol):
    """What the loop needs to know of a batch; what else it holds is the objective's affair."""

    @property
    def seed(self) -> int:
        """For torch's own draws in this step, such as dropout masks."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it is."""
        ...

    def __len__(self) -> int:
        """Number of samples."""
        ...


def full_batch(
    model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool
) -> tuple[Tensor, int]:
    """The whole batch at once, in this process."""
    batch = batches(step)
    return backward(model, batch, objective, bf16), len(batch)


@dataclass(frozen=True)
class DataParallel:
    """Each process computes its share; torch averages the gradients while they are computed.

    Attributes:
        world: The processes.
        wrapped: The model whose network torch watches: one that shares its parameters, or itself if
            it is cut (`demist.training.sharding`).
        pieces: In how many pieces each process computes its share, one after the other. The
            gradient of each is averaged over the processes at once, so that what is added up is as
            small as before.
    """

    world: World
    wrapped: nn.Module
    pieces: int = 1

    @classmethod
    def of(cls, model: nn.Module, world: World) -> "DataParallel":
        """Wrap a model's network; all processes then have the first one's weights."""
        # The gradient of a 1x1 convolution has strides of its own: a copy, no loss of speed here.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        net = DistributedDataParallel(network_of(model), gradient_as_bucket_view=False)
        return cls(world, rewrap(model, net) if isinstance(model, Denoiser) else net)

    def __call__(
        self, model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool
    ) -> tuple[Tensor, int]:
        """See the module."""
        wrapped, n = self.wrapped.train(model.training), self.pieces
        mine = range(self.world.rank * n, (self.world.rank + 1) * n)
        drawn = (part_of(batches, part, n * self.world.size)(step) for part in mine)
        losses = [backward(wrapped, batch, objective, bf16, n) for batch in drawn]
        return self.world.mean(torch.stack(losses).sum()), batches.streams.batch_size


@dataclass
class MicroBatched:
    """The global batch in `parts` equal parts, one after the other, added in a fixed tree.

    The tree depends on the number of parts alone, so any number of processes that divides it gives
    the same bits. Less memory is needed, too.

    Attributes:
        parts: A power of two.
        world: The processes; their number divides `parts`.
        auto: On running out of memory, double `parts` and go on.
        say: Called with a sentence when that happens.
    """

    parts: int
    world: World = field(default_factory=World)
    auto: bool = False
    say: Callable[[str], None] = print

    def __call__(
        self, model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool
    ) -> tuple[Tensor, int]:
        """See the module."""
        while True:
            found, problem = None, ""
            try:
                found = self._mine(model, batches, step, objective, bf16)
            except (RuntimeError, MemoryError) as error:
                if not (self.auto and is_out_of_memory(error)):
                    raise
                problem = str(error).splitlines()[0]
            (failed,) = self.world.any(found is None)
            if not failed:
                assert found is not None
                break
            self._halve(batches, problem)
        total = self.world.sum_in_order(found) / self.parts
        _set_gradients(trained(model), total[1:])
        return total[0], batches.streams.batch_size

    def _mine(
        self, model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool
    ) -> Tensor:
        """Sum over this process's parts: the loss, then all gradients, in float32."""
        each = self.parts // self.world.size
        sums = []
        for part in range(self.world.rank * each, (self.world.rank + 1) * each):
            model.zero_grad(set_to_none=True)
            loss = backward(model, part_of(batches, part, self.parts)(step), objective, bf16)
            sums.append(torch.cat([loss.float().reshape(1), *_flat_gradients(trained(model))]))
            # Add equal powers of two as soon as both are there: few are held at a time.
            count = part + 1 - self.world.rank * each
            while count % 2 == 0:
                last = sums.pop()
                sums[-1] = sums[-1] + last
                count //= 2
        model.zero_grad(set_to_none=True)
        return sums[0]

    def _halve(self, batches: Any, problem: str) -> None:
        size = batches.streams.batch_size
        if size % (2 * self.parts):
            raise DemistError(
                f"out of memory even with {size // self.parts} items at a time ({problem}); "
                f"use a smaller --size or network"
            )
        self.parts *= 2
        if self.world.first:
            self.say(f"out of memory: from now on {size // self.parts} items at a time")


def part_of(batches: Any, part: int, parts: int) -> Any:
    """One of `parts` equal parts of every global batch."""
    return replace(batches, streams=replace(batches.streams, rank=part, world=parts))


def backward(
    model: nn.Module, batch: AnyBatch, objective: Objective, bf16: bool, pieces: int = 1
) -> Tensor:
    """Add the gradient of the mean loss of a batch, over `pieces`, and return that loss."""
    torch.manual_seed(batch.seed)
    with torch.autocast(batch.device.type, torch.bfloat16, enabled=bf16):
        loss = objective(model, batch).mean() / pieces
    loss.backward()
    return loss.detach()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of any device, is what was missing."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return "can't allocate memory" in text or "out of memory" in text


def rewrap(denoiser: Denoiser, net: nn.Module) -> Denoiser:
    """The same denoiser around another module."""
    d = denoiser
    return Denoiser(
        net,
        d.schedule,
        d.parameterization,
        clock=d.clock,
        input_std=d.input_std,
        learn_variance=d.learn_variance,
        bounds=d.bounds,
        dtype=d.dtype,
    )


def network_of(model: nn.Module) -> nn.Module:
    """What is trained, averaged and saved: a denoiser's network, of other models all."""
    return model.net if isinstance(model, Denoiser) else model


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained, in order."""
    return [p for p in network_of(model).parameters() if p.requires_grad]


def _flat_gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [
        (torch.zeros_like(p) if p.grad is None else p.grad).detach().float().reshape(-1)
        for p in parameters
    ]


def _set_gradients(parameters: Sequence[nn.Parameter], flat: Tensor) -> None:
    sizes = [p.numel() for p in parameters]
    for p, gradient in zip(parameters, flat.split(sizes), strict=True):
        p.grad = gradient.reshape(p.shape).to(p.dtype)
