"""What a network must say of itself, so that `--network` finds it and a folder keeps it."""

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from demist.errors import UsageError
from demist.io.notation import size_near
from demist.networks.conditioning import Specs
from demist.parts import Family


class Network(nn.Module, abc.ABC):
    """A module called as `net(x, t, **cond)`, made from plain keyword arguments.

    `--network name:option=value` gives it options. One that is not given there has the value of the
    option of a run with the same name (`width`, `depth`, ...), if there is one, or its default.

    Attributes:
        name: It is asked for by this.
        folder: Of its weights in a saved model; empty: the name.
        kinds: Names of the modalities whose states it fits. A modality may name it as well.
        given: Arguments that come from data and conditions, which nobody can write.
        unit_variance: Whether it sees the noisy state divided by its standard deviation; else as it
            is.
        axes: Of a state, without the batch: 3 are those of images.
        one_time_per_sample: Whether t is `(B,)` and never one time for each part of a sample.
    """

    name: ClassVar[str]
    folder: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[tuple[str, ...]] = ("shape", "outputs", "inlets")
    unit_variance: ClassVar[bool] = True
    axes: ClassVar[int] = 3
    one_time_per_sample: ClassVar[bool] = True

    @property
    @abc.abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON holds them: `type(net)(**net.config)` is a twin."""

    @classmethod
    def arguments(
        cls, shape: Sequence[int], outputs: int, inlets: Specs, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Arguments of the constructor where none is written; what it does not know is left out.

        Args:
            shape: Of a state, without the batch.
            outputs: The result has so many times as many channels (features) as the state.
            inlets: Specs of the conditions, by name; see `demist.networks.conditioning`.
            options: Those of the section `network` of a run, by name.
        """
        return {**options, "shape": list(shape), "outputs": outputs, "inlets": inlets}

    @property
    def columns(self) -> Mapping[str, Mapping[str, int]]:
        """Tensors whose second axis is divided among the state and conditions.

        Returns:
            Name of the tensor -> `state` or name of a condition -> how many columns, in order.
        """
        return {}

    @property
    def aliases(self) -> Mapping[str, str]:
        """Tensors whose name depends on the conditions -> a name that does not."""
        return {}

    def silence(self, names: Collection[str]) -> None:
        """Make conditions that nothing was learned of add nothing; others can be as they please.

        Columns that belong to them alone are made zero by who widens the network.

        Raises:
            UsageError: One cannot be added to a network that has learned without it.
        """
        if names:
            raise UsageError(
                f"the network {self.name} cannot be told {', '.join(names)} once it has learned; "
                f"leave out the condition, or start from none"
            )

    def require_fit(self, shape: Sequence[int]) -> None:
        """Check that states of this shape can pass.

        Raises:
            UsageError: They cannot.
        """


def require_channels(x: Tensor, channels: int) -> None:
    """Raise UsageError if a batch of images has other channels than a network was built for."""
    if x.shape[1] != channels:
        raise UsageError(
            f"the images have {x.shape[1]} channels but the network was built for {channels}; "
            f"convert them"
        )


def require_halvings(shape: Sequence[int], halvings: int) -> None:
    """Raise UsageError if images of a shape, `(C, H, W)`, cannot be halved so many times."""
    _, height, width = shape
    if height % 2**halvings or width % 2**halvings:
        near = size_near(height, width, 2**halvings)
        raise UsageError(
            f"images of {height}x{width} cannot be halved {halvings} times; use --size {near} "
            f"(with --fit pad all is kept), or fewer --channels-per-level"
        )


NETWORKS: Family[Network] = Family("network", Network, "networks")  # type: ignore[type-abstract]
"""Every network that can be trained."""
