"""Buckets and what takes part: which sides network and codec can take."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from demist.codecs import Codec
from demist.conditions import Conditioner
from demist.config import DataConfig, TrainConfig, patch_of
from demist.data.images.buckets import Bucketed
from demist.data.load import buckets_of
from demist.errors import UsageError
from demist.modalities.named import of_one_shape
from demist.model.learned_codec import open_codec
from demist.networks import NETWORKS, Network
from demist.runs import Run, stages
from demist.training.base import kept_base
from demist.training.published_base import as_base
from demist.training.streams import Groups


def as_read(config: TrainConfig, run: Run | None = None) -> DataConfig:
    """How the data is read: with buckets whose sides network and codec can take.

    Autoencoders learn images of one shape; a model of another maker learns on in its size and
    channels where nobody says others.

    Args:
        config: Options of a run.
        run: It, of which the codec may be an earlier stage.
    """
    options, text = as_base(config.data, kept_base(config, run)), config.data.buckets
    if text is None:
        return options
    if config.network.network == "autoencoder":
        return of_one_shape(options)
    if not text.strip().isdecimal():
        return options
    size = buckets_of(text, options.size)[0]
    multiple = max(multiple_of(config, size, run), min(size) // 8)
    chosen = buckets_of(text, options.size, multiple)
    return replace(options, buckets=",".join(f"{h}x{w}" for h, w in chosen))


def multiple_of(config: TrainConfig, size: tuple[int, int], run: Run | None) -> int:
    """Of which the sides of images are multiples, for the network and codec of a run."""
    codec = None
    if config.latents.codec is not None:
        spec = stages.resolve(config.latents.codec, run)
        codec = open_codec(spec, config.output.runs).codec
    shape = (3, *size) if codec is None else codec.state_shape((3, *size))
    spec = config.network.network
    part = NETWORKS.read("unet" if spec == "auto" else spec)
    options = {**vars(config.network), "patch": patch_of(config), **part.options}
    with torch.device("meta"):
        net = part.make(**part.cls.arguments(shape, 1, Conditioner().specs(), options))
    multiple = int(getattr(net, "multiple", 1))
    return multiple if codec is None else codec.data_shape((1, multiple, multiple))[1]


def require_full(x: Any, batch_size: int) -> None:
    """Check that each bucket fills a batch.

    Raises:
        UsageError: One does not.
    """
    groups = Groups.of(x)
    for rows, name in zip(groups.rows, groups.names, strict=True) if groups else ():
        if len(rows) < batch_size:
            raise UsageError(
                f"the bucket {name} has {len(rows)} images, fewer than a batch of {batch_size}; "
                f"choose fewer --buckets, or a smaller --batch-size"
            )


def require_shapes(net: nn.Module, codec: Codec, x: Any) -> None:
    """Check that a network takes the shapes of all buckets.

    Raises:
        UsageError: It does not.
    """
    if not isinstance(x, Bucketed):
        return
    if not isinstance(net, Network) or not hasattr(net, "multiple"):
        raise UsageError(
            f"a {type(net).__name__} learns images of one shape; leave out --buckets, or use the "
            f"network unet, sd or mmdit"
        )
    for shape in x.shapes:
        net.require_fit(codec.state_shape(shape))
