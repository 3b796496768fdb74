"""Safetensors: the library reads ours, we read the library's, and hostile files are refused."""

import json
import zipfile

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from demist.errors import DataError, MissingError, RefusedError
from demist.io.headers import MAX_HEADER
from demist.io.tensors import read_metadata, read_tensors, write_tensors

TENSORS = {
    "a": torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "b": torch.arange(6).reshape(2, 3).T,
    "c": torch.tensor(3.0, dtype=torch.bfloat16),
    "empty": torch.empty(0, 3),
    "flags": torch.tensor([True, False, True]),
    "é": torch.tensor([1, 2, 3], dtype=torch.uint8),
}


def assert_equal(found):
    assert found.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_round_trip_and_equality_with_the_library(tmp_path):
    write_tensors(tmp_path / "ours", TENSORS)
    assert_equal(read_tensors(tmp_path / "ours"))
    assert_equal(load_file(tmp_path / "ours"))
    save_file({k: v.contiguous() for k, v in TENSORS.items()}, tmp_path / "theirs")
    assert_equal(read_tensors(tmp_path / "theirs"))
    with pytest.raises(MissingError):
        read_tensors(tmp_path / "absent")


def test_metadata_are_kept_and_the_library_reads_them(tmp_path):
    write_tensors(tmp_path / "ours", TENSORS, {"about": '{"é": 1}'})
    assert read_metadata(tmp_path / "ours") == {"format": "pt", "about": '{"é": 1}'}
    assert_equal(read_tensors(tmp_path / "ours"))
    with safe_open(tmp_path / "ours", "pt") as file:
        assert file.metadata() == read_metadata(tmp_path / "ours")
    save_file({"a": torch.ones(2)}, tmp_path / "theirs")
    assert read_metadata(tmp_path / "theirs") == {}
    for wrong in ([1], {"about": 1}):
        path = file_of(tmp_path / "x", {"__metadata__": wrong})
        with pytest.raises(DataError, match="metadata are not texts"):
            read_metadata(path)


def test_a_full_disk_keeps_its_number(tmp_path):
    with pytest.raises(OSError) as caught:
        write_tensors("/dev/full", TENSORS)
    assert caught.value.errno == 28


def file_of(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(begin=0, end=8, shape=(2,), dtype="F32", **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


HOSTILE = {
    "no header": (b"", b"", 0, "cannot hold a header of 0"),
    "header longer than the file": ({}, b"", 1000, "cannot hold a header of 1000"),
    "header of 2^63 bytes": ({}, b"", 2**63, "cannot hold a header"),
    "header over the limit": (b" " * MAX_HEADER + b"{}", b"", None, "cannot hold a header"),
    "not JSON": (b"{'a': 1}", b"", None, "Expecting property name"),
    "not text": (b"\xff\xfe{}", b"", None, "safetensors"),
    "a list": ([1], b"", None, "no JSON object"),
    "a list too deep": (b"[" * 10**6, b"", None, "nested too deeply"),
    "a name twice": (b'{"a": {}, "a": {}}', b"", None, "comes twice"),
    "a key twice": (
        b'{"a": {"dtype": "F32", "dtype": "U8", "shape": [2], "data_offsets": [0, 8]}}',
        bytes(8), None, "comes twice",
    ),
    "no offsets": ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), None, "'a' is incomplete"),
    "three offsets": (
        {"a": entry() | {"data_offsets": [0, 8, 8]}}, bytes(8), None, "'a' is incomplete",
    ),
    "unknown type": ({"a": entry(dtype="F128")}, bytes(8), None, "unknown type"),
    "type a list": ({"a": entry(dtype=[])}, bytes(8), None, "unknown type"),
    "negative": ({"a": entry(shape=(-2,))}, bytes(8), None, "cannot be right"),
    "truth for a number": ({"a": entry(shape=(True, 2))}, bytes(8), None, "cannot be right"),
    "fraction": ({"a": entry(shape=(2.0,))}, bytes(8), None, "cannot be right"),
    "shape a text": ({"a": entry() | {"shape": "22"}}, bytes(8), None, "cannot be right"),
    "100 axes": ({"a": entry(shape=(1,) * 100)}, bytes(8), None, "cannot be right"),
    "2^60 numbers": ({"a": entry(0, 2**52, (2**50,))}, bytes(8), None, "absurd shape"),
    "nothing times 2^52": ({"a": entry(0, 0, (0, 2**52))}, b"", None, "absurd shape"),
    "shape and bytes differ": ({"a": entry(shape=(3,))}, bytes(8), None, "not its shape"),
    "end before begin": ({"a": entry(8, 0)}, bytes(8), None, "not its shape"),
    "overlap": ({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12), None, "overlap"),
    "the same bytes twice": ({"a": entry(), "b": entry()}, bytes(8), None, "overlap"),
    "a hole": ({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20), None, "hole at byte 8"),
    "a hole in front": ({"a": entry(4, 12)}, bytes(12), None, "hole at byte 0"),
    "too little data": ({"a": entry()}, bytes(7), None, "at byte 7"),
    "something left over": ({"a": entry()}, bytes(9), None, "at byte 8"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_headers(tmp_path, case):
    header, data, length, words = case
    path = file_of(tmp_path / "x", header, data, length)
    for read in (read_tensors, read_metadata):
        with pytest.raises(DataError, match=words):
            read(path)


class Trap:
    """What an attacker would put into a pickle."""

    def __reduce__(self):
        return open, ("trapped", "w")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [Trap(), {"a": [1, 2]}, [Trap()]], ids=["call", "dict", "list"])
def test_pickles_are_refused_under_any_name(tmp_path, monkeypatch, protocol, value):
    import pickle

    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(RefusedError, match="is a pickle, which could run code"):
        read_tensors(path)
    assert not (tmp_path / "trapped").exists()


def test_archives_of_torch_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.safetensors", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(RefusedError):
        read_tensors(tmp_path / "x.safetensors")


def test_cut_anywhere(tmp_path):
    write_tensors(tmp_path / "whole", {"a": torch.ones(3), "b": torch.zeros(2, 2)})
    data = (tmp_path / "whole").read_bytes()
    for size in range(len(data)):
        (tmp_path / "cut").write_bytes(data[:size])
        with pytest.raises(DataError):
            read_tensors(tmp_path / "cut")
