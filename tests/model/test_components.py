"""A model of several networks: its folder, its hash, its shapes."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from demist.codecs import ChannelScale, KLAutoencoder, Pixels
from demist.conditions import Conditioner, Label, LowResolution
from demist.core import Denoiser, Linear, Velocity
from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.model import Pipeline, Sampling
from demist.model.components import hash_of
from demist.model.folder import weights_hash
from demist.model.learned_codec import LearnedCodec, open_codec
from demist.networks import MLP, Autoencoder, DiT, UNet
from unsealed import unsealed

SHAPE, STATE = (1, 8, 8), (2, 4, 4)


def shaken(net):
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


def codec(seed=0):
    torch.manual_seed(seed)
    net = Autoencoder(in_channels=1, latent_channels=2, channels=[8], patch=2, norm_groups=2)
    return KLAutoencoder(shaken(net), Pixels(), ChannelScale((0.25, -0.5), 1.5))


@pytest.fixture
def pipeline():
    made = codec()
    net = UNet(
        in_channels=2, channels=[8, 8], attention=[], mid_attention=False,
        num_classes=2, norm_groups=2,
    )  # fmt: skip
    denoiser = Denoiser(shaken(net), Linear(), Velocity(), input_std=1.0).eval()
    conditioner = Conditioner({"label": Label(("a", "b"), 0.1)})
    return Pipeline(denoiser, made, conditioner, SHAPE, Sampling(steps=3), {"data": "tiny"})


def test_every_component_by_name(pipeline):
    assert list(pipeline.components()) == ["unet", "autoencoder"]
    assert pipeline.components()["unet"] is pipeline.denoiser.net
    assert pipeline.components()["autoencoder"] is pipeline.codec.net
    assert (pipeline.shape, pipeline.state_shape) == (SHAPE, STATE)


def test_samples_are_data_and_do_not_depend_on_their_number(pipeline):
    x = pipeline.sample(11, seed=3, label="a")
    assert (x.shape, x.dtype) == ((11, *SHAPE), np.uint8)
    assert np.array_equal(pipeline.sample(2, seed=3, label="a"), x[:2])
    assert x.std() > 0
    state = torch.from_numpy(np.zeros((1, *STATE), np.float32))
    assert pipeline.codec.decode(state).shape[1:] == SHAPE


def test_saved_and_loaded_is_the_same_model(pipeline, tmp_path):
    folder = pipeline.save(tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["demist", "UNet"]
    assert index["autoencoder"] == ["demist", "Autoencoder"]
    assert index["codec"]["net"] == {"component": "autoencoder"}
    assert index["shape"] == list(SHAPE)
    weights = "diffusion_pytorch_model.safetensors"
    described = {"unet/config.json", "autoencoder/config.json", "scheduler/scheduler_config.json"}
    whole = {f"unet/{weights}", f"autoencoder/{weights}", *described, "model_index.json"}
    assert set(index["sha256"]) == whole
    back = Pipeline.load(folder)
    assert weights_hash(back) == weights_hash(pipeline)
    assert back.codec.scale == pipeline.codec.scale
    assert np.array_equal(back.sample(3, label="b"), pipeline.sample(3, label="b"))
    assert back.of_weights(back.denoiser.net.state_dict()).codec.net is back.codec.net


def test_the_hash_covers_every_network_and_is_as_before_for_one(pipeline):
    net = pipeline.denoiser.net
    before = weights_hash(pipeline)
    assert hash_of({"unet": net}) == hash_of({"anything": net}) != before
    with torch.no_grad():
        pipeline.codec.net.encoder[0].bias[0] += 1
    assert weights_hash(pipeline) != before


def test_a_plain_model_has_no_trace_of_further_networks(pipeline, tmp_path):
    plain = replace(pipeline, codec=Pixels(), shape=STATE)
    folder = plain.save(tmp_path / "plain")
    index = json.loads((folder / "model_index.json").read_text())
    assert index["codec"] == {"kind": "Pixels"}
    found = sorted(p.name for p in folder.iterdir())
    assert found == ["README.md", "model_index.json", "scheduler", "unet"]
    assert list(index) == [
        "_class_name", "_demist_version", "format", "unet", "shape", "codec", "conditions",
        "defaults", "facts", "sha256",
    ]  # fmt: skip
    assert weights_hash(plain) == hash_of({"unet": pipeline.denoiser.net})


def damage_bits(folder):
    file = folder / "autoencoder" / "diffusion_pytorch_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def lose_network(folder):
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    del index["autoencoder"]
    path.write_text(json.dumps(index))
    unsealed(folder)


def other_width(folder):
    path = folder / "autoencoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"channels": [16]}))
    unsealed(folder)


def pickled(folder):
    file = folder / "autoencoder" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(b"\x80\x02}q\x00.")


def no_weights(folder):
    (folder / "autoencoder" / "diffusion_pytorch_model.safetensors").unlink()


@pytest.mark.parametrize(
    "harm, error, words",
    [
        (damage_bits, DataError, "SHA-256"),
        (lose_network, DataError, "'autoencoder', which is absent"),
        (other_width, DataError, "do not fit"),
        (pickled, RefusedError, "pickle"),
        (no_weights, MissingError, "no file"),
    ],
)
def test_a_damaged_component_is_refused(pipeline, tmp_path, harm, error, words):
    folder = pipeline.save(tmp_path / "model")
    harm(folder)
    with pytest.raises(error, match=words):
        Pipeline.load(folder)


def test_a_codec_alone_is_saved_and_found_again(pipeline, tmp_path):
    made = LearnedCodec(pipeline.codec, SHAPE, {"data": "tiny", "step": 5})
    folder = made.save(tmp_path / "codec")
    back = open_codec(str(folder))
    assert (back.shape, dict(back.facts)) == (SHAPE, {"data": "tiny", "step": 5})
    assert hash_of(back.components()) == hash_of(made.components())
    assert back.codec.scale == pipeline.codec.scale
    model = pipeline.save(tmp_path / "model")
    assert hash_of(open_codec(str(model)).components()) == hash_of(made.components())
    twin = made.of_weights({k: v + 1 for k, v in made.codec.net.state_dict().items()})
    assert hash_of(twin.components()) != hash_of(made.components())


def test_what_is_no_codec_is_refused(pipeline, tmp_path):
    plain = replace(pipeline, codec=Pixels(), shape=STATE).save(tmp_path / "plain")
    with pytest.raises(UsageError, match="no codec with a network"):
        open_codec(str(plain))
    with pytest.raises(MissingError, match="no saved codec"):
        open_codec("nowhere", tmp_path)
    folder = LearnedCodec(pipeline.codec, SHAPE).save(tmp_path / "codec")
    with pytest.raises(DataError, match="--codec"):
        Pipeline.load(folder)


def test_another_size(pipeline):
    """Halved once after patches of 1 in latents halved once: sides are multiples of 4."""
    x = pipeline.sample(3, size=(16, 12), label="a")
    assert x.shape == (3, 1, 16, 12)
    assert pipeline.shape == SHAPE
    assert np.array_equal(x[:1], pipeline.sample(1, size=(16, 12), label="a"))
    assert np.array_equal(pipeline.sample(2, size=SHAPE[1:]), pipeline.sample(2))
    by_hand = replace(pipeline, shape=(1, 16, 12)).sample(3, label="a")
    assert np.array_equal(x, by_hand)
    frames = list(pipeline.trajectory(2, size=(4, 8)))
    assert frames[0].x.shape == (2, 1, 4, 8)


@pytest.mark.parametrize("size", [(10, 8), (8, 0), (-4, 8)])
def test_sides_that_do_not_fit(pipeline, size):
    with pytest.raises(UsageError, match=r"multiples of 4"):
        pipeline.sample(1, size=size)


def test_who_cannot_change_its_size(pipeline):
    net = DiT(in_channels=1, width=32, depth=1, patch=2, head_dim=16)
    denoiser = Denoiser(net, Linear(), Velocity())
    fixed = Pipeline(denoiser, Pixels(), Conditioner({}), SHAPE)
    with pytest.raises(UsageError, match="a DiT makes only the size it was trained on"):
        fixed.sample(1, size=(16, 16))
    dots = replace(fixed, denoiser=Denoiser(MLP(features=2), Linear(), Velocity()), shape=(2,))
    with pytest.raises(UsageError, match=r"MLP makes only .* shape \(2,\)"):
        dots.sample(1, size=(16, 16))
    told = Conditioner({"low": LowResolution(SHAPE, 2)})
    with pytest.raises(UsageError, match="'low' is an image"):
        replace(pipeline, conditioner=told).sample(1, size=(16, 16))
