"""The image U-Net: what a caller relies on."""

import inspect
import json

import pytest
import torch

from demist.errors import UsageError
from demist.networks import UNet

SMALL = {"channels": [16, 32], "num_classes": 3, "attention": [1], "head_dim": 16}


def make(**options):
    """A small network with random weights everywhere, also where they start at zero."""
    net = UNet(**{**SMALL, **options})
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(0.1 * torch.randn_like(p) + ("norm" in name and "weight" in name))
    return net.eval()


def inputs(batch=4, channels=1, size=8):
    return torch.randn(batch, channels, size, size), torch.linspace(-3, 3, batch)


@pytest.mark.parametrize(
    "options, channels, size",
    [
        ({}, 1, 28),
        ({"patch": 2}, 1, 28),
        ({"channels": [16, 16, 32]}, 1, 28),
        ({"patch": 4, "channels": [32], "attention": []}, 3, 64),
        ({"patch": 2, "channels": [16, 16, 32, 32]}, 3, 64),
        ({"blocks": 2, "scale_shift": True, "qk_norm": True, "dropout": 0.1}, 3, 32),
        ({"channels": [12, 20], "attention": [0, 1], "head_dim": None}, 2, 10),
    ],
)
def test_shapes_and_zero_at_the_start(options, channels, size):
    net = UNet(**{**SMALL, **options}, in_channels=channels)
    x, t = inputs(2, channels, size)
    out = net(x, t, torch.tensor([0, 3]))
    assert out.shape == x.shape
    assert out.is_contiguous()
    assert torch.count_nonzero(out) == 0
    assert make(**options, in_channels=channels)(x, t, torch.tensor([0, 3])).std() > 1e-3


def test_the_path_through_the_network():
    """Two levels, one block each, spelt out block by block."""
    net = make()
    x, t = inputs()
    label = torch.tensor([0, 1, 2, 3])
    silu = torch.nn.functional.silu
    emb = silu(net.time_embedding(t) + net.class_embedding.weight[label])
    (fine, coarse), (up_coarse, up_fine), mid = net.down_blocks, net.up_blocks, net.mid_block
    cat = lambda a, b: torch.cat([a, b], dim=1)  # noqa: E731

    a = net.conv_in(x)
    b = fine.resnets[0](a, emb)
    c = fine.downsamplers[0](b)
    d = coarse.attentions[0](coarse.resnets[0](c, emb))
    h = mid.resnets[1](mid.attentions[0](mid.resnets[0](d, emb)), emb)
    h = up_coarse.attentions[0](up_coarse.resnets[0](cat(h, d), emb))
    h = up_coarse.attentions[1](up_coarse.resnets[1](cat(h, c), emb))
    h = up_fine.resnets[0](cat(up_coarse.upsamplers[0](h), b), emb)
    h = up_fine.resnets[1](cat(h, a), emb)
    want = net.conv_out(silu(net.conv_norm_out(h)))
    torch.testing.assert_close(net(x, t, label), want, rtol=1e-5, atol=1e-5)


def test_sides_may_differ_and_output_channels_too():
    net = make(out_channels=2)
    out = net(torch.randn(2, 1, 8, 12), torch.zeros(2))
    assert out.shape == (2, 2, 8, 12)


def test_every_branch_starts_at_zero():
    net = UNet(**SMALL)
    zero = {name for name, p in net.named_parameters() if not p.any() and name.endswith("weight")}
    assert zero == {
        name
        for name in dict(net.named_parameters())
        if name.endswith(("conv2.weight", "to_out.0.weight")) or name == "conv_out.weight"
    }
    assert len(zero) == 2 + 2 + 4 + 1 + 1 + 2 + 1  # blocks down, mid, up; attention; conv_out


def test_time_and_class_matter():
    net = make()
    x, t = inputs()
    label = torch.tensor([0, 1, 2, 3])
    base = net(x, t, label)
    later, other = net(x, t + 0.1, label), net(x, t, (label + 1) % 4)
    for i in range(4):
        assert not torch.allclose(base[i], later[i], atol=1e-3)
        assert not torch.allclose(base[i], other[i], atol=1e-3)


