"""Autoencoders of the published forms are trained, resumed and saved as our own one is."""

import json

import pytest
import torch
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.config import update
from demist.errors import DataError, UsageError
from demist.evaluation.metrics.linear_code import linear_code
from demist.evaluation.metrics.psnr import psnr
from demist.model.components import hash_of
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.networks import Autoencoder
from demist.networks.published import AutoencoderKL, AutoencoderTiny, VQModel
from demist.training.build import build
from demist.training.run import train
from demist.training.tasks.autoencode import finished

DATA = pictures(24, ("a", "b"))
CLASSES = {"kl": AutoencoderKL, "tiny": AutoencoderTiny, "vq": VQModel}
FORMS = pytest.mark.parametrize("form", ["kl", "tiny"])


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options of a run that trains an autoencoder."""
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    return update(
        CONFIG,
        {
            "runs": str(tmp_path / "runs"), "network": "autoencoder", "latent_channels": 2,
            "downsample": 2, "channels_per_level": (8, 16), "dropout": 0.0, "norm_groups": None,
        },
    )  # fmt: skip


@FORMS
def test_a_form_is_trained_saved_and_read_again(options, form, capsys):
    run = train(update(options, {"codec": form}), data=DATA)
    made, again = LearnedCodec.load(run.model), open_codec(str(run.path))
    assert type(made.codec.net) is CLASSES[form]
    assert hash_of(made.components()) == hash_of(again.components())
    config = json.loads((run.model / "autoencoder" / "config.json").read_text())
    assert config["_class_name"] == CLASSES[form].__name__
    x = torch.from_numpy(DATA.x)
    rebuilt = made.codec.decode(made.codec.encode(x)).numpy()
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary["psnr"] == pytest.approx(psnr(DATA.x, rebuilt), abs=0.01)
    linear = linear_code(DATA.x, 2, 2).psnr(DATA.x)
    assert summary["linear_code_psnr"] == pytest.approx(linear, abs=0.01)
    assert f"linear code of the same size: {linear:.1f} dB" in capsys.readouterr().err


@FORMS
def test_a_form_that_is_interrupted_goes_on_bit_for_bit(options, form, monkeypatch):
    config = update(options, {"codec": form})
    through = train(config, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        cut = train(config, data=DATA, quiet=True)
    assert cut.status()["state"] == "stopped"
    train(config, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(through, cut)


def test_the_form_is_what_codec_says(options):
    kinds = {"own": Autoencoder, "none": Autoencoder, **CLASSES}
    for form, kind in kinds.items():
        given = {"codec": None if form == "none" else form}
        given |= {"codebook": 16} if form == "vq" else {}
        net = build(update(options, given), DATA).network
        assert type(net) is kind


def test_without_a_form_the_network_is_the_one_of_ever(options):
    own, absent = (build(update(options, {"codec": c}), DATA).network for c in ("own", None))
    assert hash_of({"autoencoder": own}) == hash_of({"autoencoder": absent})


def test_a_linear_start_is_the_default_and_can_be_left_out(options):
    x = torch.from_numpy(DATA.x)
    decibels = []
    for linear in (True, False):
        made = build(update(options, {"codec": "kl", "linear_start": linear}), DATA).pipeline
        codec = made.codec
        decibels.append(psnr(DATA.x, codec.decode(codec.encode(x)).numpy()))
    assert decibels[0] > linear_code(DATA.x, 2, 2).psnr(DATA.x) - 0.5
    assert decibels[1] < decibels[0] - 5


def test_a_network_too_narrow_for_a_linear_start_begins_as_noise_and_says_so(options):
    narrow = update(options, {"codec": "kl", "latent_channels": 5})  # 8 channels are 4 pairs
    experiment = build(narrow, DATA)
    (note,) = experiment.notes
    assert note.startswith("random start, as 8 channels are too few")
    usual = build(update(narrow, {"linear_start": False}), DATA)
    assert not usual.notes
    assert hash_of({"": experiment.network}) == hash_of({"": usual.network})


@pytest.mark.parametrize(
    "given, said",
    [
        ({"downsample": 3}, "downsample = 3 .* power of two"),
        ({"downsample": 16}, "8x8 cannot be made 16 times smaller; use --size 16"),
        ({"dropout": 0.1}, "dropout = 0.1 is for codec = own"),
        ({"norm_groups": 3}, "norm_groups=3 does not divide"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_options_that_make_no_autoencoder_are_refused(options, given, said):
    with pytest.raises(UsageError, match=said):
        build(update(options, {"codec": "kl", **given}), DATA)


@pytest.mark.parametrize("value, said", [(0.0, "has lost the data"), (1e9, "exploded")])
def test_a_codec_that_is_good_for_nothing_is_refused(options, value, said):
    made = build(update(options, {"codec": "kl"}), DATA).pipeline
    with torch.no_grad():
        made.codec.net.encoder.conv_out.weight.mul_(value)
    with pytest.raises(DataError, match=said):
        finished(made, DATA)


def test_diffusers_opens_what_was_trained(options):
    diffusers = pytest.importorskip("diffusers")
    x = torch.from_numpy(DATA.x)[:4]
    for form in ("kl", "tiny", "vq"):
        codes = {"codebook": 16} if form == "vq" else {}
        run = train(update(options, {"codec": form, **codes}), data=DATA, quiet=True)
        codec = LearnedCodec.load(run.model).codec
        kind = getattr(diffusers, CLASSES[form].__name__)
        theirs = kind.from_pretrained(run.model, subfolder="autoencoder")
        units = codec.pixels.encode(x)
        with torch.no_grad():
            if form == "kl":
                mean = theirs.encode(units).latent_dist.mean
            else:
                mean = theirs.encode(units).latents
            wanted = theirs.decode(mean).sample
            rebuilt = codec.net.decode(codec.net.encode(units)[0])
        torch.testing.assert_close(mean, codec.net.encode(units)[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(rebuilt, wanted, atol=1e-5, rtol=1e-5)
