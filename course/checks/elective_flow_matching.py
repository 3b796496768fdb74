"""Checks of the elective on flow matching."""

import torch

from demist.course import close, expect

X0 = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-1.0, 0.0]])
EPS = torch.tensor([[0.0, 1.0], [-1.5, 1.0], [0.4, -0.6]])
T = torch.tensor([0.25, 0.5, 1.0])
X = (1 - T[:, None]) * X0 + T[:, None] * EPS


def pair(answer):
    found = answer(X0, EPS, T)
    expect(
        isinstance(found, tuple | list) and len(found) == 2,
        "two tensors are asked for: the states, and the velocities",
    )
    state, velocity = found
    expect(
        not close(state, T[:, None] * X0 + (1 - T[:, None]) * EPS),
        "your lines begin in the noise: at t = 0 there is only data, at t = 1 only noise",
    )
    expect(
        close(state, X),
        f"with t = 0.25 the state between (2, -1) and (0, 1) is (1.5, -0.5); yours is "
        f"({float(state[0, 0]):.2f}, {float(state[0, 1]):.2f})",
    )
    expect(
        not close(velocity, X0 - EPS),
        "your velocity leads to the data; asked for is how the state changes while t grows, towards the noise",
    )
    expect(
        not close(velocity, EPS - X),
        "that is the way that is left to the noise; the velocity is the same on all of the line",
    )
    expect(
        not close(velocity, T[:, None] * (EPS - X0)),
        "that is the way since t = 0; the velocity is the way per unit of time",
    )
    expect(close(velocity, EPS - X0), "the states are right; take their slope with respect to t")


AT, RATES = (0.6, 0.8), (-2.0, 1.5)
V = RATES[0] * X0 + RATES[1] * EPS
MIXED = AT[0] * X0 + AT[1] * EPS
DET = AT[0] * RATES[1] - AT[1] * RATES[0]


def both_ends(answer):
    line = answer(X, EPS - X0, (0.75, 0.25), (-1.0, 1.0))
    expect(
        isinstance(line, tuple | list) and len(line) == 2,
        "two tensors are asked for: the data x0, and the noise eps",
    )
    x0, eps = answer(MIXED, V, AT, RATES)
    expect(
        not (close(x0, EPS) and close(eps, X0)),
        "both are right, but in the other order: first the data, then the noise",
    )
    expect(
        not close(x0, MIXED - AT[1] * V),
        "that holds on the straight line, where alpha' = -1 and sigma' = 1; asked for is any path",
    )
    expect(
        not close(x0, DET * X0),
        "nearly: divide by the determinant, alpha sigma' - sigma alpha'",
    )
    expect(
        not close(x0, -X0),
        "the sign is turned: is the determinant alpha sigma' - sigma alpha'?",
    )
    expect(
        close(x0, X0),
        "x0 is not right: multiply x = alpha x0 + sigma eps by sigma', v = alpha' x0 + sigma' eps "
        "by sigma, and take the difference: eps falls out",
    )
    expect(
        close(eps, EPS),
        "x0 is right, eps is not: put your x0 into x = alpha x0 + sigma eps and solve for eps",
    )
