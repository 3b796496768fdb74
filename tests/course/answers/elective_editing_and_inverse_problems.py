"""Wrong answers to the elective on editing and inverse problems, and words of each hint."""

SHARES = (
    "off = y - middles[:, 0]\nmoved = middles.clone()\n"
    "new = shares * torch.exp(-(off**2) / (2 * {}))\n"
)
MOVE = "moved[:, 0] += {} * off\nreturn new / new.sum(), moved"
RIGHT = SHARES.format("(std**2 + noise**2)")

WRONG = {
    "put_back": [
        ("return (1 - seen) * (alpha * clean + sigma * eps) + seen * x", "a 1 says"),
        ("return seen * clean + (1 - seen) * x", "does not belong there"),
        ("return seen * alpha * clean + (1 - seen) * x", "noise is missing"),
        ("return seen * (clean + sigma * eps) + (1 - seen) * x", "alpha times the data"),
        ("return seen * (alpha * clean + sigma**2 * eps) + (1 - seen) * x", "no square"),
        ("return alpha * clean + sigma * eps", "must stay so"),
        ("return seen * (alpha * clean - sigma * eps) + (1 - seen) * x", "of 3.5"),
    ],
    "posterior": [
        ("return shares, middles.clone()", "are as before"),
        (RIGHT + "return new, moved", "have the sum"),
        (
            RIGHT.replace("shares *", "") + MOVE.format("std**2 / (std**2 + noise**2)"),
            "the old shares",
        ),
        (SHARES.format("std**2") + MOVE.format("std**2 / (std**2 + noise**2)"), "noise of its own"),
        (SHARES.format("noise**2") + MOVE.format("1"), "a width of its own"),
        (SHARES.format("(std + noise) ** 2") + MOVE.format("1"), "add the variances"),
        (RIGHT + MOVE.format("1"), "all the way"),
        (RIGHT + MOVE.format("noise**2 / (std**2 + noise**2)"), "yours moves less"),
        (
            RIGHT.replace("moved = middles.clone()", "moved = middles") + MOVE.format("0.36"),
            "make new",
        ),
        (RIGHT + "moved += 0.36 * off[:, None]\nreturn new / new.sum(), moved", "its middle stays"),
    ],
}
