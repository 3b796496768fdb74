"""Networks by name: their options, what fills the rest, where a saved model keeps them."""

import numpy as np
import pytest
import torch

from demist import parts
from demist.config import NetworkConfig, TrainConfig, update
from demist.data import Dataset
from demist.errors import UsageError
from demist.model.folder import place_of, places
from demist.networks import (
    MLP,
    NETWORKS,
    DiT,
    MMDiTNetwork,
    SDNetwork,
    UNet,
    UNet1D,
    UNet2DNetwork,
)
from demist.training.build import build

SHAPES = {"mlp": (2,), "unet1d": (1, 64)} | dict.fromkeys(
    ["unet", "dit", "unet2d", "sd", "mmdit"], (1, 16, 16)
)
SMALL = {
    "channels_per_level": [8],
    "norm_groups": 1,
    "head_dim": 8,
    "batch_size": 2,
    "device": "cpu",
}


def made(spec, outputs=1, **options):
    part = NETWORKS.read(spec)
    shape = SHAPES[part.cls.name]
    net = part.make(
        **part.cls.arguments(shape, outputs, {}, vars(NetworkConfig(**{"patch": 2, **options})))
    )
    net.require_fit(shape)
    return net


def images(size=16):
    return Dataset(np.zeros((4, 1, size, size), np.uint8))


def test_names_are_those_of_the_source_and_places_those_of_saved_models():
    assert set(NETWORKS.names()) == set(parts.declared("networks", "Network")) == set(SHAPES)
    ours = {"unet": UNet, "mlp": MLP, "transformer": DiT}
    ours |= {"unet1d": UNet1D}
    form = {"unet2d": UNet2DNetwork, "sd": SDNetwork, "mmdit": MMDiTNetwork}
    assert places() == ours | form
    assert place_of({"shape": [1], "transformer": ["demist", "DiT"]}) == "transformer"
    assert place_of({"a": 1}) == "no network"


def test_what_is_written_wins_and_options_of_a_run_fill_the_rest():
    net = made("dit:width=64", width=32, depth=2, patch=4)
    assert (net.config["width"], net.config["depth"], net.config["patch"]) == (64, 2, 4)
    net = made("unet:channels=(16,32),attention=(1)", channels_per_level=(8,), blocks_per_level=3)
    found = [net.config[name] for name in ("channels", "attention", "blocks", "patch")]
    assert found == [[16, 32], [1], 3, 2]


@pytest.mark.parametrize("name", SHAPES)
def test_data_decides_on_channels_and_nobody_writes_them(name):
    net = made(name, outputs=2)
    x = torch.zeros(3, *SHAPES[name])
    assert net(x, torch.zeros(3)).shape == (3, 2 * x.shape[1], *x.shape[2:])
    for option in type(net).given:
        assert option in net.config
        with pytest.raises(UsageError, match=f"option of network {name} called '{option}'"):
            NETWORKS.read(f"{name}:{option}=3")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("value", ["0", "-1", "(0)", "()", "nan", "inf"])
def test_no_written_value_ends_in_a_traceback(name, value):
    for option in (o for o in NETWORKS.options(NETWORKS.read(name).cls).values() if o.read):
        try:
            net = made(f"{name}:{option.name}={value}")
        except UsageError:
            continue
        torch.nn.init.ones_(list(net.parameters())[-1])
        assert net(torch.zeros(1, *SHAPES[name]), torch.ones(1)).isfinite().all()


def test_a_run_names_a_network_with_options():
    config = update(TrainConfig(), {**SMALL, "network": "dit:depth=1", "width": 32, "depth": 3})
    assert config.network.network == "dit:depth=1"
    net = build(config, images()).network
    assert isinstance(net, DiT)
    assert (net.config["depth"], net.config["width"]) == (1, 32)
    assert isinstance(build(update(TrainConfig(), SMALL), images()).network, UNet)


def test_a_run_refuses_what_does_not_fit():
    with pytest.raises(UsageError, match=r"network = 'dot'.*dit"):
        update(TrainConfig(), {"network": "dot"})
    for word in ("auto", "autoencoder"):  # they stand alone
        assert update(TrainConfig(), {"network": word}).network.network == word
        with pytest.raises(UsageError, match="unknown"):
            update(TrainConfig(), {"network": f"{word}:width=8"})
    config = update(TrainConfig(), {**SMALL, "network": "dit:patch=3"})
    with pytest.raises(UsageError, match="patches of 3; use --size 15"):
        build(config, images())
    config = update(TrainConfig(), {**SMALL, "network": "unet:channels=(8,8,8)"})
    with pytest.raises(UsageError, match=r"18x18 cannot be halved 2 times .*--size 16"):
        build(config, images(18))
    with pytest.raises(UsageError, match=r"does not fit images; use unet, dit, .*unet2d.* or auto"):
        build(update(TrainConfig(), {**SMALL, "network": "mlp:depth=1"}), images())
