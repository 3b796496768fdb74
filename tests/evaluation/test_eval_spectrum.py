"""Power in the top octave: waves, blur, noise."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.metrics.spectrum import radial_spectrum, top_octave

RNG = np.random.default_rng


def wave(cycles, size=32, channels=1):
    """Vertical stripes with `cycles` per image."""
    line = np.rint(127 + 100 * np.sin(2 * np.pi * cycles * np.arange(size) / size))
    return np.broadcast_to(line, (1, channels, size, size)).astype(np.uint8)


@pytest.mark.parametrize(("cycles", "share"), [(2, 0), (5, 0), (11, 1), (15, 1)])
def test_a_wave_is_in_one_octave(cycles, share):
    assert top_octave(wave(cycles)) == pytest.approx(share, abs=0.002)


def test_white_noise_fills_the_plane():
    """All frequencies alike: the share is the area outside the circle |f| < 1/4, 1 - π/16."""
    noise = RNG(0).integers(0, 256, (400, 1, 64, 64), dtype=np.uint8)
    assert top_octave(noise) == pytest.approx(1 - np.pi / 16, abs=0.01)
    _, power = radial_spectrum(noise, bands=8)
    assert power[1:] == pytest.approx(power[1:].mean(), rel=0.05)


def test_blur_empties_the_top_octave():
    noise = RNG(0).integers(0, 256, (50, 3, 32, 32)).astype(float)
    blurred = (noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 3)) / 3
    assert top_octave(np.rint(blurred).astype(np.uint8)) < 0.75 * top_octave(noise.astype(np.uint8))


@pytest.mark.parametrize("value", [0, 37, 255])
def test_a_flat_image_has_no_details(value):
    assert top_octave(np.full((300, 3, 9, 8), value, np.uint8)) == 0


def test_borders_that_do_not_match_leave_no_trace():
    """A ramp jumps where the image is repeated; without the window that is a share of 9 %."""
    ramp = np.broadcast_to(np.arange(32) * 7, (1, 1, 32, 32)).astype(np.uint8)
    assert top_octave(ramp) < 0.001


def test_the_ring_of_a_wave():
    frequency, power = radial_spectrum(wave(8, channels=3), bands=8)
    assert frequency == pytest.approx((np.arange(8) + 0.5) / 16)
    assert power.argmax() == 3 or power.argmax() == 4  # 8 / 32 lies on the border of two rings


def test_images_are_needed():
    with pytest.raises(DataError, match="0 images"):
        top_octave(np.zeros((0, 1, 8, 8), np.uint8))
