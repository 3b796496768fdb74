"""Whether the parts of a model that a file describes fit each other."""

import math
from collections.abc import Mapping
from typing import Any

from demist.codecs import Codec
from demist.conditions import Conditioner
from demist.core import Clock, Denoiser, Parameterization, Schedule
from demist.errors import DataError
from demist.networks.conditioning import first_classes
from demist.parts.typed import fits

MOST = 2**28
"""Numbers in one sample."""
SCHEDULER: dict[str, Any] = {
    "schedule": Schedule,
    "parameterization": Parameterization,
    "clock": Clock,
    "input_std": float | None,
    "learn_variance": bool,
    "bounds": tuple[float, float] | None,
}
"""What a scheduler's description may hold, and of which type."""
INDEX: dict[str, Any] = {
    "shape": tuple[int, ...],
    "defaults": Mapping[str, Any],
    "facts": Mapping[str, Any],
    "bucket": int,
}
"""The same of the index, for what no class declares."""


def require_declared(values: Mapping[str, Any], declared: Mapping[str, Any]) -> None:
    """Check a description that belongs to no single class.

    Raises:
        TypeError: A value is of another type than is declared.
    """
    for name, value in values.items():
        if name in declared and not fits(value, declared[name]):
            raise TypeError(f"{name} is of the wrong type, {type(value).__name__}")


def require_consistent(
    denoiser: Denoiser, codec: Codec, conditioner: Conditioner, shape: tuple[int, ...], where: str
) -> None:
    """Check that the network takes the states and conditions that the rest of the model makes.

    Args:
        denoiser: With the network.
        codec: Gives the shape of states.
        conditioner: Gives the conditions.
        shape: Of the data of one sample.
        where: Begins messages.

    Raises:
        DataError: Something does not fit.
    """
    if not all(side > 0 for side in shape) or math.prod(shape) > MOST:
        raise DataError(f"{where}: samples of shape {shape} hold nothing, or too much")
    net: Any = denoiser.net
    config, state = net.config, codec.state_shape(shape)
    channels = config.get("in_channels", config.get("features"))
    if channels is not None:
        if len(state) != net.axes or state[0] != channels:
            raise DataError(f"{where}: states of shape {state} do not fit a network of {channels}")
        out = config.get("out_channels", config.get("out_features")) or channels
        if out != channels * (2 if denoiser.learn_variance else 1):
            raise DataError(f"{where}: learn_variance does not fit a network that gives {out}")
    net.require_fit(state)
    _require_inlets(config, conditioner, where)
    bounds, std = denoiser.bounds, denoiser.input_std
    if (bounds and not bounds[0] < bounds[1]) or (std is not None and not 0 < std < math.inf):
        raise DataError(f"{where}: bounds = {bounds}, input_std = {std} make no sense")


def _require_inlets(config: Mapping[str, Any], conditioner: Conditioner, where: str) -> None:
    if "inlets" not in config:
        return
    name, classes, inlets = first_classes(config.get("num_classes", 0), config["inlets"])
    if classes:
        inlets[name] = {"route": "vector", "classes": classes}
    specs = conditioner.specs()
    same = inlets.keys() == specs.keys() and all(
        spec[key] == inlets[name][key]
        for name, spec in specs.items()
        for key in spec.keys() & inlets[name].keys()
    )
    if not same:
        raise DataError(
            f"{where}: the network is built for the conditions {', '.join(inlets) or 'none'}, and "
            f"the model describes others under {', '.join(specs) or 'none'}"
        )
