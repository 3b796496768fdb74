"""Tar shards: an index instead of unpacking; the same data as a folder, in memory or from disk."""

import hashlib
import json
import os
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data_samples import encoded, png, write
from PIL import Image

from demist.cli import main
from demist.data import choose, load
from demist.data.files import shards
from demist.data.images import lazy as stored
from demist.errors import CannotCreateError, DataError
from demist.io import files
from demist.machine import memory


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def grey(value: int) -> bytes:
    return png(value, mode="L")


def values(data) -> list[int]:
    return data.x[:][:, 0, 0, 0].tolist()


def tar(path: Path, members: dict[str, bytes | str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return path


def labelled(first: int, count: int) -> dict[str, bytes | str]:
    """Pictures `first`, `first + 1`, ... of classes 2 and 10 with captions, as in WebDataset."""
    members: dict[str, bytes | str] = {}
    for i in range(first, first + count):
        members |= {f"{i:06}.png": grey(i), f"{i:06}.cls": f"{2 + i % 2 * 8}\n",
                    f"{i:06}.txt": f"image {i}"}  # fmt: skip
    return members


@pytest.fixture
def folder(tmp_path):
    """Three shards of ten images."""
    for i in range(3):
        tar(tmp_path / "set" / f"{i:05}.tar", labelled(10 * i, 10))
    return tmp_path / "set"


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)


def test_shards_are_one_data_set(folder):
    data = load(str(folder))
    assert values(data) == list(range(30))
    assert data.classes == ("2", "10")
    assert data.labels.tolist() == [0, 1] * 15
    assert data.texts == tuple(f"image {i}" for i in range(30))
    assert load(str(folder / "00001.tar")).texts == data.texts[10:20]


def test_keys_may_begin_anew_in_every_shard(tmp_path):
    for i in range(2):
        tar(tmp_path / f"set/{i}.tar", {"0.png": grey(i), "0.json": json.dumps({"label": f"c{i}"}),
                                       "1.png": grey(9), "1.json": '{"label": "c0"}'})  # fmt: skip
    data = load(str(tmp_path / "set"))
    assert values(data) == [0, 9, 1, 9]
    assert data.labels.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("names", ["{}/0.tar", "photos-{}-000.tar", "{}.tar"])
def test_splits_by_folder_or_by_name(tmp_path, names):
    for split, value in (("train", 1), ("val", 2)):
        members = {f"{kind}/{value}.png": grey(value) for kind in "ab"}
        tar(tmp_path / "set" / names.format(split), members)
    data = load(str(tmp_path / "set"), split="valid")
    assert values(data) == [2, 2]
    assert data.classes == ("a", "b")  # the archive is no class


def test_names_that_only_some_shards_have_are_no_splits(tmp_path):
    for i, name in enumerate(("train-0.tar", "more.tar")):
        tar(tmp_path / "set" / name, {f"{kind}/{i}.png": grey(i) for kind in "ab"})
    data = load(str(tmp_path / "set"))
    assert len(data) == 4
    assert data.classes == ("a", "b")


def test_companions_in_a_folder(tmp_path):
    write(tmp_path / "set", {"a/1.png": grey(1), "a/1.txt": "one", "b/2.png": grey(2),
                             "b/2.txt": "two\n"})  # fmt: skip
    data = load(str(tmp_path / "set"))
    assert data.classes == ("a", "b")
    assert data.texts == ("one", "two")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("1.json", "{", r"1\.json is not valid JSON"),
        ("1.json", "[]", r"1\.json is not a JSON object"),
        ("1.cls", b"\xff", r"1\.cls is not UTF-8"),
        ("1.txt", "one", r"1 of 2 images have no text .*'2\.png'"),
        ("1.cls", "one", r"1 of 2 images have no label .*'2\.png'"),
    ],
)
def test_companions_that_cannot_be_used(tmp_path, name, content, words):
    path = tar(tmp_path / "a.tar", {"1.png": grey(1), "2.png": grey(2), name: content})
    with pytest.raises(DataError, match=words):
        load(str(path))


def index_of(folder: Path) -> Path:
    return folder / ".index.jsonl"


@pytest.fixture
def gone_through(monkeypatch):
    """The names of the archives whose headers were read."""
    seen: list[str] = []
    real = shards.members_of

    def spy(path):
        seen.append(path.name)
        return real(path)

    monkeypatch.setattr(shards, "members_of", spy)
    return seen


