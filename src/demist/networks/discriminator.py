"""The critic of an autoencoder: is each patch of an image real?

References:
    Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks",
        arXiv:1611.07004, section 3.2.2 and appendix 6.1.2.
"""

import math
from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn

from demist.errors import UsageError
from demist.networks.layers import group_norm


class Discriminator(nn.Module):
    """Convolutions that halve, then a score for each place: of the patch that it sees.

    Every image is normalised by itself, in groups of channels, so that its scores do not depend on
    the batch.

    Args:
        channels: Of the images.
        layers: Convolutions that halve; with 3 a score sees 70 x 70 pixels.
        width: Channels after the first; twice as many after each further one, at most 8 times.
    """

    def __init__(self, channels: int, layers: int = 3, width: int = 32):
        super().__init__()
        self.body = nn.Sequential(*self._stages(channels, layers, width))

    @staticmethod
    def _stages(channels: int, layers: int, width: int) -> Iterator[nn.Module]:
        yield from (nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2))
        here = width
        for depth in range(1, layers + 1):
            wide, stride = width * min(2**depth, 8), 2 if depth < layers else 1
            yield from (nn.Conv2d(here, wide, 4, stride, 1), group_norm(wide, None))
            yield nn.LeakyReLU(0.2)
            here = wide
        yield nn.Conv2d(here, 1, 4, 1, 1)

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "Discriminator":
        """One for images of `shape`, `(C, H, W)`: of 3 layers, of fewer where they are small.

        Raises:
            UsageError: They are too small for any.
        """
        side = min(shape[1:])
        if side < 8:
            raise UsageError(
                f"adversarial: images of {shape[1]}x{shape[2]} have no patches; it needs sides of "
                f"8 or more, so leave it out"
            )
        return cls(shape[0], max(1, min(3, int(math.log2(side)) - 3)))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 hh ww"]:
        """Scores of the patches; high: real."""
        y: Tensor = self.body(x)
        return y
