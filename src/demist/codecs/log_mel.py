"""Sound as a picture: how loud each band of frequencies is at each time.

    wave -> short-time spectra -> magnitudes in mel bands -> logarithm -> state
    wave <- phases that fit    <- magnitudes that fit      <- exponential <- state

The way back looks for what the way there gives: magnitudes that are not negative by least squares,
and phases by the fast algorithm of Griffin and Lim. It begins at phases that a seed fixes, so that
one state is always one sound.

References:
    Griffin, Lim 1984, "Signal estimation from modified short-time Fourier transform".
    Perraudin, Balazs, Sondergaard 2013, "A fast Griffin-Lim algorithm", algorithm 2.
    Lee, Seung 2001, "Algorithms for non-negative matrix factorization", eq. 4.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float, Real, UInt8
from torch import Tensor

from demist.codecs.codec import Codec, Draw, require_finite
from demist.codecs.mel import bank
from demist.errors import DataError, UsageError

STRIDE, OVERLAP, BANDS = 0.016, 4, 64
"""Seconds from one spectrum to the next, spectra that share a sample, and bands, as usual."""
_FLOOR = 3e-5
"""Magnitudes that hardly count, as a share of the largest: 90 dB below it."""
_RANGE = math.log1p(1 / _FLOOR)
"""From the floor to the largest, in units of the logarithm."""
_TINY = 1e-12


@dataclass(frozen=True)
class LogMel(Codec):
    """Logarithms of mel magnitudes, centred and scaled: `(1, L)` samples to `(1, bands, L / hop)`.

    Attributes:
        rate: Samples a second.
        hop: Samples from one spectrum to the next.
        window: Samples in each, under a Hann window.
        bands: How many, from 0 Hz to half the rate.
        floor: Added to magnitudes before the logarithm.
        mean: Of the logarithms.
        std: Of the logarithms, positive.
        rounds: Of the search for phases.
        momentum: Of that search; 0 is Griffin and Lim's own.
        fits: Rounds of the search for magnitudes.
        seed: Of the phases at which it begins.
    """

    name: ClassVar[str] = "log-mel"
    lossless: ClassVar[bool] = False
    rate: int
    hop: int = 256
    window: int = 1024
    bands: int = BANDS
    floor: float = 1e-3
    mean: float = 0.0
    std: float = 1.0
    rounds: int = 32
    momentum: float = 0.99
    fits: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.std < math.inf and 0 < self.floor < math.inf):
            raise ValueError(f"std and floor must be above zero, got {self.std} and {self.floor}")
        if not 0 < self.hop <= self.window // 2:
            raise ValueError(f"hop = {self.hop} leaves gaps between windows of {self.window}")

    @classmethod
    def of(cls, x: Any, rate: int) -> "LogMel":
        """The codec that gives sounds mean 0 and variance 1.

        Args:
            x: Sounds `(N, 1, L)`, an array or used like one; at most 512 of them are looked at.
            rate: Samples a second.

        Raises:
            DataError: All are silent.
        """
        hop = hop_of(rate)
        plain = cls(rate, hop, OVERLAP * hop)
        rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), 512)).astype(np.int64))
        some = plain.magnitudes(torch.from_numpy(np.array(x[rows])))
        if not float(some.max()) > _TINY:
            raise DataError("all sounds are silent: there is nothing to learn")
        floor = _FLOOR * float(some.max())
        logs = (some.double() + floor).log()
        return cls(
            rate, hop, OVERLAP * hop, floor=floor, mean=float(logs.mean()), std=float(logs.std())
        )

    def state_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Bands and spectra.

        Raises:
            UsageError: A sound is not one channel of whole hops.
        """
        match shape:
            case (1, length) if length and length % self.hop == 0:
                return (1, self.bands, length // self.hop)
        raise UsageError(
            f"sounds of shape {tuple(shape)} do not fit: one channel, and a multiple of "
            f"{self.hop} samples"
        )

    def data_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """One channel of samples."""
        return (1, shape[2] * self.hop)

    @property
    def weights(self) -> Float[Tensor, "m f"]:
        """Of each frequency in each band."""
        return bank(self.rate, self.window, self.bands)

    def magnitudes(self, x: Float[Tensor, "B 1 L"]) -> Float[Tensor, "B m T"]:
        """Magnitudes in mel bands: one spectrum a hop, the first around the first sample."""
        spectra = self._spectra(x[:, 0].float())[..., :-1].abs()
        return self._bank(x.device) @ spectra

    def encode(
        self, x: Float[Tensor, "B 1 L"], noise: Draw | None = None
    ) -> Float[Tensor, "B 1 m T"]:
        """Samples in [-1, 1] to units of the model."""
        return ((self.magnitudes(x) + self.floor).log() - self.mean)[:, None] / self.std

    def decode(self, z: Float[Tensor, "B 1 m T"]) -> Float[Tensor, "B 1 L"]:
        """Units of the model to samples in [-1, 1]; see the module."""
        return self._sound(z, self.rounds)

    def preview(self, z: Float[Tensor, "B 1 m T"]) -> Float[Tensor, "B 1 L"]:
        """With a few rounds and fits only."""
        return self._sound(z, min(self.rounds, 4), fits=min(self.fits, 8))

    def picture(self, z: Float[Tensor, "B 1 m T"]) -> UInt8[Tensor, "B 1 m T"]:
        """Bytes: 0 is the floor, 255 is 90 dB above it, low frequencies first."""
        shares = (z.float() * self.std + self.mean - math.log(self.floor)) / _RANGE
        require_finite(shares.clamp(-1, 2))
        return (255 * shares).clamp(0, 255).round().to(torch.uint8)

    def of_picture(self, x: Real[Tensor, "B 1 m T"]) -> Float[Tensor, "B 1 m T"]:
        """The states between which a byte says nothing."""
        return (x.float() / 255 * _RANGE + math.log(self.floor) - self.mean) / self.std

    def decode_around(
        self, z: Float[Tensor, "B 1 m T"], x: Float[Tensor, "B 1 L"], keep: Bool[Tensor, "..."]
    ) -> Float[Tensor, "B 1 L"]:
        """As `decode`, with phases that go on from those of what is kept."""
        return self._sound(z, self.rounds, (x[:, 0].float(), keep.expand(x.shape)[:, 0]))

    def _sound(
        self,
        z: Float[Tensor, "B 1 m T"],
        rounds: int,
        known: tuple[Tensor, Tensor] | None = None,
        fits: int | None = None,
    ) -> Float[Tensor, "B 1 L"]:
        require_finite(z)
        # What a model makes may lie anywhere; nothing is louder than all of full scale.
        logs = (z[:, 0].float() * self.std + self.mean).clamp(max=math.log(self.window))
        bands = (logs.exp() - self.floor).clamp(min=0)
        wanted = self._spectrum(bands, self.fits if fits is None else fits)
        wanted = torch.cat([wanted, wanted[..., -1:]], 2)  # the spectrum after the last sample
        length = z.shape[3] * self.hop
        state = wanted * self._phases(wanted)
        before: Tensor | None = None
        for _ in range(rounds):
            wave = self._wave(state, length)
            if known is not None:
                wave = torch.where(known[1], known[0], wave)
            found = self._spectra(wave)
            ahead = found if before is None else found + self.momentum * (found - before)
            before = found
            state = wanted * (ahead / (ahead.abs() + _TINY))
        return self._wave(state, length).clamp(-1, 1)[:, None]

    def _spectrum(self, wanted: Float[Tensor, "B m T"], fits: int) -> Float[Tensor, "B f T"]:
        """Magnitudes of all frequencies that give those of the bands, none below zero."""
        weights = self._bank(wanted.device)
        target = weights.T @ wanted
        found = target.clone()
        for _ in range(fits):
            # Two small products are half the work of one with the square of the weights.
            found = found * (target / (weights.T @ (weights @ found) + _TINY))
        return found

    def _phases(self, like: Tensor) -> Complex[Tensor, "f T"]:
        """Points of the unit circle; those of the first spectra do not depend on how many."""
        draw = np.random.Generator(np.random.Philox(key=self.seed))
        turns = draw.random((like.shape[2], like.shape[1]), dtype=np.float32).T * 2 * np.pi
        angle = torch.from_numpy(np.ascontiguousarray(turns)).to(like)
        return torch.polar(torch.ones_like(angle), angle)

    def _spectra(self, wave: Float[Tensor, "B L"]) -> Complex[Tensor, "B f T"]:
        return torch.stft(
            wave, self.window, self.hop, window=self._hann(wave), center=True,
            pad_mode="constant", return_complex=True,
        )  # fmt: skip

    def _wave(self, spectra: Complex[Tensor, "B f T"], length: int) -> Float[Tensor, "B L"]:
        hann = torch.hann_window(self.window, device=spectra.device)
        return torch.istft(spectra, self.window, self.hop, window=hann, length=length)

    def _hann(self, like: Tensor) -> Tensor:
        return torch.hann_window(self.window, device=like.device)

    def _bank(self, device: torch.device) -> Tensor:
        return self.weights.to(device)


def hop_of(rate: int) -> int:
    """Samples from one spectrum to the next: about `STRIDE` seconds, a multiple of 8."""
    return max(8, 8 * round(rate * STRIDE / 8))
