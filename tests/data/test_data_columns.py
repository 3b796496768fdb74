"""Data sets of the library `datasets`: read where it is installed, explained where it is not."""

import sys

import numpy as np
import pytest
from data_samples import png, write
from PIL import Image

from demist.data import load
from demist.data.readers.arrow import Table
from demist.errors import DataError, MissingError, UsageError
from demist.machine import memory


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["folder", "dictionary", "file", "files"])
def saved(request, tmp_path):
    """Write rows in one of the four ways; returns where."""
    datasets = pytest.importorskip("datasets")

    def write(kind, **columns):
        place = tmp_path / "set"
        place.mkdir()
        features = {"image": datasets.Image()} | columns.pop("features", {})
        rows = datasets.Dataset.from_dict(columns)
        for name, feature in features.items():
            rows = rows.cast_column(name, feature)
        test = rows.select(range(2))
        if kind == "folder":
            rows.save_to_disk(place)
        elif kind == "dictionary":
            datasets.DatasetDict({"train": rows, "validation": test}).save_to_disk(place)
        elif kind == "file":
            rows.to_parquet(place / "all.parquet")
            place = place / "all.parquet"
        else:
            (place / "data").mkdir()
            for i in range(2):
                part = rows.shard(2, i, contiguous=True)
                part.to_parquet(place / "data" / f"train-{i:05d}-of-00002.parquet")
            test.to_parquet(place / "data" / "validation-00000-of-00001.parquet")
        return str(place)

    write.kind = request.param
    return lambda **columns: write(request.param, **columns)


@pytest.fixture
def columns():
    datasets = pytest.importorskip("datasets")
    names = datasets.ClassLabel(names=["cat", "ape", "dog"])
    pictures = [Image.fromarray(np.full((4, 4), i, np.uint8)) for i in range(30)]
    return {"image": pictures, "label": [i % 2 for i in range(30)],
            "text": [f"image {i}" for i in range(30)], "features": {"label": names}}  # fmt: skip


def values(data):
    return data.x[:][:, 0, 0, 0].tolist()


def test_pictures_classes_and_captions(saved, columns, monkeypatch):
    path = saved(**columns)
    data = load(path)
    assert values(data) == list(range(30))
    assert data.labels.tolist() == [0, 1] * 15
    assert data.classes == ("cat", "ape", "dog")  # in the order of the data set
    assert data.texts == tuple(f"image {i}" for i in range(30))
    monkeypatch.setattr(memory, "memory_limit", lambda: 100)
    stored = load(path)
    assert stored.lazy
    assert stored.fingerprint == data.fingerprint
    assert stored.x[np.array([7, 3])][:, 0, 0, 0].tolist() == [7, 3]
    assert len(load(path, limit=5)) == 5


@pytest.mark.parametrize("saved", ["dictionary", "files"], indirect=True)
def test_splits(saved, columns):
    path = saved(**columns)
    assert values(load(path, split="valid")) == [0, 1]
    with pytest.raises(DataError, match="no split 'test'; it has train, valid"):
        load(path, split="test")


@pytest.mark.parametrize("saved", ["folder"], indirect=True)
def test_other_columns(saved, columns):
    del columns["features"]
    columns["label"] = ["b", "a"] * 15
    columns["caption"] = columns.pop("text")
    data = load(saved(**columns))
    assert data.classes == ("a", "b")
    assert data.labels.tolist() == [1, 0] * 15
    assert data.texts[3] == "image 3"


@pytest.mark.parametrize("saved", ["folder"], indirect=True)
def test_rows_that_cannot_be_read(saved, tmp_path):
    rows = [{"bytes": png(i, mode="L"), "path": None} for i in range(8)]
    rows[3], rows[5] = {"bytes": b"nothing", "path": None}, None
    data = load(saved(image=rows), max_bad=0.5)
    assert values(data) == [0, 1, 2, 4, 6, 7]
    assert [bad.path for bad in data.bad] == ["row 000000003", "row 000000005"]
    assert "no image inside" in data.bad[1].reason


def test_paths_in_a_data_set_are_not_followed(tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "private.png").write_bytes(png("red"))
    rows = datasets.Dataset.from_dict({"image": [str(tmp_path / "private.png")]})
    table = Table(tmp_path, rows.cast_column("image", datasets.Image(decode=False)), "image")
    with pytest.raises(ValueError, match="no image inside"):
        read_all_of(table)


