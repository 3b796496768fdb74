"""What a shape or a path is of is found in one place, and a new kind of data is one file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demist import modalities
from demist.data import files_at
from demist.errors import DataError, UsageError
from demist.modalities import MODALITIES

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((9, 28, 28), "u1", "images"),
        ((9, 4, 32), "f4", "images"),
        ((9, 32, 32, 3), "f8", "images"),
        ((9, 1, 32, 32), "?", "images"),
        ((9, 2), "f4", "points"),
        ((9, 300), "f2", "points"),
        ((9, 256, 3), "f4", None),
        ((9, 3, 256), "f4", None),
        ((64, 64, 3), "u1", None),
        ((9, 1, 64), "f4", None),
        ((9, 4, 33), "u1", None),
        ((9, 256, 3, 1), "f4", None),
        ((9, 256, 3, 3), "f4", None),
        ((9, 16, 8, 8), "u1", None),
        ((9, 784), "u1", None),
        ((9,), "f4", None),
        ((9, 5, 8, 8, 3), "u1", None),
        ((9, 2), "c8", None),
    ],
)
def test_which_arrays_are_what(tmp_path, shape, dtype, kind):
    claiming = [m.name for m in map(MODALITIES.make, MODALITIES.names())
                if m.claims(shape, np.dtype(dtype))]  # fmt: skip
    assert claiming == ([kind] if kind else [])
    values = np.arange(np.prod(shape)).reshape(shape) % 2  # of floats 0 and 1: black and white
    np.save(tmp_path / "a.npy", (values * (255 if dtype == "u1" else 1)).astype(dtype))
    if kind:
        assert modalities.load(str(tmp_path / "a.npy")).kind == kind
    else:
        with pytest.raises(DataError, match=re.escape(f"shape {shape}")):
            modalities.load(str(tmp_path / "a.npy"))


def test_an_unlikely_shape_is_explained_and_can_be_said(tmp_path):
    cloud, rows = tmp_path / "cloud.npy", tmp_path / "rows.npy"
    np.save(cloud, np.linspace(0, 1, 9 * 256 * 3, dtype=np.float32).reshape(9, 256, 3))
    np.save(rows, np.zeros((9, 5), np.int64))
    with pytest.raises(DataError, match=r"256 x 3 pixels\?.*--kind images.*\(9, 768\)"):
        modalities.load(str(cloud))
    assert modalities.load(str(cloud), kind="images").x.shape == (9, 1, 256, 3)
    with pytest.raises(DataError, match=r"points are numbers \(N, D\): save it as \(9, 768\)"):
        modalities.load(str(cloud), kind="points")
    with pytest.raises(DataError, match="--kind points"):
        modalities.load(str(rows))
    assert modalities.load(str(rows), kind="points").x.dtype == np.float32


def folder_of_two(tmp_path):
    for i in range(3):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "points.npy", np.zeros((5, 2), np.float32))
    np.save(tmp_path / "1.states.npy", np.zeros((5, 2), np.float32))  # belongs to 1.png
    (tmp_path / "paper.pdf").write_bytes(b"%PDF")
    (tmp_path / "0.txt").write_text("a nought")
    return tmp_path


def test_files_are_counted_by_their_endings(tmp_path):
    found = modalities.count(files_at(str(folder_of_two(tmp_path))))
    assert {name: len(files) for name, files in found.files.items()} == {"images": 3, "points": 1}
    assert found.unread(MODALITIES.make("images")) == {".npy": 2, ".pdf": 1}


def test_two_kinds_in_one_folder_are_a_question(tmp_path):
    path = str(folder_of_two(tmp_path))
    words = "3 files of images and 1 file of points; .* --kind images or --kind points"
    with pytest.raises(UsageError, match=words):
        modalities.load(path)
    points = modalities.load(path, kind="points")
    assert points.x.shape == (5, 2)
    (tmp_path / "0.txt").unlink()
    images = modalities.load(path, kind="images")
    assert images.x.shape == (3, 1, 8, 8)
    assert images.unread == {".npy": 2, ".pdf": 1}


def test_what_is_said_must_be_there(tmp_path):
    np.save(tmp_path / "points.npy", np.zeros((5, 2), np.float32))
    with pytest.raises(UsageError, match="has no such files; it has 1 file of points"):
        modalities.load(str(tmp_path), kind="images")
    assert modalities.load(str(tmp_path)).kind == "points"
    with pytest.raises(
        UsageError,
        match="digits holds images, and points are asked for; give their path, or",
    ):
        modalities.load("digits", kind="points")
    with pytest.raises(UsageError, match="choose images or points"):
        modalities.load("digits", kind="smells")


def test_array_files_of_splits(tmp_path):
    for name, value in (("train", 1.0), ("test", 2.0)):
        np.save(tmp_path / f"{name}.npy", np.full((5, 2), value, np.float32))
    train, test = modalities.train_and_test(str(tmp_path))
    assert (train.x[0, 0], test.x[0, 0]) == (1, 2)
    np.save(tmp_path / "more.npy", np.zeros((5, 2), np.float32))
    with pytest.raises(DataError, match="holds 3 array files"):
        modalities.load(str(tmp_path))


def test_a_shape_without_a_modality():
    with pytest.raises(UsageError, match="none of images, points"):
        modalities.of_shape((2, 3, 4, 5))


@pytest.mark.slow
def test_one_more_kind_of_data_is_one_file(tmp_path):
    """The program in CONTRIBUTING.md, found, trained, drawn and sampled by the command line."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (block,) = re.findall(r"```python\n(# src/(demist/modalities/\w+\.py)\n.*?)```", text, re.S)
    shutil.copytree(ROOT / "src", tmp_path / "src")
    (tmp_path / "src" / block[1]).write_text(block[0])
    t = np.linspace(0, 1, 24)
    waves = np.sin(2 * np.pi * (t + np.arange(40)[:, None] / 40))[:, None].astype(np.float32)
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "waves.npy", waves)

    def demist(*words):
        done = subprocess.run(
            [sys.executable, "-m", "demist", *words],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "waves" in demist("list", "kinds")
    demist("train", "data", "--steps", "3", "--batch-size", "8", "--width", "16", "--depth", "1",
           "--kind", "waves", "--device", "cpu")  # fmt: skip
    demist("sample", "latest", "--n", "5", "--steps", "2", "--arrays", "x.npy",
           "--animate", "film.gif", "--device", "cpu")  # fmt: skip
    assert np.load(tmp_path / "x.npy").shape == (5, 1, 24)
    with Image.open(tmp_path / "samples.png") as page, Image.open(tmp_path / "film.gif") as film:
        assert page.size == film.size == (240, 5 * 40)
    assert list((tmp_path / "runs").rglob("*.png"))
