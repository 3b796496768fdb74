import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from data_samples import write

from demist.data import load
from demist.data.readers.plainpickle import read_plain_pickle
from demist.errors import DataError, RefusedError

RNG = np.random.default_rng(0)
ROWS = {n: RNG.integers(0, 256, (3, 3072), np.uint8) for n in range(1, 7)}


class Python2Pickler(pickle._Pickler):
    """Writes `bytes` as Python 2 wrote its strings: what the distributed files consist of."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, data):
        if len(data) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(data)]) + data)
        else:
            self.write(pickle.BINSTRING + len(data).to_bytes(4, "little") + data)
        self.memoize(data)

    dispatch[bytes] = save_string


def python2(value) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, 2).dump(value)
    return buffer.getvalue().replace(b"numpy._core.", b"numpy.core.")


def cifar10(dump) -> dict[str, bytes]:
    def batch(n):
        return {b"batch_label": b"batch", b"labels": [0, n, 9], b"data": ROWS[n],
                b"filenames": [b"a.png", b"b.png", b"c.png"]}  # fmt: skip

    names = {b"label_names": [f"class {i}".encode() for i in range(10)], b"num_vis": 3072}
    return {f"data_batch_{n}": dump(batch(n)) for n in range(1, 6)} | {
        "test_batch": dump(batch(6)),
        "batches.meta": dump(names),
        "readme.html": b"",
    }


def check_cifar10(path):
    train, test = load(str(path)), load(str(path), split="test")
    expected = np.concatenate([ROWS[n] for n in range(1, 6)]).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(train.x, expected)
    assert train.labels.tolist() == [k for n in range(1, 6) for k in (0, n, 9)]
    np.testing.assert_array_equal(test.x, ROWS[6].reshape(-1, 3, 32, 32))
    assert test.labels.tolist() == [0, 6, 9]
    assert train.classes == test.classes == tuple(f"class {i}" for i in range(10))


@pytest.mark.parametrize("protocol", ["python2", 2, 3, 4, 5])
def test_python_batches(tmp_path, protocol):
    def dump(value):
        return python2(value) if protocol == "python2" else pickle.dumps(value, protocol)

    check_cifar10(write(tmp_path / "cifar-10-batches-py", cifar10(dump)))


def test_python_batches_in_the_archive_they_come_in(tmp_path):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in reversed(cifar10(python2).items()):
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    check_cifar10(path)


def test_binary_batches(tmp_path):
    files = {
        "test_batch.bin" if n == 6 else f"data_batch_{n}.bin": b"".join(
            bytes([k]) + row.tobytes() for k, row in zip((0, n, 9), ROWS[n], strict=True)
        )
        for n in range(1, 7)
    }
    names = "".join(f"class_{i}\n" for i in range(10)) + "\n"
    path = write(tmp_path / "set", files | {"batches.meta.txt": names})
    assert load(str(path)).classes[9] == "class_9"
    path.joinpath("batches.meta.txt").unlink()
    assert load(str(path)).classes == tuple("0123456789")
    train = load(str(path))
    np.testing.assert_array_equal(train.x[3:6], ROWS[2].reshape(-1, 3, 32, 32))
    assert train.labels[3:6].tolist() == [0, 2, 9]
    path.joinpath("data_batch_3.bin").write_bytes(b"x" * 3074)
    with pytest.raises(
        DataError, match=r"data_batch_3\.bin has 3074 bytes, not a multiple of 3073"
    ):
        load(str(path))


def test_cifar100_has_its_fine_classes(tmp_path):
    def batch(n):
        return {b"data": ROWS[n], b"fine_labels": [99, n, 50], b"coarse_labels": [1, 1, 1]}

    names = {b"fine_label_names": [f"fine {i}".encode() for i in range(100)],
             b"coarse_label_names": [b"coarse"] * 20}  # fmt: skip
    python = write(
        tmp_path / "py",
        {"train": python2(batch(1)), "test": python2(batch(2)), "meta": python2(names)},
    )
    binary = write(
        tmp_path / "bin",
        {
            f"{split}.bin": b"".join(
                bytes([1, k]) + row.tobytes() for k, row in zip((99, n, 50), ROWS[n], strict=True)
            )
            for split, n in (("train", 1), ("test", 2))
        }
        | {"fine_label_names.txt": "".join(f"fine{i}\n" for i in range(100))},
    )
    for path, first in ((python, "fine 0"), (binary, "fine0")):
        for split, n in (("train", 1), ("test", 2)):
            data = load(str(path), split=split)
            np.testing.assert_array_equal(data.x, ROWS[n].reshape(-1, 3, 32, 32))
            assert data.labels.tolist() == [99, n, 50]
            assert data.classes[0] == first
            assert len(data.classes) == 100


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", [os.system, eval, pickle.loads, np.load])
def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path, protocol, function):
    proof = tmp_path / "proof"
    argument = f"touch {proof}" if function is os.system else f"open({str(proof)!r}, 'w')"
    batch = {b"data": Hostile(function, (argument,)), b"labels": [0, 1, 2]}
    path = write(tmp_path / "set", {"data_batch_1": pickle.dumps(batch, protocol)})
    with pytest.raises(RefusedError, match="data_batch_1 is a pickle that uses"):
        load(str(path))
    assert not proof.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cnumpy\nload\n.",  # a name of an allowed module
        b"\x80\x04\x8c\x05numpy\x8c\x04load\x93.",
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        b"(S'x'\nios\nsystem\n.",
        b"\x80\x02}\x81.",
        b"\x80\x02P1\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
    ],
)
def test_programs_that_are_refused(program):
    with pytest.raises(RefusedError):
        read_plain_pickle(program, "x")


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02h\x05.",
        b"\x80\x02u.",
        b"\x80\x02]]\x85R.",  # a call of something that is no function
        b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.",  # an array of objects
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x80\x02]}b.",
        b"\x80\x02K\x01K\x02s.",
        b"\x80\x02(]]d.",
        b"\xff\xff",
    ],
)
def test_programs_that_are_damaged(program):
    with pytest.raises((DataError, RefusedError)):
        read_plain_pickle(program, "x")


def test_cutting_a_batch_anywhere_is_an_error():
    whole = python2({b"data": np.zeros((2, 4), np.uint8), b"labels": [1, 2], b"n": -5})
    assert read_plain_pickle(whole, "x")["labels"] == [1, 2]
    for end in range(len(whole)):
        with pytest.raises(DataError):
            read_plain_pickle(whole[:end], "x")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_by_columns_and_of_other_integers(protocol):
    columns = np.asfortranarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    value = {"a": columns, "b": np.array([-1, 2**40]), "c": [columns, (), None, True, -3]}
    read = read_plain_pickle(pickle.dumps(value, protocol), "x")
    np.testing.assert_array_equal(read["a"], columns)
    np.testing.assert_array_equal(read["b"], [-1, 2**40])
    assert read["c"][1:] == [(), None, True, -3]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ([1, 2], "no dictionary"),
        ({b"labels": [1]}, "no 'data'"),
        ({b"data": np.zeros((1, 5), np.uint8), b"labels": [1]}, "no 'data' of N x 3072"),
        ({b"data": np.zeros((1, 3072), np.uint8)}, "no 'labels'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "1 labels for 2 images"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [b"x"]}, "or no numbers"),
    ],
)
def test_batches_that_hold_something_else(tmp_path, batch, words):
    write(tmp_path, {"data_batch_1": python2(batch)})
    with pytest.raises(DataError, match=words):
        load(str(tmp_path))


def test_labels_beyond_the_names(tmp_path):
    batch = {b"data": ROWS[1], b"labels": [0, 1, 2]}
    write(tmp_path, {"data_batch_1": python2(batch),
                     "batches.meta": python2({b"label_names": [b"a", b"b"]})})  # fmt: skip
    with pytest.raises(DataError, match="labels reach from 0 to 2, but there are 2 classes"):
        load(str(tmp_path))
