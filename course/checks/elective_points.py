"""Checks of the elective on points."""

import torch

from demist.course import close, expect

POINTS = torch.tensor([[1.0, 10.0], [3.0, 10.0], [1.0, 16.0], [3.0, 16.0]])


def standardise(answer):
    given = POINTS.clone()
    found = answer(given)
    expect(torch.equal(given, POINTS), "the points you were given are changed: make new ones")
    right = (POINTS - torch.tensor([2.0, 13.0])) / 5**0.5
    expect(
        not close(found, right.sign()),
        "each of your columns is divided by its own deviation; one number is asked for, for all",
    )
    expect(
        not close(found, (POINTS - 7.5) / (POINTS - 7.5).square().mean().sqrt()),
        "the mean of all numbers is one number; each column has its own",
    )
    expect(
        not close(found, (POINTS - torch.tensor([2.0, 13.0])) / POINTS.std(correction=0)),
        "the deviation of all numbers also counts how far the columns lie apart: centre first",
    )
    expect(close(found.mean(0), torch.zeros(2)), "the mean of each column should be 0")
    expect(
        not close(found, right * (5 / (20 / 3)) ** 0.5),
        "variances here are the mean of the squares: `correction=0`",
    )
    expect(not close(found, right / 5**0.5), "divide by the root of the mean variance, not by it")
    expect(
        close(found, right),
        "the columns have the variances 1 and 9, so all is divided by the root of 5",
    )
    x = torch.randn(500, 3) * 7 + 2
    expect(
        close(answer(x).var(0, correction=0).mean(), 1.0),
        "in three columns the mean of the variances is not 1; is a number of columns written in?",
    )
