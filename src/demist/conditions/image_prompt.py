"""An image as a prompt: what a frozen vision encoder says of it, as tokens."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from demist.conditions.condition import Column, Condition, ReadImage
from demist.conditions.states import transformers_for
from demist.errors import UsageError

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
"""Of each channel of CLIP's training images."""


class ImageEncoder:
    """A frozen vision encoder of `transformers`, opened when it is first needed.

    Attributes:
        where: For messages.
    """

    def __init__(self, where: str, open_model: Callable[[], nn.Module]):
        """One that is opened by a function, called once."""
        self.where, self._open_model = where, open_model

    @classmethod
    def from_folder(cls, folder: Path) -> "ImageEncoder":
        """The encoder in a folder, a CLIPVisionModelWithProjection."""
        where = str(folder.resolve())

        def open_model() -> nn.Module:
            model: nn.Module = transformers_for(
                where
            ).CLIPVisionModelWithProjection.from_pretrained(
                where, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            return model

        return cls(where, open_model)

    @cached_property
    def model(self) -> Any:
        """The encoder, in evaluation, without gradients."""
        return self._open_model().eval().requires_grad_(False)


@dataclass(frozen=True)
class ImagePrompt(Condition):
    """An image of any size, whose content and style the samples shall have.

    Its shorter side is resized to what the encoder sees, and its middle is cut out. The null is no
    image: a vector of zeros, or what the encoder says of grey.

    Attributes:
        encoder: Of images.
        tokens: Makes tokens of what the encoder says.
        patches: Whether these are the states of all patches, before the last layer; else the
            vector of the whole.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    encoder: ImageEncoder
    tokens: nn.Module
    patches: bool = False
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = ""
    reads: ClassVar[str] = "image"
    usual: ClassVar[bool] = False

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "ImagePrompt":
        """Never: it belongs to an adapter of a published model.

        Raises:
            UsageError: Always.
        """
        raise UsageError("an image prompt comes with an IP-Adapter; train with image")

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`tokens` `(n, N, D)` of one image for all, or of `n` of any sizes; None is no image.

        Args:
            values: Bytes `(3, H, W)`; a list of those, or None among them.
            n: How many.

        Raises:
            UsageError: Other shapes, or another number of images.
        """
        one = values is None or (not isinstance(values, list) and np.ndim(values) == 3)
        rows = [values] if one else list(values)
        if not one and len(rows) != n:
            raise UsageError(f"got {len(rows)} images for {n} samples; give one for all, or {n}")
        with torch.inference_mode(False), torch.no_grad():
            found = [self._read(row) for row in rows]
        return {"tokens": torch.cat(found * (n if one else 1))}

    def spec(self) -> dict[str, Any]:
        return {"route": "extra", "features": self.encode(None, 1)["tokens"].shape[-1]}

    def parse(self, text: str, read_image: ReadImage) -> np.ndarray:
        """The image in an image file, at its own size."""
        return read_image(text, 3, None)

    def words(self, value: Any) -> str:
        return ""

    def _read(self, image: Any) -> Tensor:
        model = self.encoder.model
        side = int(model.config.image_size)
        seen = torch.zeros(1, 3, side, side) if image is None else prepared(image, side)
        said = model(seen, output_hidden_states=self.patches)
        # No image is zeros for the encoder, whose answer is taken, or zeros as its answer.
        x = said.hidden_states[-2] if self.patches else said.image_embeds
        x = torch.zeros_like(x) if image is None and not self.patches else x
        y: Tensor = self.tokens(x.float())
        return y


def prepared(image: Any, side: int) -> Float[Tensor, "1 c h w"]:
    """An image as CLIP sees it.

    Args:
        image: Bytes `(3, H, W)`.
        side: Of the square that is cut out of its middle.

    Raises:
        UsageError: Another shape, or no bytes.
    """
    x = torch.as_tensor(np.asarray(image))
    if x.ndim != 3 or len(x) != 3 or x.dtype != torch.uint8 or not x.numel():
        raise UsageError(
            f"an image prompt is bytes of shape (3, height, width); this is {x.dtype} of shape "
            f"{tuple(x.shape)}"
        )
    height, width = x.shape[1:]
    short = min(height, width)
    size = [max(side, int(side * long / short)) for long in (height, width)]
    if size != [height, width]:
        x = F.interpolate(x[None], size=size, mode="bicubic", antialias=True)[0]
    top, left = ((long - side) // 2 for long in size)
    x = x[:, top : top + side, left : left + side].float() / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (_MEAN, _STD))
    return ((x - mean) / std)[None]
