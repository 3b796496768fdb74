"""The transformer: what every network must do, and the equivalences that pin it."""

import inspect

import pytest
import torch
import torch.nn.functional as F

from demist.errors import UsageError
from demist.networks import DiT, attention_maps
from demist.networks.dit import positions

TEXT = {"text": {"route": "tokens", "vocabulary": 9, "length": 6, "width": 32, "depth": 1}}


def make(seed=0, **options):
    net = DiT(**{"width": 32, "depth": 2, "head_dim": 8} | options)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=g))
    return net


def said(*rows):
    tokens, weights = torch.zeros(len(rows), 6, dtype=torch.long), torch.zeros(len(rows), 6)
    for row, ids in enumerate(rows):
        tokens[row, : len(ids)], weights[row, : len(ids)] = torch.tensor(ids), 1
    return {"text.tokens": tokens, "text.weights": weights}


@pytest.mark.parametrize("inlets", [{}, TEXT], ids=["plain", "text"])
def test_zero_at_the_start(inlets):
    net = DiT(in_channels=3, out_channels=6, width=32, inlets=inlets)
    cond = said([2, 4], [2]) if inlets else {}
    y = net(torch.randn(2, 3, 8, 12), torch.rand(2), **cond)
    assert y.shape == (2, 6, 8, 12)
    assert (y == 0).all()


@pytest.mark.parametrize("inlets", [{}, TEXT], ids=["plain", "text"])
def test_gradients_reach_every_parameter(inlets):
    net = make(num_classes=3, inlets=inlets, qk_norm=True)
    cond = said([2, 4, 5], [2, 1]) if inlets else {}
    x, t, label = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 3])
    net(x, t, label, **cond).square().sum().backward()
    still = [n for n, w in net.named_parameters() if w.grad is None or not w.grad.any()]
    assert still == []


def test_every_input_matters_to_its_own_sample_only():
    net = make(num_classes=3, inlets=TEXT).eval()
    x, t, label = torch.randn(3, 1, 8, 8), torch.rand(3), torch.tensor([0, 1, 2])
    text = said([2, 4, 5], [2, 4], [2])
    with torch.no_grad():
        base = net(x, t, label, **text)
        for changed in (
            net(x + torch.tensor([1.0, 0, 0])[:, None, None, None], t, label, **text),
            net(x, t + torch.tensor([0.3, 0, 0]), label, **text),
            net(x, t, torch.tensor([1, 1, 2]), **text),
            net(x, t, label, **said([2, 4, 6], [2, 4], [2])),
            net(x, t, label, **said([2, 5, 4], [2, 4], [2])),
        ):
            assert not torch.allclose(changed[0], base[0], atol=1e-5)
            torch.testing.assert_close(changed[1:], base[1:])
        alone = net(x[1:2], t[1:2], label[1:2], **{k: v[1:2] for k, v in text.items()})
        torch.testing.assert_close(alone, base[1:2])


def test_a_word_of_weight_zero_is_not_there_and_of_weight_two_is_heard_more():
    net = make(inlets=TEXT).eval()
    x, t, text = torch.randn(1, 1, 8, 8), torch.rand(1), said([2, 4, 5])
    with torch.no_grad():
        base = net(x, t, **text)
        padded = {key: value.clone() for key, value in text.items()}
        padded["text.tokens"][0, 4] = 7  # another word, of weight 0
        torch.testing.assert_close(net(x, t, **padded), base)
        louder = {key: value.clone() for key, value in text.items()}
        louder["text.weights"][0, 1] = 2
        assert not torch.allclose(net(x, t, **louder), base, atol=1e-5)


def test_one_block_is_the_papers():
    """adaLN-zero written out for a single stream, with the module's own weights."""
    net = make(depth=1, qk_norm=False)
    stream, c = net.blocks[0].image, 32
    x, emb = torch.randn(2, 5, c), torch.randn(2, c)
    got, _ = net.blocks[0](x, None, emb, None)
    shift, scale, gate, shift_2, scale_2, gate_2 = (
        part[:, None] for part in stream.modulation(emb).chunk(6, 1)
    )
    h = F.layer_norm(x, (c,)) * (1 + scale) + shift
    q, k, v = stream.to_qkv(h).chunk(3, 2)
    out = []
    for i in range(0, c, 8):
        a = (q[..., i : i + 8] @ k[..., i : i + 8].mT / 8**0.5).softmax(-1)
        out.append(a @ v[..., i : i + 8])
    y = x + gate * stream.to_out(torch.cat(out, 2))
    h = F.layer_norm(y, (c,)) * (1 + scale_2) + shift_2
    y = y + gate_2 * stream.linear_2(F.gelu(stream.linear_1(h), approximate="tanh"))
    torch.testing.assert_close(got, y)


def test_maps_of_the_joint_attention():
    net = make(inlets=TEXT).eval()
    with torch.no_grad(), attention_maps(net) as maps:
        net(torch.randn(1, 1, 8, 8), torch.rand(1), **said([2, 4, 5]))
    assert maps["blocks.0"].shape == (1, 4, 16 + 6, 16 + 6)
    assert maps["blocks.1"].shape == (1, 4, 16, 16 + 6)  # the last block's words only answer
    assert (maps["blocks.1"][..., -3:] == 0).all()


def test_positions_tell_all_places_apart():
    p = positions(5, 7, 32)
    assert p.shape == (35, 32)
    assert torch.cdist(p, p).add(torch.eye(35) * 9).min() > 0.1


def test_config_round_trip_and_mistakes():
    net = make(inlets=TEXT, patch=4, qk_norm=False)
    signature = inspect.signature(DiT.__init__).parameters
    assert list(net.config) == [name for name in signature if name != "self"]
    assert DiT(**net.config).config == net.config
    with pytest.raises(UsageError, match="multiple of head_dim"):
        DiT(width=30, head_dim=8)
    with pytest.raises(UsageError, match="use the route tokens"):
        DiT(inlets={"face": {"route": "extra", "features": 4}})
    with pytest.raises(UsageError, match="patches of 4"):
        net(torch.randn(1, 1, 6, 6), torch.rand(1), **said([2]))
