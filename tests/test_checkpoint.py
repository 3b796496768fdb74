import errno
import json
import os
import re
import shutil

import pytest
import torch

from demist.errors import DataError, StorageError
from demist.io.files import json_sha256
from demist.runs import checkpoint
from demist.runs.checkpoint import Checkpoint


def make(step):
    tensors = {"w": torch.full((3, 2), float(step)), "b": torch.tensor(1.5)}
    return Checkpoint(step, dict.fromkeys(checkpoint.PARTS, tensors), {"images": 8 * step})


def newest(folder, repair=True):
    said = []
    return checkpoint.load_newest(folder, said.append, repair=repair), said


def test_round_trip(tmp_path):
    path = checkpoint.save(tmp_path, make(12))
    assert path == tmp_path / "step-00000012"
    assert sorted(os.listdir(path)) == [
        "ema.safetensors",
        "manifest.json",
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
    ]
    back = checkpoint.load(path)
    assert (back.step, back.state) == (12, {"images": 96})
    for part in checkpoint.PARTS:
        assert torch.equal(back.parts[part]["w"], torch.full((3, 2), 12.0))
        assert back.parts[part]["b"].item() == 1.5


def test_newest_by_number_and_pruned_last(tmp_path):
    for step in (5, 100, 30):
        checkpoint.save(tmp_path, make(step), keep=2)
    assert checkpoint.steps(tmp_path) == [30, 100]
    # File times say otherwise; the number decides.
    os.utime(tmp_path / "step-00000030", (2e9, 2e9))
    assert newest(tmp_path)[0].step == 100
    for step in (200, 300, 400):
        checkpoint.save(tmp_path, make(step), keep=1)  # at least two are kept
    assert checkpoint.steps(tmp_path) == [300, 400]
    for step in (500, 600, 700):
        checkpoint.save(tmp_path, make(step), keep=4)
    assert checkpoint.steps(tmp_path) == [400, 500, 600, 700]
    assert checkpoint.steps(tmp_path / "absent") == []
    assert newest(tmp_path / "absent") == (None, [])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a bit of the weights": lambda p: flip(p / "weights.safetensors"),
    "a bit of the average": lambda p: flip(p / "ema.safetensors"),
    "a bit of the state": lambda p: flip(p / "state.json"),
    "a bit of the manifest": lambda p: flip(p / "manifest.json"),
    "weights cut short": lambda p: os.truncate(p / "weights.safetensors", 50),
    "manifest emptied": lambda p: (p / "manifest.json").write_text(""),
    "manifest a list": lambda p: (p / "manifest.json").write_text("[1]"),
    "manifest nested too deeply": lambda p: (p / "manifest.json").write_text("[" * 10**5),
    "manifest null": lambda p: (p / "manifest.json").write_text("null"),
    "manifest with other types": lambda p: (p / "manifest.json").write_text(
        '{"files": [], "sha256": 1, "format": "x"}'
    ),
    "optimizer gone": lambda p: (p / "optimizer.safetensors").unlink(),
    "manifest gone": lambda p: (p / "manifest.json").unlink(),
    "all gone": lambda p: [file.unlink() for file in p.iterdir()],
    "weights a folder": lambda p: (
        (p / "weights.safetensors").unlink(),
        (p / "weights.safetensors").mkdir(),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_named_and_set_aside(tmp_path, damage):
    checkpoint.save(tmp_path, make(1))
    damaged = checkpoint.save(tmp_path, make(2))
    damage(damaged)
    found, said = newest(tmp_path, repair=False)
    assert found.step == 1
    assert checkpoint.steps(tmp_path) == [1, 2]
    found, said = newest(tmp_path)
    assert found.step == 1
    assert len(said) == 1
    assert "step-00000002" in said[0]
    assert "set aside as bad-step-00000002" in said[0]
    assert checkpoint.steps(tmp_path) == [1]
    assert (tmp_path / "bad-step-00000002").is_dir()
    assert newest(tmp_path)[1] == []


def test_a_file_the_manifest_leaves_out(tmp_path):
    """A manifest that matches itself is not enough: the required files must be in it."""
    path = checkpoint.save(tmp_path, make(1))
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"], manifest["files"]["ema.safetensors"]
    manifest["sha256"] = json_sha256(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"lacks ema.safetensors"):
        checkpoint.load(path)


def test_the_manifest_covers_itself(tmp_path):
    path = checkpoint.save(tmp_path, make(1))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["extra"] = {"bytes": 0, "sha256": ""}
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="does not match its own hash"):
        checkpoint.load(path)


