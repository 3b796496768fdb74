import numpy as np
import pytest
from data_samples import encoded, png, write
from PIL import Image

from demist.data import load
from demist.data.images.levels import levels_of, to_bytes
from demist.errors import DataError, UsageError
from demist.machine import memory


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 255, True, (0, 255)),
        (3, 30, True, (0, 255)),
        (0, 500, True, (0, 4095)),
        (700, 4095, True, (0, 4095)),
        (0, 6554, True, (0, 65535)),
        (0, 1, False, (0, 1)),
        (-1e-6, 1.0009, False, (0, 1)),
        (-0.002, 1, False, (-1, 1)),
        (-1.001, 1, False, (-1, 1)),
    ],
)
def test_the_range_is_the_first_that_holds_all(low, high, whole, expected):
    assert levels_of(low, high, whole, "data") == expected


@pytest.mark.parametrize(
    ("low", "high", "whole", "words"),
    [
        (112, 330, True, "integers from 112 to 330, less than a tenth .* --range 112:330"),
        (0, 1, True, "from 0 to 1, .* --range 0:1"),
        (7, 7, True, "--range 7:8"),
        (-1, 200, True, "from -1 to 200: images have .* --range=-1:200"),
        (0, 70_000, True, "--range 0:70000"),
        (0.2, 0.21, False, "less than a tenth of 0 to 1"),
        (0, 255, False, "save images as bytes .* --range 0:255"),
    ],
)
def test_a_range_that_is_hardly_filled_must_be_said(low, high, whole, words):
    with pytest.raises(DataError, match=words):
        levels_of(low, high, whole, "data")


def test_numbers_are_rounded_and_clipped():
    values = np.array([-5, 0, 8, 16, 4095, 5000], np.int32)
    assert to_bytes(values, (0, 4095)).tolist() == [0, 0, 0, 1, 255, 255]
    assert to_bytes(np.array([-1.0005, 0, 0.5, 1.0005]), (-1, 1)).tolist() == [0, 128, 191, 255]


def deep(values, kind="png", dtype=np.uint16) -> bytes:
    return encoded(Image.fromarray(np.asarray(values, dtype)), kind)


def test_twelve_bits_are_found_over_the_whole_data_set(tmp_path):
    files = {"a.png": deep([[0, 300]]), "b.png": deep([[819, 4095]]), "c.png": png(9, (2, 1), "L")}
    data = load(str(write(tmp_path / "set", files)))
    assert data.x[:, 0, 0].tolist() == [[0, 19], [51, 255], [9, 9]]
    assert (
        "Converted: 2 of values 0 to 4,095 with 0 as black and 4,095 as white."
        in data.report.paragraph()
    )


def test_what_would_be_black_asks_for_a_range(tmp_path):
    files = {f"{i}.tif": deep([[112, 328 + i]], "tiff") for i in range(3)}
    path = str(write(tmp_path / "set", files))
    with pytest.raises(DataError, match=r"integers from 112 to 330, .* --range 112:330"):
        load(path)
    data = load(path, range="100:300")
    assert data.x[:, 0, 0].tolist() == [[15, 255]] * 3
    assert "3 with 100 as black and 300 as white" in data.report.paragraph()


def test_fractions(tmp_path):
    files = {f"{i}.tif": deep([[-1e-6, i / 2]], "tiff", np.float32) for i in range(3)}
    assert load(str(write(tmp_path / "set", files))).x[:, 0, 0].tolist() == [
        [0, 0],
        [0, 128],
        [0, 255],
    ]
    files = {f"{i}.tif": deep([[-1, i / 2]], "tiff", np.float32) for i in range(3)}
    assert load(str(write(tmp_path / "signed", files))).x[2, 0, 0].tolist() == [0, 255]
    files["3.tif"] = deep([[0, np.nan]], "tiff", np.float32)
    bad = load(str(write(tmp_path / "nan", files)), max_bad=0.5).bad
    assert [(b.path, b.reason) for b in bad] == [
        ("3.tif", "pixels that are infinite or not a number")
    ]


def test_a_test_split_has_the_range_of_the_training_images(tmp_path):
    files = {f"train/{i}.png": deep([[0, 4000]]) for i in range(2)}
    files |= {f"test/{i}.png": deep([[0, 200]]) for i in range(2)}
    path = str(write(tmp_path / "set", files))
    assert load(path).x[0, 0, 0].tolist() == [0, 249]
    assert load(path, split="test").x[0, 0, 0].tolist() == [0, 12]  # alone it would be 0..255


def test_the_range_is_kept_for_images_on_the_disk(tmp_path, monkeypatch):
    files = {f"{i}.png": deep([[0, 1000 * i]]) for i in range(5)}
    path = str(write(tmp_path / "set", files))
    held = load(path)
    assert held.x[4, 0, 0].tolist() == [0, 249]
    monkeypatch.setattr(memory, "memory_limit", lambda: 9)
    for _ in range(2):
        data = load(path)
        assert data.lazy
        assert data.fingerprint == held.fingerprint
        np.testing.assert_array_equal(data.x[np.array([4, 1])], held.x[[4, 1]])


def test_a_range_stretches_bytes_but_not_transparency(tmp_path):
    pixels = np.array([[[0, 5, 10, 7], [20, 10, 0, 255]]], np.uint8)
    files = {f"{i}.png": encoded(Image.fromarray(pixels)) for i in range(2)}
    data = load(str(write(tmp_path / "set", files)), range="0:10", channels=4)
    assert data.x[0, :, 0].T.tolist() == [[0, 128, 255, 7], [255, 255, 0, 255]]


def test_dark_bytes_are_named(tmp_path):
    files = {f"{i}.png": png(i, mode="L") for i in range(6)}
    path = str(write(tmp_path / "set", files))
    text = "Pixels reach only from 0 to 5 of 0 to 255; --range 0:5 makes them black to white."
    assert text in load(path).report.paragraph()
    assert load(path, range="0:5").x[:, 0, 0, 0].tolist() == [0, 51, 102, 153, 204, 255]


def test_a_range_holds_for_every_format():
    plain = load("digits", limit=20)
    np.testing.assert_array_equal(
        load("digits", limit=20, range="0:128").x, np.minimum(np.rint(plain.x / 128 * 255), 255)
    )


@pytest.mark.parametrize("text", ["0", "a:b", "5:5", "9:1", "0:inf", "1:2:3"])
def test_ranges_that_make_no_sense(text):
    with pytest.raises(UsageError, match=f"--range {text}: write what is black"):
        load("digits", range=text)
