"""Checks of chapter 1."""

import torch

from demist.course import close, expect

DATA = torch.tensor([2.0, 8.0])


def best_guess(answer):
    x = torch.tensor([0.0, 4.0])
    found = answer(x, 0.5, torch.tensor([8.0]))
    expect(
        close(found, torch.tensor([8.0, 8.0])),
        "with the data set [8] the best guess is 8 everywhere; "
        f"yours at x = 0 is {float(found[0]):.3f}. Are the weights divided by their sum?",
    )
    middle = torch.tensor([2.5])
    found = answer(middle, 0.5, DATA)
    expect(
        close(found, torch.tensor([5.0])),
        "at t = 0.5 and x = 2.5, 2 and 8 are equally likely (2.5 is the middle of 1 and 4): the "
        f"guess is 5, yours is {float(found[0]):.3f}. What is 8 at time t: 8, or (1 - t) 8?",
    )
    x = torch.linspace(-3, 9, 25)
    right = torch.softmax(-(((x[:, None] - 0.25 * DATA) / 0.75) ** 2) / 2, 1) @ DATA
    found = answer(x, 0.75, DATA)
    expect(
        not close(found, torch.full((25,), 5.0)),
        "5 everywhere is the mean of the data; what does x say about which of them it was?",
    )
    without = torch.softmax(-((x[:, None] - 0.25 * DATA) ** 2) / 2, 1) @ DATA
    expect(
        not close(found, without),
        "the noise is what is left of x, divided by t: a unit Gaussian; you left the division out",
    )
    double = torch.softmax(-(((x[:, None] - 0.25 * DATA) / 0.75) ** 2), 1) @ DATA
    expect(not close(found, double), "the density of the noise is exp(-noise² / 2), with the half")
    expect(close(found, right), "right where both are equally likely, but not elsewhere")
