"""Wrong answers to the elective on flow matching, and words of the hint that each gets."""

ENDS = """(alpha, sigma), (d_alpha, d_sigma) = at, rates
det = alpha * d_sigma - sigma * d_alpha
"""

WRONG = {
    "pair": [
        ("t = t[:, None]\nreturn t * x0 + (1 - t) * eps, eps - x0", "begin in the noise"),
        ("t = t[:, None]\nreturn (1 - t) * x0 + t * eps, x0 - eps", "leads to the data"),
        ("return (1 - t[:, None]) * x0 + t[:, None] * eps", "two tensors are asked for"),
        (
            "t = t[:, None]\nx = (1 - t) * x0 + t * eps\nreturn x, eps - x",
            "the same on all of the line",
        ),
        (
            "t = t[:, None]\nreturn (1 - t) * x0 + t * eps, t * (eps - x0)",
            "the way since t = 0",
        ),
        ("t = t[:, None]\nreturn x0 + t * eps, eps - x0", "is (1.5, -0.5)"),
    ],
    "both_ends": [
        (
            "return x - at[1] * v, x + at[0] * v",
            "asked for is any path",
        ),
        (
            ENDS + "return d_sigma * x - sigma * v, alpha * v - d_alpha * x",
            "divide by the determinant",
        ),
        (
            ENDS + "return (sigma * v - d_sigma * x) / det, (d_alpha * x - alpha * v) / det",
            "the sign is turned",
        ),
        (
            ENDS + "return (alpha * v - d_alpha * x) / det, (d_sigma * x - sigma * v) / det",
            "in the other order",
        ),
        (ENDS + "return (d_sigma * x - sigma * v) / det, v / sigma", "x0 is right, eps is not"),
        (ENDS + "return (d_sigma * x - sigma * v) / det", "two tensors are asked for"),
    ],
}
