"""Checks of the elective on latent diffusion."""

import torch

from demist.course import close, expect


def kl(answer):
    zero = torch.zeros(2, 3)
    expect(
        close(answer(zero, zero), torch.zeros(2)),
        "with the mean 0 and the variance 1 (its logarithm is 0) the KL is 0, one number for each code",
    )
    mean = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    found = answer(mean, zero)
    expect(not close(found, torch.tensor([5.0, 9.0])), "the whole is halved")
    expect(
        not close(found, torch.tensor([2.5, 4.5]) / 3),
        "it is summed over the numbers of a code; yours is the mean",
    )
    expect(
        not close(found, torch.tensor([1.5, 1.5])),
        "the mean is squared: a code of -2 is as far away as one of 2",
    )
    expect(
        close(found, torch.tensor([2.5, 4.5])), "with the variance 1 half of the squares is left"
    )
    wide = torch.full((1, 2), 1.0)
    found, none = answer(torch.zeros(1, 2), wide), torch.zeros(1, 2)
    expect(
        not close(found, (0.5 * (wide - 1 - wide.exp())).sum(1)),
        "you are given the logarithm of the variance; its exponential is the variance",
    )
    expect(
        not close(found, (0.5 * ((2 * wide).exp() - 1 - 2 * wide)).sum(1)),
        "you are given the logarithm of the variance s^2, not of s",
    )
    expect(
        not close(found, (0.5 * (wide.exp() - 1 + wide)).sum(1)),
        "the logarithm is taken away: minus",
    )
    expect(close(found, (0.5 * (wide.exp() - 1 - wide)).sum(1)), "look at the part of the variance")
    expect(
        close(answer(none, -wide), (0.5 * ((-wide).exp() - 1 + wide)).sum(1)),
        "a variance below 1 has its price, too",
    )


def measure(answer):
    z = torch.tensor([[2.0, 10.0], [4.0, 30.0], [6.0, 20.0], [0.0, 20.0]])
    pair = answer(z)
    expect(isinstance(pair, tuple) and len(pair) == 2, "two are asked for: shift and scale")
    shift, scale = pair
    expect(
        torch.as_tensor(shift).numel() == 2,
        "each of the k numbers has a shift of its own: the mean over the codes",
    )
    expect(close(shift, torch.tensor([3.0, 20.0])), "the shift is the mean of each number")
    expect(
        torch.as_tensor(scale).numel() == 1,
        "one scale for all: else a number that says nothing would be made as loud as the others",
    )
    right = 1 / 27.5**0.5
    found = torch.as_tensor(scale).reshape(())
    expect(not close(found, 1 / right), "codes are multiplied by it, so it is 1 / spread")
    expect(
        not close(found, right**2), "the root is missing: variance 1, not the standard deviation"
    )
    expect(
        not close(found, 1 / z.square().mean() ** 0.5),
        "the spread is measured around the mean of each number",
    )
    expect(
        not close(found, 1 / ((z - z.mean()).square().mean() ** 0.5)),
        "the spread is measured around the mean of each number, not of all",
    )
    expect(
        not close(found, (1 / z.std(0, correction=0)).mean()),
        "first the mean of the variances, then the root and 1 divided by it",
    )
    expect(
        close(found, right, 0.15),
        "with (z - shift) * scale the mean of both variances should be 1",
    )
