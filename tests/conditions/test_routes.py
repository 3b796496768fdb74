"""Every condition through its route: encoded, hidden, saved, and felt by the network."""

import numpy as np
import pytest
import torch

from demist.codecs import Pixels
from demist.conditions import (
    Conditioner,
    Label,
    Labels,
    LowResolution,
    Masked,
    Numbers,
    Picture,
    States,
    Text,
    learn_tokenizer,
)
from demist.core import Denoiser, Linear, Seeded, Velocity
from demist.errors import UsageError
from demist.model import Pipeline, Sampling
from demist.model import folder as model_folder
from demist.networks import UNet

SHAPE = (1, 8, 8)
CAPTIONS = ["a red seven", "a small blue three on a dark background", "one (odd) thing"]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, *SHAPE), np.uint8)
MASKS = RNG.integers(0, 2, (3, 1, 8, 8), np.uint8)

CASES = {
    "label": (Label(("a", "b", "c")), ["a", "c", None]),
    "labels": (Labels(("cat", "dog", "sun")), ["cat, sun", "", None]),
    "numbers": (Numbers(("angle", "size"), (0, 1), (360, 2)), [(90, 1.5), (0, 1), None]),
    "text": (Text(learn_tokenizer(CAPTIONS), 12, 32, 1), [CAPTIONS[0], CAPTIONS[1], None]),
    "picture": (Picture(SHAPE), IMAGES),
    "sketch": (Picture(SHAPE, "residual"), IMAGES),
    "hole": (Masked(SHAPE), (IMAGES, MASKS)),
    "small": (LowResolution(SHAPE), IMAGES),
    "states": (States(4, 6), RNG.standard_normal((3, 4, 6))),
    "face": (States(4, 6, "extra"), RNG.standard_normal((3, 4, 6))),
}
every_case = pytest.mark.parametrize("name", CASES)


def pipeline(*names):
    conditioner = Conditioner({name: CASES[name][0] for name in names})
    net = UNet(channels=(16, 32), norm_groups=4, head_dim=16, inlets=conditioner.specs(), patch=2)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=g))
    return Pipeline(
        Denoiser(net, Linear(), Velocity()), Pixels(), conditioner, SHAPE, Sampling(steps=2)
    )


@every_case
def test_encoded_as_named_tensors_with_a_null(name):
    condition, values = CASES[name]
    conditioner = Conditioner({name: condition})
    cond = conditioner.encode(3, {name: values})
    parts = condition.encode(values, 3)
    assert list(cond) == ([name] if len(parts) == 1 else [f"{name}.{part}" for part in parts])
    assert all(a is not None and torch.equal(a, b) for a, b in zip(cond.values(), parts.values()))
    null = conditioner.null(cond)
    nothing = conditioner.encode(3, {})
    assert cond.keys() == null.keys() == nothing.keys()
    for key, value in cond.items():
        assert len(value) == 3
        assert null[key].shape == value.shape
        assert null[key].dtype == value.dtype
        assert torch.equal(null[key], nothing[key])
        if name in ("label", "labels", "numbers", "text"):  # these have None among their values
            assert torch.equal(value[2], null[key][2])
    assert any(not torch.equal(value[0], null[key][0]) for key, value in cond.items())


@every_case
def test_training_hides_exactly_what_guidance_leads_away_from(name):
    condition, values = CASES[name]
    conditioner = Conditioner({name: condition})
    cond = conditioner.encode(3, {name: values})
    u = torch.tensor([0.05, 0.5, 0.05], dtype=torch.float64)
    hidden = conditioner.drop(cond, lambda key: u)
    null = conditioner.null(cond)
    assert hidden.keys() == cond.keys()
    for key in cond:
        assert torch.equal(hidden[key][[0, 2]], null[key][[0, 2]])
        assert torch.equal(hidden[key][1], cond[key][1])


@every_case
def test_the_network_feels_it_and_each_sample_only_its_own(name):
    p = pipeline(name)
    net, values = p.denoiser.net.eval(), CASES[name][1]
    x, t = torch.randn(3, *SHAPE), torch.full((3,), 0.3)
    cond = p.conditioner.encode(3, {name: values})
    with torch.no_grad():
        told = net(x, t, **cond)
        silent = net(x, t, **p.conditioner.null(cond))
        assert not torch.allclose(told[0], silent[0], atol=1e-4)
        null = p.conditioner.null(cond)
        mixed = {key: torch.cat([cond[key][:1], null[key][1:]]) for key in cond}
        torch.testing.assert_close(net(x, t, **mixed)[0], told[0])
        torch.testing.assert_close(net(x, t, **mixed)[1], silent[1])


@every_case
def test_gradients_reach_every_parameter(name):
    p = pipeline(name)
    net, values = p.denoiser.net, CASES[name][1]
    cond = p.conditioner.encode(3, {name: values})
    net(torch.randn(3, *SHAPE), torch.rand(3), **cond).square().sum().backward()
    still = [n for n, w in net.named_parameters() if w.grad is None or not w.grad.any()]
    assert still == []


def test_saved_and_read_back_with_all_at_once(tmp_path):
    p = pipeline(*CASES)
    p.save(tmp_path / "model")
    q = Pipeline.load(tmp_path / "model")
    assert q.conditioner == p.conditioner
    said = {name: values for name, (_, values) in CASES.items()}
    for guidance in (1.0, 3.0):
        made = p.sample(3, guidance=guidance, **said)
        assert np.array_equal(made, q.sample(3, guidance=guidance, **said))
    assert all(model_folder.to_json(c)["kind"] in model_folder.kinds() for c, _ in CASES.values())


