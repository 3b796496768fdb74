"""Checks of chapter 2."""

import torch

from demist.course import close, expect


def jump(answer):
    betas = torch.tensor([0.1, 0.3, 0.5, 0.2], dtype=torch.float64)
    x0, eps = torch.tensor([1.0, -2.0]).double(), torch.tensor([0.5, 3.0]).double()
    none = torch.zeros(2, dtype=torch.float64)
    expect(
        close(answer(x0, betas, 0, eps), x0),
        "after 0 steps nothing is destroyed yet: x0 must come back. The product of no numbers is 1",
    )
    kept = 1 - betas[:3]
    bar, root = kept.prod(), kept.prod().sqrt()
    found = answer(x0, betas, 3, none)
    expect(
        not close(found, bar * x0),
        "without noise you give alpha-bar x0: each step multiplies by a root; where is it?",
    )
    expect(
        not close(found, kept[-1].sqrt() * x0),
        "that is what the last step does; in between lie all the others: multiply what they keep",
    )
    expect(
        not close(found, betas[:3].prod().sqrt() * x0),
        "beta is what a step adds; what it keeps is 1 - beta",
    )
    expect(
        not close(found, (1 - betas[:3].sum()).clamp(min=0).sqrt() * x0),
        "shares that are kept one after another are multiplied; you add up the betas",
    )
    for off in (2, 4):
        expect(
            not close(found, (1 - betas[:off]).prod().sqrt() * x0),
            f"i = 3 means that 3 steps are done; you took {off} of the betas",
        )
    expect(close(found, root * x0), "without noise, sqrt(alpha-bar) x0 should be left")
    found = answer(none, betas, 3, eps)
    expect(
        not close(found, (1 - bar) * eps),
        "1 - alpha-bar is the variance of the noise; what is multiplied with eps is its width",
    )
    expect(
        not close(found, (1 - root) * eps),
        "data and noise do not share the width but the variance: 1 - alpha-bar, and its root",
    )
    expect(
        not close(found, betas[:3].sum().sqrt() * eps),
        "the noise of early steps shrinks in the later ones, so the betas do not simply add up",
    )
    expect(close(found, (1 - bar).sqrt() * eps), "the data is right; look at the part of the noise")
    found = answer(x0, betas, 4, eps)
    bar = (1 - betas).prod()
    expect(close(found, bar.sqrt() * x0 + (1 - bar).sqrt() * eps), "wrong when all steps are done")
