"""What a small file may cost: bytes, depth and time are bounded before they are spent."""

import io
import lzma
import tarfile
import time
import zipfile

import numpy as np
import pytest
from data_samples import encoded, png, write
from PIL import Image
from test_data_cifar import ROWS, python2

from demist.data import load
from demist.data.files import tar, tree
from demist.data.images import decode, read
from demist.data.images.decode import Rules
from demist.data.readers import plainpickle
from demist.data.readers.plainpickle import read_plain_pickle
from demist.errors import DataError
from demist.machine import memory

PAIRS = b"".join([b"h\0h\0\x86q\0"] * 40)  # each a pair of the last: 2**40 leaves
PICKLES = {
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",
    "a pair of pairs as a key": b"\x80\x02}K\x01q\0" + PAIRS + b"K\x01s.",
    "a pair of pairs as a type": b"\x80\x02cnumpy\ndtype\nK\x01q\0" + PAIRS + b"\x85R.",
    "a pair of pairs as an encoding": b"\x80\x02c_codecs\nencode\nU\x01aK\x01q\0"
    + PAIRS
    + b"\x86R.",
    "a pair of pairs as a shape": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n"
    + b"(U\x01acnumpy\ndtype\nU\x02u1\x85RK\x01q\0"
    + PAIRS
    + b"U\x01CtR.",
    "lists in lists": b"\x80\x02" + b"]" * 1000 + b"a" * 999 + b".",
    "a list in itself": b"\x80\x02]q\0h\0a.",
    "a dict in a dict": b"\x80\x02}U\x01a}s.",
    "a number as a key": b"\x80\x02}K\x01K\x02s.",
    "a module that is no string": b"\x80\x04K\x01\x8c\x05numpy\x93.",
    "a tuple of more than there is": b"\x80\x02K\x01\x87.",
}


@pytest.mark.parametrize("what", PICKLES)
def test_pickles_that_would_crash_or_hang(what):
    begun = time.process_time()
    with pytest.raises(DataError, match="x is not a readable batch"):
        read_plain_pickle(PICKLES[what], "x")
    assert time.process_time() - begun < 5


def test_a_text_is_not_encoded_over_and_over():
    text = b"X" + (1000).to_bytes(4, "little") + b"a" * 1000
    once = b"c_codecs\nencode\nh\0U\x06latin1\x86R"
    program = b"\x80\x02" + text + b"q\0" + once * 100 + b"."
    with pytest.raises(DataError, match="it encodes more than it holds"):
        read_plain_pickle(program, "x")
    assert read_plain_pickle(b"\x80\x02" + text + b"q\0" + once + b".", "x") == b"a" * 1000


def test_instructions_and_bytes_are_counted(monkeypatch):
    monkeypatch.setattr(plainpickle, "LONGEST", 100)
    with pytest.raises(DataError, match="more than 100 instructions"):
        read_plain_pickle(b"\x80\x02" + b"N" * 200 + b".", "x")
    monkeypatch.setattr(plainpickle, "LARGEST", 100)
    with pytest.raises(DataError, match="x has 0 MB"):
        read_plain_pickle(b"\x80\x02" + b"N" * 200 + b".", "x")


@pytest.mark.parametrize("labels", [np.array(3), np.zeros((3, 1), np.int64), 5, "abc"])
def test_labels_that_are_no_list(tmp_path, labels):
    write(tmp_path, {"data_batch_1": python2({b"data": ROWS[1], b"labels": labels})})
    with pytest.raises(DataError, match="data_batch_1 has no 'labels'"):
        load(str(tmp_path))


@pytest.mark.parametrize("names", [[1, 2], [("a",)], [None], b"ab"])
def test_class_names_that_are_no_strings(tmp_path, names):
    batch = {b"data": ROWS[1], b"labels": [0, 1, 2]}
    write(
        tmp_path, {"data_batch_1": python2(batch), "batches.meta": python2({b"label_names": names})}
    )
    with pytest.raises(DataError, match="has no list of class names"):
        load(str(tmp_path))


# Archives


def archive(path, members, *, pax=None):
    with tarfile.open(path, "w:xz", format=tarfile.PAX_FORMAT) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), pax or {}
            file.addfile(info, io.BytesIO(content))
    return path


