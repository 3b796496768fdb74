"""Buckets of shapes, and what the reader tells of each image."""

import numpy as np
import pytest
from PIL import Image

from demist.data import load
from demist.data.images.buckets import Bucketed, choose_buckets
from demist.data.images.rules import Rules
from demist.data.load import buckets_of
from demist.errors import DataError, UsageError
from demist.io.notation import parse_buckets

SIDES = [(40, 40), (64, 32), (30, 60), (50, 50), (32, 64), (20, 39)]


@pytest.fixture
def folder(tmp_path):
    for i, (height, width) in enumerate(SIDES):
        pixels = np.full((height, width, 3), 40 * i, np.uint8)
        pixels[:, : width // 2, 0] = 255
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"number {i}")
    return tmp_path


def test_buckets_are_about_as_large_and_of_sides_that_fit():
    chosen = choose_buckets(5, (64, 64), 8)
    assert chosen == ((64, 64), (56, 72), (72, 56), (48, 88), (88, 48))
    assert choose_buckets(1, (64, 64), 16) == ((64, 64),)
    for h, w in choose_buckets(7, (64, 64), 8):
        assert h % 8 == w % 8 == 0
        assert abs(h * w / 64**2 - 1) < 0.08
    with pytest.raises(UsageError, match="make 5 shapes of about 32x32 pixels; choose 1 to 5"):
        choose_buckets(9, (32, 32), 8)


@pytest.mark.parametrize("text", ["", "0", "64x", "64x64,64x64", "0x8", "a,b", "-3"])
def test_what_is_written_is_checked(text):
    with pytest.raises(UsageError, match="write how many, as 5, or each once"):
        parse_buckets(text)


def test_the_size_comes_first_and_is_needed_for_a_number():
    assert buckets_of("16x32,16x16", 16) == ((16, 16), (16, 32))
    assert buckets_of("16x32,16x16", None) == ((16, 32), (16, 16))
    with pytest.raises(UsageError, match="--buckets 3 needs --size"):
        buckets_of("3", None)


def test_each_image_is_in_the_bucket_of_the_nearest_shape(folder):
    data = load(str(folder), buckets="16x16,24x12,12x24", sizes=True)
    assert isinstance(data.x, Bucketed)
    assert data.x.which.tolist() == [0, 1, 2, 0, 2, 2]
    assert data.x.shape == (6, 3, 16, 16)
    assert data.x[[2, 4]].shape == (2, 3, 12, 24)
    assert [int(data.x[[i]][0, 2].mean()) for i in range(6)] == [0, 40, 80, 120, 160, 200]
    assert data.texts[5] == "number 5"
    with pytest.raises(DataError, match="several buckets have no one shape"):
        data.x[:]
    said = data.report.paragraph()
    assert "3 buckets of one shape each: 16x16 (2), 24x12 (1), 12x24 (3)" in said
    assert "They were 20x39 to 50x50 (height x width)." in said


def test_sizes_before_corners_and_sizes_now_are_told(folder):
    told = load(str(folder), size=16, sizes=True).columns
    assert told["original_size"].values.tolist() == [list(s) for s in SIDES]
    # 64 x 32 is resized to 32 x 16 and loses 8 rows above; 30 x 60 loses 8 columns on the left.
    assert told["crop"].values.tolist()[:3] == [[0, 0], [8, 0], [0, 8]]
    assert told["target_size"].values.tolist() == [[16, 16]] * 6
    assert set(load(str(folder), size=16).columns) == {"text"}
    assert not load(str(folder), size=16, fit="pad", sizes=True).columns["crop"].values.any()
    several = load(str(folder), buckets="16x16,24x12,12x24", sizes=True).columns
    assert several["target_size"].values.tolist()[:3] == [[16, 16], [24, 12], [12, 24]]
    assert (
        load("scenes", size=32, limit=3, sizes=True).columns["crop"].values.tolist() == [[0, 0]] * 3
    )


def test_parts_keep_images_and_facts_together(folder):
    data = load(str(folder), buckets="16x16,24x12,12x24", sizes=True)
    some = data.subset(np.array([5, 3, 1]))
    assert [int(some.x[[i]][0, 2].mean()) for i in range(3)] == [200, 120, 40]
    assert some.fingerprint == data.subset(np.array([5, 3, 1])).fingerprint != data.fingerprint
    left, taken = data.divided(np.array([0, 2]))
    assert left.columns["original_size"].values.tolist() == [list(SIDES[i]) for i in (1, 3, 4, 5)]
    assert [int(taken.x[[i]][0, 2].mean()) for i in range(2)] == [0, 80]
    assert left.fingerprint != taken.fingerprint


def test_an_upright_photo_on_its_side_is_measured_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(2):
        Image.new("RGB", (40, 20), (9, 9, 9)).save(tmp_path / f"{i}.jpg", exif=exif)
    data = load(str(tmp_path), buckets="16x16,24x12,12x24", sizes=True)
    assert data.x.which.tolist() == [1, 1]
    assert data.columns["original_size"].values.tolist() == [[40, 20]] * 2


def test_arrays_are_of_one_shape():
    with pytest.raises(UsageError, match="holds arrays, which are of one shape; leave it out"):
        load("digits", buckets="28x28,24x32")
    assert Rules(size=8).of((3, 9)) == Rules(size=8)
