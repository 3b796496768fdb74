"""What to do when there is no memory left."""

import math
from typing import Any

from torch import nn

from demist.errors import DemistError
from demist.machine.memory import peak_memory
from demist.training.gradient import Objective, backward, is_out_of_memory, network_of, part_of
from demist.training.sharding import is_sharded


def out_of_memory(
    model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool
) -> DemistError:
    """The error to raise: batch, shape, peak, and the fewest parts in which the batch would fit."""
    peak = peak_memory()
    streams = batches.streams
    size, parts = streams.batch_size, 2 * streams.world
    shape = " x ".join(map(str, batches.x.shape[1:]))
    here = f"out of memory with {size // streams.world} items of {shape} at a time"
    here += f" (peak so far {peak / 1e9:.2f} GB)"
    if is_sharded(network_of(model)):  # a try would wait for the other processes
        return DemistError(
            f"{here}; use more --micro-batches or processes, or a smaller --batch-size or --size"
        )
    while size % parts == 0:
        if _fits(model, batches, step, objective, bf16, parts):
            return DemistError(
                f"{here}; --micro-batches {parts} fits: the same training in {parts} pieces of "
                f"{size // parts}. Or let --auto-microbatch choose, or reduce --batch-size"
            )
        parts *= 2
    odd = size // math.gcd(size, 2**30)
    return DemistError(
        f"{here}, and halving the batch down to {odd} did not help; use a smaller --size, fewer "
        f"--channels-per-level, or a --batch-size with more factors of two"
    )


def _fits(
    model: nn.Module, batches: Any, step: int, objective: Objective, bf16: bool, parts: int
) -> bool:
    try:
        backward(model, part_of(batches, 0, parts)(step), objective, bf16)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return False
        raise
    finally:
        model.zero_grad(set_to_none=True)
    return True