def test_no_label_is_the_null_class():
    net = make()
    x, t = inputs()
    assert net.class_embedding.weight.shape == (4, 64)
    torch.testing.assert_close(net(x, t), net(x, t, torch.full((4,), 3)), rtol=0, atol=1e-6)
    mixed = net(x, t, torch.tensor([0, 3, 1, 3]))
    torch.testing.assert_close(mixed[1], net(x, t)[1], rtol=0, atol=1e-5)
    assert not torch.allclose(mixed[0], net(x, t)[0], atol=1e-3)


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("qk_norm", [False, True])
def test_gradients_reach_every_parameter(scale_shift, qk_norm):
    net = make(scale_shift=scale_shift, qk_norm=qk_norm, patch=2, attention=[0, 1])
    x, t = inputs()
    net(x, t, torch.tensor([0, 1, 2, 3])).square().sum().backward()
    silent = {name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    # A softmax does not see what is added to all of its keys.
    assert all(name.endswith("to_k.bias") for name in silent), silent


def test_a_new_network_learns_from_the_first_step():
    net = UNet(**SMALL)
    x, t = inputs()
    (net(x, t) - x).square().sum().backward()
    assert net.conv_out.weight.grad.abs().max() > 0
    assert net.conv_out.bias.grad.abs().max() > 0


def test_samples_of_a_batch_do_not_meet():
    net = make(blocks=2, attention=[0, 1])
    x, t = inputs(5)
    label = torch.tensor([0, 1, 2, 3, 0])
    together = net(x, t, label)
    for i in range(5):
        alone = net(x[i : i + 1], t[i : i + 1], label[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_memory_format_changes_nothing(channels):
    net = make(in_channels=channels)
    x, t = inputs(channels=channels)
    want = net(x, t)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(last, t), want, rtol=1e-5, atol=1e-5)
    net = net.to(memory_format=torch.channels_last)
    torch.testing.assert_close(net(last, t), want, rtol=1e-5, atol=1e-5)


def test_activations_are_channels_last_whatever_the_input():
    net, seen = make(), []
    for module in (net.conv_in, net.down_blocks[1].resnets[0], net.up_blocks[1].resnets[0]):
        module.register_forward_hook(lambda m, i, out: seen.append(out))
    net(*inputs())
    assert len(seen) == 3
    assert all(h.is_contiguous(memory_format=torch.channels_last) for h in seen)
    assert not any(h.is_contiguous() for h in seen)


def test_a_patch_is_a_pixel_with_more_channels():
    """Patching is a rearrangement around the network with the same weights; here it is by hand."""
    net, plain = make(patch=2, in_channels=3), make(in_channels=12)
    plain.load_state_dict(net.state_dict())
    x, t = inputs(2, channels=3)
    corner = [(c, i, j) for c in range(3) for i in range(2) for j in range(2)]
    folded = plain(torch.stack([x[:, c, i::2, j::2] for c, i, j in corner], dim=1), t)
    want = torch.empty_like(x)
    for n, (c, i, j) in enumerate(corner):
        want[:, c, i::2, j::2] = folded[:, n]
    assert torch.equal(net(x, t), want)


def test_bf16_autocast_forward_and_backward():
    net = make()
    x, t = inputs()
    want = net(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        got = net(x, t)
    assert got.dtype == torch.bfloat16
    error = (got.float() - want).square().mean().sqrt() / want.std()
    assert error < 0.03
    got.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in net.parameters() if p.grad is not None)


def test_whole_network_in_bf16_and_in_float64():
    x, t = inputs()
    for dtype in (torch.bfloat16, torch.float64):
        net = make().to(dtype)
        assert net(x.to(dtype), t).dtype == dtype
        assert net(x.to(dtype), t.double()).dtype == dtype


def test_dropout_only_while_training():
    net = make(dropout=0.5)
    x, t = inputs()
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.allclose(net(x, t), net(x, t), atol=1e-3)


def test_config_round_trip():
    net = make(patch=2, qk_norm=True, dropout=0.1)
    signature = inspect.signature(UNet.__init__).parameters
    assert list(net.config) == [name for name in signature if name != "self"]
    config = json.loads(json.dumps(net.config))
    assert config == net.config
    twin = UNet(**config).eval()
    assert twin.config == net.config
    twin.load_state_dict(net.state_dict())
    x, t = inputs()
    assert torch.equal(twin(x, t), net(x, t))
    net.config["channels"].append(7)
    assert net.config == config


def test_config_of_tuples_is_json():
    assert UNet(channels=(16, 32), attention=(1,)).config["channels"] == [16, 32]


RESNET = ["norm1", "conv1", "time_emb_proj", "norm2", "conv2"]
ATTENTION = ["group_norm", "to_q", "to_k", "to_v", "to_out.0"]


def test_names_are_those_of_diffusers():
    """Recorded from diffusers 0.42.1, UNet2DModel with the same shape."""
    parts = ["conv_in", "time_embedding.linear_1", "time_embedding.linear_2"]
    parts += [f"down_blocks.0.resnets.0.{n}" for n in RESNET] + [
        "down_blocks.0.downsamplers.0.conv"
    ]
    parts += [f"down_blocks.1.attentions.0.{n}" for n in ATTENTION]
    parts += [f"down_blocks.1.resnets.0.{n}" for n in [*RESNET, "conv_shortcut"]]
    parts += [f"up_blocks.0.attentions.{i}.{n}" for i in (0, 1) for n in ATTENTION]
    for i in (0, 1):
        parts += [
            f"up_blocks.{b}.resnets.{i}.{n}" for b in (0, 1) for n in [*RESNET, "conv_shortcut"]
        ]
        parts += [f"mid_block.resnets.{i}.{n}" for n in RESNET]
    parts += [f"mid_block.attentions.0.{n}" for n in ATTENTION]
    parts += ["up_blocks.0.upsamplers.0.conv", "conv_norm_out", "conv_out"]
    names = {f"{part}.{kind}" for part in parts for kind in ("weight", "bias")}
    assert set(UNet(**SMALL).state_dict()) == names | {"class_embedding.weight"}


@pytest.mark.parametrize("classes, bad", [(3, 4), (3, -1)])
def test_a_label_out_of_range_is_named(classes, bad):
    x, t = inputs(2)
    with pytest.raises(
        UsageError, match=rf"{bad}.*classes 0 to {classes - 1} and {classes} for no"
    ):
        make()(x, t, torch.tensor([bad, 0]))


@pytest.mark.parametrize(
    "options, shape, words",
    [
        ({}, (2, 1, 9, 8), ["9x8", "multiples of 2"]),
        ({"patch": 4}, (2, 1, 28, 28), ["28x28", "multiples of 8"]),
        ({}, (2, 3, 8, 8), ["3 channels", "built for 1", "in_channels"]),
    ],
)
def test_wrong_inputs_are_named(options, shape, words):
    with pytest.raises(UsageError) as error:
        make(**options)(torch.randn(*shape), torch.zeros(2))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_labels_without_classes_are_refused():
    with pytest.raises(UsageError, match="num_classes=0"):
        make(num_classes=0)(*inputs(2), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"channels": []}, ["channels=[]", "at least one level"]),
        ({"channels": [16, 0]}, ["channels=[16, 0]"]),
        ({"blocks": 0}, ["blocks=0"]),
        ({"attention": [2]}, ["attention=[2]", "0 (finest) to 1"]),
        ({"patch": 0}, ["patch=0"]),
        ({"norm_groups": 5}, ["16 channels", "5 groups"]),
        ({"head_dim": 24}, ["32 channels", "24", "head_dim"]),
        ({"dropout": -0.1}, ["dropout=-0.1"]),
        ({"num_classes": -1}, ["num_classes=-1"]),
    ],
)
def test_wrong_arguments_are_named(options, words):
    with pytest.raises(UsageError) as error:
        UNet(**{**SMALL, **options})
    assert all(word in str(error.value) for word in words), str(error.value)
