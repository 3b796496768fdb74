"""Averaged weights, which are sampled from: the raw weights jitter with every batch.

The decay is a function of the step, so that early weights are forgotten: with a memory of constant
length the average would stay near the initial weights for a long time. Here

    decay(n) = min(limit, n / (n + 9)),    n = 1, 2, ... updates,

which averages over about the last tenth of the history (a power-function average with exponent 8;
Karras et al. 2024, "Analyzing and Improving the Training Dynamics of Diffusion Models",
arXiv:2312.02696, eq. 9) until it meets the limit's memory of 1 / (1 - limit) steps. Another profile
is another function.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Decay = Callable[[int], float]
"""Share of the old average kept in the n-th update, n = 1, 2, ..."""


def warmed_up(limit: float) -> Decay:
    """The decay above. `limit` is in [0, 1); 0 keeps no average at all: the weights themselves."""
    return lambda n: min(limit, n / (n + 9))


class Ema:
    """A running average of a module's parameters; other state (buffers) is copied.

    Args:
        module: Its present state is the start of the average.
        decay: Share of the old average kept, per update.
    """

    def __init__(self, module: nn.Module, decay: Decay):
        self.decay = decay
        self._module = module
        self.tensors = {k: v.detach().clone() for k, v in module.state_dict().items()}
        trained = {k: p for k, p in module.named_parameters() if p.requires_grad}
        self._sources = [p.detach() for p in trained.values()]
        self._averages = [self.tensors[k] for k in trained]
        self._copied = {k: v for k, v in module.state_dict().items() if k not in trained}

    @torch.no_grad()
    def update(self, n: int) -> None:
        """Take in the present weights as the n-th update, n = 1, 2, ..."""
        torch._foreach_lerp_(self._averages, self._sources, 1 - self.decay(n))
        for name, value in self._copied.items():
            self.tensors[name].copy_(value)

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Replace the average; names and shapes must be those of the module's state."""
        for name, value in self.tensors.items():
            value.copy_(tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block, the module has the averaged weights."""
        state = self._module.state_dict()
        with torch.no_grad():
            saved = {name: value.clone() for name, value in state.items()}
            for name, value in state.items():
                value.copy_(self.tensors[name])
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in state.items():
                    value.copy_(saved[name])
