import gzip

import numpy as np
import pytest
from data_samples import idx, mnist_like, write

from demist.data import load
from demist.errors import DataError
from demist.machine import memory


def test_the_canonical_folder(tmp_path):
    images, labels = mnist_like(tmp_path)
    train, test = load(str(tmp_path)), load(str(tmp_path), split="test")
    np.testing.assert_array_equal(train.x, images[:, None])
    np.testing.assert_array_equal(test.x, images[::-1][:, None])
    assert train.labels.tolist() == labels.tolist()
    assert test.labels.tolist() == labels[::-1].tolist()
    assert train.classes == ("0", "1", "2")


def test_gzipped_copies_beside_the_files_and_folders_above(tmp_path):
    mnist_like(tmp_path / "MNIST" / "raw")
    for file in (tmp_path / "MNIST" / "raw").glob("train*"):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
    assert load(str(tmp_path)).x.shape == (6, 1, 2, 3)


def test_one_file_by_its_path(tmp_path):
    images, _ = mnist_like(tmp_path)
    for name, expected in (
        ("train-images-idx3-ubyte", images),
        ("t10k-images-idx3-ubyte.gz", images[::-1]),
    ):
        data = load(str(tmp_path / name))
        np.testing.assert_array_equal(data.x[:, 0], expected)
        assert data.labels is not None
    np.testing.assert_array_equal(
        load(str(tmp_path / "train-images-idx3-ubyte"), split="test").x[:, 0], images[::-1]
    )


def test_a_file_of_any_name_without_labels(tmp_path):
    write(tmp_path, {"pictures.bin": idx(np.zeros((3, 4, 5)))})
    data = load(str(tmp_path / "pictures.bin"))
    assert data.x.shape == (3, 1, 4, 5)
    assert data.labels is None


def test_size_and_channels(tmp_path):
    images, _ = mnist_like(tmp_path)
    data = load(str(tmp_path), size=2, channels=3, limit=3)
    assert data.x.shape == (3, 3, 2, 2)
    assert np.bincount(data.labels).tolist() == [1, 1, 1]
    everything = load(str(tmp_path), size=2)
    np.testing.assert_array_equal(everything.x[:, 0], images[:, :, :2])  # the margin is 1, at right


def test_two_sets(tmp_path):
    mnist_like(tmp_path / "a")
    mnist_like(tmp_path / "b")
    with pytest.raises(DataError, match="several IDX sets"):
        load(str(tmp_path))


GOOD = idx(np.zeros((4, 2, 2)))
NAME = "train-images-idx3-ubyte"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD[:-1], "does not hold the 16 bytes of 4 x 2 x 2"),
        (GOOD + b"\0", "does not hold"),
        (GOOD[:9], "damaged or incomplete"),
        (b"", "begins with nothing"),
        (b"\0\0\x0d\x03" + GOOD[4:], "begins with 00 00 0d 03"),
        (idx(np.zeros(4)), "begins with 00 00 08 01, not with 00 00 08 03"),
        (gzip.compress(GOOD)[:-6], "damaged or incomplete"),
        (gzip.compress(GOOD)[:-8] + bytes(8), "damaged or incomplete"),
    ],
)
def test_damage(tmp_path, content, words):
    write(tmp_path, {NAME: content})
    with pytest.raises(DataError, match=words):
        load(str(tmp_path))


def test_a_size_that_lies_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "memory_limit", lambda: 10**9)
    write(tmp_path, {NAME: b"\0\0\x08\x03" + b"\xff" * 12 + bytes(99)})
    with pytest.raises(DataError, match="would take"):
        load(str(tmp_path))


def test_labels_of_another_number(tmp_path):
    write(tmp_path, {NAME: GOOD, "train-labels-idx1-ubyte": idx(np.zeros(3))})
    with pytest.raises(DataError, match=r"has 3 labels, but .* has 4 images"):
        load(str(tmp_path))
