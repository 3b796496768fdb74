"""How much memory a step of training takes, from shapes alone, before any is taken.

The network is called once on tensors that have shapes and no numbers (torch's device "meta"), and
what it keeps for the backward pass is added up. On a processor this has to come first: a system
that runs out of memory ends the process without a word.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from demist.core import Denoiser
from demist.errors import UsageError
from demist.machine.memory import free_memory
from demist.model.pipeline import Pipeline
from demist.training.experiment import Experiment
from demist.training.gradient import network_of

SMALL = 0.25
"""A step whose upper bound is below this share of the free memory is not looked at further."""
COPIES = 5
"""Of the weights: themselves, gradient, average, and at most two moments."""
STATES = 8
"""States of a batch that a step holds beside the network's own: data, noise, predictions."""


@dataclass(frozen=True)
class Footprint:
    """Memory of a step, in bytes.

    Attributes:
        kept: What the network keeps for the backward pass.
        peak: That, with weights, optimizer and what is there for a moment.
    """

    kept: int
    peak: int


class _Kept(TorchFunctionMode):
    """Adds up what is kept for the backward pass, each storage once.

    Attention keeps no table of all pairs, which is what the kernels do that large maps get; where
    one is kept (`demist.networks.attention.attend`), it is counted.
    """

    def __init__(self, own: set[int], bf16: bool) -> None:
        super().__init__()
        self.own, self.bf16 = own, bf16
        self.sizes: dict[int, int] = {}
        self.held: list[Tensor] = []  # alive, so that no other storage gets their address
        self.tables = 0

    def keep(self, x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in self.own and storage._cdata not in self.sizes:
            self.sizes[storage._cdata] = storage.nbytes()
            self.held.append(x)
        return x

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        q, k, v = args[:3]  # and perhaps a bias, which is small
        if self.bf16 and q.shape[-2] <= 1024:
            self.tables += 4 * math.prod(q.shape[:-1]) * k.shape[-2]
        return q + (k * v).sum(dim=-2, keepdim=True)


def footprint(model: nn.Module, shape: Sequence[int], n: int, cond: Any, bf16: bool) -> Footprint:
    """What a step on `n` samples at a time needs; nothing of it is computed.

    Args:
        model: A denoiser.
        shape: Of one state.
        n: Samples at a time.
        cond: Encoded conditions of any number of samples, by name.
        bf16: Whether the network computes in bf16.
    """
    net = network_of(model)
    weights = {
        name: torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
        for name, tensor in [*net.named_parameters(), *net.named_buffers()]
    }
    own = {tensor.untyped_storage()._cdata for tensor in weights.values()}
    given = {
        name: torch.empty((n, *value.shape[1:]), dtype=value.dtype, device="meta")
        for name, value in cond.items()
    }
    x, t = torch.empty(n, *shape, device="meta"), torch.empty(n, device="meta")
    arithmetic = torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext()
    kept = _Kept(own, bf16)
    with kept, arithmetic, torch.autograd.graph.saved_tensors_hooks(kept.keep, lambda y: y):
        torch.func.functional_call(net, weights, (x, t), given).float().square().mean()
    held = sum(kept.sizes.values()) + kept.tables
    states = STATES * 4 * n * math.prod(shape)
    moment = 2 * max(kept.sizes.values(), default=0) + held // 4  # work space and fragments
    return Footprint(held, COPIES * _weight(net) + states + held + moment)


def _weight(net: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in net.parameters())


def upper_bound(net: nn.Module, shape: Sequence[int], n: int) -> int:
    """More bytes than a step keeps, at once: every layer on all positions, and all pairs of them.

    Args:
        net: The network.
        shape: Of one state.
        n: Samples at a time.
    """
    positions = math.ceil(math.prod(shape[1:]) / getattr(net, "patch", 1) ** 2)
    wide = sum(p.shape[0] for p in net.parameters() if p.shape[1:])
    pairs = sum(bool(getattr(module, "attends", False)) for module in net.modules())
    pairs *= 64 * min(positions, 1024) ** 2  # larger maps get no table of all pairs
    return COPIES * _weight(net) + n * (12 * positions * wide + pairs)


def require_fits(e: Experiment, processes: int = 1) -> Footprint | None:
    """Refuse a training whose steps memory cannot hold; see `require_memory`.

    Graphics processors say themselves, in time, that they are full; there nothing is refused.

    Args:
        e: All objects of the run.
        processes: How many train together, on this machine.
    """
    if e.device.type != "cpu" or not isinstance(e.pipeline, Pipeline):
        return None
    options = e.config.optimization
    try:
        cond = e.pipeline.conditioner.encode(1, {})
    except UsageError:  # a condition that is never hidden
        cond = dict(e.batches(0).cond)
    parts = max(options.micro_batches or 1, processes)
    bf16 = options.precision == "bf16"
    return require_memory(e.denoiser, e.pipeline.state_shape, options.batch_size, parts, cond, bf16)


def require_memory(
    model: nn.Module, shape: Sequence[int], batch_size: int, parts: int, cond: Any, bf16: bool
) -> Footprint | None:
    """Refuse a step that this machine's free memory cannot hold; for the processor.

    Args:
        model: What is trained; nothing is known of others than denoisers.
        shape: Of one state.
        batch_size: Samples of a step, over all parts.
        parts: In how many parts it is computed, one after the other.
        cond: Encoded conditions of some samples.
        bf16: Whether the network computes in bf16.

    Returns:
        What was found out; None: it is small, or nothing is known.

    Raises:
        UsageError: It would not fit; what would is named.
    """
    free, n = free_memory(), batch_size // parts
    if not isinstance(model, Denoiser) or free is None:
        return None
    if upper_bound(network_of(model), shape, n) < SMALL * free:
        return None
    try:
        found = footprint(model, shape, n, cond, bf16)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return None  # a network that cannot be called on shapes alone
    if found.peak <= free:
        return found
    sides = " x ".join(map(str, shape))
    needs = f"a step on {n} items of {sides} at a time needs about {found.peak / 1e9:.1f} GB, and "
    needs += f"{free / 1e9:.1f} GB are free: "
    parts_of = parts
    while n % 2 == 0 and n > 1:
        n, parts_of = n // 2, parts_of * 2
        if footprint(model, shape, n, cond, bf16).peak <= 0.8 * free:
            raise UsageError(
                f"{needs}--micro-batches {parts_of} would fit, the same training in {parts_of} "
                f"pieces of {n}, or --batch-size {n}; a smaller --size is faster, too"
            )
    raise UsageError(f"{needs}use a smaller --size, fewer --channels-per-level, or --patch 4")
