import os
import tarfile

import numpy as np
import pytest
from data_samples import encoded, png, write
from PIL import Image

from demist.data import BadFile, load
from demist.data.files import folder as folder_module
from demist.errors import DataError
from demist.machine import memory


def folder(tmp_path, good: int, bad: dict[str, bytes]) -> str:
    files = {f"{i:04}.png": png((i % 256, 0, 0)) for i in range(good)}
    return str(write(tmp_path / "set", files | bad))


def test_bad_files_are_named_skipped_and_recorded(tmp_path):
    whole = encoded(Image.fromarray(np.arange(3072, dtype=np.uint8).reshape(32, 32, 3)))
    bad = {"0007a.png": b"not a picture", "0150b.jpg": b"", "zz.png": whole[: len(whole) // 2]}
    data = load(folder(tmp_path, 300, bad))
    assert data.x[:, 0, 0, 0].tolist() == [i % 256 for i in range(300)]
    assert [file.path for file in data.bad] == list(bad)
    assert data.bad[0].reason == "not an image of a kind that is read here"
    assert "truncated" in data.bad[2].reason.lower() or "broken" in data.bad[2].reason.lower()


def test_labels_and_texts_stay_with_their_pictures_when_some_are_skipped(tmp_path):
    files = {f"{i}.png": png(i, mode="L") for i in range(6)} | {"1.png": b"x", "4.png": b"x"}
    rows = "".join(f"{i}.png,class {i % 2},text {i}\n" for i in range(6))
    root = write(tmp_path / "set", files | {"metadata.csv": "file_name,label,text\n" + rows})
    data = load(str(root), max_bad=0.5)
    assert data.x[:, 0, 0, 0].tolist() == [0, 2, 3, 5]
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert data.texts == ("text 0", "text 2", "text 3", "text 5")
    assert [file.path for file in data.bad] == ["1.png", "4.png"]


def test_too_many_bad_files_stop_and_are_named(tmp_path):
    path = folder(tmp_path, 97, {"a.png": b"", "b.png": b"", "c.png": b""})
    assert len(load(path, max_bad=0.03)) == 97
    with pytest.raises(DataError, match=r"more than 2 % of the 100 .*'a\.png': .*'c\.png'"):
        load(path, max_bad=0.02)
    with pytest.raises(DataError, match="more than 1 %"):
        load(path)


def test_all_bad(tmp_path):
    with pytest.raises(DataError, match="0 usable"):
        load(folder(tmp_path, 0, {"a.png": b"", "b.png": b""}), max_bad=1.0)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_a_bad_file(tmp_path):
    path = folder(tmp_path, 300, {})
    os.chmod(f"{path}/0000.png", 0)
    assert [file.path for file in load(path).bad] == ["0000.png"]


def test_a_file_the_system_will_not_read_says_why(tmp_path, monkeypatch):
    real = folder_module._read

    def refuse(path):
        if path.name == "0007.png":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(folder_module, "_read", refuse)
    assert load(folder(tmp_path, 300, {})).bad == (BadFile("0007.png", "Permission denied"),)


def test_a_decompression_bomb_is_a_bad_file(tmp_path):
    bombs = {f"{n}.png": encoded(Image.new("1", (n, 10_000))) for n in (9_000, 20_000)}
    data = load(folder(tmp_path, 3, bombs), max_bad=0.5)
    assert [file.path for file in data.bad] == ["20000.png", "9000.png"]
    assert data.bad[1].reason == "9000 x 10000 is over 89,478,485 pixels"


def test_sizes_that_differ(tmp_path):
    path = folder(tmp_path, 3, {"b.png": png("red", (6, 5))})
    with pytest.raises(
        DataError, match=r"'0000\.png' is 4 x 4 pixels and 'b\.png' is 6 x 5: .*--size"
    ):
        load(path)
    assert load(path, size=4).x.shape == (4, 3, 4, 4)


def test_a_common_size_need_not_be_square(tmp_path):
    files = {"a.png": png("red", (6, 5)), "b.png": png("red", (6, 5))}
    assert load(folder(tmp_path, 0, files)).x.shape == (2, 3, 5, 6)


@pytest.mark.parametrize("first", ["grey", "colour"])
def test_grey_beside_colour_becomes_colour(tmp_path, first):
    grey, colour = ("a.png", "b.png") if first == "grey" else ("b.png", "a.png")
    files = {grey: png(9, mode="L"), colour: png((1, 2, 3)), "c.png": png(7, mode="L")}
    path = str(write(tmp_path / "set", files))
    data = load(path)
    expected = {grey: [9, 9, 9], colour: [1, 2, 3], "c.png": [7, 7, 7]}
    assert data.x[:, :, 0, 0].tolist() == [expected[name] for name in sorted(files)]
    assert "2 grey made colour" in data.report.paragraph()
    grey = load(path, channels=1)
    assert grey.x.shape == (3, 1, 4, 4)
    assert "1 colour made grey" in grey.report.paragraph()


def test_grey_beside_colour_becomes_colour_on_the_disk_too(tmp_path, monkeypatch):
    files = {"a.png": png(9, mode="L"), "b.png": png((1, 2, 3)), "c.png": png(7, mode="L")}
    path = str(write(tmp_path / "set", files))
    held = load(path)
    monkeypatch.setattr(memory, "memory_limit", lambda: 60)  # three grey ones would fit
    for _ in range(2):  # the second time from what is remembered
        data = load(path)
        assert data.lazy
        np.testing.assert_array_equal(data.x[:], held.x)
        assert data.fingerprint == held.fingerprint
        assert data.report == held.report


def test_memory_is_checked_before_it_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "memory_limit", lambda: 4799)
    path = str(tmp_path / "set.tar.gz")  # can only be read from its start, so it must fit
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder(tmp_path, 100, {}), "set")  # 100 x 3 x 4 x 4 = 4800 bytes
    with pytest.raises(DataError, match=r"100 x 3 x 4 x 4.*--size, or --limit"):
        load(path)
    assert len(load(path, limit=99)) == 99
    monkeypatch.setattr(memory, "memory_limit", lambda: 4800)
    assert len(load(path)) == 100
    assert load(path, size=3).x.nbytes == 2700


def test_memory_limit_is_a_share_of_the_machine():
    assert 10**8 < memory.memory_limit() < 10**15


def test_limit_is_balanced_seeded_and_nested(tmp_path):
    files = {f"{kind}/{i:02}.png": png(i, mode="L") for kind, n in (("a", 20), ("b", 5), ("c", 20))
             for i in range(n)}  # fmt: skip
    path = str(write(tmp_path / "set", files))
    few, more = load(path, limit=9), load(path, limit=25)
    assert np.bincount(few.labels).tolist() == [3, 3, 3]
    assert np.bincount(more.labels).tolist() == [10, 5, 10]
    assert (np.diff(few.labels) >= 0).all()

    def kept(data):
        return set(zip(data.labels.tolist(), data.x[:, 0, 0, 0].tolist(), strict=True))

    assert kept(few) < kept(more)
    assert kept(few) == kept(load(path, limit=9)) != kept(load(path, limit=9, seed=1))
    assert len(load(path, limit=1000)) == 45


def test_bad_file_is_a_value():
    assert BadFile("a", "b") == BadFile("a", "b")
