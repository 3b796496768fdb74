"""Columns of a data set: kept with their samples, checked, and part of the fingerprint."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from demist.data import Column, Dataset
from demist.errors import DataError

X = np.arange(3 * 16, dtype=np.uint8).reshape(3, 1, 4, 4)
LABELS = np.array([0, 1, 0])


def full():
    columns = {
        "angle": Column("numbers", np.array([[1.0], [2.0], [3.0]]), ("angle",)),
        "seen": Column("labels", np.eye(3, 2, dtype=np.uint8), ("cat", "dog")),
        "sketch": Column("image", X[:, :, ::-1].copy()),
    }
    return Dataset(X, LABELS, ("a", "b"), ("x", "y", "z"), columns=columns)


def test_short_forms_are_columns():
    data = full()
    assert list(data.columns) == ["angle", "seen", "sketch", "label", "text"]
    assert data.columns["label"].kind == "class"
    assert (data.classes, data.texts) == (("a", "b"), ("x", "y", "z"))
    other = replace(data, labels=1 - LABELS, classes=("c", "d"))
    assert other.labels.tolist() == [1, 0, 1]
    assert other.columns["label"].names == ("c", "d")
    assert other.columns["angle"] is data.columns["angle"]
    assert list(replace(data, labels=None, texts=None).columns) == ["angle", "seen", "sketch"]
    assert (Dataset(X).labels, Dataset(X).classes, Dataset(X).texts) == (None, (), None)


def test_a_part_keeps_the_rows_of_every_column():
    part = full().subset(np.array([2, 0]))
    assert part.columns["angle"].values.tolist() == [[3.0], [1.0]]
    assert part.columns["seen"].values.tolist() == [[0, 0], [1, 0]]
    assert np.array_equal(part.columns["sketch"].values, X[[2, 0]][:, :, ::-1])
    assert part.texts == ("z", "x")


def test_fingerprint_of_todays_columns_is_that_of_the_past_and_others_change_it():
    plain = Dataset(X, LABELS, ("a", "b"), ("x", "y", "z"))
    want = hashlib.sha256(b"uint8(3, 1, 4, 4)" + X.tobytes())
    want.update(b"labels" + LABELS.astype("<i8").tobytes())
    for text in "xyz":
        want.update(hashlib.sha256(text.encode()).digest())
    assert plain.fingerprint == want.hexdigest()
    angle = full().columns["angle"]
    kinds = [
        {"angle": angle},
        {"other": angle},
        {"angle": replace(angle, values=angle.values + 1)},
        {"angle": replace(angle, names=("other",))},
        {"angle": angle, "seen": full().columns["seen"]},
    ]
    found = {replace(plain, columns={**plain.columns, **more}).fingerprint for more in kinds}
    assert len(found | {plain.fingerprint}) == 6
    twice = {"angle": angle, "seen": full().columns["seen"]}
    a, b = (Dataset(X, columns=dict(c)) for c in (twice.items(), reversed(twice.items())))
    assert a.fingerprint == b.fingerprint


@pytest.mark.parametrize(
    "column, words",
    [
        (Column("numbers", np.zeros((2, 1)), ("a",)), "2 values of 'c' for 3 samples"),
        (Column("numbers", np.zeros((3, 2)), ("a",)), r"'c': shape \(3, 2\), but there are 1"),
        (Column("class", np.array([0, 1, 2]), ("a", "b")), "'c' reach from 0 to 2"),
    ],
)
def test_columns_that_do_not_fit_are_refused(column, words):
    with pytest.raises(DataError, match=words):
        Dataset(X, columns={"c": column})
