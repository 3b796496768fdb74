"""Wrong answers to chapter 9, and words of the hint that each gets."""

WRONG = {
    "extrapolate": [
        ("return with_ + scale * (without - with_)", "the guess without it"),
        ("return scale * with_", "ignores the condition"),
        ("return (1 + scale) * with_ - scale * without", "the guess without it"),
        (
            "return without if scale == 0 else (1 + scale) * with_ - scale * without",
            "smaller by one",
        ),
        ("return without - scale * (with_ - without)", "at the tip of the arrow"),
        ("return without + min(scale, 1) * (with_ - without)", "yours stops there"),
        ("return without + scale**2 * (with_ - without)", "three times the arrow"),
    ],
    "hide": [
        ("labels[u < share] = null\nreturn labels", "make new ones"),
        ("return torch.where(u < share, labels, null)", "the other way round"),
        ("return torch.where(u > 1 - share, null, labels)", "compare u with `share`"),
        ("return torch.where(u < share, 0, labels)", "a class of its own"),
        ("return torch.where(u.min() < share, null, labels)", "its own number in u"),
        ("return torch.where(u < 0.2 * share, null, labels)", "the first and the last"),
        ("return torch.where(u < 0.1, null, labels)", "with the share 0"),
        ("return torch.where(u < share, float(null), labels.float())", "whole numbers"),
    ],
}
