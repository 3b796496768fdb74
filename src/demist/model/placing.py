"""How a model runs in little memory."""

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

from demist.codecs import KLAutoencoder
from demist.conditions import Conditioner
from demist.interop import Reading

if TYPE_CHECKING:
    from demist.model.pipeline import Pipeline

TILE = 512
"""Side of a tile in pixels; neighbours share a quarter of it."""


def thrifty(pipeline: "Pipeline", reading: Reading) -> "Pipeline":
    """The pipeline as `tile` and `slice` say; the same networks.

    Args:
        pipeline: The model.
        reading: With the two.
    """
    if reading.slice:
        pipeline.denoiser.at_once = 1
    if not reading.tile:
        return pipeline
    codec = pipeline.codec
    if not isinstance(codec, KLAutoencoder):
        warnings.warn("tiles are for images that go through an autoencoder; this model has none")
        return pipeline
    tiled = dataclasses.replace(codec, tile=TILE)
    conditions = {k: _tiled(c) for k, c in pipeline.conditioner.conditions.items()}
    return dataclasses.replace(pipeline, codec=tiled, conditioner=Conditioner(conditions))


def _tiled(condition: Any) -> Any:
    """A condition whose codec, if it has one, works in tiles."""
    values = {f.name: getattr(condition, f.name) for f in dataclasses.fields(condition)}
    tiled = {
        name: dataclasses.replace(value, tile=TILE)
        for name, value in values.items()
        if isinstance(value, KLAutoencoder)
    }
    return dataclasses.replace(condition, **tiled) if tiled else condition
