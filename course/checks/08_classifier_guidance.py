"""Checks of chapter 8."""

import torch

from demist.course import close, expect

CENTRES = torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]])
SHARES = torch.tensor([0.6, 0.3, 0.1])
X = torch.tensor([[0.2, 0.1], [-1.5, 1.0], [0.5, 1.8], [2.0, -1.0]])


def log_classes(answer):
    away = (X[:, None] - CENTRES).square().sum(2)
    right = torch.log_softmax(SHARES.log() - away / 1.4, 1)
    found = answer(X, SHARES, CENTRES, 0.7)
    expect(
        not close(found, right.exp(), 1e-4),
        "these are probabilities; the score is the slope of their logarithm",
    )
    expect(
        not close(found, SHARES.log() - away / 1.4, 1e-4),
        "exp of a row must sum to 1: take off the logarithm of the sum",
    )
    expect(
        not close(found, torch.log_softmax(-away / 1.4, 1), 1e-4),
        "a class that is frequent in the data is more probable: where are the shares?",
    )
    expect(
        not close(found, torch.log_softmax(SHARES - away / 1.4, 1), 1e-4),
        "in a logarithm the share is added as its logarithm",
    )
    expect(
        not close(found, torch.log_softmax(SHARES.log() + away / 1.4, 1), 1e-4),
        "the further away, the less probable: there is a minus",
    )
    expect(
        not close(found, torch.log_softmax(SHARES.log() - away / 0.7, 1), 1e-4),
        "the squared distance is divided by 2 v, with the 2",
    )
    expect(
        not close(found, torch.log_softmax(SHARES.log() - away / (2 * 0.49), 1), 1e-4),
        "`variance` is the square of the standard deviation already",
    )
    expect(
        close(found, right, 1e-4), "not the logarithm of p(k | x) yet: go through the formula again"
    )


def guided_noise(answer):
    eps, slope = torch.tensor([[1.0, -0.5]]), torch.tensor([[0.4, 2.0]])
    expect(close(answer(eps, slope, 0.5, 0.0), eps), "the scale 0 is no guidance: eps as it is")
    change = answer(eps, slope, 0.5, 1.0) - eps
    expect(
        not close(change, 0.5 * slope),
        "the slope is added to the score; the noise points the other way",
    )
    expect(not close(change, -slope), "eps is -sigma times the score: so is what is added to it")
    expect(not close(change, -2 * slope), "eps is -sigma times the score, not divided by sigma")
    expect(not close(change, -0.25 * slope), "sigma² is for the clean data; with eps it is sigma")
    expect(
        close(change, -0.5 * slope), "at sigma = 0.5 and scale 1, half of the slope is taken off"
    )
    double = answer(eps, slope, 0.5, 3.0) - eps
    expect(close(double, -1.5 * slope), "three times the scale is three times the change")
