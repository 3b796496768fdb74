"""Checks of chapter 4."""

import torch

from demist.course import close, expect

BETAS = torch.tensor([0.1, 0.3, 0.4, 0.6], dtype=torch.float64)


def ancestral(answer):
    x, eps = torch.tensor([1.0, -0.5]).double(), torch.tensor([0.4, 2.0]).double()
    z, none = torch.tensor([1.0, -2.0]).double(), torch.zeros(2, dtype=torch.float64)
    i, beta, kept = 3, BETAS[2], 1 - BETAS
    bar, before = kept[:3].prod(), kept[:2].prod()
    found = answer(x, none, i, BETAS, none)
    expect(
        not close(found, x / kept[3].sqrt()),
        "step i has its beta at place i - 1; you took the next one",
    )
    expect(
        not close(found, x / bar.sqrt()),
        "you go all the way back to the data; one step is divided by sqrt(1 - beta), not sqrt(alpha-bar)",
    )
    expect(
        not close(found, x),
        "the step forward made the state smaller by sqrt(1 - beta); on the way back it must grow again",
    )
    expect(not close(found, x * kept[2].sqrt()), "divide by sqrt(1 - beta): the state must grow")
    expect(
        close(found, x / kept[2].sqrt()),
        "with eps = 0 and z = 0, x / sqrt(1 - beta) should be left, with the beta of step i",
    )
    found = answer(x, eps, i, BETAS, none)
    root = kept[2].sqrt()
    expect(
        not close(found, (x + beta / (1 - bar).sqrt() * eps) / root),
        "the guessed noise is taken away; yours adds it",
    )
    expect(
        not close(found, (x - beta / (1 - bar) * eps) / root),
        "beta is divided by the width of the noise; 1 - alpha-bar is its square",
    )
    expect(
        not close(found, (x - beta / (1 - before).sqrt() * eps) / root),
        "the noise in x_i has the width of step i, not of step i - 1",
    )
    expect(
        not close(found, (x - beta.sqrt() * eps) / root),
        "of the whole noise only the share beta / sqrt(1 - alpha-bar) is taken away in one step",
    )
    expect(
        not close(found, x / root - beta / (1 - bar).sqrt() * eps),
        "the difference is divided by sqrt(1 - beta), not x alone: where are the brackets?",
    )
    expect(close(found, (x - beta / (1 - bar).sqrt() * eps) / root), "look at the part of eps")
    added = answer(none, none, i, BETAS, z)
    expect(
        not close(added, beta.sqrt() * z),
        "sqrt(beta) is the other choice of the paper; asked for is the smaller one, beta-tilde",
    )
    tilde = beta * (1 - before) / (1 - bar)
    expect(not close(added, tilde * z), "beta-tilde is a variance; z is multiplied by its root")
    expect(
        not close(added, tilde.sqrt() * z / root),
        "the new noise is added last, and is not divided by sqrt(1 - beta)",
    )
    expect(
        not close(added, (beta * (1 - bar) / (1 - before)).sqrt() * z),
        "beta-tilde is smaller than beta: which of the two alpha-bars stands above?",
    )
    expect(close(added, tilde.sqrt() * z), "without x and eps, sqrt(beta-tilde) z should be left")
    first = answer(x, eps, 1, BETAS, z)
    expect(
        close(first, answer(x, eps, 1, BETAS, none)),
        "the step from 1 to 0 adds no noise: alpha-bar before the first step is 1",
    )
