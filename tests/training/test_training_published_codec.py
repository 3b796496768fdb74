"""Autoencoders of diffusers' form as codecs: opened from folders, learned with, saved."""

import json

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.codecs import ChannelScale, KLAutoencoder
from demist.config import update
from demist.errors import DataError, MissingError, UsageError
from demist.interop.save import write_network
from demist.io.files import write_json
from demist.model import Pipeline
from demist.model.components import hash_of
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.networks.published import AutoencoderKL, AutoencoderTiny, VQModel
from demist.training.run import train

KL = {
    "in_channels": 1, "out_channels": 1, "latent_channels": 2, "block_out_channels": [4, 4],
    "down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2,
    "norm_num_groups": 2, "sample_size": 8, "scaling_factor": 0.5, "shift_factor": 0.25,
}  # fmt: skip
TINY = {
    "in_channels": 1, "out_channels": 1, "latent_channels": 2, "num_encoder_blocks": [1, 1],
    "num_decoder_blocks": [1, 1], "encoder_block_out_channels": [4, 4],
    "decoder_block_out_channels": [4, 4],
}  # fmt: skip
VQ = {key: value for key, value in KL.items() if key != "shift_factor"} | {"num_vq_embeddings": 8}
FORMS = {"kl": (AutoencoderKL, KL), "tiny": (AutoencoderTiny, TINY), "vq": (VQModel, VQ)}
DATA = pictures(24, ("a", "b"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


def network(form):
    cls, config = FORMS[form]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return cls.from_json(config, "here").eval()


@pytest.fixture
def folder(tmp_path):
    def written(form, *, inside=""):
        place = tmp_path / form
        if inside:
            place.mkdir()
            write_json(place / "model_index.json", {"_class_name": "X", inside: ["diffusers", "X"]})
        write_network(place / inside, network(form))
        return place

    return written


@pytest.fixture
def config(tmp_path):
    own = {"patch": 1, "channels_per_level": [16], "steps": 3, "latent_scale": "one"}
    return update(CONFIG, {"runs": str(tmp_path / "runs"), **own})


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_model_is_trained_in_the_latents_of_a_folder(folder, config, form):
    place = folder(form)
    opened = open_codec(str(place))
    before = hash_of(opened.components())
    run = train(update(config, {"codec": str(place)}), data=DATA, quiet=True)
    model = Pipeline.load(run.model)
    assert hash_of(model.codec.components) == before == model.facts["codec"]
    assert type(model.codec.net) is FORMS[form][0]
    assert model.state_shape == (2, 4, 4)
    assert model.codec.colours
    x = model.sample(2, label="a")
    assert np.array_equal(Pipeline.from_run(run).sample(2, label="a"), x)
    # The trained model is a codec in its turn, with what was measured.
    again = open_codec(str(run.path)).codec
    assert again.scale == model.codec.scale != opened.codec.scale
    # The numbers that diffusers' pipelines ask an autoencoder for.
    told = json.loads((run.model / "autoencoder" / "config.json").read_text())
    known = ChannelScale.of_published(told, 2)
    if form != "vq":  # whose form has no place for a shift
        z = torch.randn(3, 2, 4, 4)
        torch.testing.assert_close(known.encode(z), model.codec.scale.encode(z))
    bare = open_codec(str(run.model / "autoencoder"))
    assert hash_of(bare.components()) == before


def test_a_folder_says_how_it_scales(folder):
    codec = open_codec(str(folder("kl"))).codec
    assert codec.scale == ChannelScale((0.25, 0.25), 0.5)


def test_the_autoencoder_of_a_whole_model(folder):
    found = open_codec(str(folder("kl", inside="vae")))
    assert found.shape == (1, 8, 8)
    assert isinstance(found.codec, KLAutoencoder)


@pytest.mark.parametrize("per", ["centred", "channel", "one"])
def test_scales_stand_in_the_networks_own_configuration(tmp_path, per):
    net = network("kl")
    x = torch.from_numpy(DATA.x)
    codec = KLAutoencoder(net)
    codec = codec.measured(codec.latents(x), per)
    place = LearnedCodec(codec, (1, 8, 8)).save(tmp_path / "codec")
    back = LearnedCodec.load(place).codec
    assert back.scale == codec.scale
    assert torch.equal(back.encode(x), codec.encode(x))
    bare = open_codec(str(place / "autoencoder")).codec
    torch.testing.assert_close(bare.encode(x), codec.encode(x))
    torch.testing.assert_close(bare.scale.decode(codec.encode(x)), codec.latents(x))


def test_diffusers_reads_the_scale(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    x = torch.from_numpy(DATA.x)
    for per in ("channel", "one"):
        codec = KLAutoencoder(network("kl"))
        codec = codec.measured(codec.latents(x), per)
        place = LearnedCodec(codec, (1, 8, 8)).save(tmp_path / per)
        theirs = diffusers.AutoencoderKL.from_pretrained(place / "autoencoder")
        config = theirs.config
        with torch.no_grad():
            z = theirs.encode(x / 127.5 - 1).latent_dist.mean
        if per == "channel":
            mean, std = (torch.tensor(v)[:, None, None] for v in
                         (config.latents_mean, config.latents_std))  # fmt: skip
            z = (z - mean) * config.scaling_factor / std
        else:
            z = (z - config.shift_factor) * config.scaling_factor
        torch.testing.assert_close(z, codec.encode(x), atol=1e-5, rtol=1e-5)


def test_what_cannot_be_a_codec(folder, config, tmp_path):
    place = folder("kl")
    with pytest.raises(UsageError, match="1 channels with sides that are multiples of 2"):
        train(update(config, {"codec": str(place)}), data=pictures(24, ("a",), size=9), quiet=True)
    told = json.loads((place / "config.json").read_text())
    for wrong in (0, -1.0):
        write_json(place / "config.json", {**told, "scaling_factor": wrong})
        with pytest.raises(DataError, match="scales its latents by"):
            open_codec(str(place))
    write_json(place / "config.json", {**told, "_class_name": "UNet2DModel"})
    with pytest.raises(DataError):
        open_codec(str(place))
    empty = tmp_path / "none"
    empty.mkdir()
    write_json(empty / "model_index.json", {"_class_name": "DDPMPipeline"})
    with pytest.raises(MissingError, match="holds no autoencoder"):
        open_codec(str(empty))


@pytest.mark.parametrize(
    "value, words",
    [(0.0, "deviation 0: the codec has lost"), (1e38, r"e\+37: the codec has exploded and lost")],
)
def test_a_codec_that_lost_its_latents(tmp_path, config, value, words):
    place, net = tmp_path / "lost", network("kl")
    with torch.no_grad():
        net.quant_conv.weight.fill_(value)
    write_network(place, net)
    with pytest.raises(DataError, match=f"{words} the data"):
        train(update(config, {"codec": str(place)}), data=DATA, quiet=True)
