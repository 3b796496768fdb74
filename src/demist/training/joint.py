"""Networks that are trained together, of which one is kept.

They are one module, so that one optimizer state, checkpoint and average hold them all, and several
processes train them as they train any other.

A step also tells what moves no weight: how often a code was used, how large a term of the loss was.
Its mean over the batch is wanted, whatever processes and parts the batch was divided among, and
that is how gradients are added up. So it travels as one:

    report(p, value)     is 0, and its gradient with respect to the parameter p is `value`.

Such a parameter stays zero; its name stands in `Joint.reported`, and the optimizer leaves it out.
"""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn


def report(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """Zero, whose gradient with respect to `parameter` is `value`, of the same shape: `()`."""
    return (parameter * value.detach().to(parameter)).sum()


class Joint(nn.Module):
    """Networks that are trained together.

    Attributes:
        rates: How the names of some parameters begin -> their learning rate in units of the rest's.
        reported: Names of the parameters whose gradient is a report and moves nothing.
    """

    rates: Mapping[str, float] = MappingProxyType({})
    reported: tuple[str, ...] = ()

    @property
    def kept(self) -> nn.Module:
        """The network that is averaged and saved."""
        raise NotImplementedError

    def require(self) -> None:
        """Raise UsageError if the data, all of it, cannot teach these networks."""

    def begin(self, progress: float) -> None:
        """Before a step; `progress` is the share of the run that is done, 0 to 1."""

    def settle(self, taken: bool) -> None:
        """After a step, while the gradients are there; `taken`: it was not skipped."""

    def metrics(self) -> dict[str, float]:
        """What is logged besides the loss: means since it was last asked for."""
        return {}
