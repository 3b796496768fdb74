"""The U-Net of waves: what a caller relies on."""

import pytest
import torch

from demist.errors import UsageError
from demist.networks import UNet1D, in_line, in_parts

SMALL = {"channels": [16, 32], "num_classes": 3, "head_dim": 16, "part": 4}


def make(**options):
    """A small network with random weights everywhere, also where they start at zero."""
    torch.manual_seed(0)
    net = UNet1D(**{**SMALL, **options})
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(0.1 * torch.randn_like(p) + ("norm" in name and "weight" in name))
    return net.eval()


def inputs(batch=4, length=64):
    return torch.randn(batch, 1, length), torch.linspace(-3, 3, batch)


@pytest.mark.parametrize(
    "options",
    [{}, {"part": 1}, {"part": 8, "channels": [16, 16, 32], "kernel": 5, "attention": [1]},
     {"channels": [12, 20], "blocks": 2, "head_dim": None, "dropout": 0.1}],
)  # fmt: skip
def test_shapes_and_zero_at_the_start(options):
    x, t = inputs()
    label = torch.tensor([0, 1, 2, 3])
    out = UNet1D(**{**SMALL, **options})(x, t, label)
    assert out.shape == x.shape
    assert torch.count_nonzero(out) == 0
    assert make(**options)(x, t, label).std() > 1e-3
    assert make(**options, out_channels=2)(x, t, label).shape == (4, 2, 64)


def test_parts_are_samples_side_by_side_and_come_back():
    x = torch.arange(24.0).reshape(1, 2, 12)
    parts = in_parts(x, 4)
    assert parts.shape == (1, 8, 1, 3)
    assert parts[0, :, 0, 1].tolist() == [4, 5, 6, 7, 16, 17, 18, 19]
    assert torch.equal(in_line(parts, 4), x)


def test_the_path_through_the_network():
    """Two levels, one block each, spelt out block by block, and along one axis."""
    net = make()
    x, t = inputs()
    label = torch.tensor([0, 1, 2, 3])
    silu = torch.nn.functional.silu
    emb = silu(net.time_embedding(t) + net.class_embedding.weight[label])

    def along(conv, y, **how):
        """The same convolution by torch's of one axis."""
        return torch.conv1d(y, conv.weight[:, :, 0], conv.bias, **how)

    def block(net, y):
        z = along(net.conv1, silu(net.norm1(y)), padding=1)
        scale, shift = net.time_emb_proj(emb)[:, :, None].chunk(2, 1)
        z = along(net.conv2, silu(net.norm2(z) * (1 + scale) + shift), padding=1)
        skip = net.conv_shortcut
        return z + (y if isinstance(skip, torch.nn.Identity) else along(skip, y))

    (fine, coarse), (up_coarse, up_fine), mid = net.down_blocks, net.up_blocks, net.mid_block
    a = along(net.conv_in, x.reshape(4, 16, 4).transpose(1, 2), padding=1)
    b = block(fine.resnets[0], a)
    c = along(fine.downsamplers[0].conv, b, stride=2, padding=1)
    d = block(coarse.resnets[0], c)
    y = block(mid.resnets[0], d)
    y = mid.attentions[0](y[:, :, None])[:, :, 0]
    y = block(mid.resnets[1], y)
    for resnet, skip in zip(up_coarse.resnets, (d, c), strict=True):
        y = block(resnet, torch.cat([y, skip], 1))
    y = along(up_coarse.upsamplers[0].conv, y.repeat_interleave(2, 2), padding=1)
    for resnet, skip in zip(up_fine.resnets, (b, a), strict=True):
        y = block(resnet, torch.cat([y, skip], 1))
    y = along(net.conv_out, silu(net.conv_norm_out(y)), padding=1)
    torch.testing.assert_close(
        net(x, t, label), y.transpose(1, 2).reshape(4, 1, 64), atol=1e-5, rtol=1e-5
    )


