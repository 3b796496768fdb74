"""Sounds in the latents of an autoencoder of spectrograms, and as waves."""

import json
import math

import numpy as np
import pytest
import torch

from demist import Pipeline, modalities, recipes, train
from demist.cli import main
from demist.codecs import KLAutoencoder, LogMel, Wave
from demist.config import TrainConfig, update
from demist.data.sounds.write import wav_bytes
from demist.errors import DataError, UsageError
from demist.measuring.codecs import evaluate_codec
from demist.model.learned_codec import open_codec
from demist.networks import Autoencoder
from demist.training.stages import rehearsal

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
RATE = 4000
SMALL = {
    "channels_per_level": (16,), "head_dim": 16, "batch_size": 4, "steps": 3, "sample_count": 4,
    "sample_steps": 2, "threads": 1, "captions": False,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Low and high tones."""
    place = tmp_path_factory.mktemp("data") / "tones"
    place.mkdir()
    rows, t = ["file_name,label"], np.arange(1000) / RATE
    for i in range(12):
        word, pitch = (("low", 200), ("high", 900))[i % 2]
        x = 0.5 * np.sin(2 * np.pi * (pitch + 10 * i) * t)
        (place / f"{i}.wav").write_bytes(wav_bytes(x, RATE))
        rows.append(f"{i}.wav,{word}")
    (place / "metadata.csv").write_text("\n".join(rows))
    return place


def coded(rate=RATE):
    torch.manual_seed(0)
    net = Autoencoder(in_channels=1, latent_channels=2, channels=[8, 8], patch=2)
    return KLAutoencoder(net, LogMel(rate, 64, 256))


def test_a_codec_of_latents_has_the_spectrogram_before_it():
    codec = coded()
    assert codec.state_shape((1, 1024)) == (2, 16, 4)
    assert codec.data_shape((2, 16, 4)) == (1, 1024)
    x = 0.1 * torch.randn(3, 1, 1024)
    z = codec.encode(x)
    with torch.no_grad():
        torch.testing.assert_close(z, codec.net.encode(codec.pixels.encode(x))[0])
        seen = codec.pixels.decode(codec.net.decode(z))
    torch.testing.assert_close(codec.decode(z), seen, atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="64 bands and 15 spectra, and the codec needs multiples"):
        codec.state_shape((1, 960))
    with pytest.raises(UsageError, match="one channel, and a multiple of 64"):
        codec.state_shape((1, 1000))


def test_a_preview_of_latents_is_heard():
    codec = coded()
    x = 0.1 * torch.randn(8, 1, 1024)
    codec = codec.coloured(codec.latents(x), x)
    assert codec.preview(codec.encode(x)).shape == x.shape


def test_spectrograms_as_bytes():
    codec = LogMel(RATE, 64, 256, floor=1e-3, mean=-3.0, std=2.0)
    logs = torch.tensor([math.log(1e-3), math.log(1e-3 / 3e-5 + 1e-3), -100.0, 100.0])
    z = ((logs + 3) / 2).reshape(1, 1, 4, 1)
    assert codec.picture(z).flatten().tolist() == [0, 255, 0, 255]
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(codec.picture(codec.of_picture(every)), every)


def test_waves_have_variance_one_and_come_back():
    x = 0.2 * torch.randn(20, 1, 64).clamp(-4, 4)
    codec = Wave.of(x.numpy(), RATE)
    z = codec.encode(x)
    assert float(z.square().mean()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(codec.decode(z), x)
    assert float(codec.decode(100 * z).abs().max()) == 1
    with pytest.raises(DataError, match="silent"):
        Wave.of(np.zeros((2, 1, 8)), RATE)
    with pytest.raises(UsageError, match="one channel"):
        codec.state_shape((2, 8))


@pytest.mark.slow
def test_a_run_in_latents_of_sounds(folder, tmp_path):
    """Both stages, with page and sounds; saved and read."""
    options = {**SMALL, "codec": "kl", "codec_budget": "3steps", "sample_count": 2}
    run = train(folder, runs=str(tmp_path), quiet=True, **options)
    pipeline = Pipeline.from_run(run)
    assert pipeline.facts["kind"] == f"sounds:rate={RATE}"
    assert (pipeline.shape, pipeline.state_shape) == ((1, 1024), (4, 16, 4))
    codec = pipeline.codec
    assert isinstance(codec, KLAutoencoder)
    assert isinstance(codec.pixels, LogMel)
    assert run.image(3).with_suffix(".wav").exists()
    x = pipeline.sample(2, label="low", steps=2)
    np.testing.assert_array_equal(x, Pipeline.load(run.model).sample(2, label="low", steps=2))
    first = run.path / "stages" / "codec"
    summary = json.loads((first / "summary.json").read_text())
    assert 0 < summary["psnr"] < 99
    assert summary["linear_code_psnr"] > 10
    assert (first / "samples" / "step-000003.wav").exists()
    assert open_codec(str(first)).shape == (1, 1024)


@pytest.mark.slow
def test_an_autoencoder_of_sounds_is_evaluated(folder, tmp_path, capsys):
    """By what is heard, beside the best linear code of spectrograms."""
    run = train(
        folder, runs=str(tmp_path), quiet=True, network="autoencoder",
        **{**SMALL, "channels_per_level": (16, 16, 16)},
    )  # fmt: skip
    found = evaluate_codec(str(run.path))
    assert found.rows["FDr"][2] == 1
    assert found.rows["SSIM"][0] < found.rows["SSIM"][1] < 1  # three steps beat no linear code
    assert main(["evaluate", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert "a spectrogram, as many as the latents have" in said
    assert "held-out sounds" in said


@pytest.mark.slow
def test_a_stopped_run_in_latents_goes_on_bit_for_bit(folder, tmp_path):
    """The rate stays the same, so that the end of the run is not seen before it."""
    options = {
        **SMALL, "codec": "own", "codec_budget": "2steps", "sample_count": 0, "patch": 1,
        "downsample": 2, "decay": "constant", "warmup": 0,
    }  # fmt: skip
    whole = train(folder, runs=str(tmp_path / "whole"), quiet=True, **options)
    cut = train(folder, runs=str(tmp_path / "cut"), quiet=True, **{**options, "steps": 2})
    cut = train(cut.config(), cut, resume=True, steps=3, quiet=True)
    a, b = (Pipeline.from_run(one) for one in (whole, cut))
    for one, other in (
        (a.denoiser.net, b.denoiser.net),
        (a.codec.components["autoencoder"], b.codec.components["autoencoder"]),
    ):
        kept = other.state_dict()
        assert all(torch.equal(value, kept[name]) for name, value in one.state_dict().items())


def test_a_run_of_waves(folder, tmp_path):
    options = {**SMALL, "channels_per_level": (16, 16)}
    run = train(folder, runs=str(tmp_path), quiet=True, codec="wave", **options)
    pipeline = Pipeline.from_run(run)
    assert type(pipeline.denoiser.net).__name__ == "UNet1D"
    assert pipeline.state_shape == pipeline.shape == (1, 1024)
    assert isinstance(pipeline.codec, Wave)
    assert pipeline.codec.rate == RATE
    x = pipeline.sample(2, label="low", steps=2)
    assert x.shape == (2, 1, 1024)
    np.testing.assert_array_equal(x, Pipeline.load(run.model).sample(2, label="low", steps=2))
    assert run.image(3).with_suffix(".wav").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": "unet1d"}, "'unet1d' does not fit sounds; use unet, dit or auto"),
        ({"network": "unet", "codec": "wave"}, "with codec = 'wave'; use unet1d or auto"),
        ({"network": "autoencoder", "perceptual": 0.1, "perceptual_features": "judge"},
         "looks at images"),
        ({"network": "autoencoder", "downsample": 32, "patch": 1}, "smaller"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(folder, tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        train(folder, runs=str(tmp_path), quiet=True, **{**SMALL, **options})


def test_a_codec_of_another_rate_or_kind_is_refused(folder):
    kind = modalities.of(modalities.load(str(folder)))
    kind.require_codec(coded())
    with pytest.raises(UsageError, match="8,000 samples a second, and these sounds have 4,000"):
        kind.require_codec(coded(8000))
    with pytest.raises(UsageError, match="made for images"):
        kind.require_codec(KLAutoencoder(coded().net))
    with pytest.raises(UsageError, match="wave"):
        train("digits", codec="wave", quiet=True, steps=1)


@pytest.mark.parametrize(("name", "state"), [
    ("spoken-digits-latent", (4, 16, 12)), ("spoken-digits-wave", (1, 4096)),
])  # fmt: skip
def test_recipes_of_spoken_digits_build(name, state):
    from demist.data import Dataset
    from demist.data.column import Column
    from demist.data.sounds.clips import Clips, InMemory

    config = recipes.find(name).config()
    rate, length = 8000, 4096 if config.data.seconds else 6144
    draw = np.random.default_rng(0)
    clips = [InMemory(0.1 * draw.standard_normal(6000).astype(np.float32)) for _ in range(64)]
    which = np.arange(64) % 2
    data = Dataset(
        Clips(clips, rate, length), labels=which, classes=("one", "two"),
        columns={"speaker": Column("class", which, ("a", "b"))}, kind=f"sounds:rate={rate}",
    )  # fmt: skip
    config = update(config, {"batch_size": 4})
    *_, (_, experiment) = rehearsal(recipes.find(name).divided(config), data)
    assert experiment.pipeline.state_shape == state
    assert list(experiment.pipeline.conditioner.conditions) == ["label", "speaker"]
    assert 1e6 < experiment.parameters < 1e7
    assert isinstance(config, TrainConfig)
