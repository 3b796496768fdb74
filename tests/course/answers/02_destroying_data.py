"""Wrong answers to chapter 2, and words of the hint that each gets."""

WRONG = {
    "jump": [
        (
            "bar = (1 - betas[: i + 1]).prod()\nreturn bar.sqrt() * x0 + (1 - bar).sqrt() * eps",
            "after 0 steps",
        ),
        (
            "bar = (1 - betas[:i]).prod()\nreturn bar * x0 + (1 - bar) * eps",
            "multiplies by a root",
        ),
        (
            "bar = (1 - betas[:i]).prod()\nreturn bar.sqrt() * x0 + (1 - bar) * eps",
            "what is multiplied with eps",
        ),
        (
            "a = (1 - betas[:i]).prod().sqrt()\nreturn a * x0 + (1 - a) * eps",
            "do not share the width",
        ),
        (
            "if i == 0:\n    return x0\nb = betas[i - 1]\n"
            "return (1 - b).sqrt() * x0 + b.sqrt() * eps",
            "that is what the last step does",
        ),
        (
            "if i == 0:\n    return x0\nb = betas[:i].prod()\n"
            "return b.sqrt() * x0 + (1 - b).sqrt() * eps",
            "what it keeps is 1 - beta",
        ),
        (
            "b = betas[:i].sum()\nreturn (1 - b).clamp(min=0).sqrt() * x0 + b.sqrt() * eps",
            "you add up the betas",
        ),
        (
            "if i == 0:\n    return x0\nbar = (1 - betas[: i - 1]).prod()\n"
            "return bar.sqrt() * x0 + (1 - bar).sqrt() * eps",
            "3 steps are done",
        ),
        (
            "a = (1 - betas[:i]).prod().sqrt()\nreturn a * x0 + betas[:i].sum().sqrt() * eps",
            "shrinks in the later ones",
        ),
        ("pass", "does it end with `return`"),
    ],
}