def test_the_index_is_made_once_and_follows_changes(folder, gone_through):
    first = load(str(folder))
    assert gone_through == ["00000.tar", "00001.tar", "00002.tar"]
    assert load(str(folder)).fingerprint == first.fingerprint
    assert len(gone_through) == 3
    tar(folder / "00001.tar", labelled(100, 5))
    (folder / "00002.tar").unlink()
    assert values(load(str(folder))) == [*range(10), *range(100, 105)]
    assert gone_through[3:] == ["00001.tar"]
    os.utime(folder / "00000.tar", (1, 1))  # as large as before, but touched
    load(str(folder))
    assert gone_through[4:] == ["00000.tar"]


def test_a_dry_run_writes_nothing_beside_the_data(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(folder.iterdir())
    small = ["--channels-per-level", "8", "8", "--norm-groups", "2", "--head-dim", "4"]
    assert main(["train", str(folder), "--dry-run", "--batch-size", "4", *small]) == 0
    assert sorted(folder.iterdir()) == before
    load(str(folder / "00001.tar"))
    assert index_of(folder).with_name(".00001.tar.index.jsonl").exists()


def test_a_damaged_index_is_made_anew(folder, gone_through):
    load(str(folder))
    whole = index_of(folder).read_bytes()
    unequal = whole.split(b"\n")[1].replace(b'"sizes":[', b'"sizes":[1,', 1)
    sha = hashlib.sha256(unequal).hexdigest()
    wrong = b'{"sha256": "%s"}\n%s' % (sha.encode(), unequal)
    for damage in (whole[:-20], whole.replace(b"512", b"513", 1), b"", b"[]\n{}", wrong):
        index_of(folder).write_bytes(damage)
        gone_through.clear()
        assert values(load(str(folder))) == list(range(30))
        assert len(gone_through) == 3
        assert index_of(folder).read_bytes() == whole


def test_the_index_of_data_that_cannot_be_written_to_is_in_the_cache(
    folder, cache, gone_through, monkeypatch
):
    real = files.atomic

    def atomic(path):
        if cache not in Path(path).parents:
            raise PermissionError(13, "read-only")
        return real(path)

    monkeypatch.setattr(files, "atomic", atomic)
    for _ in range(2):
        assert len(load(str(folder))) == 30
    assert len(gone_through) == 3
    assert not index_of(folder).exists()
    assert len(list((cache / "indexes").iterdir())) == 1


def test_bad_members_are_left_out_and_named(tmp_path):
    members = labelled(0, 10) | {"000003.png": b"nothing"}
    whole = encoded(Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)))
    members["000007.png"] = whole[: len(whole) // 2]
    tar(tmp_path / "set/a.tar", members)
    data = load(str(tmp_path / "set"), max_bad=0.2)
    assert values(data) == [0, 1, 2, 4, 5, 6, 8, 9]
    assert data.texts[3] == "image 4"
    assert [bad.path for bad in data.bad] == ["a.tar/000003.png", "a.tar/000007.png"]
    with pytest.raises(DataError, match=r"more than 1 % .*'a\.tar/000003\.png'"):
        load(str(tmp_path / "set"))


def test_compressed_and_sparse_shards_are_refused(tmp_path):
    path = tar(tmp_path / "a/1.tar", labelled(0, 3))
    import gzip

    write(tmp_path, {"b/1.tar.gz": gzip.compress(path.read_bytes()),
                     "c/1.tar": gzip.compress(path.read_bytes())})  # fmt: skip
    with pytest.raises(DataError, match=r"1\.tar\.gz is compressed: .* gunzip"):
        load(str(tmp_path / "b"))
    with pytest.raises(DataError, match=r"1\.tar is compressed under a plain name"):
        load(str(tmp_path / "c"))
    assert len(load(str(tmp_path / "b/1.tar.gz"))) == 3  # alone it is read from its start


@pytest.fixture
def small_memory(monkeypatch):
    """Holds nine images of 4 by 4."""
    monkeypatch.setattr(memory, "memory_limit", lambda: 9 * 16)


def as_folder(folder: Path) -> Path:
    """The shards' members as files, in the same order."""
    out = folder.with_name("files")
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            archive.extractall(out, filter="data")
    return out


@pytest.mark.parametrize("place", [Path, as_folder])
def test_what_memory_would_not_hold_stays_on_the_disk(folder, place, monkeypatch):
    path = place(folder)
    held = load(str(path))
    monkeypatch.setattr(memory, "memory_limit", lambda: 9 * 16)
    data = load(str(path))
    assert data.lazy
    assert not held.lazy
    assert data.x.shape == held.x.shape
    assert data.fingerprint == held.fingerprint
    for index in (rows(30)[:7], slice(3, 9), np.array([5, 5]), 4, slice(None), np.array([], int)):
        np.testing.assert_array_equal(data.x[index], held.x[index])
    some = data.subset(rows(30)[:20])
    assert some.lazy
    assert some.fingerprint == held.subset(rows(30)[:20]).fingerprint
    few = load(str(path), limit=9)
    assert not few.lazy
    assert few.fingerprint == held.subset(choose(30, held.labels, 9, 0)).fingerprint


def test_stored_pictures_are_looked_through_once(folder, small_memory, monkeypatch):
    bad = labelled(20, 10) | {"000025.png": b"nothing"}
    tar(folder / "00002.tar", bad)
    first = load(str(folder), max_bad=0.1)
    decoded: list[int] = []
    real = stored.decode
    monkeypatch.setattr(stored, "decode", lambda *args: decoded.append(1) or real(*args))
    again = load(str(folder), max_bad=0.1)
    assert again.fingerprint == first.fingerprint
    assert decoded == []
    assert again.bad == first.bad
    assert again.bad[0].path == "00002.tar/000025.png"
    assert values(again) == [i for i in range(30) if i != 25]
    assert (again.labels == first.labels).all()
    assert again.texts == first.texts
    assert first.fingerprint == first.subset(np.arange(29)).fingerprint  # computed from the rows
    with pytest.raises(DataError, match="more than 1 %"):
        load(str(folder))


def test_rows_that_were_expected_are_decoded_once(folder, small_memory, monkeypatch):
    data = load(str(folder))
    decoded: list[int] = []
    real = stored.decode
    monkeypatch.setattr(stored, "decode", lambda *args: decoded.append(1) or real(*args))
    batch = rows(30)[:8]
    data.x.expect(batch)
    data.x.expect(batch)
    assert data.x[batch][:, 0, 0, 0].tolist() == batch.tolist()
    assert len(decoded) == 8
    assert data.x[batch][:, 0, 0, 0].tolist() == batch.tolist()
    assert len(decoded) == 16


def test_a_picture_that_breaks_later_is_named(folder, small_memory):
    data = load(str(folder))
    os.truncate(folder / "00002.tar", 5000)
    assert len(data.x[:20]) == 20
    with pytest.raises(DataError, match=r"00002\.tar/.* cannot any more \(00002\.tar ends"):
        data.x[20:]


@pytest.mark.slow
def test_training_from_disk_gives_the_same_bits(folder, tmp_path, monkeypatch):
    from safetensors.numpy import load_file

    monkeypatch.chdir(tmp_path)
    line = ["train", str(folder), "--network", "dit", "--width", "8", "--depth", "1",
            "--head-dim", "4", "--batch-size", "8", "--steps", "6", "--flip", "--sample-count",
            "0", "--precision", "fp32", "--fresh"]  # fmt: skip
    assert main(line) == 0
    monkeypatch.setattr(memory, "memory_limit", lambda: 9 * 16)
    assert load(str(folder)).lazy
    assert main(line) == 0
    weights = [load_file(path) for path in sorted(tmp_path.glob("runs/*/model/**/*.safetensors"))]
    assert len(weights) == 2
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])


