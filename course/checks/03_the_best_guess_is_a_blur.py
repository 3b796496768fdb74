"""Checks of chapter 3."""

import math

import torch

from demist.course import close, expect


def how_many(answer):
    four = torch.full((1, 4), 0.25, dtype=torch.float64)
    found = answer(four)

    def gives(number):
        return close(found, torch.tensor([number]))

    expect(
        not gives(math.log(4)),
        "for four equal weights you give log 4: that is the entropy; e to it is asked for",
    )
    expect(not gives(2.0), "you give the entropy in bits; take e to the entropy with the log to e")
    expect(not gives(0.25), "four equal weights give 1/4: a sign is wrong, log w is below 0")
    expect(not gives(math.exp(2)), "the logarithm and the power must belong together: both with e")
    expect(
        not gives(math.exp(math.log(4) / 4)),
        "the entropy is the sum over the pictures; you took the mean of them",
    )
    expect(gives(4.0), f"four equal weights are 4 pictures; yours gives {float(found[0]):.3f}")
    rows = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], dtype=torch.float64)
    found = answer(rows)
    bad = torch.as_tensor(found).isnan().any()
    expect(not bad, "where a weight is 0 yours is not a number: 0 times log 0 must count as 0")
    expect(close(found, torch.tensor([1.0, 2.0])), "weights (1, 0, 0) are 1 picture, (½, ½, 0) two")
    uneven = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)
    found = answer(uneven)
    expect(
        not close(found, torch.tensor([3.0])),
        "you count all pictures with any weight; one of half the weight counts for less",
    )
    expect(
        not close(found, torch.tensor([1 / 0.375])),
        "one over the sum of squares is a count, too, but not e to the entropy",
    )
    right = math.exp(0.5 * math.log(2) + 0.5 * math.log(4))
    expect(close(found, torch.tensor([right])), "right for equal weights, but not for unequal ones")
