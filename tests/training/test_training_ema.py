import pytest
import torch
from torch import nn

from demist.training.ema import Ema, warmed_up


def test_decay_profile():
    decay = warmed_up(0.9)
    assert [decay(n) for n in (1, 9, 80, 81, 82, 1000)] == [0.1, 0.5, 80 / 89, 0.9, 0.9, 0.9]
    assert warmed_up(0.0)(5) == 0


def test_closed_form():
    """The average is sum_k (1 - d_k) prod_{j > k} d_j w_k, plus prod_j d_j times the start."""
    module = nn.Linear(3, 2)
    start = module.weight.detach().clone()
    decay = warmed_up(0.6)
    ema = Ema(module, decay)
    history = []
    for n in range(1, 21):
        with torch.no_grad():
            module.weight.normal_()
        history.append(module.weight.detach().clone())
        ema.update(n)
    expected, product = torch.zeros_like(start), 1.0
    for n in range(20, 0, -1):
        expected += product * (1 - decay(n)) * history[n - 1]
        product *= decay(n)
    torch.testing.assert_close(ema.tensors["weight"], expected + product * start)


def test_early_weights_are_forgotten():
    """With n / (n + 9), weight k of N keeps a share proportional to k^8: the last tenth rules."""
    module = nn.Linear(1, 1, bias=False)
    ema = Ema(module, warmed_up(0.999999))
    for n in range(1, 1001):
        nn.init.constant_(module.weight, float(n <= 900))
        ema.update(n)
    assert float(ema.tensors["weight"]) == pytest.approx(0.9**9, abs=0.01)


def test_buffers_are_copied_and_frozen_weights_kept():
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2))
    module[1].weight.requires_grad_(False)
    ema = Ema(module, warmed_up(0.5))
    before = module[1].weight.clone()
    module(torch.randn(16, 2) + 5)
    ema.update(1)
    assert torch.equal(ema.tensors["0.running_mean"], module[0].running_mean)
    assert int(ema.tensors["0.num_batches_tracked"]) == 1
    assert torch.equal(ema.tensors["1.weight"], before)


def test_applied_and_back():
    module = nn.Linear(2, 2)
    ema = Ema(module, warmed_up(0.5))
    old = module.weight.detach().clone()
    nn.init.ones_(module.weight)
    with ema.applied():
        assert torch.equal(module.weight, old)
    assert torch.equal(module.weight, torch.ones(2, 2))
    with pytest.raises(ZeroDivisionError), ema.applied():
        raise ZeroDivisionError
    assert torch.equal(module.weight, torch.ones(2, 2))
    assert torch.equal(ema.tensors["weight"], old)
    ema.load({"weight": torch.full((2, 2), 7.0), "bias": torch.zeros(2)})
    with ema.applied():
        assert module.weight.sum().item() == 28
