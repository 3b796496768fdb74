"""What is learned from and what is held out: decided once, honestly, and the same everywhere."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from demist.config import DataConfig
from demist.data import Dataset, splits, train_and_test
from demist.data.division import held_out_rows, proportional
from demist.errors import DataError, UsageError
from demist.modalities import named


def pictures(folder, n, first=0):
    """Grey pictures, each of one value of its own: first, first + 1, ..."""
    folder.mkdir(parents=True)
    for i in range(n):
        Image.new("L", (8, 8), first + i).save(folder / f"{i:03}.png")


def shades(data):
    return data.x[:, 0, 0, 0].tolist()


def options(path, **more):
    return replace(DataConfig(), path=str(path), **more)


def numbered(path, n, classes=10, per_class=None):
    """An .npz of one-valued images with labels 0, 1, ..., 9, 0, ..."""
    x = np.arange(n, dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    y = np.arange(n) % classes if per_class is None else np.repeat(np.arange(classes), per_class)
    np.savez(path, x=x, y=y)
    return path


@pytest.mark.parametrize("held", ["test", "val"])
def test_a_part_of_the_data_is_held_out_whole(tmp_path, held):
    pictures(tmp_path / "train", 20)
    pictures(tmp_path / held, 5, first=100)
    found = named.divided(options(tmp_path))
    assert (shades(found.train), shades(found.test)) == ([*range(20)], [*range(100, 105)])
    learned = named.to_learn(options(tmp_path, hold_out=0.5))
    assert shades(learned.data) == [*range(20)]
    assert (learned.hold_out, learned.sentence) == (0.5, "")
    assert learned.data.fingerprint == found.learned
    assert found.undivided == ""


def test_test_goes_before_valid(tmp_path):
    for i, word in enumerate(("train", "val", "test")):
        pictures(tmp_path / word, 3, first=10 * i)
    assert splits(str(tmp_path)) == ("test", "train", "valid")
    assert shades(train_and_test(str(tmp_path))[1]) == [20, 21, 22]


def test_a_damaged_test_part_is_an_error(tmp_path):
    pictures(tmp_path / "train", 20)
    pictures(tmp_path / "test", 20)
    for file in (tmp_path / "test").iterdir():
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read"):
        named.divided(options(tmp_path))
    with pytest.raises(DataError, match="cannot be read"):
        train_and_test(str(tmp_path))
    assert len(named.to_learn(options(tmp_path)).data) == 20


def test_a_test_part_of_another_size_is_an_error(tmp_path):
    pictures(tmp_path / "train", 20)
    (tmp_path / "test").mkdir()
    for i in range(3):
        Image.new("L", (8, 9 + (i > 1)), 3).save(tmp_path / "test" / f"{i}.png")
    with pytest.raises(DataError, match="pass --size"):
        named.divided(options(tmp_path))


def test_a_random_share_of_every_class_is_held_out_and_not_learned(tmp_path):
    path = numbered(tmp_path / "c.npz", 200)
    found, learned = named.divided(options(path)), named.to_learn(options(path))
    assert np.bincount(found.test.labels).tolist() == [2] * 10
    assert sorted(shades(found.train) + shades(found.test)) == list(range(200))
    assert [shade % 10 for shade in shades(found.test)] == found.test.labels.tolist()
    assert shades(found.test) != [*range(180, 200)]  # drawn, not the last
    assert np.array_equal(learned.data.x, found.train.x)
    assert np.array_equal(learned.data.labels, found.train.labels)
    assert learned.data.fingerprint == found.learned == found.train.fingerprint
    assert learned.hold_out == 0.1
    assert learned.sentence == (
        "held out for `demist evaluate`: 20 of 200 items, drawn at random of every class; "
        "--hold-out 0 learns from all"
    )
    assert shades(train_and_test(str(path))[1]) == shades(found.test)


def test_all_is_learned_where_that_is_wanted(tmp_path):
    path = numbered(tmp_path / "c.npz", 200)
    learned, found = named.to_learn(options(path, hold_out=0.0)), named.divided(options(path))
    assert shades(learned.data) == [*range(200)]
    assert learned.hold_out == 0
    assert "nothing is held out" in learned.sentence
    assert learned.data.fingerprint == found.undivided != found.learned
    other = named.divided(options(path, hold_out=0.25))
    assert len(other.test) == 50
    assert other.learned == named.to_learn(options(path, hold_out=0.25)).data.fingerprint


@pytest.mark.parametrize("n, classes", [(99, 3), (109, 11)])
def test_of_little_nothing_is_held_out_unless_it_is_said(tmp_path, n, classes):
    path = numbered(tmp_path / "c.npz", n, classes)
    learned = named.to_learn(options(path))
    assert (len(learned.data), learned.hold_out) == (n, 0)
    assert "are too few; --hold-out 0.1 leaves some out all the same" in learned.sentence
    assert len(named.to_learn(options(path, hold_out=0.1)).data) == n - round(0.1 * n)


def test_fewer_than_ten_are_one_sentence(tmp_path):
    pictures(tmp_path / "d", 6)
    with pytest.raises(DataError, match=r"^d has 6 items and no part .* takes 10 or more$"):
        named.divided(options(tmp_path / "d"))
    with pytest.raises(UsageError, match="of 6 items none can be left out"):
        named.to_learn(options(tmp_path / "d", hold_out=0.1))
    assert len(named.to_learn(options(tmp_path / "d")).data) == 6
    pictures(tmp_path / "e", 10)
    assert [len(part) for part in train_and_test(str(tmp_path / "e"))] == [8, 2]


def test_drawn_sets_need_nothing_held_out():
    learned = named.to_learn(options("moons", limit=200))
    assert (len(learned.data), learned.hold_out, learned.sentence) == (200, None, "")
    assert len(named.divided(options("moons", limit=200)).test) == 200


def test_array_files_of_splits(tmp_path):
    for word in ("train", "val"):
        np.save(tmp_path / f"{word}.npy", np.full((5, 2), len(word), np.float32))
    found = named.divided(options(tmp_path))
    assert (found.train.x[0, 0], found.test.x[0, 0]) == (5, 3)


def test_the_choice_is_that_of_the_data():
    x = np.arange(400, dtype=np.float32).reshape(200, 2)
    one, other = held_out_rows(Dataset(x), 0.1), held_out_rows(Dataset(x + 1), 0.1)
    assert np.array_equal(one, held_out_rows(Dataset(x.copy()), 0.1))
    assert len(one) == len(other) == 20
    assert not np.array_equal(one, other)
    assert (np.diff(one) > 0).all()


def test_proportions_by_largest_remainders():
    assert proportional(np.array([50, 30, 20, 0]), 10).tolist() == [5, 3, 2, 0]
    assert proportional(np.array([50, 30, 20, 0]), 8).tolist() == [4, 2, 2, 0]  # .0 .4 .6
    assert proportional(np.array([1, 1, 1]), 2).tolist() == [1, 1, 0]
    assert proportional(np.array([1, 1000]), 10).tolist() == [0, 10]
    with pytest.raises(DataError, match="all counts are 0"):
        proportional(np.zeros(2, np.int64), 3)
