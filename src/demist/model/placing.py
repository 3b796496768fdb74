"""Where a model is, and how it runs in little memory."""

import dataclasses
import warnings
from typing import TYPE_CHECKING, Any

import torch

from demist.codecs import KLAutoencoder
from demist.conditions import Conditioner
from demist.interop import Reading
from demist.machine.offload import turns_on

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


def move(pipeline: "Pipeline", device: torch.device) -> None:
    """Put all networks of a pipeline on a device; text encoders once they are opened."""
    pipeline.denoiser.to(device)
    pipeline.codec.to(device)
    for net in pipeline.controls.values():
        net.to(device)
    if pipeline.refinement is not None:
        pipeline.refinement.pipeline.to(device)
    for feeder in pipeline.feeders.values():
        feeder.pipeline.to(device)
    for condition in pipeline.conditioner.conditions.values():
        condition.to(device)


def take_turns(pipeline: "Pipeline", device: torch.device) -> None:
    """Let each network be on a device while it runs, and on the CPU once another does."""
    for net in (pipeline.denoiser.net, *pipeline.codec.components.values()):
        turns_on(device).add(net)
    for condition in pipeline.conditioner.conditions.values():
        condition.to(device, turns=True)
    for net in pipeline.controls.values():  # they run in every step beside the network, and stay
        net.to(device)
    if pipeline.refinement is not None:
        pipeline.refinement.pipeline.offload(device)
    for feeder in pipeline.feeders.values():
        feeder.pipeline.offload(device)
