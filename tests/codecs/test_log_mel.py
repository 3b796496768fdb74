"""Sound as spectrograms: the filterbank as its formula says, and back to sound that gives them."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from demist.codecs import CODECS, LogMel, hop_of, mel
from demist.errors import DataError, NotFiniteError, UsageError

RATE = 8000


def speech(n, length=5120, seed=0):
    """Tones with overtones and hiss that come and go, as in speech: `(n, 1, length)`."""
    draw = np.random.default_rng(seed)
    t = np.arange(length) / RATE
    x = np.zeros((n, length))
    for row in x:
        pitch, sweep = draw.uniform(90, 250), draw.uniform(-0.1, 0.1)
        for k in range(1, 12):
            turns = pitch * k * (t + sweep * t**2)
            row += np.sin(2 * np.pi * (turns + draw.random())) / k * draw.uniform(0.2, 1)
        row *= np.exp(-(((t - draw.uniform(0.15, 0.4)) / 0.12) ** 2))
        hiss = draw.normal(size=length) * np.exp(-(((t - draw.uniform(0.1, 0.5)) / 0.05) ** 2))
        row += 0.3 * hiss
    return torch.from_numpy(0.3 * x / np.abs(x).max(1, keepdims=True)).float()[:, None]


def test_the_mel_scale_is_that_of_slaney():
    """Its corner points: 1,000 Hz is 15 mels, 6,400 Hz 27 more; and there and back."""
    np.testing.assert_allclose(mel.mels(np.array([0.0, 200.0, 1000.0, 6400.0])), [0, 3, 15, 42])
    f = np.geomspace(20, 20_000, 200)
    np.testing.assert_allclose(mel.hertz(mel.mels(f)), f)


def test_each_band_is_a_triangle_of_one_area():
    """On frequencies as fine as one likes the integral is 1, and the top lies where it should."""
    fine = 2**16
    weights, ends = mel.filterbank(RATE, fine, 20), mel.edges(RATE, 20)
    np.testing.assert_allclose(weights.sum(1) * RATE / fine, 1, rtol=1e-4)
    np.testing.assert_allclose(weights.argmax(1) * RATE / fine, ends[1:-1], atol=RATE / fine)
    np.testing.assert_allclose(weights.max(1), 2 / (ends[2:] - ends[:-2]), rtol=1e-2)
    assert ends[0] == 0
    assert ends[-1] == pytest.approx(RATE / 2)


def test_the_filterbank_is_the_one_of_the_field():
    """Some weights of `librosa.filters.mel(sr=8000, n_fft=512, n_mels=64)` 0.11; all are compared
    in `benchmarks/sounds.py`."""
    weights = mel.filterbank(8000, 512, 64)
    known = {(0, 1): 0.012012644785590896, (0, 2): 0.02402528957118179,
             (31, 75): 0.02273794445106406, (63, 248): 0.005969836482816715}  # fmt: skip
    for place, value in known.items():
        assert weights[place] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("tone", [150.0, 440.0, 1000.0, 2200.0, 3500.0])
def test_a_tone_is_loudest_in_its_band(tone):
    codec = LogMel(RATE, 128, 512)
    x = torch.sin(2 * math.pi * tone * torch.arange(4096) / RATE)[None, None]
    loud = codec.magnitudes(x)[0, :, 8:24].mean(1)
    tops = torch.from_numpy(mel.edges(RATE, codec.bands)[1:-1])
    assert abs(int(loud.argmax()) - int((tops - tone).abs().argmin())) <= 1


def test_encoded_sounds_are_of_order_one():
    x = speech(16)
    codec = LogMel.of(x.numpy(), RATE)
    z = codec.encode(x)
    assert z.shape == (16, 1, 64, 40)
    assert codec.state_shape((1, 5120)) == (1, 64, 40)
    assert codec.data_shape((1, 64, 40)) == (1, 5120)
    assert float(z.mean()) == pytest.approx(0, abs=1e-4)
    assert float(z.std()) == pytest.approx(1, abs=1e-4)


def test_what_is_decoded_sounds_as_it_was():
    """The search for phases halves the error, to about a tenth of a standard deviation."""
    x = speech(8)
    codec = LogMel.of(x.numpy(), RATE)
    z = codec.encode(x)

    def error(**changes):
        other = dataclasses.replace(codec, **changes)
        return float((codec.encode(other.decode(z)) - z).square().mean().sqrt())

    assert error() <= 0.11
    assert error(rounds=0) > 1.7 * error()
    assert error(momentum=0.0, rounds=8) > error(rounds=8)


def test_one_state_is_always_one_sound_alone_and_among_others():
    x = speech(4, 2560)
    codec = LogMel.of(x.numpy(), RATE)
    z = codec.encode(x)
    again = CODECS.from_json(CODECS.to_json(codec), "here")
    assert again == codec
    assert torch.equal(again.decode(z), codec.decode(z))
    torch.testing.assert_close(codec.decode(z[1:2]), codec.decode(z)[1:2], atol=1e-3, rtol=0)


def test_magnitudes_that_fit_are_not_negative():
    codec = LogMel(RATE, 128, 512)
    x = speech(2)
    wanted = codec.magnitudes(x)
    found = codec._spectrum(wanted, codec.fits)
    assert float(found.min()) >= 0
    rest = (codec.weights @ found - wanted).square().sum() / wanted.square().sum()
    assert float(rest) < 1e-4


def test_states_that_no_sound_has_are_decoded_all_the_same():
    codec = LogMel.of(speech(8).numpy(), RATE)
    x = codec.decode(torch.full((1, 1, 64, 16), 1000.0))
    assert float(x.abs().max()) <= 1
    assert float(codec.decode(torch.full((1, 1, 64, 16), -1000.0)).abs().max()) == 0
    with pytest.raises(NotFiniteError):
        codec.decode(torch.full((1, 1, 64, 16), math.nan))


def test_what_does_not_fit_is_refused():
    codec = LogMel(RATE, 128, 512)
    with pytest.raises(UsageError, match="multiple of 128"):
        codec.state_shape((1, 1000))
    with pytest.raises(DataError, match="silent"):
        LogMel.of(np.zeros((3, 1, 1024), np.float32), RATE)
    with pytest.raises(ValueError, match="gaps"):
        LogMel(RATE, 512, 512)


@pytest.mark.parametrize(("rate", "hop"), [(4000, 64), (8000, 128), (16000, 256), (44100, 704)])
def test_spectra_follow_each_other_every_16_milliseconds(rate, hop):
    assert hop_of(rate) == hop