def newer(path):
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]
    manifest |= {"format": 99, "demist": "7.1.0"}
    manifest["sha256"] = json_sha256(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_newer_format_is_left_alone(tmp_path):
    """It is whole: an older version neither sets it aside nor goes back to an older one."""
    checkpoint.save(tmp_path, make(1))
    newer(checkpoint.save(tmp_path, make(2)))
    with pytest.raises(DataError, match=r"format 99.* reads 1; update demist to 7\.1\.0 or later"):
        newest(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["step-00000001", "step-00000002"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ESTALE])
@pytest.mark.parametrize("name", ["manifest.json", "ema.safetensors"])
def test_what_cannot_be_read_just_now_is_not_set_aside(tmp_path, monkeypatch, number, name):
    for step in (1, 2):
        checkpoint.save(tmp_path, make(step))
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith(f"step-00000002/{name}"):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)  # what `open_regular` calls
        with pytest.raises(StorageError, match=f"cannot read {name} .*step-00000002: .*; m") as e:
            newest(tmp_path)
    assert e.value.exit_code == 74
    assert newest(tmp_path)[0].step == 2


def test_a_sector_that_cannot_be_read_is_damage(tmp_path, monkeypatch):
    for step in (1, 2):
        checkpoint.save(tmp_path, make(step))
    real = checkpoint._facts

    def fail(path):
        if path == tmp_path / "step-00000002" / "weights.safetensors":
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(checkpoint, "_facts", fail)
    found, said = newest(tmp_path)
    assert found.step == 1
    assert "weights.safetensors is damaged (Input/output error); set aside as bad-" in said[0]


def test_never_a_silent_start_from_zero(tmp_path):
    flip(checkpoint.save(tmp_path, make(1)) / "state.json")
    for _ in range(2):  # also once it has been set aside
        with pytest.raises(DataError, match=r"no checkpoint in .* is good"):
            newest(tmp_path)


def test_saving_again_keeps_a_good_one_and_replaces_a_damaged_one(tmp_path):
    path = checkpoint.save(tmp_path, make(1))
    inode = path.stat().st_ino
    checkpoint.save(tmp_path, make(1))
    assert path.stat().st_ino == inode
    flip(path / "weights.safetensors")
    checkpoint.save(tmp_path, make(1))
    assert checkpoint.load(path).step == 1
    assert (tmp_path / "bad-step-00000001").is_dir()
    flip(path / "weights.safetensors")
    checkpoint.save(tmp_path, make(1))
    assert (tmp_path / "bad-step-00000001-2").is_dir()


@pytest.mark.parametrize("call", ["os.rename", "os.fsync", "demist.runs.checkpoint.write_tensors"])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device .*; free some space. Earlier checkpoints"),
        (errno.EDQUOT, "Disk quota exceeded .*; remove files of yours, or ask for a larger quota"),
        (errno.EROFS, "Read-only file system .*; make the disk writable, or copy the folder"),
        (errno.EACCES, "Permission denied .*; make it yours, or writable for you. Earlier"),
        (errno.EFBIG, r"File too large .*; raise the limit of the size of files \(ulimit -f\)"),
        (errno.EIO, "Input/output error .*; check the disk. Earlier checkpoints are untouched"),
    ],
)
def test_a_failed_save_leaves_the_others_untouched(tmp_path, monkeypatch, call, number, words):
    for step in (1, 2):
        checkpoint.save(tmp_path, make(step))

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(call, fail)
    with pytest.raises(
        StorageError, match=rf"cannot write a checkpoint to {tmp_path}: {words}"
    ) as e:
        checkpoint.save(tmp_path, make(3))
    assert re.search(r"\([\d.]+ MB needed, [\d.]+ MB free\)", str(e.value))
    assert e.value.exit_code == 74
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ["step-00000001", "step-00000002"]
    assert newest(tmp_path)[0].step == 2


def test_a_folder_that_is_gone(tmp_path):
    shutil.rmtree(tmp_path)
    said = "has been removed, and the earlier checkpoints with it; stop this run and start it anew"
    with pytest.raises(StorageError, match=said):
        checkpoint.save(tmp_path, make(1))
