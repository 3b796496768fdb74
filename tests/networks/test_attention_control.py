"""Who is in control of attention is asked by every network, and is told what its keys are."""

import pytest
import torch
from test_published_values import CASES, INPUTS, waves

from demist.networks import (
    DiT,
    MMDiTNetwork,
    SDNetwork,
    UNet,
    controlled,
    probabilities,
    published,
    written_out,
)

TEXT = {"text": {"route": "tokens", "vocabulary": 9, "length": 5, "width": 32, "depth": 1}}
SAID = {
    "text.tokens": torch.tensor([[2, 4, 5, 3, 0], [2, 4, 6, 7, 8]]),
    "text.weights": torch.tensor([[1.0, 1, 1, 1, 0], [1, 1, 1, 1, 1]]),
}
U = {"channels": (16, 32), "attention": (0,), "cross": (1,)}
OWN = {
    "unet": (lambda: UNet(in_channels=4, inlets=TEXT, **U), {(64, 64, 0), (16, 16, 0), (16, 5, 5)}),
    "dit": (lambda: DiT(in_channels=4, width=32, depth=2, inlets=TEXT), {(21, 21, 5), (16, 21, 5)}),
    "sd": (
        lambda: SDNetwork(channels=(32, 32), cross=(1,), inlets=TEXT),
        {(16, 16, 0), (16, 5, 5)},
    ),
    "mmdit": (lambda: MMDiTNetwork(side=8, width=32, depth=2, inlets=TEXT), {(21, 21, 5)}),
}
THEIRS = {
    "UNet2D": {(16, 16, 0)},
    "UNet2DCondition": {(64, 64, 0), (64, 5, 5), (16, 16, 0), (16, 5, 5)},
    "SD3Transformer": {(21, 21, 5), (16, 16, 0)},
    "DiT2D": {(16, 16, 0)},
    "FluxTransformer": {(21, 21, 5)},
    "PixArtTransformer": {(16, 16, 0), (16, 5, 5)},
}


def made(name):
    """A network, its inputs, and `(queries, keys, words)` of its attention."""
    torch.manual_seed(0)
    x, t = waves(2, 4, 8, 8), torch.tensor([3.0, 700.0])
    if name in OWN:
        make, sites = OWN[name]
        net, cond = make().eval(), SAID
    else:
        config, names, _ = CASES[name]
        net, sites = getattr(published, name).from_json(config, "here").eval(), THEIRS[name]
        net.routes, cond = {"sides": "sizes"}, {n: INPUTS[n] for n in names}
    for parameter in net.parameters():
        parameter.data = parameter.data + 0.05 * torch.randn_like(parameter)
    return net, lambda: net(x, t, **cond), sites


@pytest.mark.parametrize("name", [*OWN, *THEIRS])
def test_who_is_in_control_is_asked(name):
    _, run, sites = made(name)
    seen = []

    def watch(mix, q, k, v, bias, words):
        assert (bias is None) or bias.shape[-1] == k.shape[2]
        if words is not None:
            seen.append((q.shape[2], k.shape[2], words))
        return mix(q, k, v, bias)

    def blind(mix, q, k, v, bias, words):
        return 0 * q if words else mix(q, k, v, bias)

    with torch.no_grad():
        plain = run()
        with controlled(watch):
            assert torch.equal(run(), plain)
        with controlled(blind):
            blinded = run()
        assert torch.equal(run(), plain)
    assert set(seen) == sites
    assert torch.equal(blinded, plain) != any(words for _, _, words in sites)


def test_rows_of_probabilities_mix_the_values():
    q, k, v = waves(2, 3, 7, 4, rate=0.3), waves(2, 3, 5, 4), waves(2, 3, 5, 4, rate=0.2)
    bias = waves(2, 1, 1, 5, rate=2.0)
    rows = probabilities(q, k, bias)
    torch.testing.assert_close(rows.sum(-1), torch.ones(2, 3, 7))
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v, bias)
    torch.testing.assert_close(rows @ v, want)
    torch.testing.assert_close(written_out(q, k, v, bias), want)