def test_a_network_is_given_what_it_was_built_for():
    net = pipeline("text").denoiser.net
    with pytest.raises(UsageError, match="given the conditions none and was built for text"):
        net(torch.randn(1, *SHAPE), torch.rand(1))


def test_groups_are_hidden_together_and_others_apart():
    conditioner = Conditioner(
        {
            "a": Numbers(("a",), (0,), (1,), group="both"),
            "b": Labels(("x",), group="both"),
            "c": Labels(("y",)),
        }
    )
    cond = conditioner.encode(2, {"a": [0.5, 0.5], "b": ["x", "x"], "c": ["y", "y"]})
    asked = []

    def uniforms(name):
        asked.append(name)
        low, high = (0.0, 1.0) if name == "both" else (1.0, 0.0)
        return torch.tensor([low, high], dtype=torch.float64)

    null, out = conditioner.null(cond), conditioner.drop(cond, uniforms)
    assert asked == ["both", "both", "c"]
    for name, hidden in (("a", 0), ("b", 0), ("c", 1)):
        for key in (key for key in cond if key.startswith(name)):
            assert torch.equal(out[key][hidden], null[key][hidden])
            assert torch.equal(out[key][1 - hidden], cond[key][1 - hidden])
    with pytest.raises(ValueError, match="a group has one rate"):
        Conditioner({"a": Labels(("x",), group="g"), "b": Labels(("x",), drop=0.2, group="g")})


def test_numbers_are_distinct_within_range_and_refused_outside():
    n = Numbers(("angle", "size"), (0, 1), (360, 2))
    features = n.encode([(90, 1.5)], 1)["features"]
    u, angles = torch.tensor([0.25, 0.5]), 2.0 ** torch.arange(6)
    turned = torch.pi * u[:, None] * angles
    want = torch.cat([u[:, None], turned.cos(), turned.sin()], 1).flatten()
    torch.testing.assert_close(features[0], want, rtol=0, atol=1e-5)
    assert not torch.allclose(features, n.encode([(91, 1.5)], 1)["features"], atol=1e-3)
    for same in ([(90, 1.5)] * 2, np.array([[90, 1.5]] * 2)):
        assert torch.equal(n.encode(same, 2)["features"], n.encode((90, 1.5), 2)["features"])
    one = Numbers(("t",), (-1,), (1,))
    assert torch.equal(one.encode(0.5, 3)["features"], one.encode([0.5] * 3, 3)["features"])
    with pytest.raises(UsageError, match="angle = 400 is outside 0 to 360"):
        n.encode([(400, 1)], 1)
    with pytest.raises(UsageError, match="there are 2: angle, size"):
        n.encode([(4,)], 1)


def test_labels_say_none_of_them_and_nothing_apart():
    labels = Labels(("cat", "dog"))
    found = labels.encode(["", "dog,cat", "cat|dog", None], 4)
    assert found["classes"].tolist() == [[0, 0], [1, 1], [1, 1], [0, 0]]
    assert found["unsaid"].tolist() == [[0], [0], [0], [1]]
    assert labels.encode(np.array([[1, 0]]), 1)["classes"].tolist() == [[1, 0]]
    with pytest.raises(UsageError, match="there is no class 'cow'"):
        labels.encode("cow", 1)


def test_masked_shows_nothing_of_the_hole():
    encoded = Masked(SHAPE).encode((IMAGES, MASKS), 3)
    hole = torch.from_numpy(MASKS).bool()
    assert (encoded["image"][hole] == 0).all()
    torch.testing.assert_close(
        encoded["image"][~hole], torch.from_numpy(IMAGES)[~hole].float() / 127.5 - 1
    )
    assert torch.equal(encoded["mask"], hole.float())
    both = Masked(SHAPE).encode(np.concatenate([IMAGES, MASKS], 1), 3)
    assert all(torch.equal(both[part], value) for part, value in encoded.items())
    with pytest.raises(UsageError, match="a mask holds 0"):
        Masked(SHAPE).encode((IMAGES, MASKS * 255), 3)


def test_low_resolution_is_small_and_noisy_only_in_training():
    condition = LowResolution((1, 8, 8), factor=4, noise=0.5, drop=0.0)
    flat = np.full((500, 1, 8, 8), 128, np.uint8)
    encoded = condition.encode(flat, 500)
    assert len(encoded["image"][0].unique()) == 1
    assert (encoded["level"] == 0).all()
    small = condition.encode(np.full((500, 1, 2, 2), 128, np.uint8), 500)
    assert all(torch.equal(small[part], value) for part, value in encoded.items())
    noisy = condition.augment(encoded, Seeded(range(500)))
    assert len(noisy["image"][0].unique()) == 4  # one draw per pixel of the small picture
    level = noisy["level"][:, 0, 0, 0]
    assert 0 <= level.min() < 0.05 < 0.95 < level.max() <= 1
    off = (noisy["image"] - encoded["image"])[:, 0, ::4, ::4].flatten(1)
    torch.testing.assert_close((off / level[:, None]).std(), torch.tensor(0.5), rtol=0.1, atol=0)
    with pytest.raises(UsageError, match="this condition takes"):
        condition.encode(np.zeros((2, 3, 2, 2), np.uint8), 2)
    with pytest.raises(ValueError, match="no multiples of 3"):
        LowResolution((1, 8, 8), factor=3)
