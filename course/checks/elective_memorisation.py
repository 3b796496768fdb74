"""Checks of the elective on memorising."""

import torch

from demist.course import close, expect


def copied(answer):
    train = torch.tensor([[0.0], [4.0], [5.0], [20.0]])
    made = torch.tensor([[0.5], [4.1], [4.4], [12.0]])
    # nearest and second: 0.5 and 3.5, 0.1 and 0.9, 0.4 and 0.6, 7 and 8: two of four are copies
    found = answer(made, train)
    expect(
        not close(found, 2.0),
        "you give how many copies there are; the share is asked for, a number from 0 to 1",
    )
    expect(
        not close(found, 0.0),
        "no copy was found, but 0.5 is much nearer to 0 than to any other example; is `largest=False` set?",
    )
    expect(
        not close(found, 1.0),
        "everything is a copy to you; the nearest is always nearer than the second: how much nearer?",
    )
    expect(
        not close(found, 0.75),
        "0.4 and 0.6 are about alike, so 4.4 is no copy: the nearest must be three times nearer",
    )
    expect(close(found, 0.5), f"two of these four samples are copies; yours gives {float(found):g}")
    plane = torch.tensor([[0.0, 0.0], [6.0, 8.0]])
    found = answer(torch.tensor([[1.5, 2.0], [3.0, 3.0]]), plane)
    # 2.5 and 7.5 is no copy; squares would say 6.25 and 56.25
    expect(
        not close(found, 0.5),
        "2.5 is not less than a third of 7.5: compare distances, not their squares, and leave equality out",
    )
    expect(close(found, 0.0), f"none of these two is a copy; yours gives {float(found):g}")


def closer(answer):
    near, natural = torch.tensor([0.5, 0.1, 2.0]), torch.tensor([1.0, 3.0])
    found = answer(near, natural)
    expect(
        not close(found, 1 / 6),
        "this is how often a held-out example is nearer than a sample; turn it round",
    )
    expect(not close(found, 5.0), "you count the pairs; the share of all pairs is asked for")
    expect(
        close(found, 5 / 6),
        f"five of six pairs have the nearer sample, which is 0.833; yours gives {float(found):.3f}",
    )
    found = answer(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]))
    expect(
        not close(found, 0.25),
        "equal distances count for nothing in yours; each such pair is worth a half",
    )
    expect(not close(found, 0.75), "a pair of equal distances is worth a half, not a whole")
    expect(
        close(found, 0.5),
        f"the same distances on both sides must give 0.5; yours gives {float(found):.3f}",
    )
