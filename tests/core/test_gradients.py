"""Gradients in inference mode, and through the clamp of a model with bounds."""

import torch
from torch import nn

from demist.core import X0, Conditioned, Denoiser, Linear, copied, leaf, straightened
from demist.guidance import Autoguidance


class Twice(nn.Module):
    def forward(self, x, clock):
        return 2 * x


CLAMPED = Denoiser(Twice(), Linear(), X0(), bounds=(-1, 1)).eval()
X, TIME = torch.tensor([[0.2, 3.0]]), torch.tensor(0.5, dtype=torch.float64)


def slope(model):
    x = X.clone().requires_grad_()
    return torch.autograd.grad(model(x, TIME).x0.sum(), x)[0]


def test_straightened_predicts_the_same_and_passes_gradients():
    straight = straightened(CLAMPED)
    assert torch.equal(straight(X, TIME).x0, CLAMPED(X, TIME).x0)
    assert slope(CLAMPED).tolist() == [[2.0, 0.0]]
    assert slope(straight).tolist() == [[2.0, 2.0]]
    assert straightened(straight) is straight
    assert straight.net is CLAMPED.net
    assert not CLAMPED.straight


def test_it_reaches_the_denoisers_in_guidance():
    guided = Autoguidance(Conditioned(CLAMPED, {}), CLAMPED, 2.0)
    assert slope(straightened(guided)).tolist() == [[2.0, 2.0]]
    free = Denoiser(Twice(), Linear(), X0()).eval()
    assert straightened(free) is free


def test_leaves_and_copies_leave_inference_mode():
    with torch.inference_mode():
        x, cond = X.clone(), {"a": X.clone(), "b": {"c": [X.clone()]}, "d": 3}
        with torch.inference_mode(False), torch.enable_grad():
            at, free = leaf(x), copied(cond)
            (at * free["a"] * free["b"]["c"][0]).sum().backward()
    assert torch.equal(at.grad, X * X)
    assert free["d"] == 3
    assert leaf(at) is at
