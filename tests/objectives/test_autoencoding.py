"""The autoencoder's objective against closed forms."""

import pytest
import torch
from torch.distributions import Normal
from torch.distributions.kl import kl_divergence as torch_kl

from demist.objectives import autoencoding_loss, kl_divergence


def test_the_divergence_is_torchs():
    mean, log_variance = torch.randn(2, 5, 3, 2, 2, dtype=torch.float64).unbind()
    q = Normal(mean, (log_variance / 2).exp())
    p = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch_kl(q, p).flatten(1).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)
    assert kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0, 0]


@pytest.mark.parametrize("kind, error", [("l1", 2.5), ("l2", 7.5)])
def test_the_loss_of_each_sample(kind, error):
    """One is off by 1, 2, 3, 4, the other by nothing."""
    x = torch.tensor([[1.0, 1, 1, 1], [2.0, 2, 2, 2]]).reshape(2, 1, 2, 2)
    rebuilt = torch.tensor([[2.0, 3, 4, 5], [2.0, 2, 2, 2]]).reshape(2, 1, 2, 2)
    mean, log_variance = torch.full((2, 2, 1, 1), 3.0), torch.zeros(2, 2, 1, 1)
    noise = torch.randn(2, 2, 1, 1)
    seen = []

    def net(images, draw):
        seen.append((images, draw))
        return rebuilt, mean, log_variance

    loss = autoencoding_loss(net, x, noise, 0.1, kind)
    divergence = 0.1 * 4.5  # 3^2 / 2 per number
    assert loss.tolist() == pytest.approx([error + divergence, divergence])
    assert seen[0][0] is x
    assert seen[0][1] is noise