def read_all_of(table):
    return [reader() for _, reader in table.stream(table.names)]


@pytest.mark.parametrize("saved", ["folder"], indirect=True)
def test_columns_that_are_missing_or_have_gaps(saved, columns, tmp_path):
    columns["text"][4] = None
    with pytest.raises(DataError, match=r"1 of 30 rows .* no 'text', first row 4"):
        load(saved(**columns))
    import datasets

    datasets.Dataset.from_dict({"a": [1, 2]}).save_to_disk(tmp_path / "numbers")
    with pytest.raises(DataError, match=r"no column of type Image; it has a \(Value\)"):
        load(str(tmp_path / "numbers"))


@pytest.mark.parametrize("saved", ["folder", "file"], indirect=True)
def test_damaged(saved, columns, tmp_path):
    path = saved(**columns)
    for file in (tmp_path / "set").iterdir():
        if file.suffix in (".arrow", ".parquet"):
            file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match="damaged or incomplete data set"):
        load(path)


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(MissingError, match=r"needs the package datasets: pip install 'demist\[da"):
        load(str(tmp_path))


@pytest.mark.parametrize("saved", ["file", "files"], indirect=True)
def test_a_list_of_captions_and_chosen_columns(saved, columns, tmp_path):
    columns["captions"] = [[text, "x"] for text in columns.pop("text")]
    columns["breed"] = ["p", "q", "q"] * 10
    path = saved(**columns)
    data = load(path)
    assert data.texts[7] == "image 7"
    assert data.report.captions_from == "the column captions"
    assert data.report.notes == (
        "Of the captions in 'captions' the first of each image is used.",
        "Columns that are not read: breed.",
    )
    assert load(path, label_column="breed").classes == ("p", "q")
    with pytest.raises(UsageError, match=r"--label-column kind: .* has .*breed"):
        load(path, label_column="kind")


@pytest.mark.parametrize("saved", ["files"], indirect=True)
def test_tables_win_over_images_beside_them(saved, columns, tmp_path):
    path = saved(**columns)
    write(tmp_path / "set", {"assets/banner.png": png("red"), "a.png": png("red")})
    data = load(path)
    assert len(data) == 30
    assert data.report.notes == ("Left out 2 images beside the tables: a.png, 1 in assets/.",)


def test_images_win_over_tables_without_images(tmp_path):
    datasets = pytest.importorskip("datasets")
    names = [f"{i}.png" for i in range(4)]
    write(tmp_path / "set", {name: png(i, mode="L") for i, name in enumerate(names)})
    rows = datasets.Dataset.from_dict({"file_name": names, "label": list("abab")})
    for name in ("metadata", "labels"):
        for old in (tmp_path / "set").glob("*.parquet"):
            old.unlink()
        rows.to_parquet(tmp_path / f"set/{name}.parquet")
        assert load(str(tmp_path / "set")).classes == ("a", "b")


def test_images_as_plain_bytes(tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"picture": [png(i, mode="L") for i in range(4)], "class": list("abab")},
        datasets.Features({"picture": datasets.Value("binary"), "class": datasets.Value("string")}),
    )
    rows.to_parquet(tmp_path / "train.parquet")
    data = load(str(tmp_path))
    assert values(data) == [0, 1, 2, 3]
    assert data.classes == ("a", "b")


@pytest.mark.parametrize("saved", ["files"], indirect=True)
def test_several_data_sets_in_one_folder(saved, columns, tmp_path):
    path = saved(**columns)
    other = tmp_path / "set/other"
    other.mkdir()
    (tmp_path / "set/data/validation-00000-of-00001.parquet").rename(other / "test-0.parquet")
    with pytest.raises(DataError, match="several data sets, in data and in other: pass the folder"):
        load(path)


def test_a_package_that_the_library_lacks(tmp_path, monkeypatch):
    write(tmp_path, {"lib/datasets/__init__.py": "import yamlyaml", "set/train.parquet": b"PAR1"})
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    for name in [name for name in sys.modules if name.split(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingError, match=r"datasets, which cannot be imported \(No module"):
        load(str(tmp_path / "set"))


def test_metadata_in_parquet_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    write(tmp_path, {"a.png": png(1), "b.png": png(2), "metadata.parquet": b"PAR1"})
    with pytest.raises(MissingError, match=r"metadata\.parquet needs the package pyarrow"):
        load(str(tmp_path))
