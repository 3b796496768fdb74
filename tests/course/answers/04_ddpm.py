"""Wrong answers to chapter 4, and words of the hint that each gets."""

_BEGIN = (
    "beta = betas[i - 1]\nbar, before = (1 - betas[:i]).prod(), (1 - betas[: i - 1]).prod()\n"
    "tilde = beta * (1 - before) / (1 - bar)\nroot, wide = (1 - beta).sqrt(), (1 - bar).sqrt()\n"
)

WRONG = {
    "ancestral": [
        (_BEGIN + "return (x - beta / wide * eps) / root + beta.sqrt() * z", "the other choice"),
        (_BEGIN + "return (x - beta / wide * eps) / root + tilde * z", "is a variance"),
        (_BEGIN + "return (x - beta / (1 - bar) * eps) / root + tilde.sqrt() * z", "its square"),
        (_BEGIN + "return (x + beta / wide * eps) / root + tilde.sqrt() * z", "yours adds it"),
        (_BEGIN + "return (x - beta / wide * eps) / bar.sqrt() + tilde.sqrt() * z", "all the way"),
        (_BEGIN + "return x - beta / wide * eps + tilde.sqrt() * z", "must grow again"),
        (_BEGIN + "return x / root - beta / wide * eps + tilde.sqrt() * z", "the brackets"),
        (_BEGIN + "return (x - beta / wide * eps + tilde.sqrt() * z) / root", "is added last"),
        (_BEGIN + "return (x - beta.sqrt() * eps) / root + tilde.sqrt() * z", "only the share"),
        (
            _BEGIN + "return (x - beta / (1 - before).sqrt() * eps) / root + tilde.sqrt() * z",
            "of step i, not of step i - 1",
        ),
        (
            "beta = betas[i]\nbar, before = (1 - betas[: i + 1]).prod(), (1 - betas[:i]).prod()\n"
            "mean = (x - beta / (1 - bar).sqrt() * eps) / (1 - beta).sqrt()\n"
            "return mean + (beta * (1 - before) / (1 - bar)).sqrt() * z",
            "you took the next one",
        ),
        ("pass", "does it end with `return`"),
    ],
}
