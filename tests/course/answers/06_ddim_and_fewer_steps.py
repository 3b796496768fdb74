"""Wrong answers to chapter 6, and words of the hint that each gets."""

STEP = """(alpha_t, sigma_t), (alpha_s, sigma_s) = at_t, at_s
eps = (x - alpha_t * x0) / sigma_t
v = sigma_s**2 * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2)
"""

WRONG = {
    "ddim_step": [
        (
            STEP.replace("x - alpha_t * x0", "x - x0")
            + "return alpha_s * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + eta * v**0.5 * z",
            "take alpha_t x0 out of x",
        ),
        (
            STEP.replace(" / sigma_t\n", "\n")
            + "return alpha_s * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + eta * v**0.5 * z",
            "divide it by sigma at t",
        ),
        (
            STEP
            + "return alpha_t * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + eta * v**0.5 * z",
            "both at the cleaner time s",
        ),
        (
            STEP + "return alpha_s * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + v**0.5 * z",
            "z does not count",
        ),
        (
            STEP + "return alpha_s * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + eta * v * z",
            "v is a variance",
        ),
        (
            STEP.replace("v = ", "v = sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2 #")
            + "return alpha_s * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + eta * v**0.5 * z",
            "look at v in the text",
        ),
        (
            STEP.replace(")) ** 2", ")) ** 1")
            + "return alpha_s * x0 + (sigma_s**2 - eta**2 * v) ** 0.5 * eps + eta * v**0.5 * z",
            "Are the squares where",
        ),
        (
            STEP + "return alpha_s * x0 + sigma_s * eps + eta * v**0.5 * z",
            "how much of the old one may stay",
        ),
        (
            STEP + "return alpha_s * x0 + (sigma_s - eta * v**0.5) * eps + eta * v**0.5 * z",
            "noises add up by their squares",
        ),
        (
            STEP
            + "return alpha_s * x0 + (sigma_s**2 - eta * v) ** 0.5 * eps + eta**0.5 * v**0.5 * z",
            "where does eta stand",
        ),
    ],
    "order": [
        ("return error / halved", "2 to the power of what"),
        ("return math.log2(halved / error)", "which error is divided by which"),
        ("return math.log(error / halved)", "to the base 2"),
        ("return error - halved", "not the difference"),
        ("return 0.5", "half of the error is order 1"),
        ("return 1.0", "an eighth of the error"),
    ],
}
