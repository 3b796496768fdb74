"""The U-Net computes what diffusers' UNet2DModel computes from the same weights.

Needs diffusers, which the project does not depend on: `pip install diffusers` to run it.
"""

import pytest
import torch

from demist.networks import UNet

diffusers = pytest.importorskip("diffusers")

CASES = {
    "unconditional": {"channels": [32, 64]},
    "classes": {"channels": [32, 32, 64], "num_classes": 10, "attention": [1, 2], "blocks": 2},
    "scale_shift": {"channels": [16, 32], "scale_shift": True, "attention": [0], "norm_groups": 8},
    "colour": {"channels": [32, 48], "in_channels": 3, "out_channels": 6, "attention": [1]},
    "no mid attention": {"channels": [32], "in_channels": 3, "blocks": 3, "mid_attention": False},
    "narrowing": {"channels": [64, 32, 16], "attention": [0, 2]},
}


def reference(config, size):
    """The diffusers model of the same shape."""
    channels, attention = config["channels"], config["attention"]
    down = ["AttnDownBlock2D" if i in attention else "DownBlock2D" for i in range(len(channels))]
    up = [name.replace("Down", "Up") for name in reversed(down)]
    return diffusers.UNet2DModel(
        sample_size=size,
        in_channels=config["in_channels"],
        out_channels=config["out_channels"] or config["in_channels"],
        block_out_channels=tuple(channels),
        layers_per_block=config["blocks"],
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        add_attention=config["mid_attention"],
        attention_head_dim=config["head_dim"],
        norm_num_groups=config["norm_groups"],
        attn_norm_num_groups=config["norm_groups"],
        resnet_time_scale_shift="scale_shift" if config["scale_shift"] else "default",
        num_class_embeds=config["num_classes"] + 1 if config["num_classes"] else None,
        dropout=0.0,
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_same_weights_same_function(options):
    options = {
        "head_dim": 16,
        "norm_groups": 4,
        "time_scale": 1.0,
        "max_period": 10000.0,
        "scale_shift": False,
        **options,
    }
    net = UNet(**options).eval()
    theirs = reference(net.config, 16).eval()
    weights = {
        name: 0.1 * torch.randn_like(value) + ("norm" in name)
        for name, value in theirs.state_dict().items()
    }
    theirs.load_state_dict(weights)
    assert net.state_dict().keys() == weights.keys()
    net.load_state_dict(weights)

    x, t = torch.randn(3, net.in_channels, 16, 16), torch.tensor([0.0, 371.0, 999.0])
    label = torch.tensor([0, 9, 10]) if options.get("num_classes") else None
    with torch.no_grad():
        ours, want = net(x, t, label), theirs(x, t, class_labels=label).sample
    assert want.std() > 0.1
    torch.testing.assert_close(ours, want, rtol=1e-5, atol=1e-5 * float(want.abs().max()))
