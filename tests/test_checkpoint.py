import json
import os
import shutil

import pytest
import torch

from demist import checkpoint
from demist.checkpoint import Checkpoint
from demist.errors import DataError, StorageError


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
    manifest["sha256"] = checkpoint._hash_of(manifest)
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


def test_a_newer_format_asks_for_an_update(tmp_path):
    path = checkpoint.save(tmp_path, make(1))
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["format"] = 99
    manifest["sha256"] = checkpoint._hash_of(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"format 99.*update demist"):
        checkpoint.load(path)


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


@pytest.mark.parametrize("call", ["os.rename", "os.fsync", "demist.checkpoint.write_tensors"])
def test_a_failed_save_leaves_the_others_untouched(tmp_path, monkeypatch, call):
    for step in (1, 2):
        checkpoint.save(tmp_path, make(step))

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(call, fail)
    with pytest.raises(StorageError, match=r"No space left.*MB needed.*MB free.*Free some space"):
        checkpoint.save(tmp_path, make(3))
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ["step-00000001", "step-00000002"]
    assert newest(tmp_path)[0].step == 2


def test_a_folder_that_is_gone(tmp_path):
    shutil.rmtree(tmp_path)
    with pytest.raises(StorageError, match="No such file"):
        checkpoint.save(tmp_path, make(1))
