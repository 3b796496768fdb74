import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_samples import idx, png, write

import demist
from demist import data
from demist.data import Dataset, load
from demist.errors import DataError, MissingError, RefusedError, UsageError

EMBEDDED = Path(data.__file__).parent / "digits"
ROOT = Path(demist.__file__).parents[2]


@pytest.mark.parametrize(("split", "n"), [("train", 1000), ("test", 200)])
def test_the_embedded_digits(split, n):
    digits = data.digits(split)
    assert digits.x.shape == (10 * n, 1, 28, 28)
    assert np.bincount(digits.labels).tolist() == [n] * 10
    assert digits.classes == tuple("0123456789")
    assert digits.name == "digits"
    assert "CC BY-SA 3.0" in digits.source


def test_the_embedded_digits_are_the_ones_described():
    text = (EMBEDDED / "ATTRIBUTION.md").read_text()
    files = sorted(EMBEDDED.glob("*.gz"))
    assert len(files) == 4
    assert sum(file.stat().st_size for file in files) < 2_000_000
    for file in files:
        digest = hashlib.sha256(gzip.decompress(file.read_bytes())).hexdigest()
        assert f"| {file.name} |" in text
        assert digest in text


def test_making_the_embedded_digits(tmp_path):
    """On a source of which the answer is known: twice the wanted number, so every second one."""
    labels = np.tile(np.arange(10), 2000)
    images = np.arange(20_000)[:, None, None] // np.array([[[1, 256]]]) % 256
    source, out = tmp_path / "source", tmp_path / "out"
    out.mkdir()
    files = {}
    for split, count in (("train", 20_000), ("t10k", 4_000)):
        files[f"{split}-images-idx3-ubyte.gz"] = gzip.compress(idx(images[:count]), 1)
        files[f"{split}-labels-idx1-ubyte.gz"] = gzip.compress(idx(labels[:count]), 1)
    write(source, files)
    script = ROOT / "scripts" / "make_embedded_digits.py"
    subprocess.run([sys.executable, script, source, out], check=True, capture_output=True)
    made = load(str(out))
    order = made.x[:, 0, 0].astype(int) @ [1, 256]
    assert order.tolist() == [i for i in range(20_000) if i // 10 % 2 == 1]
    assert made.labels.tolist() == [i % 10 for i in order]
    assert len(load(str(out), split="test")) == 2_000


def test_importing_needs_no_torch():
    code = "import sys, demist.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_name_wins_over_a_folder_called_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, count in (("digits", 10_000), ("moons", 20_000)):
        write(tmp_path / name, {"a.png": png("red"), "b.png": png("red")})
        assert len(load(name)) == count
        assert len(load(f"./{name}")) == 2


def test_nothing_there(tmp_path):
    write(tmp_path, {"photos/a.png": b""})
    with pytest.raises(MissingError, match="did you mean digits"):
        load("digit")
    with pytest.raises(MissingError, match=f"did you mean {tmp_path}/photos"):
        load(str(tmp_path / "photo"))
    with pytest.raises(
        MissingError,
        match="built in are digits, loops, one-shots, scenes, scenes-long, moons, spiral",
    ):
        load("https://example.org/x.zip")
    for path in ("", "x" * 5000, "a\0b"):
        with pytest.raises(MissingError):
            load(path)


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.bin", b"", DataError, "is empty"),
        ("a.csv", b"label,pixel\n3,0\n", DataError, "of no kind that is read here"),
        ("a.png", png("red"), DataError, "a single image: pass the folder"),
        ("a.pt", b"\x80\x02}q\x00.", RefusedError, "a pickle"),
        ("a.tar", b"not an archive", DataError, "damaged or incomplete archive"),
        ("a.tar.gz", b"\x1f\x8b\x08\x00", DataError, "damaged or incomplete archive"),
        ("a.gz", gzip.compress(b"text"), DataError, "of no kind"),
        ("a.gz", b"\x1f\x8b\xff\xff\xff\xff", DataError, "of no kind"),
    ],
)
def test_files_of_no_known_kind(tmp_path, name, content, error, words):
    write(tmp_path, {name: content})
    with pytest.raises(error, match=words):
        load(str(tmp_path / name))


def test_zip_archives_are_read_where_they_lie(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, colour in (("x/1.png", "red"), ("y/2.png", "blue"), ("__MACOSX/3.png", "red")):
            archive.writestr(name, png(colour))
    data = load(str(tmp_path / "a.zip"))
    assert data.classes == ("x", "y")
    assert data.x[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.zip is a damaged or incomplete archive"):
        load(str(tmp_path / "cut.zip"))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zip", "cut.zip"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        load(str(tmp_path / "pipe"))


@pytest.mark.parametrize(
    "arguments", [{"limit": 1}, {"max_bad": 1.5}, {"seed": -1}, {"size": -3}, {"channels": 2}]
)
def test_arguments_that_make_no_sense(arguments):
    with pytest.raises(UsageError, match="--"):
        load("digits", **arguments)


def test_fingerprint_follows_samples_labels_and_texts():
    x, labels = np.zeros((2, 1, 4, 4), np.uint8), np.array([0, 1])
    base = Dataset(x, labels, ("a", "b"))
    same = Dataset(x.copy(), labels.copy(), ("a", "b"), name="other", source="elsewhere")
    assert base.fingerprint == same.fingerprint
    others = [
        Dataset(x + np.uint8(1), labels, ("a", "b")),
        Dataset(x.reshape(2, 1, 2, 8), labels, ("a", "b")),
        Dataset(x, labels[::-1].copy(), ("a", "b")),
        Dataset(x),
        Dataset(x, labels, ("a", "b"), texts=("ab", "c")),
        Dataset(x, labels, ("a", "b"), texts=("a", "bc")),
    ]
    assert len({base.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_a_data_set_fits_together():
    x = np.zeros((2, 1, 4, 4), np.uint8)
    with pytest.raises(DataError, match="3 labels for 2 samples"):
        Dataset(x, np.zeros(3, np.int64), ("a",))
    with pytest.raises(DataError, match="1 texts for 2 samples"):
        Dataset(x, texts=("a",))
    with pytest.raises(DataError, match="from 0 to 2, but there are 2 classes"):
        Dataset(x, np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match="2 channels"):
        Dataset(np.zeros((2, 2, 4, 4), np.uint8))


def test_subset():
    x = np.arange(3 * 4, dtype=np.uint8).reshape(3, 1, 2, 2)
    part = Dataset(x, np.array([0, 1, 0]), ("a", "b"), ("x", "y", "z")).subset(np.array([2, 1]))
    np.testing.assert_array_equal(part.x, x[[2, 1]])
    assert part.labels.tolist() == [0, 1]
    assert part.texts == ("z", "y")
    assert part.classes == ("a", "b")
