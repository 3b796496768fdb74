"""A trained network that is told more equals the one that it was."""

import pytest
import torch

from demist.errors import UsageError
from demist.networks import (
    MLP,
    DiT,
    MMDiTNetwork,
    Network,
    SDNetwork,
    UNet,
    UNet2DNetwork,
    widened,
)

WORDS = {"route": "tokens", "vocabulary": 9, "length": 4, "width": 32, "depth": 1}
CLASSES = {"route": "vector", "classes": 3}
NUMBERS = {"route": "vector", "features": 2}
SIZES = {"route": "vector", "sizes": 2}
BESIDE = {"route": "concat", "channels": 2}
OVER = {"route": "residual", "channels": 2}
MAKE = {
    "unet": lambda inlets: UNet(
        in_channels=2, channels=(8, 16), head_dim=8, norm_groups=2, patch=2, inlets=inlets
    ),
    "dit": lambda inlets: DiT(in_channels=2, width=32, depth=2, head_dim=8, inlets=inlets),
    "sd": lambda inlets: SDNetwork(
        in_channels=2, channels=(8, 16), cross=(1,), head_dim=8, inlets=inlets
    ),
    "mmdit": lambda inlets: MMDiTNetwork(
        in_channels=2, side=8, width=32, depth=2, head_dim=8, inlets=inlets
    ),
    "unet2d": lambda inlets: UNet2DNetwork(in_channels=2, channels=(8, 16), inlets=inlets),
}


def learned(net: Network) -> Network:
    """With weights as if it had learned: none is zero."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return net.eval()


def told(inlets, dtype):
    """Something for every condition."""
    draw, out = torch.Generator().manual_seed(2), {}
    for name, spec in inlets.items():
        if "vocabulary" in spec:
            out[f"{name}.tokens"] = torch.randint(9, (3, 4), generator=draw)
            out[f"{name}.weights"] = torch.ones(3, 4, dtype=dtype)
        elif "classes" in spec:
            out[name] = torch.tensor([0, 2, 3])
        elif "channels" in spec:
            out[name] = torch.randn(3, spec["channels"], 8, 8, generator=draw, dtype=dtype)
        else:
            count = spec.get("features") or spec["sizes"]
            out[name] = torch.randn(3, count, generator=draw, dtype=dtype)
    return out


CASES = [
    ("unet", {}, {}),
    ("unet", {}, {"a": CLASSES}),
    ("unet", {"a": CLASSES}, {"b": CLASSES, "c": NUMBERS, "d": SIZES}),
    ("unet", {"p": WORDS, "a": BESIDE}, {"b": BESIDE, "c": OVER}),
    ("unet", {"a": NUMBERS}, {"p": WORDS}),
    ("unet", {"p": WORDS}, {"q": {**WORDS, "route": "extra"}}),
    ("dit", {"p": WORDS, "a": BESIDE}, {"b": BESIDE, "c": OVER, "d": CLASSES}),
    ("dit", {"a": CLASSES}, {"b": NUMBERS, "c": SIZES}),
    ("sd", {"p": WORDS}, {"b": BESIDE}),
    ("sd", {"p": WORDS}, {"a": CLASSES}),
    ("sd", {"p": WORDS, "a": CLASSES}, {"c": NUMBERS}),
    ("sd", {"p": WORDS}, {"d": SIZES, "c": NUMBERS}),
    ("sd", {"p": WORDS, "d": SIZES}, {"e": SIZES, "a": CLASSES, "b": BESIDE}),
    ("mmdit", {"p": WORDS}, {"b": BESIDE, "a": CLASSES}),
    ("mmdit", {"p": WORDS, "a": CLASSES}, {"c": NUMBERS, "d": SIZES}),
    ("mmdit", {}, {"d": SIZES}),
    ("unet2d", {}, {}),
    ("unet2d", {}, {"b": BESIDE}),
    ("unet2d", {"a": BESIDE}, {"b": BESIDE}),
    ("sd", {"a": BESIDE}, {"b": BESIDE, "c": BESIDE}),
    ("mmdit", {"a": BESIDE, "p": WORDS}, {"b": BESIDE}),
]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_widened_network_equals_its_base_bit_for_bit_and_learns_what_is_new(number, dtype):
    kind, old, new = CASES[number]
    base = learned(MAKE[kind](old)).to(dtype)
    torch.manual_seed(3)
    made = widened(base, {**old, **new})
    assert {*made.taken, *made.wider, *made.new} == made.net.state_dict().keys()
    assert bool(made.new or made.wider) == bool(new)
    both = told({**old, **new}, dtype)
    only = {key: value for key, value in both.items() if key.partition(".")[0] in old}
    x = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(4)).to(dtype)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=dtype)
    theirs, ours = base(x, t, **only), made.net.to(dtype)(x, t, **both)
    assert float(theirs.detach().std()) > 0.01
    vectors = any(made.net.get_parameter(name).ndim == 2 for name in made.wider)
    close = 20 * torch.finfo(dtype).eps if vectors else 0.0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=close)
    # One step, and what is new counts.
    (
        ours - torch.randn(ours.shape, generator=torch.Generator().manual_seed(5))
    ).square().mean().backward()
    for name, columns in made.net.columns.items():
        grad = made.net.get_parameter(name).grad
        for what, part in zip(columns, grad.split(list(columns.values()), 1), strict=True):
            assert new.get(what, {}).get("route") != "concat" or part.abs().sum((0, 2, 3)).all()
    with torch.no_grad():
        for weight in made.net.parameters():
            weight -= 0.1 * torch.zeros_like(weight) if weight.grad is None else 0.1 * weight.grad
    for name in new:
        changed = {
            key: value.roll(1, 0) if key.partition(".")[0] == name else value
            for key, value in both.items()
        }
        assert not torch.equal(made.net(x, t, **changed), made.net(x, t, **both)), name


def test_points():
    base = learned(MLP(features=2, width=16, depth=1, num_classes=3)).double()
    specs = {"label": CLASSES, "c": NUMBERS}
    net = widened(base, specs).net.double()
    x, t, cond = torch.randn(3, 2).double(), torch.rand(3).double(), told(specs, torch.float64)
    ours, theirs = net(x, t, **cond), base(x, t, label=cond["label"])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("kind", "old", "new", "words"),
    [
        ("unet", {"p": WORDS}, {"q": WORDS}, "share the attention"),
        ("dit", {}, {"p": WORDS}, "p cannot be told to a dit"),
        ("sd", {}, {"p": WORDS}, "network sd"),
        ("mmdit", {}, {"p": WORDS}, "network mmdit"),
        ("sd", {}, {"c": OVER}, "route residual"),
        ("unet2d", {}, {"a": CLASSES}, "no other conditions"),
    ],
)
def test_what_cannot_be_added(kind, old, new, words):
    with pytest.raises(UsageError, match=words):
        widened(MAKE[kind](old), {**old, **new})


def test_conditions_of_the_base_stay_as_they_are():
    base = MAKE["unet"]({"a": CLASSES})
    for specs in ({}, {"b": BESIDE, "a": CLASSES}, {"a": {**CLASSES, "classes": 4}}):
        with pytest.raises(UsageError, match="keep its conditions"):
            widened(base, specs)
