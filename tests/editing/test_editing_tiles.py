"""Images larger than the model: the laws of windows."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from demist.codecs import Codec, Pixels
from demist.conditions import Conditioner, Label
from demist.core import Denoiser, Linear, Prediction, Velocity
from demist.core.exact import Exact, Normal
from demist.editing import Tiled, in_windows
from demist.editing.tiles import Wrapping
from demist.errors import UsageError
from demist.model import Pipeline, Sampling
from demist.networks import UNet

T = torch.tensor(0.6, dtype=torch.float64)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@dataclass(frozen=True)
class Textures:
    """The best denoiser of stationary Gaussian images, whatever their size.

    Attributes:
        length: Over which their pixels are correlated; 0: not at all.
        period: Of images that go on at the opposite edge, their sides.
    """

    length: float
    period: int = 0
    schedule: Linear = Linear()  # noqa: RUF009 (a frozen value)

    def __call__(self, x, t, **cond):
        *_, height, width = x.shape
        side = [self._side(length) for length in (height, width)]
        covariance = torch.kron(*side) if self.length else torch.eye(height * width).double()
        exact = Exact(Normal(torch.full((height * width,), 0.3).double(), covariance), Linear())
        p = exact(x.flatten(1), t)
        return Prediction(p.x0.reshape(x.shape), p.eps.reshape(x.shape), p.alpha, p.sigma)

    def _side(self, length):
        at = torch.arange(length).double()
        apart = (at[:, None] - at).abs()
        if length == self.period:
            apart = torch.minimum(apart, length - apart)
        return (-apart / max(self.length, 1e-3)).exp()


def test_a_window_as_large_as_the_image_changes_no_bit():
    model, x = Textures(2.0), drawn(3, 1, 8, 8)
    for sides in ((8, 8), (9, 20)):
        one, other = model(x, T), Tiled(model, sides, 4)(x, T)
        assert torch.equal(one.x0, other.x0)
        assert torch.equal(one.eps, other.eps)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("overlap", [0, 3, 7])
def test_windows_are_exact_where_pixels_are_independent(wrap, overlap):
    model, x = Textures(0.0), drawn(2, 1, 13, 19)
    one, other = model(x, T), Tiled(model, (8, 8), overlap, wrap)(x, T)
    torch.testing.assert_close(other.x0, one.x0, rtol=0, atol=1e-12)
    torch.testing.assert_close(other.alpha * other.x0 + other.sigma * other.eps, x)


def test_the_error_of_a_texture_falls_with_the_overlap():
    """Windows that share nothing do not know what is beyond their edges."""
    model, x = Textures(1.5), drawn(8, 1, 16, 16)
    exact = model(x, T).x0

    def error(overlap):
        return float((Tiled(model, (8, 8), overlap)(x, T).x0 - exact).square().mean().sqrt())

    none, some, half = (error(overlap) for overlap in (0, 2, 4))
    assert half < 0.9 * some < 0.5 * none
    assert half < 0.05 * float(exact.std())


def test_what_wraps_has_no_edge():
    model, x = Textures(1.5, period=12), drawn(20, 1, 12, 12)
    exact, wrapped = model(x, T).x0, Tiled(model, (8, 8), 4, wrap=True)
    found = wrapped(x, T).x0
    torch.testing.assert_close(wrapped(x.roll((4, 8), (2, 3)), T).x0, found.roll((4, 8), (2, 3)))
    apart = (found - exact).square().mean((0, 1)).sqrt()
    ends = (Tiled(model, (8, 8), 4)(x, T).x0 - exact).square().mean((0, 1)).sqrt()
    assert apart.max() < 0.6 * ends.max()  # that is at the edge
    assert Tiled(model, (12, 12), 4, wrap=True)(x, T).x0.isfinite().all()


@dataclass(frozen=True)
class Blurred(Codec):
    """A codec that sees the numbers around each, and zeros beyond the edge."""

    def encode(self, x: Tensor, noise=None) -> Tensor:
        return F.avg_pool2d(x, 2)

    def decode(self, z: Tensor) -> Tensor:
        kernel = torch.arange(9.0, dtype=z.dtype).reshape(1, 1, 3, 3)
        return F.conv2d(z, kernel, padding=1).repeat_interleave(2, 2).repeat_interleave(2, 3)

    def state_shape(self, shape):
        return (shape[0], shape[1] // 2, shape[2] // 2)

    def data_shape(self, shape):
        return (shape[0], shape[1] * 2, shape[2] * 2)


def test_a_seamless_image_is_decoded_with_what_is_at_the_opposite_edge():
    codec, z = Blurred(), drawn(2, 1, 6, 5)
    x = Wrapping(codec).decode(z)
    torch.testing.assert_close(Wrapping(codec).decode(z.roll(2, 3)), x.roll(4, 3))
    torch.testing.assert_close(x[..., 2:-2, 2:-2], codec.decode(z)[..., 2:-2, 2:-2])
    assert not torch.allclose(x, codec.decode(z))


@pytest.fixture
def pipeline():
    torch.manual_seed(0)
    net = UNet(
        in_channels=1, channels=[8], attention=[], mid_attention=False, num_classes=2,
        norm_groups=2,
    )  # fmt: skip
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    denoiser = Denoiser(net, Linear(), Velocity(), input_std=1.0).eval()
    conditioner = Conditioner({"label": Label(("a", "b"), 0.1)})
    return Pipeline(denoiser, Pixels(), conditioner, (1, 8, 8), Sampling(steps=3), {})


def test_a_plan_of_its_own_size_is_the_models(pipeline):
    asked = {"label": ["a", "b"]}
    plan = in_windows(pipeline, 2, (8, 8), Sampling(guidance=2.0), **asked)
    assert np.array_equal(plan.sample(), pipeline.sample(2, Sampling(guidance=2.0), **asked))


@pytest.mark.parametrize("seamless", [False, True])
def test_each_large_image_depends_on_its_seed_alone(pipeline, seamless):
    plan = in_windows(
        pipeline, 3, (12, 20), Sampling(2, guidance=2.0), seamless=seamless, label="a"
    )
    x = plan.sample()
    assert x.shape == (3, 1, 12, 20)
    assert np.array_equal(plan.sample([1]), x[1:2])
    assert plan.evaluations()["last"] == 2 * 2 * (3 * 5 if seamless else 2 * 4)


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((8, 6), {}, "size = 8x6: windows are of 8x8 pixels"),
        ((8, 16), {"overlap": 1.0}, "overlap = 1 is no share of a window"),
    ],
)
def test_what_makes_no_sense_is_refused(pipeline, size, options, message):
    with pytest.raises(UsageError, match=message):
        in_windows(pipeline, 1, size, **options)
    with pytest.raises(UsageError, match="samples here are"):
        in_windows(replace(pipeline, shape=(2,)), 1, (8, 8))
