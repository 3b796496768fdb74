"""Models of other makers that go on learning here.

Their networks are kept in the layout of diffusers: a run has what it started from in its folder
`base/`, whole, and its checkpoints hold the weights of the denoising network alone. A saved one is
a folder that diffusers opens; what it says of itself is one more line of the index.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from demist import interop
from demist.errors import DataError, DemistError
from demist.interop import OWN, Relearned, adapters
from demist.io.tensors import require_same
from demist.model.fits import Fits
from demist.model.sums import INDEX
from demist.networks.published import Published, UNet2D, UNet2DCondition

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

FOLDER = "base"
"""Of a run: the model that it started from."""
LEARNED = "base"
"""The fact that says that a model started from another one: the hash of its weights."""


def is_relearned(pipeline: "Pipeline") -> bool:
    """Whether it is a model of another maker that went on learning here."""
    return pipeline.origin is not None and LEARNED in pipeline.facts


def origin_of(pipeline: "Pipeline") -> Relearned:
    """Where a model of another maker comes from, with its network and its size as they are now."""
    net, origin = pipeline.denoiser.net, pipeline.origin
    assert origin is not None
    assert isinstance(net, Published)
    settings: dict[str, Any] = {}
    if isinstance(net, UNet2D | UNet2DCondition):  # others have tables of positions by it
        _, height, width = pipeline.state_shape
        settings["sample_size"] = height if height == width else [height, width]
        settings["in_channels"] = net.channels[0]
    inner = origin.inner if isinstance(origin, Relearned) else origin
    kind = str(origin.index["_class_name"])
    return Relearned(inner, kind, net.state_dict(), settings, said(pipeline))


def said(pipeline: "Pipeline") -> dict[str, Any]:
    """What such a model says of itself, as JSON values; see `demist.interop.OWN`."""
    own = ("maker", "network", "parameters")  # said anew by who opens it
    return {
        "shape": list(pipeline.shape),
        "codec": {"kind": type(pipeline.codec).__name__},
        "conditions": {
            name: {"kind": type(c.in_pixels).__name__}
            | ({"classes": list(c.choices)} if c.choices else {})
            for name, c in pipeline.conditioner.conditions.items()
        },
        "defaults": pipeline.defaults.given(),
        "facts": {key: value for key, value in pipeline.facts.items() if key not in own},
    }


def describe(pipeline: "Pipeline") -> dict[str, Any]:
    """All of it but its weights and what is in `base/`: name of a JSON file -> content."""
    origin = origin_of(pipeline)
    own = dict(origin.own or {})
    index = {"_class_name": origin.kind, "settings": dict(origin.settings), OWN: own}
    return {INDEX: {**index, "facts": dict(pipeline.facts)}}


def is_described(index: Mapping[str, Any]) -> bool:
    """Whether a run's description is that of such a model."""
    return OWN in index


def of_run(place: Path, index: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments of `Pipeline` from the folder of a run.

    Args:
        place: The run.
        index: Its description.
        tensors: Of its network.

    Raises:
        MissingError: What it started from is not there.
        DataError: It is damaged.
    """
    try:
        source = interop.open_source(place / FOLDER, interop.Reading())
        kind, settings = str(index["_class_name"]), dict(index["settings"])
        made = interop.assembled(Relearned(source, kind, tensors, settings, index[OWN]))
        return {**made, "facts": {**made["facts"], **dict(index["facts"])}}
    except DemistError:
        raise
    except Exception as error:  # what a file says may make a part raise anything
        raise DataError(f"{place} does not describe a model: {error}") from None


def of_weights(pipeline: "Pipeline", tensors: Mapping[str, Tensor]) -> "Pipeline":
    """A model of another maker with other weights of its denoising network, which it keeps.

    Raises:
        DataError: They do not fit.
    """
    denoiser = pipeline.denoiser
    require_same(denoiser.net.state_dict(), tensors, "the weights given")
    named = {f"net.{name}": value for name, value in tensors.items()}
    made = adapters.replaced(denoiser, named).eval().requires_grad_(False)
    return replace(pipeline, denoiser=made, fits=Fits())
