"""What a network must say of itself, so that `--network` finds it and a folder keeps it."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

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
        one_time_per_sample: Whether t is `(B,)` and never one time for each part of a sample.
    """

    name: ClassVar[str]
    folder: ClassVar[str] = ""
    kinds: ClassVar[tuple[str, ...]] = ()
    given: ClassVar[tuple[str, ...]] = ("shape", "outputs", "inlets")
    unit_variance: ClassVar[bool] = True
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

    def require_fit(self, shape: Sequence[int]) -> None:
        """Check that states of this shape can pass.

        Raises:
            UsageError: They cannot.
        """


NETWORKS: Family[Network] = Family("network", Network, "networks")  # type: ignore[type-abstract]
"""Every network that can be trained."""
