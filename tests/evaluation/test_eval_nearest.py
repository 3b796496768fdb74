"""Nearest items of data that may stay on the disk: as by full matrices, a block at a time."""

import numpy as np
import pytest

from demist.errors import UsageError
from demist.evaluation.metrics import closer, distances, nearest_of_many


class OnDisk:
    """Gives slices of rows and nothing else; remembers how many were asked for at once."""

    def __init__(self, x):
        self.x, self.largest = x, 0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        found = self.x[rows]
        self.largest = max(self.largest, len(found))
        return found


def test_the_nearest_are_those_of_the_full_matrix(monkeypatch):
    monkeypatch.setattr(distances, "HELD", 48 * 40)
    draw = np.random.default_rng(0)
    x = draw.integers(0, 256, (7, 3, 4, 4), dtype=np.uint8)
    y = draw.integers(0, 256, (150, 3, 4, 4), dtype=np.uint8)
    y[149] = x[3]
    data, heard = OnDisk(y), []
    found, which = nearest_of_many(x, data, 3, heard.append)
    full = np.sqrt(np.square(x[:, None].astype(float) - y).sum(axis=(2, 3, 4)))
    assert np.array_equal(which, full.argsort(axis=1)[:, :3])
    assert found == pytest.approx(np.sort(full, axis=1)[:, :3])
    assert (found[3, 0], which[3, 0]) == (0, 149)
    assert data.largest == 40
    assert heard == [40, 80, 120, 150]


@pytest.mark.parametrize(("count", "k"), [(2, 3), (5, 0)])
def test_too_few_items_are_said(count, k):
    with pytest.raises(UsageError, match="nearest"):
        nearest_of_many(np.zeros((1, 2)), np.zeros((count, 2)), k)


def test_ties_count_half():
    assert closer(np.array([1.0, 2.0]), np.array([1.0, 2.0, 3.0, 4.0])) == (3.5 + 2.5) / 8
    assert closer(np.array([0.0]), np.array([1.0])) == 1
    assert closer(np.array([2.0]), np.array([1.0])) == 0
