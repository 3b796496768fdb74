"""Wrong answers to chapter 10, and words of the hint that each gets."""

ROOTS = (
    "first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)\n"
    "roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()\n"
    "step = a.mean(0) - b.mean(0)\n"
)
WRONG = {
    "frechet": [
        (f"{ROOTS}return step @ step + np.trace(first) + np.trace(second)", "are 0 apart"),
        (
            f"{ROOTS}return np.sqrt(step @ step) + np.trace(first) + np.trace(second) - 2 * roots",
            "the *square* of the way",
        ),
        (
            f"{ROOTS}return np.abs(step).sum() + np.trace(first) + np.trace(second) - 2 * roots",
            "yours gives 7",
        ),
        (
            "first, second = np.cov(a.T, bias=True), np.cov(b.T, bias=True)\n"
            "roots = np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()\n"
            "step = a.mean(0) - b.mean(0)\n"
            "return step @ step + np.trace(first) + np.trace(second) - 2 * roots",
            "divide by n",
        ),
        (
            "step = a.mean(0) - b.mean(0)\n"
            "return step @ step + ((a.std(0, ddof=1) - b.std(0, ddof=1)) ** 2).sum()",
            "the variances alone",
        ),
    ],
}
