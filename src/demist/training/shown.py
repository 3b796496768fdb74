"""Parts of the samples that training shows: which, and to which models."""

from dataclasses import replace

import torch
from torch import Tensor

from demist.codecs import Codec
from demist.conditions import Conditioner, GivenPart
from demist.conditions.given_part import NUMBERS, drawn_parts, told_part
from demist.config import TrainConfig
from demist.data import Dataset
from demist.errors import UsageError
from demist.modalities import of
from demist.training.streams import Streams

GIVEN = "given"
"""Name of the condition that `--given` adds."""


def shown_parts(condition: GivenPart, x0: Tensor, streams: Streams, step: int) -> dict[str, Tensor]:
    """What a network is told of states `(B, *shape)` in a step."""
    drawn = [streams.uniforms(f"given/{i}", step) for i in range(NUMBERS)]
    anew = drawn_parts(torch.stack(drawn, 1), x0.shape[-1], condition.share).to(x0)
    own = anew.reshape(len(x0), *(1 for _ in x0.shape[1:-1]), x0.shape[-1])
    return told_part(x0, own.expand(len(x0), 1, *x0.shape[2:]))


def with_given(
    conditioner: Conditioner, config: TrainConfig, data: Dataset, codec: Codec
) -> Conditioner:
    """The conditions of a new model, with the given part if `--given` asks for it.

    A model that is started from may know it already; then only the share is said anew.

    Raises:
        UsageError: The data has no time of which a part could be given, or a column of that name.
    """
    share = config.data.given
    if share is None:
        return conditioner
    modality = of(data)
    if not modality.lasting:
        holes = "; for images with holes: --conditions masked" if modality.spatial else ""
        raise UsageError(
            f"given = {share:g} shows parts of what lasts some time, and this data is "
            f"{modality.name}; leave it out{holes}"
        )
    known = dict(conditioner.conditions)
    old = known.get(GIVEN)
    if old is not None and not isinstance(old, GivenPart):
        raise UsageError(
            f"given = {share:g} adds a condition {GIVEN!r}, and a column is called so already; "
            f"rename the column, or leave it out"
        )
    if old is not None:
        return Conditioner({**known, GIVEN: replace(old, share=share)})
    shape = codec.state_shape(data.x.shape[1:])
    if shape[-1] < 2:
        raise UsageError(
            f"given = {share:g}: a sound of {shape[-1]} spectrum has no parts; make it longer with "
            f"--seconds"
        )
    return Conditioner({**known, GIVEN: GivenPart(tuple(shape), share)})
