"""Wrong answers to chapter 1, and words of the hint that each gets."""

WRONG = {
    "best_guess": [
        ("return torch.full_like(x, data.mean())", "5 everywhere is the mean"),
        (
            "w = torch.exp(-(((x[:, None] - (1 - t) * data) / t) ** 2) / 2)\nreturn w @ data",
            "divided by their sum?",
        ),
        (
            "w = torch.softmax(-(((x[:, None] - data) / t) ** 2) / 2, 1)\nreturn w @ data",
            "8, or (1 - t) 8",
        ),
        (
            "w = torch.softmax(-((x[:, None] - (1 - t) * data) ** 2) / 2, 1)\nreturn w @ data",
            "left the division out",
        ),
        (
            "w = torch.softmax(-(((x[:, None] - (1 - t) * data) / t) ** 2), 1)\nreturn w @ data",
            "with the half",
        ),
        ("pass", "does it end with `return`"),
        ("return data", "the shape should be (2,)"),
    ],
}
