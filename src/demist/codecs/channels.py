"""Latents, centred and scaled, channel by channel or all alike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from demist.codecs.codec import Codec, Draw
from demist.errors import DataError

Per = Literal["centred", "channel", "one"]
"""What has a number of its own: the mean of each channel; its mean and its deviation; nothing."""


@dataclass(frozen=True)
class ChannelScale(Codec):
    """Subtract a number per channel, then multiply: `(x - shift) * scale`.

    With one scale for all a channel that says little stays small, and its noise is not blown up.

    Attributes:
        shift: One number per channel, or none at all for 0.
        scale: Positive; one number, or one per channel.
    """

    name: ClassVar[str] = "channel-scale"
    shift: tuple[float, ...] = ()
    scale: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,)
        if not scales or not all(0 < scale < math.inf for scale in scales):
            raise ValueError(f"scale must be above zero, got {self.scale}")

    @classmethod
    def of(
        cls,
        x: Float[Tensor, "N C H W"],
        per: Per = "centred",
        drawn: Float[Tensor, "N C H W"] | None = None,
    ) -> "ChannelScale":
        """What gives the latents `x` mean 0 and variance 1, in each channel or over all.

        Args:
            x: Latents, or their means.
            per: `centred`: mean 0 in each channel, variance 1 on average over them; `channel`:
                both in each channel; `one`: one shift and one scale, both over all channels.
            drawn: Variance of the draws around the means; None: there are none.

        Raises:
            DataError: They are all alike, or not finite: whoever made them has lost the data.
        """
        y = x.double()
        shift = y.mean((0, 2, 3))
        variance = (y - shift[:, None, None]).square()
        _require_spread(float(variance.mean().sqrt()), "the latents have")
        if per == "one":
            shift = shift.mean().expand_as(shift)
            variance = (y - shift[:, None, None]).square()
        variance = variance if drawn is None else variance + drawn.double()
        if per != "channel":
            return cls(tuple(shift.tolist()), 1 / float(variance.mean().sqrt()))
        stds = variance.mean((0, 2, 3)).sqrt().tolist()
        for channel, std in enumerate(stds):
            try:
                _require_spread(std, f"channel {channel} of the latents has")
            except DataError as error:
                raise DataError(f"{error}, or use --latent-scale one") from None
        return cls(tuple(shift.tolist()), tuple(1 / std for std in stds))

    @property
    def published(self) -> dict[str, Any]:
        """The same under the keys of diffusers' autoencoders.

        One number each is `scaling_factor` and `shift_factor`; numbers per channel are
        `latents_mean` and `latents_std`.
        """
        keys = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
        if len(set(self.shift)) < 2 and not isinstance(self.scale, tuple):
            shift = self.shift[0] if self.shift else 0.0
            return dict(zip(keys, (self.scale, shift, None, None), strict=True))
        count = len(self.shift) or len(self.scale)  # type: ignore[arg-type]
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,) * count
        means, stds = list(self.shift or (0.0,) * count), [1 / scale for scale in scales]
        return dict(zip(keys, (1.0, 0.0, means, stds), strict=True))

    @classmethod
    def of_published(cls, config: Mapping[str, Any], channels: int) -> "ChannelScale":
        """The scale that `published`, or a configuration of diffusers, says.

        Args:
            config: With any of the keys; what is missing or null changes nothing.
            channels: Of the latents.

        Raises:
            ValueError: It makes no sense.
        """
        factor, shift = config.get("scaling_factor"), config.get("shift_factor") or 0.0
        means, stds = config.get("latents_mean"), config.get("latents_std")
        factor = 1.0 if factor is None else factor
        for value in (factor, shift, *(means or ()), *(stds or ())):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{value!r} is no number")
        if means is not None and stds is not None:
            if not len(means) == len(stds) == channels:
                raise ValueError(
                    f"{len(means)} means and {len(stds)} deviations of {channels} channels"
                )
            if not all(std > 0 for std in stds):
                raise ValueError(f"deviations {stds} are not all above zero")
            scales = tuple(factor / std for std in stds)
            plain = scales[0] if len(set(scales)) == 1 else scales
            return cls(tuple(map(float, means)), plain)
        return cls((float(shift),) * channels if shift else (), float(factor))

    def encode(
        self, x: Float[Tensor, "B C H W"], noise: Draw | None = None
    ) -> Float[Tensor, "B C H W"]:
        """Latents to units of the model."""
        return (x - self._each(self.shift or (0.0,), x)) * self._scale(x)

    def decode(self, z: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Units of the model to latents."""
        return z / self._scale(z) + self._each(self.shift or (0.0,), z)

    def _scale(self, like: Tensor) -> Tensor | float:
        return self._each(self.scale, like) if isinstance(self.scale, tuple) else self.scale

    @staticmethod
    def _each(numbers: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(numbers).to(like)[:, None, None]


def _require_spread(std: float, which: str) -> None:
    if std <= 1e-6:
        raise DataError(
            f"{which} standard deviation {std:g}: the codec has lost the data. Train it again, "
            f"with a lower kl_weight or lr"
        )
    if not std < 1e6:
        raise DataError(
            f"{which} standard deviation {std:g}: the codec has exploded and lost the data. "
            f"Train it again, with a lower lr or a kl_weight above 0"
        )
