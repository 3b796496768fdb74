r"""Sharpness: how much of the power is in the finest details.

The power spectrum |F(f)|², averaged over images and over directions, falls with frequency in
natural images. Blur (an averaging decoder, too few steps) empties its top octave, noise left over
fills it; features trained to recognise objects overlook both ([1] studies it for generators).

Each image loses its mean and is tapered by a Hann window, so that opposite borders that do not
match leave no trace. Frequencies are in cycles per pixel; Nyquist is 1/2.

References:
    [1] Durall, Keuper, Keuper. Watch your Up-Convolution: CNN Based Generative Deep Neural
        Networks are Failing to Reproduce Spectral Distributions, 2020.
        https://arxiv.org/abs/2003.01826
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from jaxtyping import Float64, UInt8

from demist.errors import DataError
from demist.evaluation.metrics.metric import Found, ImageMetric, Need, Row

if TYPE_CHECKING:
    from demist.evaluation.reference import Reference

BLOCK = 256


def top_octave(images: UInt8[np.ndarray, "n c h w"]) -> float:
    """Share of the power at 1/4 cycle per pixel and above, in [0, 1]; 0 for flat images.

    Compare it with that of real images: lower is blurrier, higher is noisier.
    """
    frequency, power = _power(images)
    total = power.sum()
    return float(power[frequency >= 0.25].sum() / total) if total > 0 else 0.0


def radial_spectrum(
    images: UInt8[np.ndarray, "n c h w"], bands: int = 16
) -> tuple[Float64[np.ndarray, " {bands}"], Float64[np.ndarray, " {bands}"]]:
    """Mean power in `bands` rings of equal width from 0 to Nyquist, for plots.

    Returns:
        The rings' middle frequencies in cycles per pixel, and the mean power (NaN where a ring
        holds no frequency of this image size).
    """
    frequency, power = _power(images)
    edges = np.linspace(0, 0.5, bands + 1)
    ring = np.digitize(frequency.ravel(), edges[1:-1])
    inside = (frequency.ravel() <= 0.5) & (frequency.ravel() > 0)
    count = np.bincount(ring[inside], minlength=bands)
    total = np.bincount(ring[inside], power.ravel()[inside], minlength=bands)
    mean = np.divide(total, count, out=np.full(bands, np.nan), where=count > 0)
    return (edges[1:] + edges[:-1]) / 2, mean


def _power(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial frequency and mean power of every Fourier coefficient, white being 1; both (h, w)."""
    if len(images) == 0:
        raise DataError("There are 0 images to measure; pass at least one.")
    h, w = images.shape[2:]
    window = np.outer(np.hanning(h + 2)[1:-1], np.hanning(w + 2)[1:-1])
    power = np.zeros((h, w))
    for start in range(0, len(images), BLOCK):
        x = images[start : start + BLOCK].astype(np.float64)
        x = (x - x.mean((2, 3), keepdims=True)) * window
        power += (np.abs(np.fft.fft2(x)) ** 2).sum((0, 1))
    return np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)), power / (255**2 * len(images))


class Sharpness(ImageMetric):
    """Power at the finest scale of images."""

    name: ClassVar[str] = "sharpness"
    place: ClassVar[int] = 90
    needs: ClassVar[tuple[Need, ...]] = ("images",)
    rows: ClassVar[Mapping[str, Row]] = {
        "sharpness": Row("power in the top octave", "as real", "low: blur; high: noise", 4),
    }

    def __call__(self, found: Found, real: "Reference") -> Mapping[str, float]:
        """See `ImageMetric`."""
        return {"sharpness": top_octave(found.part.images)}
