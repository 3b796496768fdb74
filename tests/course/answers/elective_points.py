"""Wrong answers to the elective on points, and words of the hint that each gets."""

WRONG = {
    "standardise": [
        ("return (x - x.mean(0)) / x.std(0, correction=0)", "divided by its own deviation"),
        (
            "x = x - x.mean()\nreturn x / x.square().mean().sqrt()",
            "each column has its own",
        ),
        ("return (x - x.mean(0)) / x.std(correction=0)", "centre first"),
        ("return x / x.var(0, correction=0).mean().sqrt()", "mean of each column should be 0"),
        ("return (x - x.mean(0)) / x.var(0).mean().sqrt()", "`correction=0`"),
        ("return (x - x.mean(0)) / x.var(0, correction=0).mean()", "the root of the mean variance"),
        ("return x - x.mean(0)", "divided by the root of 5"),
        ("x -= x.mean(0)\nreturn x / x.square().mean().sqrt()", "make new ones"),
        (
            "x = x - x.mean(0)\nreturn x / (x.square().mean(0).sum() / 2).sqrt()",
            "is a number of columns",
        ),
    ],
}
