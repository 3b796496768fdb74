"""Checks of chapter 10."""

import numpy as np

from demist.course import close, expect


def frechet(answer):
    draw = np.random.default_rng(5)
    line = np.array([-1.0, 0.0, 1.0])
    a = np.stack([np.tile(line, 3), np.repeat(line, 3)], 1)  # covariance 0.75, means 0
    same = answer(a, a)
    expect(close(same, 0.0, 1e-6), f"a cloud and itself are 0 apart; yours gives {float(same):.3f}")
    moved = float(answer(a, a + np.array([3.0, 4.0])))
    expect(
        not close(moved, 5.0, 1e-3),
        "moved by (3, 4) and unchanged otherwise it is 25 apart: the *square* of the way",
    )
    expect(close(moved, 25.0, 1e-6), f"moved by (3, 4) it is 25 apart; yours gives {moved:.3f}")
    wide = float(answer(a, 3 * a))
    biased = 2 * (3 - 1) ** 2 * 6 / 9
    expect(
        not close(wide, biased, 1e-6),
        "your covariances divide by n; `np.cov(x, rowvar=False)` divides by n - 1",
    )
    expect(
        not close(wide, 15.0, 1e-6),
        "three times as wide: the third part, minus twice the root, is missing",
    )
    expect(
        close(wide, 6.0, 1e-6),
        f"of standard deviations 0.866 and 2.598 in both directions it is 6; yours gives {wide:.3f}",
    )
    mix = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, -1.0], [0.5, 0.0, 0.3]])
    x, y = draw.normal(size=(60, 3)) @ mix, draw.normal(size=(50, 3)) + 1
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    step = x.mean(0) - y.mean(0)
    whole = step @ step + np.trace(first) + np.trace(second)
    right = whole - 2 * np.sqrt(np.linalg.eigvals(first @ second).real.clip(0)).sum()
    found = float(answer(x, y))
    each = whole - 2 * np.sqrt(np.diag(first) * np.diag(second)).sum()
    expect(
        not close(found, each, 1e-6),
        "you use the variances alone; where coordinates go together, the whole matrices count",
    )
    expect(
        close(found, right, 1e-6), "right for round clouds, but not where coordinates go together"
    )
