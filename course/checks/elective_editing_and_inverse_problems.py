"""Checks of the elective on editing and inverse problems."""

import torch

from demist.course import close, expect


def put_back(answer):
    x, clean = torch.tensor([[5.0, 6.0]]), torch.tensor([[4.0, 9.0]])
    seen, eps = torch.tensor([1.0, 0.0]), torch.tensor([[0.5, -0.5]])
    found = answer(x, clean, seen, 0.5, 3.0, eps)
    expect(
        not close(found, torch.tensor([[5.0, 3.0]])),
        "the seen number stayed and the hidden one was replaced; in `seen` a 1 says that it is known",
    )
    expect(
        close(found[:, 1:], x[:, 1:]),
        f"the hidden number was 6 in the state and must stay so; yours is {float(found[0, 1]):g}",
    )
    expect(
        not close(found[:, :1], clean[:, :1]),
        "the state is noisy at this time, and a clean number does not belong there",
    )
    expect(
        not close(found[0, 0], 2.0),
        "the data is scaled, but its noise is missing: the model expects it",
    )
    expect(
        not close(found[0, 0], 5.5),
        "at this time there is only alpha times the data, not all of it",
    )
    expect(
        not close(found[0, 0], 6.5),
        "sigma is the standard deviation of the noise already: no square, no root",
    )
    expect(
        close(found, torch.tensor([[3.5, 6.0]])),
        "with alpha 0.5 and sigma 3, data 4 and eps 0.5 make a seen number of 3.5; "
        f"yours is {float(found[0, 0]):g}",
    )
    image = torch.zeros(2, 1, 4, 4)
    half = (torch.arange(4) < 2).float()[:, None].expand(4, 4)
    found = answer(image, image + 1, half, 1.0, 0.0, image)
    expect(
        close(found, half.expand(2, 1, 4, 4)),
        "at the time 0 the seen half of an image is the clean one, exactly",
    )


def posterior(answer):
    middles = torch.tensor([[1.0, 2.0], [0.2, 3.0], [1.0, -4.0]])
    shares, before = torch.tensor([0.2, 0.3, 0.5]), middles.clone()
    new, moved = answer(shares, middles, 0.3, 0.8, 0.4)
    expect(torch.equal(middles, before), "the middles you were given are changed: make new ones")
    expect(
        close(new.sum(), 1.0, 1e-4), f"the new shares have the sum {float(new.sum()):.3g}, not 1"
    )
    expect(
        not close(new, shares),
        "the shares are as before; a heap from which y is improbable must lose its share",
    )
    alike = answer(torch.ones(3) / 3, middles, 0.3, 0.8, 0.4)[0]
    expect(
        not close(new, alike, 1e-4),
        "a heap that had more points before must have more now: where are the old shares?",
    )
    for variance, hint in (
        (0.3**2, "the measurement has noise of its own, which makes distant heaps less improbable"),
        (
            0.4**2,
            "a heap has a width of its own: y may come from all of it and not only its middle",
        ),
        (0.7**2, "add the variances, not the standard deviations"),
    ):
        wrong = shares * torch.exp(-((0.8 - middles[:, 0]) ** 2) / (2 * variance))
        expect(not close(new, wrong / wrong.sum(), 1e-4), hint)
    right = shares * torch.exp(-((0.8 - middles[:, 0]) ** 2) / (2 * 0.25))
    expect(
        close(new, right / right.sum(), 1e-4),
        "the shares are off: each is multiplied by the Gaussian density of y, whose variance is that "
        "of the heap and that of the noise together, with the half in the exponent",
    )
    expect(
        not close(moved[:, 0], torch.full((3,), 0.8)),
        "y is not exact, so no middle moves all the way to it",
    )
    expect(
        close(moved[:, 1], middles[:, 1]),
        "the second number was not measured: within a heap its middle stays",
    )
    other = middles[:, 0] + 0.16 / 0.25 * (0.8 - middles[:, 0])
    expect(
        not close(moved[:, 0], other, 1e-4),
        "the less noise there is, the more a middle moves to y; yours moves less",
    )
    expect(
        close(moved[:, 0], middles[:, 0] + 0.09 / 0.25 * (0.8 - middles[:, 0]), 1e-4),
        "how far does a middle move towards y? See the formula of the middle",
    )
