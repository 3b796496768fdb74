import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from demist.data import load
from demist.data.readers import blocks
from demist.errors import DataError, RefusedError, UsageError
from demist.machine import memory

NHWC = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
NCHW = NHWC.transpose(0, 3, 1, 2)


def npy(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    return str(tmp_path / "a.npy")


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return str(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (NHWC, NCHW),
        (NCHW, NCHW),
        (np.asfortranarray(NCHW), NCHW),
        (NHWC[..., 0], NCHW[:, :1]),
        (NHWC[..., :1], NCHW[:, :1]),
        (NHWC.astype(np.int64), NCHW),
        (NHWC > 60, (NCHW > 60) * 255),
        (NHWC / 255, NCHW),
        ((NHWC / 127.5 - 1).astype(np.float32), NCHW),
    ],
)
def test_pictures(tmp_path, array, expected):
    data = load(npy(tmp_path, array))
    assert data.x.dtype == np.uint8
    np.testing.assert_array_equal(data.x, expected)
    assert data.labels is None


def test_floats_are_rounded_and_any_negative_value_means_minus_one_to_one(tmp_path):
    x = np.zeros((2, 4, 4, 1))
    x[0, 0, :, 0] = [0, 0.5, 1, 0.0019]
    assert load(npy(tmp_path, x)).x[0, 0, 0].tolist() == [0, 128, 255, 0]
    x[0, 0, :, 0] = [-1, 0, 1, -0.5]
    assert load(npy(tmp_path, x)).x[0, 0, 0].tolist() == [0, 128, 255, 64]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 4, 4, 3), 255.0), r"from 255 to 255: save images as bytes"),
        (np.full((2, 4, 4, 3), -1.5), "from -1.5 to -1.5"),
        (np.full((2, 4, 4, 3), np.nan), "not a number"),
        (np.full((2, 4, 4, 3), 256), "integers from 256 to 256"),
        (np.zeros((2, 4, 4, 2)), "cannot be found"),
        (np.zeros((2, 3, 4, 3)), "could be the second or the last axis"),
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((5, 7), np.uint8), r"shape \(5, 7\) and type uint8"),
        (np.zeros((0, 4, 4)), r"shape \(0, 4, 4\)"),
        (np.array([["a"]]), "type <U1"),
        (np.zeros((2, 2), complex), "type complex128"),
        (np.full((5, 2), np.inf), "infinite"),
    ],
)
def test_arrays_that_are_no_data(tmp_path, array, words):
    with pytest.raises(DataError, match=words):
        load(npy(tmp_path, array))


def test_points(tmp_path):
    points = np.linspace(-3, 900, 10).reshape(5, 2)
    data = load(npy(tmp_path, points))
    assert data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, points.astype(np.float32))
    with pytest.raises(UsageError, match="--size and --channels are for images"):
        load(npy(tmp_path, points), size=8)


def test_size_channels_and_limit(tmp_path):
    pictures = np.repeat(np.arange(20, dtype=np.uint8), 4 * 6 * 3).reshape(20, 4, 6, 3)
    data = load(npy(tmp_path, pictures), size=2, channels=1, limit=5)
    assert data.x.shape == (5, 1, 2, 2)
    kept = data.x[:, 0, 0, 0]
    assert (np.diff(kept.astype(int)) > 0).all()
    assert (data.x == kept[:, None, None, None]).all()


@pytest.mark.parametrize(
    ("samples", "labels"),
    [("x", "y"), ("images", "labels"), ("data", "labels"), ("arr_0", "arr_1")],
)
def test_npz_names(tmp_path, samples, labels):
    data = load(npz(tmp_path, **{samples: NHWC, labels: np.array([2, 0], np.uint8), "z": 1}))
    np.testing.assert_array_equal(data.x, NCHW)
    assert data.labels.tolist() == [2, 0]
    assert data.classes == ("0", "1", "2")


@pytest.mark.parametrize("name", ["{what}_{split}", "{split}_{what}"])
def test_npz_splits(tmp_path, name):
    arrays = {}
    for n, split in enumerate(("train", "test", "val")):
        arrays[name.format(what="images", split=split)] = NHWC + np.uint8(n)
        arrays[name.format(what="labels", split=split)] = np.array([[0], [n]])
    path = npz(tmp_path, **arrays)
    for n, split in enumerate(("train", "test", "valid")):
        data = load(path, split=split)
        np.testing.assert_array_equal(data.x, NCHW + np.uint8(n))
        assert data.labels.tolist() == [0, n]


