"""A loaded model that is told an image more equals the one that it was."""

import pytest
import torch

from demist import Pipeline
from demist.errors import UsageError
from demist.model import widen

from .test_control import filled, image, write_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder)
    pipeline = Pipeline.load(folder)
    filled(pipeline.denoiser.net)
    return pipeline


@pytest.mark.parametrize(
    ("told", "name", "channels"), [("mask", "hole", 9), ("source", "image", 8)]
)
def test_it_equals_its_base_bit_for_bit_and_the_new_channels_learn(loaded, told, name, channels):
    made, net = widen(loaded, told), loaded.denoiser.net
    wide = made.denoiser.net.requires_grad_()
    assert (wide.config["in_channels"], net.config["in_channels"]) == (channels, 4)
    x, t = torch.randn(2, 4, 8, 8), torch.full((2,), 0.6)
    states = torch.randn(2, 5, 12)
    mask = torch.ones(1, 16, 16).byte().numpy()
    given = (image(), mask) if told == "mask" else image()
    shown = made.conditioner.encode_only(2, {name: given})
    ours = made.denoiser(x, t, states=states, **shown).x0
    theirs = loaded.denoiser(x, t, states=states).x0
    assert torch.equal(ours, theirs)
    ours.square().mean().backward()
    assert wide.conv_in.weight.grad[:, 4:].abs().sum((0, 2, 3)).gt(0).all()


def test_its_folder_is_that_of_the_editors_pipeline(loaded):
    made = widen(loaded, "mask")
    assert made.origin.index["_class_name"] == "StableDiffusionInpaintPipeline"
    assert made.origin.config("unet")["in_channels"] == 9
    again = made.origin.network("unet").state_dict()
    for key, value in made.denoiser.net.state_dict().items():
        assert torch.equal(again[key], value), key


def test_what_cannot_be_told_more(loaded):
    with pytest.raises(UsageError, match="StableDiffusionInpaintPipeline cannot be told a mask"):
        widen(widen(loaded, "mask"), "mask")
    with pytest.raises(UsageError, match="a model of demist's own cannot be told a source more"):
        widen(Pipeline.load("digits"), "source")
