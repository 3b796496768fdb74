import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data_samples import png, write

from demist.data import load
from demist.data.images.further import natural
from demist.errors import DataError, UsageError


def grey(value: int) -> bytes:
    """An image that can be recognised in `Dataset.x`."""
    return png(value, mode="L")


def values(data) -> list[int]:
    assert (data.x == data.x[:, :, :1, :1]).all()
    return data.x[:, 0, 0, 0].tolist()


def as_folder(tmp_path, files):
    return str(write(tmp_path / "set", files))


def as_tar(tmp_path, files, mode="w:gz"):
    """An archive whose members are in another order than their names."""
    path = tmp_path / "set.tar"
    with tarfile.open(path, mode) as archive:
        for name, content in reversed(files.items()):
            content = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo("./" + name)
            member.size = len(content)
            archive.addfile(member, BytesIO(content))
    return str(path)


@pytest.fixture(params=[as_folder, as_tar])
def made(request, tmp_path):
    return lambda files: request.param(tmp_path, files)


def test_flat_pictures_are_sorted_and_have_no_labels(made):
    data = load(made({"b.png": grey(2), "a.png": grey(1), "c.png": grey(3), "notes.txt": "hi"}))
    assert values(data) == [1, 2, 3]
    assert data.labels is None
    assert data.classes == ()
    assert data.name == "set"


def test_sub_folders_are_classes_in_natural_order_however_deep(made):
    data = load(
        made({"10/a.png": grey(1), "2/x/y/b.png": grey(2), "1/c.png": grey(3), "2/d.png": grey(4)})
    )
    assert data.classes == ("1", "2", "10")
    assert values(data) == [3, 1, 4, 2]
    assert data.labels.tolist() == [0, 2, 1, 1]
    assert data.labels.dtype == np.int64


def test_natural_order():
    names = ["b", "a10", "a9", "10", "9", "007", "a", "9" * 5000]
    assert sorted(names, key=natural) == ["007", "9", "10", "9" * 5000, "a", "a9", "a10", "b"]


def test_other_files_may_have_the_names_of_batches(made):
    files = {"a.png": grey(1), "b.png": grey(2), "test": "x", "train.bin": "y"}
    assert values(load(made(files))) == [1, 2]


def test_shared_folders_are_passed_over_and_one_class_is_none(made):
    data = load(made({"top/inner/a.png": grey(1), "top/inner/b.png": grey(2)}))
    assert values(data) == [1, 2]
    assert data.labels is None


def test_one_class_below_the_splits_is_none(made):
    files = {f"{s}/images/{n}.png": grey(n) for s, n in [("train", 1), ("train", 2), ("test", 3)]}
    assert load(made(files)).labels is None


SPLITS = {
    "set/train/cat/a.png": grey(1),
    "set/train/dog/b.png": grey(2),
    "set/test/cow/c.png": grey(3),
    "set/test/dog/d.png": grey(4),
    "set/Val/dog/e.png": grey(5),
    "set/Val/dog/f.png": grey(6),
}


@pytest.mark.parametrize(
    ("split", "pixels", "labels"),
    [("train", [1, 2], [0, 2]), ("test", [3, 4], [1, 2]), ("validation", [5, 6], [2, 2])],
)
def test_split_folders_share_their_classes(made, split, pixels, labels):
    data = load(made(SPLITS), split=split)
    assert data.classes == ("cat", "cow", "dog")
    assert values(data) == pixels
    assert data.labels.tolist() == labels


def test_a_split_that_is_not_there(made, tmp_path):
    with pytest.raises(DataError, match="no split 'valid'; it has test, train"):
        load(made({"train/a.png": grey(1), "test/b.png": grey(1)}), split="valid")
    with pytest.raises(DataError, match="no split 'test'; it has train"):
        load(as_folder(tmp_path / "flat", {"a.png": grey(1), "b.png": grey(2)}), split="test")
    with pytest.raises(UsageError, match="no split 'tset'"):
        load("digits", split="tset")


def test_a_lone_split_folder_is_still_a_split(made):
    path = made({"train/cat/a.png": grey(1), "train/dog/b.png": grey(2)})
    assert load(path).classes == ("cat", "dog")
    with pytest.raises(DataError, match="no split 'test'"):
        load(path, split="test")


