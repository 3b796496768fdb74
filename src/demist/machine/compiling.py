"""Networks compiled by torch: faster after a minute, the same weights by the same names."""

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

BACKEND = "DEMIST_COMPILE_BACKEND"
"""Environment variable: the backend of `torch.compile`, by default inductor."""


def compile_network(net: nn.Module, say: Callable[[str], None]) -> None:
    """Compile a network in place, at its first call and at each with shapes of another kind.

    Its class and the names of its tensors stay, so checkpoints with and without are the same. What
    it answers agrees to rounding, not bit for bit, and dropout draws other masks. What cannot be
    compiled is computed as without, and `say` is called once with the reason.

    Args:
        net: Any network.
        say: Called with one sentence.
    """
    name = os.environ.get(BACKEND) or "inductor"
    failed: list[str] = []

    def give_up(error: Exception) -> None:
        if not failed:
            lines = str(error).strip().splitlines()
            failed.append(lines[0] if lines else type(error).__name__)
            say(f"the network cannot be compiled ({failed[0]}); going on without --compile")

    def backend(graph: fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        if not failed:
            try:
                # As torch's page on custom backends has it; to import it takes a second.
                compiled: Callable[..., Any] = torch._dynamo.lookup_backend(name)(graph, inputs)
                return compiled
            except Exception as error:  # whatever a compiler that is missing or broken raises
                give_up(error)
        return graph.forward

    try:
        net.compile(backend=backend)
    except Exception as error:  # a Python or a system that torch cannot compile for
        give_up(error)
