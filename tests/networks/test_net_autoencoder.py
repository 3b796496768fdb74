"""The autoencoder's network: what its codec and its training rely on."""

import inspect
import json

import pytest
import torch

from demist.errors import UsageError
from demist.networks import Autoencoder

SMALL = {"in_channels": 1, "latent_channels": 2, "channels": [8, 16], "norm_groups": 2}


@pytest.mark.parametrize(
    "options, channels, side, factor",
    [
        ({}, 1, 28, 4),
        ({"patch": 1}, 3, 10, 2),
        ({"patch": 1, "channels": [8, 8, 16], "blocks": 2, "dropout": 0.1}, 3, 16, 4),
        ({"patch": 4, "channels": [8]}, 1, 8, 4),
    ],
)
def test_shapes_of_the_code_and_back(options, channels, side, factor):
    net = Autoencoder(**{**SMALL, **options, "in_channels": channels})
    x = torch.randn(2, channels, side, side + factor)
    mean, log_variance = net.encode(x)
    assert net.downsample == factor
    assert mean.shape == log_variance.shape == (2, 2, side // factor, side // factor + 1)
    assert net.decode(mean).shape == x.shape


def test_a_draw_is_the_mean_and_noise_times_the_standard_deviation():
    net = Autoencoder(**SMALL)
    x, noise = torch.randn(3, 1, 8, 8), torch.randn(3, 2, 2, 2)
    rebuilt, mean, log_variance = net(x, noise)
    z = mean + torch.exp(0.5 * log_variance) * noise
    torch.testing.assert_close(rebuilt, net.decode(z))
    torch.testing.assert_close(net(x)[0], net.decode(mean))
    assert not torch.equal(rebuilt, net(x)[0])


def test_the_log_variance_stays_finite():
    net = Autoencoder(**SMALL)
    with torch.no_grad():
        net.encoder[-1].bias.fill_(1e9)
        log_variance = net.encode(torch.randn(1, 1, 8, 8))[1]
    assert float(log_variance.exp().max()) < 1e9


def test_every_weight_gets_a_gradient_after_one_step():
    """Blocks start as doing nothing, so the inner ones learn from the second step on."""
    torch.manual_seed(0)
    net = Autoencoder(**SMALL)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    x = torch.randn(4, 1, 8, 8)
    for _ in range(2):
        optimizer.zero_grad()
        rebuilt, mean, log_variance = net(x, torch.randn(4, 2, 2, 2))
        ((rebuilt - x).square().mean() + mean.square().mean() + log_variance.mean()).backward()
        optimizer.step()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_the_config_makes_a_twin():
    given = {"in_channels": 2, "latent_channels": 5, "channels": (8,), "blocks": 2, "patch": 4}
    given |= {"norm_groups": 4, "dropout": 0.25}
    assert given.keys() == inspect.signature(Autoencoder).parameters.keys()
    net = Autoencoder(**given)
    config = json.loads(json.dumps(net.config))
    assert config == {**given, "channels": [8]}
    twin = Autoencoder(**config)
    assert {k: v.shape for k, v in twin.state_dict().items()} == {
        k: v.shape for k, v in net.state_dict().items()
    }


@pytest.mark.parametrize(
    "shape, words", [((1, 3, 8, 8), "3 channels"), ((1, 1, 8, 10), "multiples of 4")]
)
def test_images_that_do_not_fit_are_refused(shape, words):
    with pytest.raises(UsageError, match=words):
        Autoencoder(**SMALL).encode(torch.zeros(shape))


@pytest.mark.parametrize("options", [{"channels": []}, {"patch": 0}, {"latent_channels": 0}])
def test_no_network(options):
    with pytest.raises(UsageError, match="no autoencoder"):
        Autoencoder(**{**SMALL, **options})
