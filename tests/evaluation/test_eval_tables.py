"""Two runs side by side: the interval, the winner, and what does not compare."""

import numpy as np
import pytest

from demist.errors import DataError
from demist.evaluation.report import over_seeds
from demist.evaluation.tables import T_975, against, interval, markdown


def report(seed, **values):
    metrics = {name: {"value": value, "floor": 0.5} for name, value in values.items()}
    protocol = {"generated": 9, "train": 20, "test": 10, "compared": 9, "k": 5, "seed": seed,
                "features": "f", "judge": "f", "dimension": 3, "reference": "train"}  # fmt: skip
    return {"protocol": protocol, "metrics": metrics, "classes": None, "warnings": []}


def run(fdr, precision=0.5):
    return over_seeds([report(i, fdr=x, precision=precision) for i, x in enumerate(fdr)])


def test_students_t_is_the_library_s():
    stats = pytest.importorskip("scipy.stats")
    np.testing.assert_allclose(T_975, stats.t.ppf(0.975, np.arange(1, 21)), atol=6e-4)


def test_the_interval_of_equal_spreads():
    """By hand: difference 2, variances 1, three each; t with 4 degrees of freedom."""
    low, high = interval([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    half = 2.776 * np.sqrt(2 / 3)
    assert (low, high) == pytest.approx((2 - half, 2 + half))


def test_the_interval_is_welch_s_with_whole_degrees_of_freedom():
    stats = pytest.importorskip("scipy.stats")
    a, b = np.random.default_rng(0).normal(0, 1, 8), np.random.default_rng(1).normal(1, 4, 5)
    exact = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    low, high = interval(list(a), list(b))
    assert low < exact.low < exact.high < high
    assert high - low < 1.15 * (exact.high - exact.low)


def test_the_interval_covers_19_times_in_20():
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((2000, 2, 3))
    inside = [low < 0 < high for low, high in (interval(*map(list, pair)) for pair in draws)]
    assert 0.94 < np.mean(inside) < 0.985  # whole degrees of freedom make it a little wide


def test_no_spread_is_an_interval_too():
    assert interval([1.0, 1.0], [0.5, 0.5]) == (0.5, 0.5)
    with pytest.raises(DataError, match="use more seeds"):
        interval([1.0], [1.0, 2.0])


def test_the_winner():
    good, bad = run([1.00, 1.01, 0.99]), run([1.50, 1.51, 1.49])
    text = against(good, bad, ("A", "B"))
    fdr, precision = (line for line in text.splitlines() if line.startswith(("| FDr", "| prec")))
    assert fdr == "| FDr | 1.00 ± 0.01 | 1.50 ± 0.01 | -0.50 | -0.52 … -0.48 | 1 | A |"
    assert precision.endswith("| high | no difference |")
    assert against(bad, good, ("A", "B")).count("| B |") == 2  # the heading, FDr
    assert "no difference" in against(good, run([0.5, 1.0, 1.5]), ("A", "B")).splitlines()[2]


def test_other_protocols_do_not_compare():
    other = over_seeds([report(i, fdr=1.0) for i in (1, 2)])
    with pytest.raises(DataError, match=r"seeds = \[0, 1, 2\] and \[1, 2\]"):
        against(run([1, 1, 1]), other)


def test_the_seeds_are_named():
    assert "3 sets (seeds 0, 1, 2) of 9 generated samples" in markdown(run([1, 2, 3]))