def test_an_archive_unpacks_to_so_much_and_no_more(tmp_path, monkeypatch):
    """Its headers say what would come; that is not unpacked."""
    monkeypatch.setattr(tree, "SPARE", 10**6)
    monkeypatch.setattr(tree, "RATIO", 2)
    path = archive(tmp_path / "x.tar.xz", {f"{i}.png": bytes(3 * 10**6) for i in range(3)})
    with pytest.raises(
        DataError, match=r"unpacks to more than 0\.001 GB, 2 times its size and more"
    ):
        load(str(path))
    monkeypatch.undo()
    with pytest.raises(DataError, match="not an image of a kind"):
        load(str(path))


def test_a_zip_archive_likewise(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(3):
            file.writestr(f"{i}.png", bytes(3 * 10**6))
    monkeypatch.setattr(tree, "PICTURE", 10**6)
    with pytest.raises(DataError, match=r"is over the limit of 0\.001 GB a file"):
        load(str(tmp_path / "x.zip"))
    monkeypatch.setattr(tree, "SPARE", 10**6)
    with pytest.raises(DataError, match="200 times its size and more: too much to be images"):
        load(str(tmp_path / "x.zip"))


def test_an_image_in_an_archive_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "PICTURE", 1000)
    noise = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    )
    path = archive(
        tmp_path / "x.tar.xz", {"a.png": png("red"), "b.png": noise, "c.png": png("tan")}
    )
    data = load(str(path), max_bad=0.5)
    assert [(bad.path, "over the limit" in bad.reason) for bad in data.bad] == [("b.png", True)]
    held = dict(tar.Tar.scan(path).stream(["a.png", "b.png"]))
    assert (len(held["a.png"].data), len(held["b.png"].data)) == (len(png("red")), 0)


def test_headers_are_short(tmp_path):
    path = archive(tmp_path / "x.tar.xz", {"a.png": png("red")}, pax={"comment": "x" * 3 * 10**6})
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"x\.tar\.xz is a damaged archive: a header of 300"):
        load(str(path))


@pytest.mark.parametrize("size", ["9" * 30, "-1", "x"])
@pytest.mark.parametrize("ending", ["tar", "tar.xz"])
def test_sparse_members_are_refused(tmp_path, size, ending):
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": size}
    path = archive(tmp_path / "x.tar.xz", {"a.png": png("red")}, pax=pax | {"GNU.sparse.name": "a"})
    if ending == "tar":
        (tmp_path / "x.tar").write_bytes(lzma.decompress(path.read_bytes()))
    with pytest.raises(DataError, match=r"damaged or incomplete archive|as a sparse file"):
        load(str(tmp_path / f"x.{ending}"))


def test_few_bytes_wait_to_be_decoded(monkeypatch):
    monkeypatch.setattr(read, "_HELD", 8000)
    files = iter([(str(i), tar.Held(bytes(400), 400, 10**6)) for i in range(20)])
    assert [len(read._chunk(files)) for _ in range(7)] == [3] * 6 + [2]
    monkeypatch.undo()
    files = iter([(str(i), lambda: b"") for i in range(20)])
    assert [len(read._chunk(files)) for _ in range(3)] == [16, 4, 0]


# Single files


@pytest.mark.parametrize("shape", [(2**31 - 1, 0, 0), (5, 0, 4), (5, 4, 0)])
def test_images_without_pixels(tmp_path, shape):
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in shape)
    write(tmp_path, {"train-images-idx3-ubyte": header})
    with pytest.raises(DataError, match="says that its images have no pixels"):
        load(str(tmp_path))


def test_labels_of_arrays_are_looked_at_before_they_are_read(tmp_path, monkeypatch):
    x = np.zeros((6, 8, 8, 3), np.uint8)
    np.savez_compressed(tmp_path / "x.npz", x=x, y=np.zeros(10**6, np.int64))
    with pytest.raises(DataError, match="1000000 labels for 6 samples"):
        load(str(tmp_path / "x.npz"))
    np.savez_compressed(tmp_path / "x.npz", x=x, y=np.zeros((6, 10**6), np.int64))
    monkeypatch.setattr(memory, "memory_limit", lambda: 10**7)
    with pytest.raises(DataError, match=r"x\.npz"):
        load(str(tmp_path / "x.npz"))


def test_a_jpeg_of_a_thousand_scans(monkeypatch):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    data = encoded(image, "jpeg", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:-2] + data[last:-2] * 1000 + data[-2:]
    monkeypatch.setattr(decode, "MAX_SCANNED", 20 * 64 * 64)
    assert decode.decode(data, Rules()).shape == (1, 64, 64)
    with pytest.raises(ValueError, match=r"64 x 64 in 10\d\d scans takes too long; save it anew"):
        decode.decode(bomb, Rules())