def test_parameters_are_as_many_as_layers_of_one_axis_have():
    """Counted from torch's layers of one axis: none is spent on a second axis."""
    nn, total, e = torch.nn, 0, 64

    def add(*layers):
        nonlocal total
        total += sum(p.numel() for layer in layers for p in layer.parameters())

    def block(inputs, outputs):
        add(nn.GroupNorm(1, inputs), nn.Conv1d(inputs, outputs, 3), nn.Linear(e, 2 * outputs))
        add(nn.GroupNorm(1, outputs), nn.Conv1d(outputs, outputs, 3))
        if inputs != outputs:
            add(nn.Conv1d(inputs, outputs, 1))

    add(nn.Linear(16, e), nn.Linear(e, e), nn.Embedding(4, e), nn.Conv1d(4, 16, 3))
    for pair in ((16, 16), (16, 32), (32, 32), (32, 32), (64, 32), (48, 32), (48, 16), (32, 16)):
        block(*pair)
    add(nn.Conv1d(16, 16, 3), nn.Conv1d(32, 32, 3))  # a halving and a doubling
    add(nn.GroupNorm(1, 32), *(nn.Linear(32, 32) for _ in range(4)))  # attention at the bottom
    add(nn.GroupNorm(1, 16), nn.Conv1d(16, 4, 3))
    assert sum(p.numel() for p in UNet1D(**SMALL).parameters()) == total


def test_a_shift_by_whole_strides_shifts_the_result():
    """True away from the ends, since nothing in it knows where it is."""
    net = make(attention=[1])
    x = torch.zeros(1, 1, 512)
    x[..., 200:280] = torch.randn(80)
    t, label = torch.tensor([0.3]), torch.tensor([1])
    assert net.multiple == 8
    with torch.no_grad():
        here, there = net(x, t, label), net(x.roll(24, 2), t, label)
        between = net(x.roll(3, 2), t, label)
    inner = slice(128, 384)
    torch.testing.assert_close(here.roll(24, 2)[..., inner], there[..., inner], atol=1e-5, rtol=0)
    assert (here.roll(3, 2) - between)[..., inner].abs().max() > 1e-3


def test_every_input_counts_and_gradients_reach_all():
    inlets = {
        "speaker": {"route": "vector", "classes": 4},
        "pitch": {"route": "vector", "features": 1},
        "text": {"route": "tokens", "features": 8},
        "known": {"route": "concat", "channels": 2},
    }
    net = make(num_classes=0, inlets={"label": {"route": "vector", "classes": 3}, **inlets})
    x, t = inputs(2)
    cond = {
        "label": torch.tensor([0, 1]), "speaker": torch.tensor([1, 2]), "pitch": torch.ones(2, 1),
        "text.states": torch.randn(2, 3, 8), "text.weights": torch.ones(2, 3),
        "text.pooled": torch.randn(2, 8), "known": torch.randn(2, 2, 64),
    }  # fmt: skip
    out = net(x, t, **cond)
    out.square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    changed = {
        "label": torch.tensor([2, 1]), "speaker": torch.tensor([0, 2]),
        **{name: value + torch.cat([torch.randn_like(value[:1]), 0 * value[1:]])
           for name, value in cond.items() if value.is_floating_point() and "weights" not in name},
    }  # fmt: skip
    for name, value in changed.items():
        other = net(x, t, **{**cond, name: value})
        assert (other - out)[0].abs().max() > 1e-4, name
        torch.testing.assert_close(other[1], out[1])
    assert net.columns == {"conv_in.weight": {"state": 4, "known": 8}}
    twin = UNet1D(**net.config)
    twin.load_state_dict(net.state_dict())
    torch.testing.assert_close(twin.eval()(x, t, **cond), out)


@pytest.mark.slow
def test_it_learns_a_tiny_set():
    torch.manual_seed(0)
    net = UNet1D(**{**SMALL, "num_classes": 0})
    wave = torch.sin(torch.arange(64) * 0.4)
    x = torch.stack([wave, wave.flip(0)])[:, None]
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for step in range(40):
        noise = torch.randn(8, 1, 64, generator=torch.Generator().manual_seed(step % 8))
        clean = x.repeat(4, 1, 1)
        loss = (net(0.7 * (clean + noise), torch.zeros(8)) - clean).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.4
    assert sum(losses[-8:]) / 8 < 0.4 * losses[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"part": 0}, "part=0"), ({"kernel": 4}, "odd"), ({"channels": []}, "no network"),
     ({"attention": [2]}, "do not exist"),
     ({"inlets": {"a": {"route": "residual", "channels": 1}}}, "takes no image in")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        UNet1D(**{**SMALL, **options})


def test_waves_that_do_not_fit_are_refused():
    net = make()
    with pytest.raises(UsageError, match="multiples of 8"):
        net(torch.zeros(1, 1, 60), torch.zeros(1))
    with pytest.raises(UsageError, match="halved 1 times in parts of 4"):
        net.require_fit((1, 60))
    with pytest.raises(UsageError, match="add --codec wave"):
        net.require_fit((1, 64, 48))
