"""Further columns of metadata and images beside images: kinds, values, splits, mistakes."""

import json

import numpy as np
import pytest
from data_samples import png, write

from demist.config import TrainConfig, update
from demist.data import Dataset, load
from demist.data.images import lazy, store
from demist.errors import DataError
from demist.training.build import build


def grey(value):
    return png(value, (8, 8), "L")


def folder(root, header, rows, more=None):
    names = [f"{i}.png" for i in range(len(rows))]
    files = {name: grey(10 * i) for i, name in enumerate(names)}
    lines = [f"file_name,{header}", *(f"{n},{row}" for n, row in zip(names, rows, strict=True))]
    return write(root, {**files, "metadata.csv": "\n".join(lines), **(more or {})})


def test_kinds_are_found_from_the_values(tmp_path):
    header = "angle,digit:class,speaker,tags,note,gaps,cleaned up"
    rows = [
        "0.5,7,ann,cat|dog,first,x,a",
        "1,3,bob,,second,,a",
        "-2e1,7,ann,dog,third,y,b",
        "3,10,bob,sun | cat,fourth,z,b",
    ]
    columns = load(str(folder(tmp_path, header, rows))).columns
    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds == {"angle": "numbers", "digit": "class", "speaker": "class", "tags": "labels",
                     "note": "text", "cleaned_up": "class"}  # fmt: skip
    assert columns["angle"].values.tolist() == [[0.5], [1], [-20], [3]]
    assert columns["angle"].names == ("angle",)
    assert columns["digit"].names == ("3", "7", "10")
    assert columns["digit"].values.tolist() == [1, 0, 1, 2]
    assert columns["tags"].names == ("cat", "dog", "sun")
    assert columns["tags"].values.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 1]]
    assert columns["note"].values == ("first", "second", "third", "fourth")


def test_json_lines_hold_lists(tmp_path):
    rows = [{"file_name": f"{i}.png", "at": [i, 2 * i], "tags": ["a"] if i else [], "no": {}}
            for i in range(3)]  # fmt: skip
    text = "\n".join(json.dumps(row) for row in rows)
    data = load(str(write(tmp_path, {f"{i}.png": grey(i) for i in range(3)}
                          | {"metadata.jsonl": text})))  # fmt: skip
    assert list(data.columns) == ["at", "tags"]
    assert data.columns["at"].names == ("at_0", "at_1")
    assert data.columns["at"].values.tolist() == [[0, 0], [1, 2], [2, 4]]
    assert data.columns["tags"].values.tolist() == [[0], [1], [1]]


def test_named_images_are_no_samples_and_may_be_shared(tmp_path):
    more = {"e/a.png": grey(200), "e/b.png": grey(100), "m.png": grey(255)}
    rows = ["e/a.png,m.png", "e/b.png,m.png", "e/a.png,m.png"]
    data = load(str(folder(tmp_path, "edges,mask", rows, more)))
    assert data.x[:, 0, 0, 0].tolist() == [0, 10, 20]
    assert data.columns["edges"].kind == "image"
    assert data.columns["edges"].values[:, 0, 0, 0].tolist() == [200, 100, 200]
    assert data.columns["mask"].kind == "mask"
    assert (data.columns["mask"].values == 255).all()


def test_images_beside_images(tmp_path):
    files = {f"{k}/{i}.png": grey(10 * i) for k in "ab" for i in range(2)}
    files |= {f"{k}/{i}.mask.png": png((0, 0, 0) if i else (255,) * 3, (8, 8)) for k in "ab"
              for i in range(2)}  # fmt: skip
    files |= {f"{k}/{i}.cond.png": grey(100 + i) for k in "ab" for i in range(2)}
    data = load(str(write(tmp_path / "all", files)))
    assert len(data) == 4
    assert data.classes == ("a", "b")
    assert data.columns["cond"].values[:, 0, 0, 0].tolist() == [100, 101, 100, 101]
    assert data.columns["mask"].values.shape == (4, 1, 8, 8)
    assert data.columns["mask"].values[:, 0, 0, 0].tolist() == [255, 0, 255, 0]
    (tmp_path / "all/a/0.cond.png").unlink()
    with pytest.raises(DataError, match=r"1 of 4 images have no \.cond image"):
        load(str(tmp_path / "all"))


@pytest.mark.parametrize(
    "header, rows, words",
    [
        ("angle:numbers", ["1", "x"], "column 'angle:numbers' of the metadata: could not convert"),
        ("angle:numbers", ["1", ""], "1 rows have no value, first that of '1.png'"),
        ("edges:image", ["0.png", "q.png"], "1 files are not there, first 'q.png'"),
    ],
)
def test_a_value_that_is_not_what_the_header_says(tmp_path, header, rows, words):
    with pytest.raises(DataError, match=words):
        load(str(folder(tmp_path, header, rows)))


def test_images_that_stay_on_the_disk_keep_their_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rows = [f"{i},m.png,{'ab'[i % 2]}" for i in range(4)]
    where = str(folder(tmp_path / "data", "angle,mask,who", rows, {"m.png": grey(255)}))
    held = load(where)
    monkeypatch.setattr(store, "fits", lambda shape: False)
    first, second = load(where), load(where)  # decoded, then recalled
    for data in (first, second):
        assert data.lazy
        assert isinstance(data.columns["mask"].values, lazy.LazyImages)
        assert data.columns["angle"].values.tolist() == [[0], [1], [2], [3]]
        assert data.columns["who"].names == ("a", "b")
        assert np.array_equal(data.columns["mask"].values[:], held.columns["mask"].values)
        assert data.only(["angle"]).fingerprint == held.only(["angle"]).fingerprint
        assert data.only([]).fingerprint == Dataset(held.x).fingerprint


def test_a_run_is_of_the_columns_it_uses(tmp_path):
    where = folder(tmp_path, "angle,who", [f"{i},{'ab'[i % 2]}" for i in range(4)])
    small = {"path": str(where), "channels_per_level": [8], "head_dim": 8, "norm_groups": 2,
             "batch_size": 4, "device": "cpu"}  # fmt: skip
    plain = build(update(TrainConfig(), small))
    assert plain.unused == ("angle", "who")
    assert plain.data.fingerprint == Dataset(load(str(where)).x).fingerprint
    told = build(update(TrainConfig(), {**small, "conditions": "who"}))
    assert told.unused == ("angle",)
    assert told.data.fingerprint != plain.data.fingerprint
    assert list(told.pipeline.conditioner.conditions) == ["who"]