def test_packing_keeps_everything(tmp_path, capsys):
    pictures = {f"{split}/{kind}/{i}.png": grey(i + 50 * (split == "test"))
                for split in ("train", "test") for i, kind in enumerate("abcab")}  # fmt: skip
    texts = {name.replace("png", "txt"): f"a picture of {name}" for name in pictures}
    source = write(tmp_path / "set", pictures | texts)
    out = tmp_path / "packed"
    assert main(["pack", str(source), str(out), "--per-shard", "2"]) == 0
    names = [f"{split}-0000{i}.tar" for split in ("test", "train") for i in range(3)]
    assert capsys.readouterr().out.split() == [str(out / name) for name in names]
    for split in ("train", "test"):
        before, after = load(str(source), split=split), load(str(out), split=split)
        assert after.fingerprint == before.fingerprint
        assert after.classes == before.classes == ("a", "b", "c")
    with tarfile.open(out / "train-00001.tar") as archive:
        assert archive.getnames()[:4] == [f"000000002.{e}" for e in ("png", "cls", "json", "txt")]
    again = tmp_path / "again"
    assert main(["pack", str(source), str(again), "--per-shard", "2"]) == 0
    assert all((again / n).read_bytes() == (out / n).read_bytes() for n in names)
    assert main(["pack", str(source), str(out)]) == CannotCreateError.exit_code
    assert main(["pack", str(source), str(again), "--per-shard", "0"]) == 64
