"""The vector that a CLIP makes of an image: what the image shows, but not each of its pixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.conditions.condition import Column, Condition, ReadImage
from demist.conditions.image import telling
from demist.errors import UsageError
from demist.networks.clip import Clip


@dataclass(frozen=True)
class ImageVector(Condition):
    """What samples shall show, as a small CLIP says it of an image.

    In training the vector is made of the sample itself. In sampling it is made of an image that is
    given, whose variations the samples are, or it is given as it is. The CLIP stays as it was and
    is saved with the model. The network gets the unit vector times the root of how many numbers it
    has, so that these are of size 1, and one more number, 1 where no vector is given.

    References:
        Ramesh et al. 2022, "Hierarchical Text-Conditional Image Generation with CLIP Latents",
        arXiv:2204.06125, sections 2.1 and 3.1.

    Attributes:
        clip: Makes the vectors.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    clip: Clip = field(repr=False)
    drop: float = 0.1
    group: str = ""

    name: ClassVar[str] = "image-vector"
    reads: ClassVar[str] = "image"
    usual: ClassVar[bool] = False
    from_samples: ClassVar[bool] = True

    @classmethod
    def of(
        cls, column: Column, shape: tuple[int, ...], drop: float, clip: Clip | None = None
    ) -> "ImageVector":
        """With the CLIP of `--image-encoder`.

        Raises:
            UsageError: There is none, or the data is no images.
        """
        if len(shape) != 3:
            raise UsageError("a CLIP makes vectors of images, and this data is not images")
        if clip is None:
            raise UsageError(
                "the vectors are made by a CLIP and none is named; add --image-encoder CLIPRUN"
            )
        return cls(clip.eval().requires_grad_(False), drop=drop)

    @property
    def saved_networks(self) -> Mapping[str, nn.Module]:
        return {"image_encoder": self.clip}

    @property
    def features(self) -> int:
        """Numbers in a vector."""
        return int(self.clip.config["width"])

    def see(self, images: np.ndarray) -> Float[Tensor, "n d"]:
        """Unit vectors of images, bytes `(n, C, H, W)`; those of another size are resized."""
        x = torch.as_tensor(np.array(images)).float() / 127.5 - 1
        with torch.inference_mode(False), torch.no_grad():
            return self.clip.see(self.clip.fitted(x))

    def encode(self, values: Any, n: int) -> dict[str, Tensor]:
        """`unsaid`: `(n, 1)`, 1 where nothing is given; `vector`: `(n, D)`.

        Args:
            values: One for all samples, `n` of them in an array or a list, or None: an image, bytes
                `(C, H, W)`; or a vector `(D,)` of any length. None in a list and zeros say nothing.
            n: Number of samples.

        Raises:
            UsageError: Another number or shape of them, or a vector that is not finite.
        """
        one = values is None or (not isinstance(values, list | tuple) and np.ndim(values) in (1, 3))
        rows = [values] if one else list(values)
        if not one and len(rows) != n:
            raise UsageError(
                f"got {len(rows)} images or vectors for {n} samples; give one for all, or {n}"
            )
        vectors = torch.cat([self._row(row) for row in rows] * (n if one else 1))
        return self.told(vectors)

    def told(self, vectors: Float[Tensor, "n d"]) -> dict[str, Tensor]:
        """What the network gets of unit vectors; zeros are no vector."""
        return vectors_told(vectors)

    def spec(self) -> dict[str, Any]:
        return {"route": "vector", "features": self.features + 1}

    def parse(self, text: str, read_image: ReadImage) -> np.ndarray:
        """The image in an image file, cut and resized to what the CLIP sees (told)."""
        height, width = self.clip.config["size"]
        return telling(read_image)(text, self.clip.config["in_channels"], (height, width))

    def beside(self, values: Any, x: np.ndarray) -> Any:
        return x if values is None else values

    def written(self, column: Column, rows: Any) -> None:
        return None

    def words(self, value: Any) -> str:
        return ""

    def _row(self, value: Any) -> Float[Tensor, "1 d"]:
        """One unit vector, or zeros."""
        if value is None:
            return torch.zeros(1, self.features)
        given = np.asarray(value)
        if given.ndim == 3:
            return self.see(given[None])
        vector = torch.as_tensor(given.astype(np.float32))
        if tuple(vector.shape) != (self.features,):
            raise UsageError(
                f"a vector of shape {tuple(vector.shape)} was given and this CLIP makes vectors of "
                f"{self.features} numbers; give one of these, or an image (C, H, W)"
            )
        size = float(vector.norm())
        if not math.isfinite(size):
            raise UsageError(
                f"a vector of length {size:g} has no direction; give a vector that a CLIP made"
            )
        return (vector / (size or 1))[None]


def vectors_told(vectors: Float[Tensor, "n d"]) -> dict[str, Tensor]:
    """What a network gets of unit vectors: numbers of size 1, and whether there is a vector.

    Args:
        vectors: Zeros are no vector.
    """
    unsaid = (vectors == 0).all(1, keepdim=True).float()
    return {"unsaid": unsaid, "vector": vectors * math.sqrt(vectors.shape[1])}
