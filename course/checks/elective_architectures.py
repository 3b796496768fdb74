"""Checks of the elective on architectures."""

import torch

from demist.course import close, expect


def field(answer):
    expect(close(answer([]), 1), "without any layer a pixel sees itself: the width is 1")
    found = answer([(3, 1)])
    expect(not close(found, 4), "a kernel of 3 holds the pixel itself: it adds 2, not 3")
    expect(not close(found, 2), "a kernel of 3 sees one neighbour to *each* side")
    expect(close(found, 3), "one layer with a kernel of 3 sees 3 pixels")
    found = answer([(3, 1)] * 4)
    expect(not close(found, 81), "the widths do not multiply: each layer sees 2 pixels more")
    expect(close(found, 9), "four layers of 3 see 1 + 4 times 2 = 9 pixels")
    found = answer([(3, 2), (3, 1)])
    expect(
        not close(found, 5), "behind a stride of 2 one step to the side is two pixels of the input"
    )
    expect(
        not close(found, 9),
        "the stride of a layer counts for those behind it; its own kernel still lies on what comes in",
    )
    expect(close(found, 7), "3 pixels, and then one more step of two pixels to each side: 7")
    found = answer([(3, 2), (3, 2), (3, 1)])
    expect(not close(found, 13), "two strides of 2 make steps of 2 times 2 pixels: they multiply")
    expect(close(found, 15), "3, then 2 steps of 2 pixels, then 2 steps of 4: 15")
    expect(
        close(answer([(5, 1), (1, 1), (7, 2)]), 11), "a kernel of k adds k - 1 steps, not always 2"
    )


def waves(answer):
    t = torch.tensor([0.0, 0.3, 1.0])
    found = torch.as_tensor(answer(t, 4, 30.0, 1000.0))
    expect(
        tuple(found.shape) != (3, 8),
        "`count` is how many numbers there are in all: half of them are cosines",
    )
    angle = t[:, None] * 30.0 * torch.tensor([1.0, 1000.0**-0.5])
    right = torch.cat([angle.cos(), angle.sin()], 1)
    expect(
        not close(found, torch.cat([angle.sin(), angle.cos()], 1)),
        "the cosines come first, then the sines",
    )
    expect(
        not close(found, torch.stack([angle.cos(), angle.sin()], 2).flatten(1)),
        "all cosines, then all sines; yours take turns",
    )
    slow = t[:, None] * 30.0 * torch.tensor([1.0, 1000.0])
    expect(
        not close(found, torch.cat([slow.cos(), slow.sin()], 1), 1e-3),
        "each frequency is smaller than the one before: what is the sign of the exponent?",
    )
    whole = t[:, None] * 30.0 * 1000.0 ** (-torch.arange(2) / 4)
    expect(
        not close(found, torch.cat([whole.cos(), whole.sin()], 1)),
        "the exponent of number i is -i / half, with half of `count`",
    )
    ends = t[:, None] * 30.0 * torch.tensor([1.0, 0.001])
    expect(
        not close(found, torch.cat([ends.cos(), ends.sin()], 1)),
        "i / half stays below 1: the last frequency is *nearly* fastest / ratio",
    )
    turns = 2 * torch.pi * angle
    expect(
        not close(found, torch.cat([turns.cos(), turns.sin()], 1), 1e-3),
        "the frequencies are in radians: there is no 2 pi",
    )
    expect(close(found, right), "look at the frequencies: for 4 numbers they are 30 and 0.949")
    expect(
        close(answer(t, 2, 5.0, 10.0), torch.stack([(5 * t).cos(), (5 * t).sin()], 1)),
        "with two numbers there is one frequency, the fastest",
    )
