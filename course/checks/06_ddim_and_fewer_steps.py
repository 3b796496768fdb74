"""Checks of chapter 6."""

import torch

from demist.course import close, expect

AT_T, AT_S = (0.6, 0.8), (0.7, 0.51**0.5)
ALPHA, SIGMA = AT_S
X0, EPS = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.3, -1.2, 0.7])
X, NONE = 0.6 * X0 + 0.8 * EPS, torch.zeros(3)
V = SIGMA**2 * (1 - (0.6 * SIGMA / (ALPHA * 0.8)) ** 2)
BETA = 0.8**2 - (0.6 / ALPHA * SIGMA) ** 2


def ddim_step(answer):
    found = answer(X, X0, AT_T, AT_S, 0.0, torch.ones(3))
    expect(
        not close(found, ALPHA * X0 + SIGMA * (X - X0) / 0.8),
        "what is x made of? alpha_t x0 and noise: take alpha_t x0 out of x, not x0",
    )
    expect(
        not close(found, ALPHA * X0 + SIGMA * (X - 0.6 * X0)),
        "x - alpha_t x0 is the noise times its size: divide it by sigma at t",
    )
    expect(
        close(found, ALPHA * X0 + SIGMA * EPS),
        "with eta = 0 the new state is alpha_s x0 + sigma_s eps, both at the cleaner time s, "
        "and z does not count",
    )
    new = (answer(X, X0, AT_T, AT_S, 1.0, torch.ones(3)) - answer(X, X0, AT_T, AT_S, 1.0, NONE))[0]
    expect(not close(new, V, 1e-4), "v is a variance: what stands in front of z is its root")
    expect(
        not close(new, BETA**0.5, 1e-4),
        "that much noise does the forward process add from s to t; look at v in the text again",
    )
    expect(
        close(new, V**0.5, 1e-4),
        f"with eta = 1, alpha = 0.6 and 0.7 and sigma = 0.8 and 0.714, z is multiplied by "
        f"{V**0.5:.3f}; yours by {float(new):.3f}. Are the squares where the formula has them?",
    )
    without = answer(X, X0, AT_T, AT_S, 1.0, NONE)
    expect(
        not close(without, ALPHA * X0 + SIGMA * EPS),
        "the new noise comes on top of all of the old noise: then there is more than sigma_s; "
        "how much of the old one may stay?",
    )
    expect(
        not close(without, ALPHA * X0 + (SIGMA - V**0.5) * EPS, 1e-4),
        "noises add up by their squares: take the difference of the squares, then the root",
    )
    half = answer(X, X0, AT_T, AT_S, 0.5, torch.ones(3))
    right = ALPHA * X0 + (0.51 - 0.25 * V) ** 0.5 * EPS + 0.5 * V**0.5
    expect(
        close(half, right, 1e-4), "right for eta = 0 and 1, but not for 0.5: where does eta stand?"
    )
    expect(
        close(without, ALPHA * X0 + (0.51 - V) ** 0.5 * EPS, 1e-4), "the old noise is not right yet"
    )


def order(answer):
    found = answer(0.8, 0.4)
    expect(
        not close(found, 2.0),
        "2 is how many times smaller the error became; 2 to the power of what is that?",
    )
    expect(
        not close(found, -1.0),
        "the error became smaller, so the order is above 0: which error is divided by which?",
    )
    expect(
        not close(found, 0.69315, 1e-3),
        "the number of steps was doubled, so the logarithm is the one to the base 2",
    )
    expect(not close(found, 0.4), "what counts is how many times smaller, not the difference")
    expect(close(found, 1.0), f"half of the error is order 1; yours is {float(found):.3f}")
    expect(close(answer(0.3, 0.3 / 8), 3.0), "an eighth of the error is order 3")
