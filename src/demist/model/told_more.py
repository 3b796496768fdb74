"""A text-to-image model of another maker that is to be told an image, too, once it is trained on.

Its U-Net gets more input channels, whose weights are zero, so that it makes what it made before,
bit for bit; its folder is that of the editor's pipeline, which diffusers opens and trains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from demist import interop
from demist.conditions import TextEncoder
from demist.errors import UsageError
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling
from demist.networks.published import Published

EDITORS: dict[str, dict[str, str]] = {
    "mask": {
        "StableDiffusionPipeline": "StableDiffusionInpaintPipeline",
        "StableDiffusionXLPipeline": "StableDiffusionXLInpaintPipeline",
    },
    "source": {"StableDiffusionPipeline": "StableDiffusionInstructPix2PixPipeline"},
}
"""What is told -> class of a pipeline -> the class that it becomes."""
UNET, ENTRY = "unet", "conv_in.weight"


@dataclass(frozen=True, eq=False)
class Wider(interop.Source):
    """A source whose U-Net has more input channels, of zero.

    Attributes:
        inner: The model.
        kind: The class of its pipeline now.
        channels: How many that are in all.
        tensors: Of the U-Net as it was.
    """

    inner: interop.Source
    kind: str
    channels: int
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", self.inner.place)
        object.__setattr__(self, "dtype", self.inner.dtype)
        object.__setattr__(self, "index", {**self.inner.index, "_class_name": self.kind})

    def has(self, name: str) -> bool:
        return self.inner.has(name)

    def config(self, name: str) -> dict[str, Any]:
        found = self.inner.config(name)
        return {**found, "in_channels": self.channels} if name == UNET else found

    def scheduler(self, name: str = "scheduler") -> dict[str, Any]:
        return self.inner.scheduler(name)

    def weights(self, name: str) -> Mapping[str, Tensor]:
        if name != UNET:
            return self.inner.weights(name)
        entry = self.tensors[ENTRY]
        zeros = entry.new_zeros(len(entry), self.channels - entry.shape[1], *entry.shape[2:])
        return {**self.tensors, ENTRY: torch.cat([entry, zeros], 1)}

    def text_encoder(self, encoder: str, tokenizer: str, length: int | None = None) -> TextEncoder:
        return self.inner.text_encoder(encoder, tokenizer, length)


def widen(pipeline: Pipeline, told: Literal["mask", "source"]) -> Pipeline:
    """The model, told one image more, which changes nothing before that is learned.

    Args:
        pipeline: A model of Stable Diffusion kind, of prompts alone.
        told: `mask`: an image with a hole, as for inpainting (condition `hole`); `source`: the
            image to be changed, as for InstructPix2Pix (condition `image`).

    Raises:
        UsageError: It is no such model, or has channels for an image already.
    """
    origin, net = pipeline.origin, pipeline.denoiser.net
    kind = "a model of demist's own" if origin is None else str(origin.index.get("_class_name"))
    state = pipeline.state_shape[0]
    fits = isinstance(net, Published) and net.channels[0] == state
    if origin is None or kind not in EDITORS[told] or not fits:
        raise UsageError(
            f"{kind} cannot be told a {told} more; {', '.join(EDITORS[told])} can, and a run of "
            f"demist: demist train PATH --start-from RUN --conditions usual,{told}"
        )
    tensors = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    wider = Wider(origin, EDITORS[told][kind], 2 * state + (told == "mask"), tensors)
    made = interop.assembled(wider)
    return Pipeline(**{**made, "defaults": Sampling(**made["defaults"])}).to(pipeline.device)
