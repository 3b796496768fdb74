"""Building blocks against formulas written out by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from demist.errors import UsageError
from demist.networks import layers


def fill(module, scale=0.2):
    """Random weights everywhere, also where they start at zero."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(scale * torch.randn_like(p) + ("norm" in name and "weight" in name))
    return module


def test_sinusoid_is_the_formula():
    t = torch.tensor([-3.0, 0.0, 0.7], dtype=torch.float64)
    got = layers.sinusoid(t, 6, 30.0, 1000.0)
    for row, time in zip(got, t, strict=True):
        angles = [float(time) * 30.0 * 1000.0 ** (-i / 3) for i in range(3)]
        want = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
        assert row.tolist() == pytest.approx(want, abs=1e-12)


def test_sinusoid_tells_late_discrete_times_apart_in_a_bf16_network():
    table = layers.TimeEmbedding(32, 16, 1.0, 10000.0).to(torch.bfloat16)
    assert layers.sinusoid(torch.tensor([998.0, 999.0]), 32, 1.0, 1e4).diff(dim=0).abs().max() > 0.5
    a, b = table(torch.tensor([998.0, 999.0]))
    assert a.dtype == torch.bfloat16
    assert not torch.equal(a, b)


def test_default_features_tell_clocks_of_order_one_apart():
    t = torch.linspace(-10, 10, 401)
    x = layers.sinusoid(t, 64, 30.0, 1000.0)
    distance = torch.cdist(x, x) + 1e3 * torch.eye(len(t))
    assert distance.min() > 0.5  # neighbours 0.05 apart; no two times look alike


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_attention_is_softmax_of_products(heads, dtype):
    q, k, v = torch.randn(3, 2, heads, 10, 8, dtype=torch.float64).to(dtype).double()
    want = torch.empty_like(v)
    for b in range(2):
        for h in range(heads):
            for i in range(10):
                w = torch.exp(k[b, h] @ q[b, h, i] / math.sqrt(8))
                want[b, h, i] = (w / w.sum()) @ v[b, h]
    got = layers.attend(q.to(dtype), k.to(dtype), v.to(dtype))
    assert got.dtype == dtype
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 4e-2}[dtype]
    torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_attention_block_by_hand(qk_norm):
    block = fill(layers.Attention(8, head_dim=4, norm_groups=2, qk_norm=qk_norm)).double()
    x = torch.randn(2, 8, 3, 5, dtype=torch.float64)
    y = F.group_norm(x, 2, block.group_norm.weight, block.group_norm.bias)
    tokens = torch.stack([y[:, :, r, c] for r in range(3) for c in range(5)], dim=1)
    q, k, v = (p(tokens) for p in (block.to_q, block.to_k, block.to_v))
    outputs = []
    for head in (slice(0, 4), slice(4, 8)):
        a, b = q[..., head], k[..., head]
        if qk_norm:
            a = a / (a.square().mean(-1, keepdim=True) + 1e-5).sqrt() * block.norm_q.weight
            b = b / (b.square().mean(-1, keepdim=True) + 1e-5).sqrt() * block.norm_k.weight
        weight = torch.softmax(torch.einsum("bic,bjc->bij", a, b) / 2, dim=-1)
        outputs.append(weight @ v[..., head])
    out = block.to_out[0](torch.cat(outputs, dim=-1))
    want = x.clone()
    for i in range(15):
        want[:, :, i // 5, i % 5] += out[:, i]
    torch.testing.assert_close(block(x), want)


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("outputs", [8, 12])
def test_residual_block_by_hand(scale_shift, outputs):
    block = fill(layers.ResBlock(8, outputs, 6, norm_groups=4, scale_shift=scale_shift)).double()
    x, emb = torch.randn(2, 8, 5, 4, dtype=torch.float64), torch.randn(2, 6, dtype=torch.float64)
    w = dict(block.named_parameters())
    silu = lambda z: z * torch.sigmoid(z)  # noqa: E731
    norm = lambda z, n: F.group_norm(z, 4, w[f"{n}.weight"], w[f"{n}.bias"])  # noqa: E731
    y = F.conv2d(silu(norm(x, "norm1")), w["conv1.weight"], w["conv1.bias"], padding=1)
    told = (emb @ w["time_emb_proj.weight"].T + w["time_emb_proj.bias"])[..., None, None]
    if scale_shift:
        y = norm(y, "norm2") * (1 + told[:, :outputs]) + told[:, outputs:]
    else:
        y = norm(y + told, "norm2")
    y = F.conv2d(silu(y), w["conv2.weight"], w["conv2.bias"], padding=1)
    skip = x
    if outputs != 8:
        skip = F.conv2d(x, w["conv_shortcut.weight"], w["conv_shortcut.bias"])
    torch.testing.assert_close(block(x, emb), skip + y)


def test_new_branches_are_the_identity():
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(layers.Attention(16)(x), x)
    assert torch.equal(layers.ResBlock(16, 16, 8)(x, torch.randn(2, 8)), x)


def test_resampling_halves_and_doubles():
    x = torch.randn(2, 3, 6, 4)
    down, up = layers.Downsample(3), layers.Upsample(3)
    with torch.no_grad():
        for conv in (down.conv, up.conv):
            conv.weight.copy_(nn.init.dirac_(torch.empty_like(conv.weight)))
            conv.bias.zero_()
    assert torch.equal(down(x), x[:, :, ::2, ::2])
    assert torch.equal(up(x), x.repeat_interleave(2, 2).repeat_interleave(2, 3))


@pytest.mark.parametrize(
    "channels, groups", [(16, 1), (64, 4), (96, 6), (24, 3), (30, 15), (8, 1), (192, 12)]
)
def test_default_groups_hold_sixteen_channels_or_what_fits(channels, groups):
    norm = layers.group_norm(channels, None)
    assert norm.num_groups == groups
    assert channels % groups == 0


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: layers.group_norm(30, 4), ["30 channels", "4 groups", "norm_groups"]),
        (lambda: layers.Attention(48, head_dim=32), ["48 channels", "32", "head_dim"]),
        (lambda: layers.TimeEmbedding(7, 8, 1.0, 10.0), ["7 time features", "even"]),
        (lambda: layers.TimeEmbedding(8, 8, 0.0, 10.0), ["time_scale=0.0", "time_scale > 0"]),
        (lambda: layers.TimeEmbedding(8, 8, 1.0, 1.0), ["max_period=1.0", "max_period > 1"]),
        (lambda: layers.class_table(-1, 8), ["num_classes=-1", "use 0"]),
        (lambda: layers.dropout_layer(1.0), ["dropout=1.0", "[0, 1)"]),
    ],
)
def test_wrong_sizes_are_named(build, words):
    with pytest.raises(UsageError) as error:
        build()
    assert all(word in str(error.value) for word in words), str(error.value)
