"""A text-to-image model of another maker that is to be told an image, too, once it is trained on.

Its U-Net gets more input channels, whose weights are zero, so that it makes what it made before,
bit for bit; its folder is that of the editor's pipeline, which diffusers opens and trains.
"""

from typing import Literal

import torch

from demist import interop
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
ENTRY = "conv_in.weight"
"""The only tensor of the U-Net that has a column for each input channel."""


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
    channels = 2 * state + (told == "mask")
    tensors = {name: value.detach().cpu() for name, value in net.state_dict().items()}
    entry = tensors[ENTRY]
    zeros = entry.new_zeros(len(entry), channels - state, *entry.shape[2:])
    tensors[ENTRY] = torch.cat([entry, zeros], 1)
    wider = interop.Relearned(origin, EDITORS[told][kind], tensors, {"in_channels": channels})
    made = interop.assembled(wider)
    return Pipeline(**{**made, "defaults": Sampling(**made["defaults"])}).to(pipeline.device)
