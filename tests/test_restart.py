"""`pack` and `bulk` go on where they were killed, and leave no litter."""

import fcntl
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demist.cli import main
from demist.data.images import pack as packing
from demist.errors import CannotCreateError
from demist.io import arrays, files
from demist.io.folders import sweep


class Killed(BaseException):
    """Ends what runs at once."""


@pytest.fixture
def photos(tmp_path):
    for i in range(7):
        file = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), i * 30, np.uint8)).save(file)
    return tmp_path / "photos"


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def packed(photos, out, *more):
    return main(["pack", str(photos), str(out), "--per-shard", "2", *more])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 6, 7])
def test_pack_goes_on_wherever_it_was_killed(photos, tmp_path, monkeypatch, count):
    """Before the n-th rename: of the record or of an archive."""
    assert packed(photos, tmp_path / "whole") == 0
    whole, out = contents(tmp_path / "whole"), tmp_path / "out"
    assert sorted(whole) == [f"train-0000{i}.tar" for i in range(4)]
    real, left = os.replace, iter(range(100))

    def replace(a, b):
        if next(left) == count:
            Path(out, ".train-00000.tar.abc.tmp").write_bytes(b"half")  # what no `finally` clears
            raise Killed
        real(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replace)
        with pytest.raises(Killed):
            packed(photos, out)
    kept = {name: (out / name).stat().st_ino for name in contents(out) if name.endswith(".tar")}
    recorded = files.read_json(out / packing.RECORD)["archives"] if count else {}
    assert packed(photos, out) == 0
    assert contents(out) == whole
    for name, inode in kept.items():
        if name in recorded:
            assert (out / name).stat().st_ino == inode


def test_pack_makes_a_damaged_archive_anew_and_refuses_another_source(
    photos, tmp_path, monkeypatch, capsys
):
    assert packed(photos, tmp_path / "whole") == 0
    whole, out = contents(tmp_path / "whole"), tmp_path / "out"
    real = Path.unlink

    def unlink(path, missing_ok=False):
        if path.name == packing.RECORD:
            raise Killed
        real(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(Killed):
            packed(photos, out)
    data = bytearray((out / "train-00001.tar").read_bytes())
    data[600] ^= 1
    (out / "train-00001.tar").write_bytes(data)
    (out / packing.RECORD).rename(tmp_path / "record")
    assert packed(photos, out) == CannotCreateError.exit_code
    assert "holds archives of something else" in capsys.readouterr().err
    (tmp_path / "record").rename(out / packing.RECORD)
    assert main(["pack", str(photos), str(out), "--per-shard", "3"]) == CannotCreateError.exit_code
    assert packed(photos, out) == 0
    assert contents(out) == whole
    assert packed(photos, out) == CannotCreateError.exit_code  # it is finished


def test_a_sealed_array_is_read_as_any_other_and_any_change_is_seen(tmp_path):
    x, path = np.arange(24, dtype=np.float32).reshape(6, 4), tmp_path / "x.npy"
    arrays.write_array(x, path, seal=True)
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), x)
    np.testing.assert_array_equal(np.load(path, "r", allow_pickle=False), x)
    assert arrays.sealed_length(path) == 6
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        assert arrays.sealed_length(path) is None, i
    for i in range(0, len(whole), 7):
        path.write_bytes(whole[:i])
        assert arrays.sealed_length(path) is None, i
    path.write_bytes(whole + b"0")
    assert arrays.sealed_length(path) is None
    arrays.write_array(x, path)
    assert arrays.sealed_length(path) is None
    path.unlink()
    assert arrays.sealed_length(path) is None


def test_bulk_makes_a_damaged_bucket_anew_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = "train eight --steps 2 --width 8 --depth 1 --batch-size 8 --sample-count 0"
    assert main(line.split()) == 0
    line = ["bulk", "1", "out", "--n", "130", "--steps", "2"]
    assert main(line) == 0
    whole = contents("out")
    bucket = Path("out/bucket-00001.npy")
    data = bytearray(bucket.read_bytes())
    data[300] ^= 1  # of the right length
    bucket.write_bytes(data)
    Path("out/.bucket-00002.npy.abc.tmp").write_bytes(b"half")
    Path("out/.samples.npy.abc.tmp").write_bytes(bytes(1000))
    assert main(line) == 0
    assert contents("out") == whole


def _write(path, begun, go):
    with files.atomic(path) as temporary:
        temporary.write_bytes(b"new")
        begun.set()
        go.wait(60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_sweeping_leaves_what_a_living_process_writes(tmp_path):
    context = multiprocessing.get_context("fork")
    begun, go = context.Event(), context.Event()
    other = context.Process(target=_write, args=(tmp_path / "x", begun, go))
    other.start()
    assert begun.wait(60)
    (tmp_path / ".y.abc.tmp").write_bytes(b"left")
    sweep(tmp_path)
    (temporary,) = tmp_path.iterdir()
    assert temporary.name.startswith(".x.")
    go.set()
    other.join()
    assert contents(tmp_path) == {"x": b"new"}
    with open(tmp_path / "x") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # and what is written is free


def test_a_user_without_a_home_has_a_cache(tmp_path, monkeypatch):
    for name in ("DEMIST_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(files.Path, "home", homeless)
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    place = files.cache_folder()
    assert place == tmp_path / f"demist-{os.getuid()}"
    assert place.stat().st_mode & 0o777 == 0o700
    assert files.cache_folder() == place
    place.chmod(0o777)
    with pytest.raises(CannotCreateError, match="set DEMIST_CACHE"):
        files.cache_folder()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises((CannotCreateError, FileExistsError)):
        files.cache_folder()
