"""T2I-Adapters: sizes that were published, and numbers of the day they were equal to diffusers'."""

import pytest
import torch

from demist.errors import DataError
from demist.networks.published import ControlNet, T2IAdapter, UNet2DCondition

SMALL = {"block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1}
FULL = {"channels": [320, 640, 1280, 1280]}
PUBLISHED = {
    "full_adapter": (FULL, [8, 16, 32, 64], 77),
    "full_adapter_xl": ({**FULL, "downscale_factor": 16}, [16, 16, 32, 32], 79),
    "light_adapter": ({"channels": [320, 640, 1280], "num_res_blocks": 4}, [8, 16, 32, 64], 19),
}
"""Kind -> its published configuration, strides of its maps, and millions of parameters."""


@pytest.mark.parametrize("kind", PUBLISHED)
def test_published_sizes(kind):
    options, strides, millions = PUBLISHED[kind]
    with torch.device("meta"):
        net = T2IAdapter.from_json({**options, "adapter_type": kind}, "here")
        maps = net.maps(torch.empty(1, 3, 512, 768))
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == millions
    assert net.strides == strides
    assert net.widths == [320, 640, 1280, 1280]
    shapes = [(1, w, 512 // s, 768 // s) for w, s in zip(net.widths, strides, strict=True)]
    assert [tuple(m.shape) for m in maps] == shapes


def waves(*shape, rate=0.7):
    return torch.cos(torch.arange(torch.Size(shape).numel()) * rate).reshape(shape)


def by_formula(net):
    net.load_state_dict({
        name: 0.2 * waves(*value.shape, rate=0.5 + 0.01 * i) + ("norm" in name)
        for i, (name, value) in enumerate(net.state_dict().items())
    })  # fmt: skip
    return net.eval()


def found(y):
    return torch.stack([y.mean(), y.std(), y[0, 1, 1, 0], y[1, 3, 0, 2]])


MAPS = {
    "full_adapter": ([8, 12], [0.09655, 0.78795, 0.68113, -0.21326]),
    "full_adapter_xl": ([8, 12, 12, 12], [0.21566, 1.24377, 0.60307, -0.99309]),
    "light_adapter": ([8], [-0.02341, 0.19567, 0.14792, -0.14075]),
}


@pytest.mark.parametrize("kind", MAPS)
def test_the_numbers_of_that_day(kind):
    channels, recorded = MAPS[kind]
    options = {"channels": channels, "downscale_factor": 2, "adapter_type": kind}
    net = by_formula(T2IAdapter.from_json(options, "here"))
    with torch.no_grad():
        maps = net.maps(waves(2, 3, 12, 10, rate=0.3))
    torch.testing.assert_close(found(maps[-1]), torch.tensor(recorded), atol=2e-4, rtol=2e-4)


SHARED = {
    **SMALL,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "cross_attention_dim": 12,
    "attention_head_dim": 2,
}


def test_what_a_u_net_does_with_both():
    """Maps of a ControlNet, and of an adapter on the way down and in the middle."""
    up = {"up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"]}
    net = by_formula(UNet2DCondition.from_json({**SHARED, **up}, "here"))
    hint = {"conditioning_embedding_out_channels": [4, 6]}
    control = by_formula(ControlNet.from_json({**SHARED, **hint}, "here"))
    x, t = waves(2, 4, 8, 8), torch.tensor([3.0, 700.0])
    states, image = waves(2, 5, 12), waves(2, 3, 16, 16, rate=0.3)
    inside = [waves(2, 8, 4, 4), waves(2, 16, 4, 4), waves(2, 16, 4, 4)]
    with torch.no_grad():
        down, mid = control.control(x, t, image, strength=0.5, states=states)
        led = net.run(x, t, states=states, down=down, mid=mid, inside=inside)
        without = net.run(x, t, states=states, down=down, mid=mid, inside=inside[:2])
    assert (led - without).abs().max() > 1e-3
    recorded = [0.00127, 0.16656, -0.37081, -0.15174, 0.05561, 0.9962, -1.21045, -0.75815]
    torch.testing.assert_close(
        torch.cat([found(mid), found(led)]), torch.tensor(recorded), atol=2e-4, rtol=2e-4
    )


def test_what_is_not_known_is_said():
    with pytest.raises(DataError, match="adapter_type = 'style'; known are full_adapter"):
        T2IAdapter.from_json({"adapter_type": "style"}, "here")
    with pytest.raises(DataError, match="num_res_blocks = 10000000, deeper than any network"):
        T2IAdapter.from_json({"num_res_blocks": 10**7}, "here")
    options = {"layers_per_block": 100, "transformer_layers_per_block": [1, 99, 100, 1]}
    with pytest.raises(DataError, match="layers_per_block = 100, transformer_layers_per_block"):
        UNet2DCondition.from_json(options, "here")
    with pytest.raises(DataError, match="has no channels"):
        T2IAdapter.from_json({"channels": []}, "here")
