"""Checks of the elective on distillation."""

import torch

from demist.course import close, expect

AT_T, AT_S = (0.6, 0.8), (0.8, 0.6)
X0 = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
X = torch.tensor([[0.4, 1.0], [-1.2, 0.3]])
EPS = (X - 0.6 * X0) / 0.8
AFTER = 0.8 * X0 + 0.6 * EPS


def jump_target(answer):
    found = answer(X, AFTER, AT_T, AT_S)
    expect(
        not close(found, AFTER),
        "that is the state at s; it still has noise in it, and a guess of clean data has none",
    )
    expect(
        not close(found, AFTER / 0.8),
        "that takes all of the state at s for data; the noise in it has to go out first",
    )
    expect(
        not close(found, (AFTER - X) / (0.8 - 0.6)),
        "before you subtract x, multiply it by sigma_s / sigma_t, so that the noise falls out",
    )
    expect(
        not close(found, AFTER - 0.75 * X),
        "the noise is out; what is left is (alpha_s - alpha_t sigma_s / sigma_t) times the data: divide",
    )
    expect(
        not close(found, -X0),
        "the sign is turned: both differences are taken in the same order",
    )
    expect(
        close(found, X0),
        "a step of DDIM with your guess does not lead from x to after: collect what stands in front of x0",
    )
    clean = answer(X, X0, AT_T, (1.0, 0.0))
    expect(close(clean, X0), "at s = 0 there is no noise left: the guess is `after` itself")


CRITIC = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
TEACHER = torch.tensor([[0.0, 1.0], [0.5, 1.0]])
MADE = torch.tensor([[2.0, 1.0], [0.5, -1.0]])


def slope(answer):
    right = (CRITIC - TEACHER) / torch.tensor([[1.0], [1.0]])
    found = answer(CRITIC, TEACHER, MADE)
    expect(
        not close(found, -right),
        "that leads to the data; the slope points to where too much is made, and the student goes against it",
    )
    made = torch.tensor([[2.0, 2.0], [3.5, 2.0]])
    right = (CRITIC - TEACHER) / torch.tensor([[1.5], [2.0]])
    found = answer(CRITIC, TEACHER, made)
    expect(
        not close(found, CRITIC - TEACHER),
        "the difference is right; divide it by how far the teacher's guess is from the sample",
    )
    expect(
        not close(found, (CRITIC - TEACHER) / (made - TEACHER).abs()),
        "each row is divided by one number, the mean of its absolute differences",
    )
    expect(
        not close(found, (CRITIC - TEACHER) / (made - TEACHER).abs().mean()),
        "every sample has a distance of its own: the mean goes over each row, not over the batch",
    )
    expect(
        not close(found, (CRITIC - TEACHER) / (made - CRITIC).abs().mean(1, keepdim=True)),
        "the distance is that of the sample from the teacher's guess, not from the critic's",
    )
    expect(
        not close(found, (CRITIC - TEACHER) / (made - TEACHER).abs().sum(1, keepdim=True)),
        "the mean of the absolute differences, not their sum",
    )
    expect(
        close(found, right),
        f"for the guesses (1, 2) and (0, 1) and the sample (2, 2) it is (0.67, 0.67); yours is "
        f"{[round(float(v), 2) for v in found[0]]}",
    )
    back = torch.tensor([[1.0, 0.0], [-2.0, 1.5]])
    expect(
        close(answer(CRITIC, TEACHER, back), (CRITIC - TEACHER) / torch.tensor([[1.0], [1.5]])),
        "differences of both signs must not cancel: take absolute values before the mean",
    )
