"""Checks of chapter 0."""

import math

import torch

from demist.course import close, expect


def density(answer):
    top = 1 / math.sqrt(2 * math.pi)
    found = answer(torch.tensor([0.0, 1.0]), 0.0, 1.0)
    right = torch.tensor([top, top * math.exp(-0.5)])
    expect(
        not close(found, right / top),
        "the form is right, but the area below the curve is not 1: which factor stands in front?",
    )
    expect(
        not close(found, torch.tensor([top, top * math.exp(-1)])),
        "in the exponent stands half of the squared distance; where is the half?",
    )
    expect(
        not close(found, torch.tensor([top, top * math.exp(0.5)])),
        "your curve grows away from its middle; a sign is missing in the exponent",
    )
    expect(
        close(found, right),
        f"at x = 0, with mean 0 and spread 1, the height is {top:.4f}; yours is {float(found[0]):.4f}",
    )
    found = answer(torch.tensor([5.0]), 5.0, 1.0)
    expect(
        close(found, torch.tensor([top])),
        "the bell is highest at its mean, wherever that is; do you measure the distance from there?",
    )
    x = torch.linspace(-3, 5, 9)
    found = answer(x, 1.0, 2.0)
    shape = torch.exp(-(((x - 1) / 2) ** 2) / 2) * top
    expect(
        not close(found, shape),
        "a bell twice as wide must be half as high, or its area is not 1: divide by the spread, too",
    )
    expect(
        not close(found, torch.exp(-((x - 1) ** 2) / 2) * top / 2),
        "in the exponent the distance is measured in spreads: a wide bell falls slowly",
    )
    expect(
        not close(found, torch.exp(-((x - 1) ** 2) / 4) * top / math.sqrt(2)),
        "the spread is given, not the variance; which of them is squared in the exponent?",
    )
    expect(close(found, shape / 2), "right for a spread of 1, but not for a spread of 2")
