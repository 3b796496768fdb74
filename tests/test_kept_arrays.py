"""Arrays in the cache folder: made once, made again when damaged, never another's."""

import errno
import shutil

import numpy as np
import pytest

from demist.errors import StorageError
from demist.io import arrays, kept
from demist.measuring import checks

X = np.arange(24, dtype=np.float32).reshape(6, 4)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path))
    return tmp_path


def make(key="a", x=X, calls=None):
    def blocks():
        for begin in range(0, len(x), 4):
            if calls is not None:
                calls.append(begin)
            yield x[begin : begin + 4]

    return kept.kept("latents", key, x.shape, blocks())


def test_an_array_is_made_once_and_mapped():
    calls = []
    first, again = make(calls=calls), make(calls=calls)
    assert calls == [0, 4]
    assert isinstance(again, np.memmap)
    assert not again.flags.writeable
    assert np.array_equal(first, X)
    assert np.array_equal(again, X)
    assert kept.is_kept("latents", "a")
    assert not kept.is_kept("texts", "a")


@pytest.mark.parametrize("place", [0, 100, 140, -1])
def test_a_damaged_file_is_told_and_made_again(folder, place):
    make()
    (file,) = folder.glob("latents/*")
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged: its latents are made again"):
        assert np.array_equal(make(), X)


def test_a_file_in_anothers_place_is_not_believed(folder):
    make("a")
    (one,) = folder.glob("latents/*")
    make("b", X + 1)
    (other,) = set(folder.glob("latents/*")) - {one}
    shutil.copy(other, one)
    assert arrays.sealed_length(one, b"b") == 6
    with pytest.warns(UserWarning, match="damaged"):
        assert np.array_equal(make("a"), X)


def test_a_full_disk_is_one_sentence(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield

    with pytest.raises(StorageError, match=r"cannot keep the latents.*DEMIST_CACHE"):
        kept.kept("latents", "a", X.shape, full())
    assert list(folder.glob("latents/*")) == []


def test_doctor_says_what_is_kept_and_clears_it(folder):
    make()
    stranger = folder / "latents" / "mine.npy"
    stranger.write_bytes(b"x")
    assert kept.sizes()["latents"] > X.nbytes
    assert str(folder) in checks.cache()
    assert "removed" in checks.cache(clear=True)
    assert kept.sizes() == dict.fromkeys(kept.KINDS.values(), 0)
    assert stranger.exists()
    assert not kept.is_kept("latents", "a")
