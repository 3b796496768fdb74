"""An autoencoder is trained, and a model in its latents: both like every run."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread, pictures, points  # noqa: F401

from demist import runs
from demist.codecs import ChannelScale, KLAutoencoder, Pixels
from demist.config import TrainConfig, parse_toml, to_toml, update
from demist.drawing import read_metadata
from demist.errors import DataError, UsageError
from demist.evaluation.metrics.psnr import psnr
from demist.measuring.likelihood import measure_likelihood
from demist.model import Pipeline
from demist.model.components import hash_of
from demist.model.folder import weights_hash
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.training.build import build
from demist.training.noisy_classifier import train_noisy_classifier
from demist.training.run import train
from demist.training.tasks.autoencode import make_autoencoder

DATA = pictures(24, ("a", "b"))
AUTOENCODER = {"network": "autoencoder", "latent_channels": 2, "downsample": 2}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def coder(tmp_path):
    """Options of an autoencoder's run."""
    return update(CONFIG, {"runs": str(tmp_path / "runs"), "name": "coder", **AUTOENCODER})


@pytest.fixture
def codec(coder):
    """A run that trained an autoencoder."""
    return train(coder, data=DATA, quiet=True)


@pytest.fixture
def config(codec):
    """Options of a run in its latents."""
    return update(CONFIG, {"runs": str(codec.path.parent), "codec": "1", "patch": 1})


def test_latents_are_no_patches_where_nobody_says_a_side(config):
    asked = update(config, {"patch": None})
    e = build(asked, DATA)
    assert e.network.config["patch"] == 1
    assert [note for note in e.notes if "patch = 1, since the network reads latents" in note]
    assert not any("patch" in note for note in build(config, DATA).notes)
    assert build(update(asked, {"codec": None}), DATA).network.config["patch"] == 2


