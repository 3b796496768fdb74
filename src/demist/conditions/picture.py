"""Pictures as conditions: a picture, a picture with a hole, a small picture to be made large.

All are given as bytes, `(n, C, H, W)` or one picture `(C, H, W)` for all, and encoded to [-1, 1].
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from demist.conditions.conditioner import Condition, Draw
from demist.errors import UsageError

PictureRoute = Literal["concat", "residual"]


@dataclass(frozen=True)
class Picture(Condition):
    """A picture of the samples' size: edges, a sketch, a depth map, an earlier frame.

    One more channel is 1 where nothing was said, and the picture then 0.

    Attributes:
        shape: Channels, height, width.
        route: `concat` or `residual`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    name: ClassVar[str] = "picture"
    shape: tuple[int, ...]
    route: PictureRoute = "concat"
    drop: float = 0.1
    group: str = ""

    def encode(self, values: Any, n: int) -> Float[Tensor, "n c h w"]:
        c, h, w = self.shape
        x = pictures(values, self.shape, n)
        if x is None:
            return torch.cat([torch.zeros(n, c, h, w), torch.ones(n, 1, h, w)], 1)
        return torch.cat([x, torch.zeros(n, 1, h, w)], 1)

    def null(self, encoded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.encode(None, len(encoded)).to(encoded)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}


@dataclass(frozen=True)
class Masked(Condition):
    """A picture with a region to be made anew, and the mask that says where: 1 is anew.

    Nothing said is a mask of ones: all is to be made.

    Attributes:
        shape: Of the picture: channels, height, width.
        route: `concat` or `residual`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    name: ClassVar[str] = "masked"
    shape: tuple[int, ...]
    route: PictureRoute = "concat"
    drop: float = 0.1
    group: str = ""

    def encode(self, values: Any, n: int) -> Float[Tensor, "n c h w"]:
        """The picture with its hole, then the mask.

        Args:
            values: A pair of picture(s) and mask(s) `(1, H, W)`, of 0 and 1; or an array
                `(n, C + 1, H, W)` of both, the mask last; or None.
            n: Number of samples.
        """
        c, h, w = self.shape
        if values is None:
            return torch.cat([torch.zeros(n, c, h, w), torch.ones(n, 1, h, w)], 1)
        if not isinstance(values, tuple):
            values = np.asarray(values)
            values = values[..., :c, :, :], values[..., c:, :, :]
        mask = pictures(values[1], (1, h, w), n)
        x = pictures(values[0], self.shape, n)
        assert x is not None
        assert mask is not None
        anew = ((mask + 1) * 127.5).round()
        if not ((anew == 0) | (anew == 1)).all():
            raise UsageError("a mask holds 0 (keep) and 1 (make anew) only; this one has others")
        return torch.cat([x * (1 - anew), anew], 1)

    def null(self, encoded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.encode(None, len(encoded)).to(encoded)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}


@dataclass(frozen=True)
class LowResolution(Condition):
    """A small picture to be made large: shown enlarged, with noise whose level is told.

    In training the small picture is made from the sample itself and gets noise of a random level;
    when sampling it comes as it is, level 0. So a model forgives what an earlier stage got wrong.
    The last channel is the level; -1 stands for nothing said.

    References:
        Ho et al. 2022, "Cascaded Diffusion Models for High Fidelity Image Generation",
        arXiv:2106.15282, section 4 (conditioning augmentation).

    Attributes:
        shape: Of the samples: channels, height, width.
        factor: How many times smaller the picture is.
        noise: Largest standard deviation of the noise, for pictures in [-1, 1].
        route: `concat` or `residual`.
        drop: Probability of hiding it while training.
        group: Conditions of one group are hidden together.
    """

    name: ClassVar[str] = "low-resolution"
    shape: tuple[int, ...]
    factor: int = 2
    noise: float = 0.5
    route: PictureRoute = "concat"
    drop: float = 0.1
    group: str = ""

    def __post_init__(self) -> None:
        if self.shape[1] % self.factor or self.shape[2] % self.factor:
            raise ValueError(f"sides of {self.shape[1:]} are no multiples of {self.factor}")

    def encode(self, values: Any, n: int) -> Float[Tensor, "n c h w"]:
        """Enlarged pictures and level 0, from small pictures or from ones of the full size."""
        c, h, w = self.shape
        if values is None:
            return torch.cat([torch.zeros(n, c, h, w), -torch.ones(n, 1, h, w)], 1)
        sides = np.asarray(values).shape[-2:]
        if sides == (h, w):
            full = pictures(values, self.shape, n)
            assert full is not None
            small = F.avg_pool2d(full, self.factor)
        else:
            small = pictures(values, (c, h // self.factor, w // self.factor), n)  # type: ignore[assignment]
        x = F.interpolate(small, scale_factor=self.factor, mode="nearest")
        return torch.cat([x, torch.zeros(n, 1, h, w)], 1)

    def null(self, encoded: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return self.encode(None, len(encoded)).to(encoded)

    def augment(self, encoded: Float[Tensor, "b c h w"], draw: Draw) -> Float[Tensor, "b c h w"]:
        """Noise on the small picture, of a level between 0 and 1 that the last channel tells."""
        x, _ = encoded[:, :-1], encoded[:, -1:]
        small = x[:, :, :: self.factor, :: self.factor]
        level = torch.special.ndtr(draw(encoded[:, :1, :1, :1]))  # uniform
        noisy = small + self.noise * level * draw(small)
        large = F.interpolate(noisy, scale_factor=self.factor, mode="nearest")
        return torch.cat([large, level.expand_as(encoded[:, -1:])], 1)

    def spec(self) -> dict[str, Any]:
        return {"route": self.route, "channels": self.shape[0] + 1}


def pictures(values: Any, shape: tuple[int, ...], n: int) -> Float[Tensor, "n c h w"] | None:
    """`n` pictures of `shape` in [-1, 1] from bytes, or None.

    Raises:
        UsageError: Another shape or number of pictures.
    """
    if values is None:
        return None
    x = torch.as_tensor(np.asarray(values))
    if x.ndim == 3:
        x = x.expand(n, *x.shape)
    if tuple(x.shape) != (n, *shape):
        raise UsageError(
            f"pictures of shape {tuple(x.shape)} were given for {n} samples; this condition takes "
            f"{shape}, one for all or {n} of them"
        )
    return x.float() / 127.5 - 1
