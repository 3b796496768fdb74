"""Checks of chapter 9."""

import torch

from demist.course import close, expect


def extrapolate(answer):
    without, with_ = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.0])
    expect(
        not close(answer(without, with_, 0.0), with_),
        "with the scale 0 the condition does not count: what is left is the guess without it",
    )
    expect(close(answer(without, with_, 0.0), without), "the scale 0 ignores the condition")
    expect(
        not close(answer(without, with_, 1.0), 2 * with_ - without),
        "this is how papers write it whose scale is smaller by one; here 1 is no guidance",
    )
    expect(
        close(answer(without, with_, 1.0), with_),
        "the scale 1 stands at the tip of the arrow: the guess with the condition, as it is",
    )
    found = answer(without, with_, 3.0)
    expect(not close(found, with_), "a scale above 1 must go beyond the tip; yours stops there")
    expect(close(found, torch.tensor([7.0, 4.0])), "three times the arrow, from its beginning")


def hide(answer):
    labels, u = torch.tensor([0, 3, 9, 5]), torch.tensor([0.05, 0.5, 0.95, 0.09])
    given = labels.clone()
    found = answer(given, 10, 0.1, u)
    expect(torch.equal(given, labels), "the labels you were given are changed: make new ones")
    expect(
        not close(found, torch.tensor([0, 10, 10, 5])),
        "you hide nearly all labels and keep one in ten; it is the other way round",
    )
    expect(
        not close(found, torch.tensor([0, 3, 10, 5])),
        "where u is small the label is hidden: compare u with `share` itself",
    )
    expect(
        not close(found, torch.tensor([0, 3, 9, 0])),
        "a hidden label is `null`, a class of its own, and not 0: 0 is a digit, too",
    )
    expect(not close(found, torch.tensor([10, 10, 10, 10])), "every label has its own number in u")
    expect(
        close(found, torch.tensor([10, 3, 9, 10])),
        f"of 0, 3, 9, 5 with u = 0.05, 0.5, 0.95, 0.09 and share 0.1 the first and the last are "
        f"hidden; yours are {found.tolist()}",
    )
    expect(close(answer(labels, 10, 0.0, u), labels), "with the share 0 nothing is hidden")
    expect(close(answer(labels, 10, 1.0, u), torch.full((4,), 10)), "with 1 everything is hidden")
    many = answer(torch.zeros(1000, dtype=torch.long), 7, 0.3, torch.linspace(0, 0.999, 1000))
    expect(
        close((many == 7).float().mean(), 0.3, 0.01), "the share of hidden labels is not `share`"
    )
    expect(
        found.dtype == torch.long, "labels are whole numbers (torch.long); a network looks them up"
    )
