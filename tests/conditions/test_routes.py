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
    inlets = conditioner.specs()
    classes = inlets.pop("label")["classes"] if "label" in inlets else 0
    net = UNet(
        channels=(16, 32), norm_groups=4, head_dim=16, num_classes=classes, inlets=inlets, patch=2
    )
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=g))
    return Pipeline(
        Denoiser(net, Linear(), Velocity()), Pixels(), conditioner, SHAPE, Sampling(steps=2)
    )


@every_case
def test_encoded_one_tensor_per_condition_with_a_null(name):
    condition, values = CASES[name]
    encoded = condition.encode(values, 3)
    assert len(encoded) == 3
    null = condition.null(encoded)
    assert null.shape == encoded.shape
    assert null.dtype == encoded.dtype
    torch.testing.assert_close(condition.encode(None, 3), null)
    assert not torch.equal(encoded[0], null[0])
    if name in ("label", "labels", "numbers", "text"):  # these have None among their values
        assert torch.equal(encoded[2], null[2])
    torch.testing.assert_close(condition.null(null), null)


@every_case
def test_training_hides_exactly_what_guidance_leads_away_from(name):
    condition, values = CASES[name]
    conditioner = Conditioner({name: condition})
    cond = conditioner.encode(3, {name: values})
    u = torch.tensor([0.05, 0.5, 0.05], dtype=torch.float64)
    hidden = conditioner.drop(cond, lambda key: u)
    null = conditioner.null(cond)
    torch.testing.assert_close(hidden[name][[0, 2]], null[name][[0, 2]])
    torch.testing.assert_close(hidden[name][1], cond[name][1])


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
        mixed = {name: torch.cat([cond[name][:1], p.conditioner.null(cond)[name][1:]])}
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
        assert torch.equal(out[name][hidden], null[name][hidden])
        assert torch.equal(out[name][1 - hidden], cond[name][1 - hidden])
    with pytest.raises(ValueError, match="a group has one rate"):
        Conditioner({"a": Labels(("x",), group="g"), "b": Labels(("x",), drop=0.2, group="g")})


def test_numbers_are_distinct_within_range_and_refused_outside():
    n = Numbers(("angle", "size"), (0, 1), (360, 2))
    assert not torch.allclose(n.encode([(90, 1.5)], 1), n.encode([(91, 1.5)], 1), atol=1e-3)
    torch.testing.assert_close(n.encode((90, 1.5), 2), n.encode([(90, 1.5)] * 2, 2))
    torch.testing.assert_close(n.encode(np.array([[90, 1.5]] * 2), 2), n.encode((90, 1.5), 2))
    one = Numbers(("t",), (-1,), (1,))
    torch.testing.assert_close(one.encode(0.5, 3), one.encode([0.5] * 3, 3))
    with pytest.raises(UsageError, match="angle = 400 is outside 0 to 360"):
        n.encode([(400, 1)], 1)
    with pytest.raises(UsageError, match="there are 2: angle, size"):
        n.encode([(4,)], 1)


def test_labels_say_none_of_them_and_nothing_apart():
    labels = Labels(("cat", "dog"))
    assert labels.encode(["", "dog,cat", None], 3).tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert labels.encode(np.array([[1, 0]]), 1).tolist() == [[1, 0, 0]]
    with pytest.raises(UsageError, match="there is no class 'cow'"):
        labels.encode("cow", 1)


def test_masked_shows_nothing_of_the_hole():
    encoded = Masked(SHAPE).encode((IMAGES, MASKS), 3)
    hole = torch.from_numpy(MASKS).bool()
    assert (encoded[:, :1][hole] == 0).all()
    torch.testing.assert_close(
        encoded[:, :1][~hole], torch.from_numpy(IMAGES)[~hole].float() / 127.5 - 1
    )
    assert torch.equal(encoded[:, 1:], hole.float())
    both = np.concatenate([IMAGES, MASKS], 1)
    assert torch.equal(Masked(SHAPE).encode(both, 3), encoded)
    with pytest.raises(UsageError, match="a mask holds 0"):
        Masked(SHAPE).encode((IMAGES, MASKS * 255), 3)


def test_low_resolution_is_small_and_noisy_only_in_training():
    condition = LowResolution((1, 8, 8), factor=4, noise=0.5, drop=0.0)
    flat = np.full((500, 1, 8, 8), 128, np.uint8)
    encoded = condition.encode(flat, 500)
    assert len(encoded[0, 0].unique()) == 1
    assert (encoded[:, 1] == 0).all()
    small = condition.encode(np.full((500, 1, 2, 2), 128, np.uint8), 500)
    assert torch.equal(small, encoded)
    noisy = condition.augment(encoded, Seeded(range(500)))
    assert len(noisy[0, 0].unique()) == 4  # one draw per pixel of the small picture
    level = noisy[:, 1, 0, 0]
    assert 0 <= level.min() < 0.05 < 0.95 < level.max() <= 1
    off = (noisy[:, 0, ::4, ::4] - encoded[:, 0, ::4, ::4]).flatten(1)
    torch.testing.assert_close((off / level[:, None]).std(), torch.tensor(0.5), rtol=0.1, atol=0)
    with pytest.raises(UsageError, match="this condition takes"):
        condition.encode(np.zeros((2, 3, 2, 2), np.uint8), 2)
    with pytest.raises(ValueError, match="no multiples of 3"):
        LowResolution((1, 8, 8), factor=3)
