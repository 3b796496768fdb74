"""Wrong answers to chapter 11, and words of the hint that each gets."""

EACH = (
    "held = np.zeros(len(labels), bool)\n"
    "for one in np.unique(labels):\n"
    "    rows = {rows}\n"
    "    held[rows[: round(len(rows) * share)]] = True\n"
    "return held"
)
WRONG = {
    "hold_out": [
        ("pass", "does it end with `return`"),
        (
            "rows = np.random.default_rng(seed).permutation(len(labels))\n"
            "return rows[: round(len(labels) * share)]",
            "booleans are asked for",
        ),
        (
            "held = np.zeros(len(labels), bool)\n"
            "rows = np.random.default_rng(seed).permutation(len(labels))\n"
            "held[rows[: round(len(labels) * share)]] = True\n"
            "return held",
            "not class by class",
        ),
        ("return np.random.default_rng(seed).random(len(labels)) < share", "a tenth of classes"),
        (EACH.format(rows="np.random.permutation(np.flatnonzero(labels == one))"), "the same seed"),
        (EACH.format(rows="np.flatnonzero(labels == one)"), "another seed"),
    ],
}
