"""Files that lie: one sentence each, no other file touched, and memory that is bounded."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from demist.errors import DataError, DemistError, RefusedError
from demist.interop import choose
from demist.interop.convert import convert
from demist.io.pickles import machine
from demist.io.tensors import read_tensors

STORAGE = "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0{key}X\x03\0\0\0cpuJ{numel}tQ"


def number(n):
    return b"J" + struct.pack("<i", n)


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def storage(numel=4, kind=b"ctorch\nFloatStorage\n", key="0"):
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number(numel) + b"tQ"


def view(shape=(4,), stride=(1,), offset=0, **which):
    """A tensor, as instructions."""
    sides, steps = (b"(" + b"".join(map(number, n)) + b"t" for n in (shape, stride))
    empty = b"ccollections\nOrderedDict\n)R"
    body = storage(**which) + number(offset) + sides + steps + b"\x89" + empty
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + body + b"tR"


def pickled(*pairs):
    """The pickle of a dict with these names and values."""
    body = b"".join(text(name) + value for name, value in pairs)
    return b"\x80\x02}(" + body + b"u."


def archive(path, data, numbers=None, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("m/data.pkl", data)
        for name, content in (numbers or {"0": np.arange(4, dtype="<f4").tobytes()}).items():
            file.writestr(f"m/data/{name}", content)
    return path


def refused(path, message, error=DataError):
    out = path.parent / "o.safetensors"
    with pytest.raises(error, match=message) as caught:
        convert(path, out)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_pickles_written_by_hand_are_right(tmp_path):
    """Else the tests below could be refused for something else."""
    path = archive(tmp_path / "m.pt", pickled(("a", view()), ("b", view((2, 2), (0, 2), 1))))
    convert(path, tmp_path / "o.safetensors")
    found = read_tensors(tmp_path / "o.safetensors")
    assert found["a"].tolist() == [0, 1, 2, 3]
    assert found["b"].tolist() == [[1, 3], [1, 3]]


def programs(target):
    """Pickles that would write `target` if they were run."""

    class Runs:
        def __init__(self, function, *arguments):
            self.parts = function, arguments

        def __reduce__(self):
            return self.parts

    command = f"touch {target}"
    yield pickle.dumps({"w": Runs(os.system, command)}, 2)
    yield pickle.dumps({"w": Runs(eval, f"open({str(target)!r}, 'w')")}, 4)
    yield pickle.dumps({Runs(exec, f"open({str(target)!r}, 'w')"): 1}, 2)
    yield pickle.dumps(Runs(io.open, str(target), "w"), 0)
    yield b"(S'" + command.encode() + b"'\nios\nsystem\n."
    yield b"(cos\nsystem\nS'" + command.encode() + b"'\no."
    yield b"\x80\x02}(" + text("w") + b"cos\nsystem\n" + text(command) + b"\x85Ru."
    yield b"\x80\x02}(" + text("w") + b"cos\nsystem\n" + text(command) + b"\x85\x81}bu."
    yield b"\x80\x02" + b"cos\nsystem\n" + text(command) + b"\x85R0}" + text("w") + view() + b"s."


def test_nothing_is_run(tmp_path):
    target = tmp_path / "touched"
    for i, data in enumerate(programs(target)):
        last = data.endswith(view() + b"s.")
        for path in (archive(tmp_path / f"{i}.pt", data), tmp_path / f"{i}.bin"):
            if path.suffix == ".bin":
                path.write_bytes(data)
            if last and path.suffix == ".pt":  # what it would have run is no part of the tensors
                convert(path, tmp_path / "o.safetensors")
                (tmp_path / "o.safetensors").unlink()
            else:
                refused(path, r"no tensors|not one of torch.save|neither")
            assert not target.exists()


def test_a_tensor_from_a_call_is_refused(tmp_path):
    call = b"cos\nsystem\n" + text("true") + b"\x85R"
    for name, value in {
        "as its storage": view().replace(storage(), call),
        "around it": b"cos\nsystem\n(" + view() + b"tR",
        "state": b"cos\nsystem\n)R}" + text("w") + view() + b"sb",
        "list": b"cos\nsystem\n)\x81(" + view() + b"e",
        "another file": view(kind=b"cos\nsystem\n"),
        "bytes": b"ctorch.storage\n_load_from_bytes\n(" + view() + b"tR",
    }.items():
        path = archive(tmp_path / "m.pt", pickled(("w", value)))
        refused(path, "w is a", RefusedError), name
    path = archive(tmp_path / "m.pt", pickled(("w", view() + b"}b")))
    refused(path, "sets attributes of a stored", RefusedError)
    path = archive(tmp_path / "m.pt", b"\x80\x05\x97.")
    refused(path, "NEXT_BUFFER", RefusedError)


LIES = {
    "too long": (view((5,), (1,)), "ends 4 bytes after"),
    "offset": (view((4,), (1,), 1), "ends 4 bytes after"),
    "stride": (view((2,), (2**30,)), "after its storage"),
    "negative": (view((-1,), (1,)), "cannot be right"),
    "backwards": (view((2,), (-1,), 2), "cannot be right"),
    "axes": (view((4,), (1, 1)), "1 axes and 2 strides"),
    "many axes": (view((1,) * 17, (1,) * 17), "17 axes"),
    "repeated": (view((2**30, 2**10), (0, 0)), "more than 4 times"),
    "storage": (view((400,), (1,), numel=400), "has 16 bytes, not 1600"),
    "absent": (view(key="7"), "'7' is not in it"),
    "elsewhere": (view(key="../../m/data.pkl"), "is not in it"),
    "memo": (b"h\x07", "remembers nothing under 7"),
    "stack": (b"\x87", "takes more from its stack"),
    "mark": (b"uu", "no dict|no value|not begun"),
}


@pytest.mark.parametrize("name", sorted(LIES))
def test_numbers_that_cannot_be_true(tmp_path, name):
    value, message = LIES[name]
    refused(archive(tmp_path / "m.pt", pickled(("w", value))), message)


def test_names_that_are_no_names(tmp_path):
    path = archive(tmp_path / "m.pt", pickled(("a", view()), ("a", view())))
    refused(path, "two tensors are called 'a'")
    refused(archive(path, pickled(("__metadata__", view()))), "__metadata__")
    refused(archive(path, pickled(("a" * 1001, view()))), "too long")
    refused(archive(path, pickled(("a\n", view()))), "letters that are none")
    bad = b"X\x03\0\0\0\xed\xa0\x80"
    refused(archive(path, b"\x80\x02}(" + bad + view() + b"u."), "letters that are none")


def bombs():
    """Small pickles of large things."""
    doubled = b"".join(
        b"](" + b"h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)
    )
    yield "laughs", b"\x80\x02]q\0" + view() + b"a0" + b"h\0" + doubled + b".", "2,000 values"
    yield "circle", b"\x80\x02]q\0" + b"h\0ah\0a" + view() + b"a.", "values, or more than 64"
    deep = b"]" * 2000 + view() + b"a" * 2000 + b"."
    yield "lists", b"\x80\x02" + deep, "64 containers"
    yield "tuples", b"\x80\x02" + view() + b"\x85" * 2000 + b".", "64 containers"
    yield "key", b"\x80\x02}" + b")" + b"\x85" * 2000 + view() + b"s.", None
    yield "marks", b"\x80\x02" + b"(" * 2000 + b".", "takes more"
    yield "steps", b"\x80\x02" + b"N0" * 3000 + b"N.", "5,000 instructions"
    yield "number", b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"1.", "not enough data"
    yield "text", b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"1.", "expected"
    yield "frame", b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.", "no tensors"
    yield (
        "pairs",
        b"\x80\x02("
        + b"N" * 1000
        + b"lq\0"
        + b"0"
        + b"".join(b"ccollections\nOrderedDict\nh\0\x85R" for _ in range(200))
        + b".",
        "no pairs",
    )
    yield "name", b"\x80\x02c" + b"a" * 2000 + b"\nb\n.", "more than 1000 letters"


@pytest.mark.parametrize("name,data,message", [pytest.param(*b, id=b[0]) for b in bombs()])
def test_bombs(tmp_path, monkeypatch, name, data, message):
    monkeypatch.setattr(choose, "MOST", 2000)
    monkeypatch.setattr(machine, "MAX_STEPS", 5000)
    path = archive(tmp_path / "m.pt", data)
    tracemalloc.start()
    try:
        if message is None:
            convert(path, tmp_path / "o.safetensors")
        else:
            refused(path, message)
        assert tracemalloc.get_traced_memory()[1] < 1e8
    finally:
        tracemalloc.stop()


def test_archives_that_lie(tmp_path):
    path, whole = tmp_path / "m.pt", pickled(("w", view()))
    refused(archive(path, whole, compression=zipfile.ZIP_DEFLATED), "is compressed")
    refused(archive(path, whole, {"0": bytes(10**7)}, zipfile.ZIP_DEFLATED), "is compressed")
    refused(archive(path, b"N" * (2**26 + 1)), "more than 67108864")
    data = bytearray(archive(path, whole).read_bytes())
    end = data.rindex(b"PK\x05\x06")
    (start,) = struct.unpack_from("<L", data, end + 16)

    def changed(at, kind, value, message):
        twin = bytearray(data)
        struct.pack_into(kind, twin, at, value)
        path.write_bytes(twin)
        refused(path, message)

    changed(end + 10, "<H", 9, "lists 2 members and says 9")
    changed(end + 12, "<L", 2**31, "its list of members would be")
    changed(start + 42, "<L", 10, "not where it should be")
    changed(start + 28, "<H", 60_000, "list of members is cut")
    for field in (20, 24):
        changed(start + field, "<L", 2**31, "compressed|larger than|overlap")
    second = data.index(b"PK\x01\x02", start + 4)
    twin = bytearray(data)
    twin[second + 42 : second + 46] = twin[start + 42 : start + 46]
    path.write_bytes(twin)
    refused(path, "overlap")
    twin = bytearray(data)
    at = twin.index(np.arange(4, dtype="<f4").tobytes())
    twin[at + 5] ^= 1
    path.write_bytes(twin)
    refused(path, "checksum is another")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/code.py", "x")
    refused(path, "without one data.pkl")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/data.pkl", whole)
        file.writestr("m/constants.pkl", whole)
    refused(path, "TorchScript", RefusedError)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/data.pkl", whole)
        file.writestr("m/byteorder", "big")
    refused(path, "big-endian")


def seeds(folder):
    """Whole files of both forms."""
    value = {
        "state_dict": {"a.weight": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(3).half()},
        "epoch": 3, "names": ["x", (1.5, None)], "when": np.float64(2), "kind": pickle.Pickler,
    }  # fmt: skip
    for zipped in (True, False):
        torch.save(value, folder / "s", _use_new_zipfile_serialization=zipped)
        yield (folder / "s").read_bytes()


def mutant(data, rng):
    """Bits turned, a piece cut out, doubled or replaced, or the end cut off."""
    data = bytearray(data)
    kind = rng.integers(5)
    if kind <= 1:
        for _ in range(rng.integers(1, 9)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    elif kind == 2:
        del data[rng.integers(len(data)) :]
    else:
        begin, other = sorted(rng.integers(len(data), size=2))
        end = min(other, begin + 64)
        data[begin:end] = b"" if kind == 3 else data[begin:end] * 2
    return bytes(data)


def attack(folder, count, seed):
    rng = np.random.default_rng(seed)
    wholes = list(seeds(folder))
    path, out = folder / "m.pt", folder / "o.safetensors"
    before = set(os.listdir(folder)) | {"m.pt"}
    ends = {}
    for i in range(count):
        path.write_bytes(mutant(wholes[i % 2], rng))
        try:
            convert(path, out)
            kind = "whole"
            read_tensors(out)
            out.unlink()
        except DemistError as error:
            kind, said = type(error).__name__, str(error)
            ends.setdefault("said", set()).add((said.count("\n"), len(said) < 600))
        ends[kind] = ends.get(kind, 0) + 1
        assert set(os.listdir(folder)) == before
    assert ends.pop("said") == {(0, True)}
    return ends


@pytest.mark.slow
def test_mutants(tmp_path):
    tracemalloc.start()
    try:
        ends = attack(tmp_path, 300, 0)
        assert tracemalloc.get_traced_memory()[1] < 2e7
    finally:
        tracemalloc.stop()
    assert ends["DataError"] > 75
    assert ends["whole"] > 4  # what is hit may be left out, or a number in the old form


@pytest.mark.slow
def test_more_mutants(tmp_path):
    assert attack(tmp_path, 3000, 1)["DataError"] > 750