def test_a_class_may_be_called_train(made):
    data = load(made({"train/a.png": grey(1), "car/b.png": grey(2)}))
    assert data.classes == ("car", "train")
    assert values(data) == [2, 1]


def test_hidden_files_are_left_out(made):
    files = {"a.png": grey(1), "b.png": grey(2), ".c.png": grey(3), "__MACOSX/d.png": grey(4)}
    assert values(load(made(files | {".hidden/e.png": grey(5)}))) == [1, 2]


def test_pictures_beside_class_folders(made):
    with pytest.raises(DataError, match=r"1 of 3 images lie beside .* first 'z\.png'"):
        load(made({"cat/a.png": grey(1), "dog/b.png": grey(2), "z.png": grey(3)}))


def test_nothing_to_read(made, tmp_path):
    with pytest.raises(DataError, match=r"none of the 2 files .*: \.csv, no extension"):
        load(made({"a.csv": "x", "b": "y"}))
    with pytest.raises(DataError, match="is empty: put images in it"):
        load(as_folder(tmp_path, {"new/.keep": ""}) + "/new")
    with pytest.raises(DataError, match="1 usable sample"):
        load(as_folder(tmp_path, {"one/a.png": grey(1)}) + "/one")


def jsonl(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


PICTURES = {"images/a.png": grey(1), "images/b.png": grey(2), "images/c.png": grey(3)}


def test_metadata_csv_with_labels(made):
    table = "\ufefffile_name,label,other\nimages/b.png,10,x\nimages/a.png,9,y\nimages/c.png,10,z\n"
    data = load(made(PICTURES | {"metadata.csv": table}))
    assert values(data) == [1, 2, 3]
    assert data.classes == ("9", "10")
    assert data.labels.tolist() == [0, 1, 1]
    assert data.texts is None


def test_metadata_csv_with_quoted_texts(made):
    table = 'file_name,text\na.png,"one, two\nthree"\nc.png,""""\nb.png,ü\n'
    data = load(made(PICTURES | {"images/metadata.csv": table}))
    assert data.texts == ("one, two\nthree", "ü", '"')
    assert data.labels is None


def test_metadata_jsonl_with_both(made):
    rows = [{"file_name": f"images/{n}.png", "text": t, "label": k}
            for n, t, k in [("a", "A", 7), ("b", "B", "x"), ("c", "C", 7)]]  # fmt: skip
    data = load(made(PICTURES | {"metadata.jsonl": jsonl(*rows) + "\n"}))
    assert data.texts == ("A", "B", "C")
    assert data.classes == ("7", "x")
    assert data.labels.tolist() == [0, 1, 0]


def test_labels_that_never_repeat_beside_texts_are_titles(made):
    rows = [{"file_name": f"images/{n}.png", "text": n, "label": n} for n in "abc"]
    data = load(made(PICTURES | {"metadata.jsonl": jsonl(*rows)}))
    assert data.texts == ("a", "b", "c")
    assert data.labels is None


def test_labels_that_repeat_in_another_split_are_classes(made):
    files = {f"{s}/{n}.png": grey(1) for s in ("train", "test") for n in "ab"}
    tables = {
        f"{s}/metadata.csv": "file_name,text,label\na.png,A,x\nb.png,B,y\n"
        for s in ("train", "test")
    }
    assert load(made(files | tables)).classes == ("x", "y")


def test_one_label_for_all_is_no_class(made):
    table = "file_name,label\n" + "".join(f"images/{n}.png,x\n" for n in "abc")
    assert load(made(PICTURES | {"metadata.csv": table})).labels is None


def test_only_line_feeds_end_a_line_of_jsonl(made):
    row = '{"file_name": "images/%s.png", "text": "one\u2028two"}\r\n'
    data = load(made(PICTURES | {"metadata.jsonl": "".join(row % n for n in "abc")}))
    assert data.texts == ("one\u2028two",) * 3


def test_metadata_in_split_folders_and_no_labels_from_folders(made):
    data = load(
        made(
            {
                "train/x/a.png": grey(1),
                "train/y/b.png": grey(2),
                "train/metadata.csv": "file_name,text\nx/a.png,A\ny/b.png,B\n",
                "test/c.png": grey(3),
            }
        )
    )
    assert data.texts == ("A", "B")
    assert data.labels is None


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("csv", "file_name,text\nimages/a.png,A\n", "2 of 3 images have no row .*'images/b.png'"),
        ("csv", "file_name,text\nimages/z.png,A\n", "1 of 1 files .* first 'images/z.png'"),
        ("csv", "file_name,text\n../../etc/passwd,A\n", "first '../../etc/passwd'"),
        ("csv", "file_name\nimages/a.png\n", "neither a 'label' nor a 'text'"),
        ("csv", "name,text\na.png,A\n", "row 1 has no 'file_name'; it has 'name', 'text'"),
        ("csv", 'file_name,text\n"a.png,A\n', "not a valid CSV"),
        ("csv", b"file_name,text\n\xff\xfe,A\n", "not UTF-8"),
        ("jsonl", '{"file_name": "images/a.png", "text": "A"\n', "line 1 is not valid JSON"),
        ("jsonl", "[1]\n", "line 1 is not a JSON object"),
        ("jsonl", '{"file_name": "images/a.png", "text": ["A"]}', "must be one string"),
        ("jsonl", '{"file_name": "images/a.png", "label": 1.5}', "one name or whole number"),
        ("jsonl", '{"file_name": "images/a.png", "label": 1}\n' * 2, "an earlier row"),
        (
            "jsonl",
            "".join(f'{{"file_name": "images/{n}.png", "text": "{t}"}}\n' for n, t in
                    [("a", "A"), ("b", ""), ("c", "C")]),
            "1 of 3 images have no text .* first 'images/b.png'",
        ),
    ],
)  # fmt: skip
def test_metadata_that_does_not_match(made, name, content, words):
    with pytest.raises(DataError, match=words):
        load(made(PICTURES | {f"metadata.{name}": content}))


