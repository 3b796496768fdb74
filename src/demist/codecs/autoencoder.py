"""Data <-> the latents of a trained autoencoder, which reads images or what a codec makes such.

A codec without networks comes first, `pixels`: of images `Pixels`, of sounds `LogMel`, whose
spectrograms are images of one channel. So sounds have latents as images have.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from demist.codecs.channels import ChannelScale, Per
from demist.codecs.codec import Codec, Draw
from demist.codecs.colours import Colours, fit_colours, small_images
from demist.codecs.pixels import Pixels
from demist.codecs.tiles import in_tiles
from demist.errors import UsageError
from demist.machine.offload import bring, moved


@runtime_checkable
class Coder(Protocol):
    """What an autoencoder must offer, besides being a module; see `networks.Autoencoder`."""

    in_channels: int
    latent_channels: int
    downsample: int

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents."""

    def decode(self, z: Tensor) -> Tensor:
        """Back to images in [-1, 1]."""


@dataclass(frozen=True, eq=False)
class KLAutoencoder(Codec):
    """Pixels, then the autoencoder's mean (or a draw), then centred and scaled.

    Attributes:
        net: The autoencoder; never changed here.
        pixels: What comes before it, and gives images `(C, H, W)`; without networks.
        scale: Of the latents.
        at_once: Samples per call of the network. Always so many, padded if need be: on a CPU a
            sample then has the same bits whatever batch it comes in.
        colours: Of a pixel of the latents, neither centred nor scaled, for `preview`; empty: it
            decodes.
        tile: Side of the tiles, in pixels, in which larger images are coded; 0: they are coded
            whole. Says how it runs, and is not saved.
    """

    name: ClassVar[str] = "autoencoder"
    lossless: ClassVar[bool] = False
    net: Coder
    pixels: Codec = Pixels()  # noqa: RUF009 (a frozen value)
    scale: ChannelScale = ChannelScale()  # noqa: RUF009 (a frozen value)
    at_once: int = 8
    colours: Colours = ()
    tile: int = field(default=0, metadata={"saved": False})

    @property
    def components(self) -> Mapping[str, nn.Module]:
        """The autoencoder."""
        return {"autoencoder": cast(nn.Module, self.net)}

    def encode(self, x: Tensor, noise: Draw | None = None) -> Tensor:
        """Data, which `pixels` makes `(B, C, H, W)`, to latents `(B, k, H / f, W / f)`."""
        return self.scale.encode(self.latents(x, noise))

    def latents(self, x: Tensor, noise: Draw | None = None) -> Tensor:
        """As `encode`, but neither centred nor scaled."""
        return drawn(*self.moments(x), noise)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents of data, neither centred nor scaled."""
        f = self.net.downsample
        mean, log_variance = self._in_parts(self.net.encode, self.pixels.encode(x), f, 1)
        return mean, log_variance

    def measured(
        self, latents: Tensor, per: Per = "centred", variance: Tensor | None = None
    ) -> "KLAutoencoder":
        """This codec with the scale that these `latents` ask for; see `ChannelScale.of`.

        Raises:
            DataError: They are all alike, or not finite.
        """
        return replace(self, scale=ChannelScale.of(latents, per, variance))

    def coloured(self, latents: Tensor, x: Tensor) -> "KLAutoencoder":
        """This codec with the preview that fits these latents, not scaled, and their data best."""
        return replace(self, colours=fit_colours(latents, self.pixels.encode(x)))

    def preview(self, z: Tensor) -> Tensor:
        """Data whose every block of pixels has one colour, if `colours` are known."""
        if not self.colours:
            return self.decode(z)
        small, f = small_images(self.colours, self.scale.decode(z)), self.net.downsample
        return self.pixels.preview(small.repeat_interleave(f, -2).repeat_interleave(f, -1))

    def decode(self, z: Tensor) -> Tensor:
        """Latents to data."""
        return self.pixels.decode(self.image(z))

    def decode_around(self, z: Tensor, x: Tensor, keep: Tensor) -> Tensor:
        """As the codec before it does."""
        return self.pixels.decode_around(self.image(z), x, keep)

    def image(self, z: Tensor) -> Tensor:
        """Latents to what `pixels` has made of the data, `(B, C, H, W)`."""
        f = self.net.downsample
        (x,) = self._in_parts(lambda part: (self.net.decode(part),), self.scale.decode(z), 1, f)
        return x

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the latents of one sample.

        Raises:
            UsageError: It has other channels, or sides that cannot be divided.
        """
        data, shape = shape, self.pixels.state_shape(shape)
        f, channels = self.net.downsample, self.net.in_channels
        scales = self.scale.scale if isinstance(self.scale.scale, tuple) else ()
        for what, numbers in (("shifts", self.scale.shift), ("scales", scales)):
            if len(numbers) not in (0, self.net.latent_channels):
                raise UsageError(f"{len(numbers)} {what} do not fit the codec's latents")
        if any(len(row) != self.net.latent_channels + 1 for row in self.colours):
            raise UsageError("the colours of the preview do not fit the codec's latents")
        if len(shape) != 3 or shape[0] != channels or shape[1] % f or shape[2] % f:
            if data != shape:
                raise UsageError(
                    f"sounds of shape {tuple(data)} have {shape[1]} bands and {shape[2]} spectra, "
                    f"and the codec needs multiples of {f}; see --seconds, or use another codec"
                )
            raise UsageError(
                f"data of shape {tuple(shape)} does not fit the codec, which reads images of "
                f"{channels} channels with sides that are multiples of {f}; see --size and "
                f"--channels, or use another codec"
            )
        return (self.net.latent_channels, shape[1] // f, shape[2] // f)

    def data_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the data of one sample's latents."""
        f = self.net.downsample
        return self.pixels.data_shape((self.net.in_channels, shape[1] * f, shape[2] * f))

    @torch.no_grad()
    def _in_parts(
        self, call: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, down: int, up: int
    ) -> tuple[Tensor, ...]:
        """`call` on `at_once` samples at a time, the results joined; sides as in `in_tiles`."""
        net = self.components["autoencoder"].eval()
        offloaded, home = bring(net), x.device
        x = x.to(next(net.parameters()).device)
        side = self.tile // self.net.downsample
        found = []
        for begin in range(0, len(x), self.at_once):
            part = x[begin : begin + self.at_once]
            missing = self.at_once - len(part)
            padded = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])])
            run = partial(self._coded, call)
            coded = in_tiles(run, padded, side, side // 4, down, up) if side else run(padded)
            found.append([y[: len(part)] for y in coded])
        joined = tuple(torch.cat(parts) for parts in zip(*found, strict=True))
        return moved(joined, home) if offloaded else joined

    def _coded(self, call: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor) -> tuple[Tensor, ...]:
        """`call` in the type of the weights; once more in float32 where that gives NaN."""
        net = self.components["autoencoder"]
        dtype = next(net.parameters()).dtype
        found = tuple(y.float() for y in call(x.to(dtype)))
        if dtype == torch.float32 or all(y.isfinite().all() for y in found):
            return found
        warnings.warn(
            f"the autoencoder gave NaN or infinity in {str(dtype).removeprefix('torch.')}: it runs "
            f"again in float32, and from now on",
            stacklevel=2,
        )
        net.float()
        return tuple(y.float() for y in call(x.float()))


def drawn(mean: Tensor, log_variance: Tensor, noise: Draw | None) -> Tensor:
    """A draw of latents with these numbers; None: the mean."""
    return mean if noise is None else mean + (log_variance / 2).exp() * noise(mean)
