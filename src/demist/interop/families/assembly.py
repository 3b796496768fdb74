"""What a family is given, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from demist.codecs import Codec
from demist.conditions import Condition
from demist.errors import DataError
from demist.interop.source import Source
from demist.networks.published import Published


@dataclass(frozen=True)
class Opened:
    """A model whose denoising network is open.

    Attributes:
        source: Where its other components are.
        name: Of the network's component.
        net: The network; a family sets its `routes`.
    """

    source: Source
    name: str
    net: Published

    @property
    def index(self) -> Mapping[str, Any]:
        """Its `model_index.json`."""
        return self.source.index

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the state, from the network's configuration.

        Raises:
            DataError: It does not say.
        """
        size = self.source.config(self.name).get("sample_size")
        if size is None:
            size = self.net.config.get("sample_size") or self.net.side
        given = size if isinstance(size, list) else [size, size]
        sides = [side for side in given if isinstance(side, int) and 0 < side < 2**16]
        if len(given) != 2 or len(sides) != 2:
            where = f"{self.source.where(self.name)}/config.json"
            raise DataError(f"{where} has sample_size = {size!r}; it must be one side, or two")
        return sides[0], sides[1]


@dataclass(frozen=True)
class Assembly:
    """What stands around the network of a model.

    Attributes:
        codec: Between images and states.
        conditions: By name.
        defaults: How it is usually sampled: fields of `demist.model.sampling.Sampling`.
        controls: Networks that read a further image, by the names of their conditions.
    """

    codec: Codec
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    controls: Mapping[str, Published] = field(default_factory=dict)


Family = Callable[[Opened], Assembly]