def test_a_folder_that_contains_itself(tmp_path):
    root = write(tmp_path / "set", {"x/a.png": grey(1), "y/b.png": grey(2)})
    (root / "x" / "loop").symlink_to(root, target_is_directory=True)
    (root / "z").symlink_to(root / "y", target_is_directory=True)
    data = load(str(root))
    assert data.classes == ("x", "y")
    assert values(data) == [1, 2]
    assert "1 link to an image of the same folder was not followed." in data.report.notes


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_every_compression_of_tar(tmp_path, mode):
    path = as_tar(tmp_path, {"b/2.png": grey(2), "a/1.png": grey(1)}, mode)
    data = load(path)
    assert values(data) == [1, 2]
    assert data.classes == ("a", "b")


def test_tar_members_lead_nowhere(tmp_path):
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        for name, value in [("/abs/a.png", 1), ("../../up/b.png", 2), ("abs/a.png", 3)]:
            member = tarfile.TarInfo(name)
            member.size = len(grey(value))
            archive.addfile(member, BytesIO(grey(value)))
        link = tarfile.TarInfo("up/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    data = load(str(path))
    assert data.classes == ("abs", "up")
    assert values(data) == [3, 2]
    assert {entry.name for entry in tmp_path.iterdir()} == {"set.tar", ".set.tar.index.jsonl"}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_that_ends_early(tmp_path, mode):
    files = {f"{i}.png": grey(i) for i in range(20)}
    content = Path(as_tar(tmp_path, files, mode)).read_bytes()
    # Of a plain archive also half a header is cut, which the standard module does not notice.
    for end in {"w": (10 * 1024 + 300, 10 * 1024 + 600)}.get(mode, (len(content) // 2,)):
        (tmp_path / "cut.tar").write_bytes(content[:end])
        with pytest.raises(DataError, match=r"cut\.tar is a damaged or incomplete archive"):
            load(str(tmp_path / "cut.tar"))


def test_a_damaged_header_inside_a_tar(tmp_path):
    path = Path(as_tar(tmp_path, {f"{i}.png": grey(i) for i in range(9)}, "w"))
    content = bytearray(path.read_bytes())
    content[4 * 1024 : 4 * 1024 + 100] = b"x" * 100
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.tar is a damaged .* byte 4096"):
        load(str(tmp_path / "bad.tar"))
