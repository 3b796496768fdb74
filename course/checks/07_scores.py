"""Checks of chapter 7."""

import torch

from demist.course import close, expect

MEANS = torch.tensor([[-1.0, 0.0], [1.0, 1.0], [0.5, -2.0]])


def _right(x, std):
    away = MEANS - x[:, None]
    share = torch.softmax(-away.square().sum(2) / (2 * std**2), 1)
    return share, away


def score(answer):
    x, one = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    found = answer(x, one, 0.5)
    right = (one - x) / 0.25
    expect(not close(found, -right), "your arrows point away from the data: m - x, not x - m")
    expect(
        not close(found, right / 2), "the arrow of a heap is (m - x) / s², not half of it or by s"
    )
    expect(not close(found, right * 0.25), "the arrow of one heap is divided by the square of s")
    expect(
        close(found, right),
        f"for one heap around (1, 0) with std 0.5 the score at (2, 0) is (-4, 0), yours is "
        f"({float(found[0, 0]):.2f}, {float(found[0, 1]):.2f})",
    )
    x = torch.tensor([[0.2, 0.3], [-2.0, 1.0], [3.0, 0.0], [0.0, -1.0]])
    share, away = _right(x, 0.8)
    found = answer(x, MEANS, 0.8)
    expect(
        not close(found, away.mean(1) / 0.64, 1e-4),
        "right for one heap; with several, a near heap counts more than a far one: where is r?",
    )
    total = (torch.exp(-away.square().sum(2) / 1.28)[..., None] * away).sum(1) / 0.64
    expect(
        not close(found, total, 1e-4), "the weights of the heaps do not sum to 1; divide by the sum"
    )
    flat = torch.softmax(-away.square().sum(2) / 2, 1)
    expect(
        not close(found, (flat[..., None] * away).sum(1) / 0.64, 1e-4),
        "r_k depends on how wide the heaps are: divide the squared distance by 2 s²",
    )
    double = torch.softmax(-away.square().sum(2) / 0.64, 1)
    expect(
        not close(found, (double[..., None] * away).sum(1) / 0.64, 1e-4),
        "in r_k the squared distance is divided by 2 s², with the 2",
    )
    right = (share[..., None] * away).sum(1) / 0.64
    expect(close(found, right, 1e-4), "right for one heap, but not for three: look at r_k")


def score_from_noise(answer):
    eps = torch.tensor([[0.5, -1.0], [2.0, 0.1]])
    found = answer(eps, 0.5)
    expect(
        not close(found, 2 * eps),
        "noise leads away from the data, the score towards it: the sign is missing",
    )
    expect(not close(found, -0.5 * eps), "solve eps = -sigma score for the score")
    expect(not close(found, -eps), "with little noise the arrows are long: where is sigma?")
    expect(not close(found, -4 * eps), "sigma² is for x0; with eps it is sigma")
    expect(close(found, -2 * eps), "at sigma = 0.5 the score of eps = (0.5, -1) is (-1, 2)")


def reverse_step(answer):
    x, slope, z = torch.tensor([1.0, -2.0]), torch.tensor([0.3, 0.4]), torch.tensor([1.0, -1.0])
    nothing = torch.zeros(2)
    shaken = answer(nothing, nothing, 4.0, 0.01, z)
    expect(
        not close(shaken, 0.04 * z),
        "the variance of the noise is beta times h; what stands in front of z is its root",
    )
    expect(not close(shaken, 0.02 * z), "noise grows with the root of the time, not with the time")
    expect(close(shaken, 0.2 * z), "with beta = 4 and h = 0.01, z is multiplied by 0.2")
    moved = answer(x, nothing, 4.0, 0.01, nothing)
    expect(
        not close(moved, 0.98 * x),
        "forward in time the state shrinks; backwards it grows: subtract h times the bracket",
    )
    expect(
        close(moved, 1.02 * x), "without score and noise, the state grows by the share h beta / 2"
    )
    climbed = answer(nothing, slope, 4.0, 0.01, nothing)
    expect(
        not close(climbed, 0.02 * slope),
        "half of the score is the ODE's; the SDE shakes, and needs the whole score",
    )
    expect(not close(climbed, -0.04 * slope), "the way back to the data is uphill: along the score")
    expect(close(climbed, 0.04 * slope), "the score is multiplied by beta h = 0.04")
