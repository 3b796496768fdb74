"""The critic of patches, and VGG16 as LPIPS looks with it."""

import pytest
import torch

from demist.errors import UsageError
from demist.networks.discriminator import Discriminator
from demist.networks.vgg16 import VGG16


def test_three_layers_see_70_pixels():
    net = Discriminator(3, 3, 4).double()
    for norm in [m for m in net.modules() if isinstance(m, torch.nn.GroupNorm)]:
        norm.forward = lambda x: x  # which sees the whole image
    x = torch.zeros(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
    y = net(x)
    assert y.shape == (1, 1, 14, 14)
    y[0, 0, 7, 7].backward()
    seen = x.grad.abs().sum((0, 1))
    rows = seen.sum(1).nonzero()
    assert rows.max() - rows.min() + 1 == 70


@pytest.mark.parametrize(("side", "scores"), [(64, 6), (32, 6), (16, 6), (8, 2)])
def test_small_images_have_fewer_layers(side, scores):
    assert Discriminator.of((3, side, side))(torch.zeros(2, 3, side, side)).shape[2:] == (
        scores,
        scores,
    )


def test_images_without_patches_are_refused():
    with pytest.raises(UsageError, match="sides of 8 or more"):
        Discriminator.of((3, 4, 8))


def test_vgg16_has_torchvisions_names_and_shapes():
    with torch.device("meta"):
        net = VGG16()
    names = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert [k for k in net.state_dict() if k.endswith("weight")] == [
        f"features.{i}.weight" for i in names
    ]
    assert net.state_dict()["features.28.weight"].shape == (512, 512, 3, 3)
    assert net.ends == [3, 8, 15, 22, 29]
    assert sum(p.numel() for p in net.parameters()) == 14_714_688


def test_grey_images_count_as_three_equal_channels():
    net = VGG16(((2, 1), (3, 1)))
    x = torch.randn(1, 1, 8, 8)
    for a, b in zip(net(x), net(x.repeat(1, 3, 1, 1)), strict=True):
        assert torch.equal(a, b)
    assert [tuple(m.shape) for m in net(x)] == [(1, 2, 8, 8), (1, 3, 4, 4)]
