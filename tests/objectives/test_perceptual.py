"""Distances in features, against closed forms."""

import torch

from demist.objectives.perceptual import inverse_deviations, lpips, scaled_distance


def test_linear_features_give_a_quadratic_form():
    torch.manual_seed(0)
    w, x, y = torch.randn(5, 12).double(), torch.randn(3, 12).double(), torch.randn(3, 12).double()
    real = torch.randn(40, 12).double()

    def features(x):
        return [(x @ w.T)[:, :, None, None]]

    inverse = inverse_deviations(features(real))
    std = (real @ w.T).std(0, correction=0)
    form = w.T @ torch.diag(1 / std**2) @ w / 5
    expected = ((x - y) @ form * (x - y)).sum(1)
    found = scaled_distance(features(x), features(y), inverse)
    assert torch.allclose(found.double(), expected, rtol=1e-5)


def test_a_channel_that_never_changes_counts_for_nothing():
    a = [torch.tensor([1.0, 5.0]).reshape(1, 2, 1, 1)]
    b = [torch.tensor([3.0, 7.0]).reshape(1, 2, 1, 1)]
    real = [torch.tensor([[0.0, 5.0], [4.0, 5.0]]).reshape(2, 2, 1, 1)]
    assert scaled_distance(a, b, inverse_deviations(real)).item() == ((3 - 1) / 2) ** 2 / 2


def test_lpips_by_hand():
    # One layer of two channels and two places, one of one place.
    a = [torch.tensor([[3.0, 0.0], [4.0, 2.0]]).reshape(1, 2, 1, 2), torch.full((1, 1, 1, 1), 7.0)]
    b = [torch.tensor([[0.0, 5.0], [1.0, 0.0]]).reshape(1, 2, 1, 2), torch.full((1, 1, 1, 1), -2.0)]
    w = [torch.tensor([2.0, 10.0]), torch.tensor([0.5])]
    # Units: (0.6, 0.8) and (0, 1); (0, 1) and (1, 0); 1 and -1.
    first = 2 * 0.6**2 + 10 * 0.2**2
    second = 2 * 1 + 10 * 1
    expected = (first + second) / 2 + 0.5 * 4
    assert torch.allclose(lpips(a, b, w), torch.tensor([expected]))


def test_nothing_at_a_place_has_a_gradient():
    x = torch.zeros(1, 2, 1, 1, requires_grad=True)
    lpips([x], [torch.ones(1, 2, 1, 1)], [torch.ones(2)]).sum().backward()
    assert x.grad.isfinite().all()