def test_npz_with_one_array_of_any_name(tmp_path):
    path = npz(tmp_path, faces=NHWC)
    assert load(path).x.shape == NCHW.shape
    with pytest.raises(DataError, match="no split 'test'; it has train"):
        load(path, split="test")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"faces": NHWC, "names": NHWC}, "no array called .*; it has faces, names"),
        ({"x": NHWC, "y": np.zeros(3, int)}, "3 labels for 2 samples"),
        ({"x": NHWC, "y": np.array([0.5, 1])}, "labels are one whole number"),
        ({"x": NHWC, "y": np.zeros((2, 3), int)}, "labels are one whole number"),
        ({"x": NHWC, "y": np.array([-1, 0])}, "labels reach from -1 to 0"),
        ({"x": NHWC, "y": np.array([0, 10**9])}, "a label is 1000000000"),
    ],
)
def test_npz_that_does_not_fit(tmp_path, arrays, words):
    with pytest.raises(DataError, match=words):
        load(npz(tmp_path, **arrays))


def test_pickled_arrays_are_refused(tmp_path):
    objects = np.array([{"a": 1}, None], dtype=object)
    with pytest.raises(RefusedError, match="holds Python objects"):
        load(npy(tmp_path, objects))
    with pytest.raises(RefusedError, match="holds Python objects"):
        load(npz(tmp_path, x=objects))


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_files_that_end_early(tmp_path, cut):
    for path in (npy(tmp_path, NHWC), npz(tmp_path, x=NHWC)):
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: int(cut * len(content))])
        with pytest.raises(DataError, match="damaged or incomplete"):
            load(path)


def test_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "memory_limit", lambda: 100)
    for path in (npy(tmp_path, NHWC), npz(tmp_path, x=NHWC)):
        with pytest.raises(DataError, match="would take"):
            load(path)


def test_slightly_negative_fractions_are_not_minus_one_to_one(tmp_path):
    x = np.linspace(0, 1, 2 * 25).reshape(2, 5, 5)
    exact = load(npy(tmp_path, x)).x
    x[0, 0, 0] = -1e-6
    x[1, 4, 4] = 1.0005
    np.testing.assert_array_equal(load(npy(tmp_path, x)).x, exact)
    assert exact.max() == 255


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_zeros_and_ones_are_not_black(tmp_path, dtype):
    x = np.indices((2, 5, 5)).sum(0).astype(dtype) % 2
    with pytest.raises(DataError, match=r"integers from 0 to 1, .* --range 0:1"):
        load(npy(tmp_path, x))
    assert (load(npy(tmp_path, x), range="0:1").x[:, 0] == 255 * x).all()


def test_more_bits(tmp_path):
    x = np.linspace(0, 4000, 50).reshape(2, 5, 5).astype(np.uint16)
    data = load(npy(tmp_path, x))
    np.testing.assert_array_equal(data.x[:, 0], np.rint(x / 4095 * 255))
    assert "2 of values 0 to 4,000 with 0 as black and 4,095 as white" in data.report.paragraph()
    with pytest.raises(DataError, match=r"from 0 to 255: save images as bytes .* --range 0:255"):
        load(npy(tmp_path, x / 4000 * 255))


def test_a_further_split_has_the_range_of_the_training_data(tmp_path):
    signed = np.linspace(-1, 1, 50).reshape(2, 5, 5)
    path = npz(tmp_path, x_train=signed, x_test=np.full((2, 5, 5), 0.5))
    assert set(load(path, split="test").x.ravel().tolist()) == {191}  # alone it would be 0..1


def test_transparency_of_arrays(tmp_path):
    x = np.full((2, 5, 6, 4), 255, np.uint8)
    x[..., :3] = (10, 20, 30)
    x[0, 0, 0, 3] = 0
    path = npy(tmp_path, x)
    np.testing.assert_array_equal(load(path, channels=4).x, np.moveaxis(x, 3, 1))
    data = load(path)
    assert data.x.shape == (2, 3, 5, 6)
    assert data.x[:, :, 0, 0].tolist() == [[255] * 3, [10, 20, 30]]
    assert "1 with transparency laid on white" in data.report.paragraph()


@pytest.mark.parametrize("limit", [None, 300])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_memory_holds_the_result_and_a_block(tmp_path, monkeypatch, kind, limit):
    values = np.random.default_rng(0).random((400, 32, 32))
    path = npy(tmp_path, values) if kind == "npy" else npz(tmp_path, x=values)
    monkeypatch.setattr(blocks, "BLOCK", 2**16)
    tracemalloc.start()
    data = load(path, limit=limit)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) == (limit or 400)
    assert peak < 400 * 32 * 32 + 2**20  # the numbers themselves take eight times the result
    if limit is None:
        np.testing.assert_array_equal(data.x[:, 0], np.rint(values * 255))


def test_an_array_in_the_order_of_fortran(tmp_path):
    x = np.asfortranarray(NHWC)
    np.testing.assert_array_equal(load(npz(tmp_path, x=x)).x, NCHW)
