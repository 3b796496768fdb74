import os
import shutil

import pytest
import torch

from demist.errors import CannotCreateError, DataError
from demist.io import files, folders
from demist.io.folders import atomic_folder
from demist.io.tensors import require_same


def fail(*_):
    raise OSError(28, "No space left on device")


def test_folder_appears_whole(tmp_path):
    target = tmp_path / "a"
    with atomic_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "x").write_text("1")
        assert not target.exists()
    assert (target / "sub" / "x").read_text() == "1"
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(CannotCreateError, match="exists already"), atomic_folder(target):
        pass
    with atomic_folder(target, replace=True) as temporary:
        (temporary / "y").write_text("2")
    assert os.listdir(target) == ["y"]
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("call", ["os.rename", "demist.io.folders.sync"])
@pytest.mark.parametrize("there", [False, True])
def test_failure_leaves_things_as_they_were(tmp_path, monkeypatch, call, there):
    target = tmp_path / "a"
    if there:
        target.mkdir()
        (target / "old").write_text("old")
    monkeypatch.setattr(call, fail)
    with (
        pytest.raises(OSError) as caught,
        atomic_folder(target, replace=True) as temporary,
    ):
        (temporary / "x").write_text("1")
    monkeypatch.undo()
    assert caught.value.filename == str(target)
    assert os.listdir(tmp_path) == (["a"] if there else [])
    assert not there or (target / "old").read_text() == "old"


def test_everything_is_flushed_before_the_rename(tmp_path, monkeypatch):
    events = []
    sync, rename = folders.sync, os.rename
    monkeypatch.setattr(folders, "sync", lambda p: (events.append(("sync", p)), sync(p)))
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append(("rename", b)), rename(a, b)))
    with atomic_folder(tmp_path / "a") as temporary:
        (temporary / "x").write_text("1")
    assert events == [
        ("sync", temporary / "x"),
        ("sync", temporary),
        ("rename", tmp_path / "a"),
        ("sync", tmp_path),
    ]


def test_what_is_half_removed_has_not_its_name(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").touch()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # killed here
        folders.remove_folder(tmp_path / "a")
    (left,) = os.listdir(tmp_path)
    assert left.startswith(folders.TEMPORARY)
    folders.sweep(tmp_path)
    assert os.listdir(tmp_path) == []
    (tmp_path / "b").mkdir()
    folders.remove_folder(tmp_path / "b")
    assert os.listdir(tmp_path) == []


def test_sweep(tmp_path):
    (tmp_path / ".writing-abc").mkdir()
    (tmp_path / "keep").mkdir()
    (tmp_path / ".status.json.abc.tmp").touch()
    folders.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["keep"]


def test_tensors_that_do_not_fit_are_a_table():
    here = {"a": torch.zeros(2), "b": torch.zeros(3)}
    with pytest.raises(DataError) as caught:
        require_same(here, {"a": torch.ones(2), "b": torch.ones(4), "c": torch.ones(1)}, "file f")
    lines = str(caught.value).splitlines()
    assert lines[0] == "the tensors in file f do not fit this network:"
    assert [line.split() for line in lines[1:]] == [
        ["name", "expected", "found"],
        ["b", "(3,)", "(4,)"],
        ["c", "nothing", "(1,)"],
    ]
    require_same(here, {"a": torch.ones(2), "b": torch.ones(3)}, "file f")


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "tempfile.mkstemp", "os.close"])
def test_a_file_that_cannot_be_written_is_named_and_left_as_it_was(tmp_path, monkeypatch, call):
    """By its own name, and not by the temporary one, so that people know what is meant."""
    (tmp_path / "a.json").write_text("old")

    def refuse(*args, **_):
        raise OSError(
            28, "No space left on device", *map(str, args[:1] if "replace" in call else [])
        )

    monkeypatch.setattr(call, refuse)
    with pytest.raises(OSError) as caught:
        files.write_json(tmp_path / "a.json", {})
    monkeypatch.undo()
    assert str(caught.value) == f"[Errno 28] No space left on device: '{tmp_path / 'a.json'}'"
    assert (tmp_path / "a.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    for whole in (files.atomic, atomic_folder):
        with pytest.raises(FileNotFoundError) as caught, whole(tmp_path / "a"):
            (tmp_path / "elsewhere").read_text()
        assert caught.value.filename == str(tmp_path / "elsewhere")
