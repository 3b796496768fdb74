"""Wrong answers to chapter 5, and words of the hint that each gets."""

WRONG = {
    "betas_of": [
        ("return (1 - alpha_bar[1:]).clamp(max=0.999)", "what this step alone adds"),
        ("return (alpha_bar[:-1] - alpha_bar[1:]).clamp(max=0.999)", "compared by dividing"),
        ("return (alpha_bar[1:] / alpha_bar[:-1]).clamp(max=0.999)", "what a step keeps"),
        ("return 1 - alpha_bar[1:] / alpha_bar[:-1]", "cut the betas at 0.999"),
        (
            "return (1 - (alpha_bar[1:] / alpha_bar[:-1]).sqrt()).clamp(max=0.999)",
            "the roots come later",
        ),
        ("return (1 - alpha_bar[:-1] / alpha_bar[1:]).clamp(max=0.999)", "the later one"),
        ("return 1 - alpha_bar / alpha_bar", "the shape should be (4,)"),
        ("pass", "does it end with `return`"),
    ],
}
