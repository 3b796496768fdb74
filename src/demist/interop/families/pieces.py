"""Conditions that several families have: a hole, an image, an embedded guidance scale."""

import warnings
from collections.abc import Mapping

from demist.codecs import Codec
from demist.conditions import Condition, EmbeddedGuidance, InLatents, Masked
from demist.errors import DataError
from demist.interop.families.assembly import Opened


def state_channels(model: Opened) -> int:
    """Channels of the state, where the network takes further ones."""
    return int(model.net.config["out_channels"])


def require_further(model: Opened, count: int, what: str) -> None:
    """Check how many channels the network takes beside the state.

    Raises:
        DataError: It is another number.
    """
    state, inputs = state_channels(model), int(model.net.config["in_channels"])
    if inputs != state + count:
        raise DataError(
            f"{model.source.where(model.name)} has in_channels = {inputs}; a "
            f"{model.index['_class_name']} takes {state} of the state and {count} of {what}"
        )


def hole(model: Opened, codec: Codec) -> Mapping[str, Condition]:
    """An image and the region to be made anew; nothing for a network that takes none.

    Raises:
        DataError: It takes another number of channels.
    """
    state = state_channels(model)
    if model.net.config["in_channels"] == state:
        warnings.warn(
            f"the network of {model.source.place} takes no mask, so it makes images from prompts, "
            f"and no hole can be given",
            stacklevel=2,
        )
        return {}
    require_further(model, state + 1, "a mask and the latents of an image")
    model.net.routes |= {"hole.mask": "beside", "hole.image": "beside"}
    return {"hole": InLatents(Masked(codec.data_shape((state, *model.sides))), codec)}


def embedded_guidance(model: Opened) -> Mapping[str, Condition]:
    """The guidance scale of a network that was distilled from guidance (LCM); else nothing."""
    if not model.net.config.get("time_cond_proj_dim"):
        return {}
    model.net.routes |= {"embedded_guidance": "scale"}
    return {"embedded_guidance": EmbeddedGuidance(8.5)}