def test_an_autoencoder_is_trained_like_every_run(coder):
    run = train(update(coder, {"steps": 30, "log_every": "1"}), data=DATA, quiet=True)
    losses = [row["loss"] for row in runs.read_metrics(run.metrics)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert run.status()["state"] == "done"
    summary = json.loads((run.path / "summary.json").read_text())
    made = LearnedCodec.load(run.model)
    assert summary["psnr"] == pytest.approx(psnr(DATA.x, rebuilt(made.codec)), abs=0.01)
    assert summary["parameters"] == sum(p.numel() for p in made.codec.net.parameters())
    assert dict(made.facts)["step"] == 30
    with Image.open(run.image(30)) as picture:
        assert picture.size[0] > 4 * 8
    facts = read_metadata(run.image(30))
    assert (facts["count"], facts["step"]) == (4, 30)
    z = made.codec.encode(torch.from_numpy(DATA.x))
    assert float(z.square().mean()) == pytest.approx(1, abs=1e-4)


def test_an_autoencoder_makes_no_samples(codec):
    with pytest.raises(DataError, match="train a model in its latents"):
        Pipeline.from_run(codec)


def test_an_autoencoder_learns_in_parts_too(coder):
    """The same sum in another order: the same losses up to rounding."""
    whole, parts = (
        [row["loss"] for row in runs.read_metrics(train(c, data=DATA, quiet=True).metrics)]
        for c in (
            update(coder, {"log_every": "1", "dropout": 0.0}),
            update(coder, {"log_every": "1", "dropout": 0.0, "micro_batches": 2}),
        )
    )
    np.testing.assert_allclose(whole, parts, rtol=1e-3)


def test_a_student_of_a_model_in_latents(config):
    """It learns from the same latents, with the teacher's scale."""
    teacher = train(config, data=DATA, quiet=True)
    options = {"teacher": str(teacher.model), "runs": config.output.runs, "name": "student"}
    own = {"steps": 2, "sample_count": 0, "batch_size": 8, "precision": "fp32"}
    student = train(update(TrainConfig(), {**options, **own}), data=DATA, quiet=True)
    one, two = (Pipeline.load(run.model) for run in (teacher, student))
    assert one.codec.scale == two.codec.scale
    assert hash_of(one.codec.components) == hash_of(two.codec.components)
    assert two.sample(2, label="a").shape == (2, 1, 8, 8)


def rebuilt(codec):
    return codec.decode(codec.encode(torch.from_numpy(DATA.x))).numpy()


def test_an_interrupted_autoencoder_goes_on_bit_for_bit(coder, monkeypatch):
    through = train(coder, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        cut = train(coder, data=DATA, quiet=True)
    assert cut.status()["state"] == "stopped"
    early = open_codec(str(cut.path))
    assert dict(early.facts)["step"] == 3
    train(coder, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(through, cut)
    assert hash_of(open_codec(str(cut.path)).components()) != hash_of(early.components())


def test_a_run_in_latents(config, codec):
    before = hash_of(open_codec(str(codec.path)).components())
    run = train(config, data=DATA, quiet=True)
    model = Pipeline.load(run.model)
    assert list(model.components()) == ["unet", "autoencoder"]
    assert (model.shape, model.state_shape) == ((1, 8, 8), (2, 4, 4))
    # Training did not touch the codec.
    assert hash_of(model.codec.components) == before
    assert hash_of(open_codec(str(codec.path)).components()) == before
    assert model.facts["codec"] == before
    assert model.denoiser.bounds is None
    assert model.denoiser.input_std == pytest.approx(1, abs=1e-3)
    x = model.sample(5, label="a")
    assert (x.shape, x.dtype) == ((5, 1, 8, 8), np.uint8)
    # The checkpoint's model is the same one, even if the autoencoder's run is gone.
    shutil.rmtree(codec.path)
    again = Pipeline.from_run(run)
    assert weights_hash(again) == weights_hash(model)
    assert np.array_equal(again.sample(5, label="a"), x)


def test_an_interrupted_run_in_latents_goes_on_bit_for_bit(config, monkeypatch):
    through = train(config, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        cut = train(config, data=DATA, quiet=True)
    shutil.rmtree(Path(runs.find("1", config.output.runs).path.parents[1]) / "cache")
    train(config, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(through, cut)


def test_another_codec_is_noticed_on_resume(config, coder):
    run = train(config, data=DATA, quiet=True)
    other = train(update(coder, {"seed": 1}), data=DATA, quiet=True)
    changed = update(config, {"codec": str(other.path), "steps": 8})
    with pytest.raises(DataError, match="another codec"):
        train(changed, run, resume=True, data=DATA, quiet=True)
    with pytest.raises(DataError, match="another codec"):
        train(update(changed, {"codec": None}), run, resume=True, data=DATA, quiet=True)
    assert run.status()["state"] != "running"


def test_latents_from_the_cache_are_those_of_each_batch(config):
    """Encoded once or in every step, mirrored or not: the same bits."""
    e = build(config, DATA)
    assert config.data.flip
    kept = e.batches(1).x0
    assert kept.shape == (8, 2, 4, 4)
    plain = replace(e.batches, x=DATA.x, mirrored=None, codec=e.pipeline.codec)
    assert torch.equal(plain(1).x0, kept)
    straight = replace(plain, flip=False)
    assert not torch.equal(straight(1).x0, kept)
    assert torch.equal(straight(1).x0, replace(e.batches, flip=False)(1).x0)


def test_the_cache_is_used_and_mended(config, monkeypatch):
    first = build(config, DATA)
    calls = []
    real = KLAutoencoder.moments
    monkeypatch.setattr(KLAutoencoder, "moments", lambda *args: calls.append(1) or real(*args))
    again = build(config, DATA)
    assert calls == []
    assert torch.equal(first.batches(0).x0, again.batches(0).x0)
    build(config, pictures(24, ("a", "b", "c")))  # other data has latents of its own
    assert len(calls) == 2
    for file in Path(again.batches.x.filename).parent.glob("*.npy"):
        data = bytearray(file.read_bytes())
        data[300] ^= 1
        file.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged: its latents are made again"):
        mended = build(config, DATA)
    assert torch.equal(mended.batches(0).x0, first.batches(0).x0)
    assert len(calls) == 4


def test_the_scale_is_measured_on_the_data(config):
    e = build(update(config, {"flip": False}), DATA)
    scale = e.pipeline.codec.scale
    assert scale == ChannelScale.of(torch.from_numpy(np.array(e.batches.x)))
    assert scale != ChannelScale()


def test_latents_that_are_drawn(config):
    """Kept moments and the codec itself give the same bits; every step draws anew."""
    sampled = update(config, {"latent_draw": "sampled"})
    e, mean = build(sampled, DATA), build(config, DATA)
    kept = e.batches(1).x0
    plain = replace(e.batches, x=DATA.x, mirrored=None, codec=e.pipeline.codec)
    assert torch.equal(plain(1).x0, kept)
    assert torch.equal(build(sampled, DATA).batches(1).x0, kept)
    assert e.batches.x.shape[1] == 2 * mean.batches.x.shape[1]
    # Not the noise that is added: two streams.
    batch = e.batches(1)
    noise = batch.noise(kept)
    assert abs(float((noise * (kept - replace(e.batches, draws=False)(1).x0)).mean())) < 0.1
    # In distribution: means and variances of many draws are those of the codec.
    codec = e.pipeline.codec
    mean, log_variance = codec.moments(torch.from_numpy(DATA.x[:1]))
    rows = replace(e.batches.streams, n=1, batch_size=8)
    still = replace(e.batches, x=np.array(e.batches.x[:1]), streams=rows, flip=False)
    draws = torch.cat([codec.scale.decode(still(step).x0) for step in range(250)])
    std = (log_variance[0] / 2).exp()
    assert float(((draws.mean(0) - mean[0]) / std).abs().max()) < 4.5 / 2000**0.5
    assert float((draws.var(0) / std**2 - 1).abs().max()) < 4.5 * (2 / 2000) ** 0.5


def test_a_share_of_a_drawn_batch_is_that_of_the_whole(config):
    e = build(update(config, {"latent_draw": "sampled"}), DATA)
    whole, s = e.batches(3).x0, e.batches.streams
    parts = [replace(e.batches, streams=replace(s, rank=i, world=2))(3).x0 for i in range(2)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.slow
def test_a_run_of_drawn_latents_goes_on_bit_for_bit(config, monkeypatch):
    sampled = update(config, {"latent_draw": "sampled", "latent_scale": "channel"})
    through = train(sampled, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        cut = train(sampled, data=DATA, quiet=True)
    train(sampled, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(through, cut)
    model = Pipeline.load(through.model)
    assert isinstance(model.codec.scale.scale, tuple)
    z = torch.cat([build(sampled, DATA).batches(step).x0 for step in range(30)])
    torch.testing.assert_close(z.var((0, 2, 3)), torch.ones(2), atol=0.1, rtol=0)


def test_options_of_latents_need_a_codec():
    for option in ({"latent_draw": "sampled"}, {"latent_scale": "one"}):
        with pytest.raises(UsageError, match="add --codec"):
            build(update(CONFIG, option), DATA)


def test_a_film_in_latents_changes_no_sample(config, codec):
    run = train(config, data=DATA, quiet=True)
    model = Pipeline.load(run.model)
    assert model.codec.colours == LearnedCodec.load(codec.model).codec.colours != ()
    plan = model.plan(3, label="a", steps=4)
    *early, last = plan.frames()
    assert np.array_equal(last.x, model.sample(3, label="a", steps=4))
    assert len(early) == 4
    # Blocks of one colour, each frame the data predicted in the step before it.
    assert all(np.array_equal(f.x[..., ::2, ::2], f.x[..., 1::2, 1::2]) for f in early)
    plan = model.plan(3, label="a", steps=4, solver="ddim")
    points, frames = list(plan.states()), list(plan.frames())
    for point, frame in list(zip(points, frames[1:], strict=False))[:3]:
        with torch.no_grad():
            x0 = plan.model(point.x, point.t, **plan.cond).x0
        wanted = model.codec.preview(x0).numpy()
        assert np.abs(wanted.astype(int) - frame.x.astype(int)).max() <= 1


def test_without_a_codec_nothing_changes():
    given = parse_toml('[latents]\ncodec = "none"')
    assert given == TrainConfig()
    assert parse_toml(to_toml(given)) == given
    e = build(CONFIG, DATA)
    assert e.pipeline.codec == Pixels()
    assert e.batches.x is DATA.x
    assert e.batches.codec == Pixels()
    assert e.batches.mirrored is None
    assert "codec" not in e.pipeline.facts
    assert e.pipeline.denoiser.bounds == (-1, 1)
    assert list(e.pipeline.components()) == ["unet"]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"kl_weight": 0.5}, "add --network autoencoder"),
        ({**AUTOENCODER, "codec": "1"}, "learn in pixels"),
        ({**AUTOENCODER, "downsample": 3}, "the patch times a power of two"),
        ({**AUTOENCODER, "downsample": 1}, "the patch times a power of two"),
        ({**AUTOENCODER, "downsample": 16}, "--size 16"),
        ({**AUTOENCODER, "parallel": "fsdp"}, "use ddp"),
        ({**AUTOENCODER, "teacher": "digits"}, "this is the teacher's"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(UsageError, match=words):
        build(update(CONFIG, options), DATA)


@pytest.mark.parametrize("options", [AUTOENCODER, {"codec": "1"}])
def test_points_have_no_autoencoder(options):
    with pytest.raises(UsageError, match="this data is points"):
        build(update(CONFIG, {**options, "flip": False}), points())


def test_data_that_the_codec_cannot_read(config):
    with pytest.raises(UsageError, match="multiples of 2"):
        build(config, pictures(size=9))


def test_widths_follow_the_factor():
    wide = update(CONFIG, {**AUTOENCODER, "downsample": 8, "channels_per_level": [8, 16]})
    net = make_autoencoder(wide, (1, 16, 16))
    assert net.config["channels"] == [8, 16, 16]
    assert net.downsample == 8


@pytest.mark.slow
def test_the_likelihood_is_that_of_the_latents(config):
    """A new network with the v of VP predicts nothing: a standard normal density of latents."""
    model = build(update(config, {"schedule": "vp", "parameterization": "v"}), DATA).pipeline
    found = measure_likelihood(model, DATA, len(DATA), 0)
    z = model.codec.encode(torch.from_numpy(DATA.x)).double()
    expected = float(z.square().mean() + math.log(2 * math.pi)) / 2 / math.log(2)
    assert found.bits_per_dim_ode == pytest.approx(expected, abs=2e-3)
    assert found.bits_per_dim_bound == pytest.approx(expected, abs=0.2)
    assert (found.of, found.dequantisation) == ("latents", "none")
    assert "bits per dimension of the latents by the" in str(found)


def test_what_else_is_asked_of_a_model_in_latents(config):
    """A classifier of noisy states."""
    run = train(update(config, {"steps": 1, "sample_count": 0}), data=DATA, quiet=True)
    model, data = Pipeline.load(run.model).sized((16, 16)), pictures(24, ("a", "b"), size=16)
    *_, last = train_noisy_classifier(model, data, steps=2, batch_size=8)
    last.model.require_fits(model)
    assert last.model.net.config["in_channels"] == 2
    with pytest.raises(UsageError, match="states of shape"):
        last.model.require_fits(replace(model, codec=Pixels()))
