"""Models too large for one device: every process holds a share of each tensor.

Weights, gradients, average and optimizer state are cut along their first axis (torch's FSDP2). A
block's weights are put together when it is computed, and dropped again; its gradient is added up
and cut at once. So a device needs memory for 1/N of everything, one whole block, and its share of
the batch.

What leaves the processes is whole: checkpoints and models are put together by the first process and
are the same files as ever. Any number of processes, sharded or not, goes on from them. To draw
samples, the first process holds the whole average for a moment.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from demist.training.parallel import World

if TYPE_CHECKING:
    import torch.distributed.tensor

MESSAGE = 2**22
"""Numbers that one process sends at once: many small tensors, or one that may be larger."""


def shard(net: nn.Module, world: World, device: torch.device) -> None:
    """Move a network to `device`, keeping only this process's share. All must call this."""
    from torch.distributed import device_mesh, fsdp

    mesh = device_mesh.init_device_mesh(device.type, (world.size,))
    for block in blocks(net):
        fsdp.fully_shard(block, mesh=mesh)
    fsdp.fully_shard(net, mesh=mesh)


def blocks(net: nn.Module) -> list[nn.Module]:
    """The innermost repeated parts of a network that are more than one layer."""
    lists = [module for module in net.modules() if isinstance(module, nn.ModuleList)]
    found = [part for parts in lists for part in parts if any(True for _ in part.children())]
    return [a for a in found if not any(b is not a and b in set(a.modules()) for b in found)]


def is_sharded(net: nn.Module) -> bool:
    """Whether processes hold only shares of this network's parameters."""
    return any(hasattr(p, "full_tensor") for p in net.parameters())


def gathered(tensor: Tensor) -> Tensor:
    """A tensor put together from all shares, if it is cut; all processes must ask together."""
    # Not by its class, whose import takes half a second.
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def share_of(whole: Tensor, like: Tensor) -> Tensor:
    """This process's share of a tensor that all have whole, cut as `like` is, if that is cut."""
    if not hasattr(like, "full_tensor"):
        return whole
    cut = torch.distributed.tensor  # imported by what has cut it
    assert isinstance(like, cut.DTensor)
    everywhere = cut.DTensor.from_local(whole, like.device_mesh, [cut.Replicate()])
    return everywhere.redistribute(placements=like.placements)


def collected(tensors: Mapping[str, Tensor], world: World) -> Iterator[tuple[str, Tensor]]:
    """Names and whole tensors on the first process, nothing on the others; all must go through it.

    Shares of many tensors travel together, since each message costs as much as many numbers.
    """
    waiting: dict[str, Any] = {}
    numbers = 0
    for name, value in tensors.items():
        if not hasattr(value, "full_tensor"):
            if world.first:
                yield name, value
            continue
        if numbers + value.numel() > MESSAGE * world.size:
            yield from _delivered(waiting, world)
            waiting, numbers = {}, 0
        waiting[name] = value
        numbers += value.numel()
    yield from _delivered(waiting, world)


def _delivered(tensors: Mapping[str, Any], world: World) -> Iterator[tuple[str, Tensor]]:
    if not tensors:
        return
    # Shares are rows, as many for each process but the last ones: filled up, they are equal.
    widths = [-(-t.shape[0] // world.size) * (t.numel() // t.shape[0]) for t in tensors.values()]
    shares = [t.detach().to_local().reshape(-1) for t in tensors.values()]
    equal = [F.pad(s, (0, width - len(s))) for s, width in zip(shares, widths, strict=True)]
    everyone = world.collect(torch.cat(equal))
    if not everyone:
        return
    columns = torch.stack(everyone).split(widths, dim=1)
    for (name, tensor), parts in zip(tensors.items(), columns, strict=True):
        yield name, parts.reshape(-1)[: tensor.numel()].view(tensor.shape)


@torch.no_grad()
def give(world: World, target: Tensor, source: Tensor | None) -> None:
    """Overwrite a tensor, cut or not, by the first process's whole `source`; all must call this.

    Args:
        world: The processes.
        target: This process's tensor.
        source: Of the same shape; ignored on the others, which may have None. The first one may
            have None if `target` is not cut: then `target` itself is what the others get.
    """
    if hasattr(target, "full_tensor"):
        cut = torch.distributed.tensor
        assert isinstance(target, cut.DTensor)
        held = torch.empty(target.shape, dtype=target.dtype, device=target.device)
        held = held if source is None else held.copy_(source)
        share = cut.distribute_tensor(held, target.device_mesh, target.placements)
        target.to_local().copy_(share.to_local())
        return
    if source is not None:
        target.copy_(source)
    world.share(target)
