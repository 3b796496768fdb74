"""The network for points."""

import inspect
import json

import pytest
import torch
import torch.nn.functional as F

from demist.errors import UsageError
from demist.networks import MLP


def make(**options):
    """A small network with random weights everywhere, also where they start at zero."""
    net = MLP(**{"width": 16, "depth": 2, "num_classes": 3, **options})
    with torch.no_grad():
        for name, p in net.named_parameters():
            p.copy_(0.3 * torch.randn_like(p) + ("norm" in name and "weight" in name))
    return net.eval()


def inputs(batch=6, features=2):
    return torch.randn(batch, features), torch.linspace(-3, 3, batch)


@pytest.mark.parametrize("features, out", [(1, None), (2, None), (5, 10)])
def test_shapes_and_zero_at_the_start(features, out):
    options = {"features": features, "out_features": out}
    x, t = inputs(features=features)
    first = MLP(**options)(x, t)
    assert first.shape == (6, out or features)
    assert torch.count_nonzero(first) == 0
    assert make(**options)(x, t).std() > 1e-2


def test_the_formula():
    net = make(depth=1).double()
    x, t = (z.double() for z in inputs())
    w = dict(net.named_parameters())
    linear = lambda z, n: z @ w[f"{n}.weight"].T + w[f"{n}.bias"]  # noqa: E731
    norm = lambda z, n: F.layer_norm(z, (16,), w[f"{n}.weight"], w[f"{n}.bias"])  # noqa: E731
    silu = lambda z: z * torch.sigmoid(z)  # noqa: E731
    emb = silu(net.time_embedding(t) + w["class_embedding.weight"][3])
    h = linear(x, "linear_in")
    y = linear(norm(h, "blocks.0.norm"), "blocks.0.linear_1")
    y = silu(y + linear(emb, "blocks.0.time_emb_proj"))
    h = h + linear(y, "blocks.0.linear_2")
    torch.testing.assert_close(net(x, t), linear(silu(norm(h, "norm_out")), "linear_out"))


def test_time_and_class_matter_and_no_label_is_the_null_class():
    net = make()
    x, t = inputs()
    label = torch.tensor([0, 1, 2, 3, 0, 1])
    base = net(x, t, label)
    assert ((net(x, t + 0.1, label) - base).abs().amax(1) > 1e-3).all()
    assert ((net(x, t, (label + 1) % 4) - base).abs().amax(1) > 1e-3).all()
    torch.testing.assert_close(net(x, t), net(x, t, torch.full((6,), 3)))


def test_gradients_reach_every_parameter():
    net = make()
    x, t = inputs()
    net(x, t, torch.tensor([0, 1, 2, 3, 0, 1])).square().sum().backward()
    assert all(p.grad.any() for p in net.parameters())


def test_samples_of_a_batch_do_not_meet():
    net = make()
    x, t = inputs()
    for i in range(6):
        alone = net(x[i : i + 1], t[i : i + 1])
        torch.testing.assert_close(net(x, t)[i : i + 1], alone, rtol=1e-5, atol=1e-6)


def test_bf16_autocast():
    net = make()
    x, t = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        got = net(x, t)
    torch.testing.assert_close(got.float(), net(x, t), rtol=0.05, atol=0.1)


def test_dropout_only_while_training():
    net = make(dropout=0.5)
    x, t = inputs()
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.allclose(net(x, t), net(x, t), atol=1e-3)


def test_config_round_trip():
    net = make(features=3, dropout=0.1)
    signature = inspect.signature(MLP.__init__).parameters
    assert list(net.config) == [name for name in signature if name != "self"]
    twin = MLP(**json.loads(json.dumps(net.config))).eval()
    assert twin.config == net.config
    twin.load_state_dict(net.state_dict())
    x, t = inputs(features=3)
    assert torch.equal(twin(x, t), net(x, t))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: MLP(features=0), ["features=0", "at least 1"]),
        (lambda: MLP(depth=0), ["depth=0", "at least 1"]),
        (lambda: MLP(dropout=1.5), ["dropout=1.5"]),
        (lambda: make()(torch.randn(2, 3), torch.zeros(2)), ["3 numbers", "built for 2"]),
        (
            lambda: make()(torch.randn(2, 2), torch.zeros(2), torch.tensor([0, 4])),
            ["from 0 to 4", "0 to 2", "3 for no class"],
        ),
        (
            lambda: make(num_classes=0)(torch.randn(1, 2), torch.zeros(1), torch.tensor([0])),
            ["num_classes=0"],
        ),
    ],
)
def test_mistakes_are_named(call, words):
    with pytest.raises(UsageError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)


def test_learns_a_bent_density():
    """A hundred steps on the score of two points: far better than predicting zero."""
    net = MLP(width=32, depth=2)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(150):
        x0 = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])[torch.randint(0, 2, (256,))]
        t, eps = torch.rand(256), torch.randn(256, 2)
        x = (1 - t[:, None]) * x0 + t[:, None] * eps
        loss = (net(x, t) - (eps - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.7
    assert sum(losses[-20:]) / 20 < 0.6
