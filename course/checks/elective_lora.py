"""Checks of the elective on fine-tuning and LoRA."""

import torch

from demist.course import close, expect


def low_rank(answer):
    x = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]])
    down = torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]])
    up = torch.tensor([[1.0, 2.0], [0.0, 1.0], [4.0, 0.0], [1.0, -1.0]])
    right = 0.5 * x @ (up @ down).T
    zero = answer(x, down, torch.zeros(4, 2), 0.5)
    expect(
        close(zero, torch.zeros(2, 4)),
        "with B = 0 nothing is added, so the result must be 0 there; the layer adds its own output",
    )
    found = answer(x, down, up, 0.5)
    expect(not close(found, 2 * right), "the scale is left out: with s = 0 nothing may be added")
    expect(
        not close(found, 0.5 * right),
        "the scale is there twice; it multiplies the product of both matrices once",
    )
    expect(
        not close(found, right / 2**0.5) and not close(found, right / 2),
        "nothing is divided by the rank here; s stands for all of the factor",
    )
    expect(
        close(found, right),
        "first A looks at x, then B says what comes out; is one of them bent (a function between)?",
    )


def merge(answer):
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    down, up = torch.tensor([[1.0, -1.0, 2.0]]), torch.tensor([[3.0], [1.0]])
    kept = weight.clone()
    found = answer(weight, down, up, 2.0)
    expect(
        torch.equal(weight, kept),
        "the matrix you were given is changed in place, so the old model is gone: make a new one",
    )
    expect(
        not close(found, 2.0 * up @ down),
        "this is the change alone; what comes out is used in place of the old matrix",
    )
    expect(not close(found, weight + up @ down), "the scale is left out: s says how much is added")
    expect(
        not close(found, 2.0 * (weight + up @ down)),
        "the scale multiplies the change and not the old matrix",
    )
    expect(not close(found, weight - 2.0 * up @ down), "the change is added, not taken away")
    expect(
        close(found, weight + 2.0 * up @ down),
        "row o, column i of the change is the sum over r of B[o, r] A[r, i]",
    )
    x = torch.randn(5, 3)
    expect(
        close(x @ found.T, x @ weight.T + 2.0 * (x @ down.T) @ up.T, 1e-4),
        "merged and unmerged must give the same output",
    )
