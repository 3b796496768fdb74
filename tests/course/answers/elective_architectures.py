"""Wrong answers to the elective on architectures, and words of the hint that each gets."""

LOOP = "width, step = 1, 1\nfor kernel, stride in layers:\n"
WAVES = "half = count // 2\n"
BOTH = "\nreturn torch.cat([angle.cos(), angle.sin()], 1)"

WRONG = {
    "field": [
        (LOOP + "    width += kernel * step\n    step *= stride\nreturn width", "not 3"),
        (LOOP + "    width += (kernel // 2) * step\n    step *= stride\nreturn width", "*each*"),
        (LOOP + "    width *= kernel\nreturn width", "do not multiply"),
        (LOOP + "    width += kernel - 1\nreturn width", "two pixels of the input"),
        (LOOP + "    step *= stride\n    width += (kernel - 1) * step\nreturn width", "its own"),
        (
            LOOP + "    width += (kernel - 1) * step\n    step += stride - 1\nreturn width",
            "they multiply",
        ),
        (LOOP + "    width += 2 * step\n    step *= stride\nreturn width", "k - 1 steps"),
        ("return sum(kernel - 1 for kernel, _ in layers)", "the width is 1"),
    ],
    "waves": [
        (
            "angle = t[:, None] * fastest * ratio ** (-torch.arange(count) / count)" + BOTH,
            "in all",
        ),
        (
            WAVES + "angle = t[:, None] * fastest * ratio ** (-torch.arange(half) / half)\n"
            "return torch.cat([angle.sin(), angle.cos()], 1)",
            "cosines come first",
        ),
        (
            WAVES + "angle = t[:, None] * fastest * ratio ** (-torch.arange(half) / half)\n"
            "return torch.stack([angle.cos(), angle.sin()], 2).flatten(1)",
            "take turns",
        ),
        (
            WAVES + "angle = t[:, None] * fastest * ratio ** (-torch.arange(half) / count)" + BOTH,
            "-i / half",
        ),
        (
            WAVES
            + "angle = t[:, None] * fastest * ratio ** (-torch.arange(half) / (half - 1))"
            + BOTH,
            "*nearly*",
        ),
        (
            WAVES
            + "angle = 2 * torch.pi * t[:, None] * fastest * ratio ** (-torch.arange(half) / half)"
            + BOTH,
            "2 pi",
        ),
        (
            WAVES + "angle = t[:, None] * fastest / (1 + ratio * torch.arange(half))" + BOTH,
            "30 and 0.949",
        ),
    ],
}
