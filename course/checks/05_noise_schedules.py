"""Checks of chapter 5."""

import torch

from demist.course import close, expect


def betas_of(answer):
    bar = torch.tensor([1.0, 0.9, 0.54, 0.27, 0.0], dtype=torch.float64)
    right = torch.tensor([0.1, 0.4, 0.5, 0.999], dtype=torch.float64)
    found = answer(bar)
    expect(
        not close(found, 1 - bar[1:]) and not close(found, (1 - bar[1:]).clamp(max=0.999)),
        "1 - alpha-bar is all the noise up to a step; beta is what this step alone adds",
    )
    expect(
        not close(found, bar[:-1] - bar[1:]),
        "alpha-bar is a product, not a sum: two neighbours are compared by dividing",
    )
    share = bar[1:] / bar[:-1]
    expect(
        not close(found, share) and not close(found, share.clamp(max=0.999)),
        "that is what a step keeps; beta is what it adds",
    )
    expect(
        not close(found, 1 - share),
        "the last beta is 1, and then nothing can be undone; cut the betas at 0.999",
    )
    expect(
        not close(found, 1 - share.sqrt())
        and not close(found, (1 - share.sqrt()).clamp(max=0.999)),
        "alpha-bar is the product of 1 - beta; the roots come later",
    )
    flipped = 1 - bar[:3] / bar[1:4]  # without the last, which is infinite
    expect(
        not close(torch.as_tensor(found)[:3], flipped),
        "your betas are negative: which of the two neighbours is the later one?",
    )
    expect(close(found, right), f"for alpha-bar {bar.tolist()} the betas are {right.tolist()}")
