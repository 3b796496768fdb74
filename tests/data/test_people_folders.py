"""Folders as people have them: each is read right, or a sentence says what was left out."""

import json
import os
import tarfile
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from data_samples import encoded, write
from PIL import Image

from demist.data import load, splits
from demist.data.files.folder import Folder
from demist.data.images.layout import arrange
from demist.data.load import files_at
from demist.errors import DataError, UsageError

Files = dict[str, bytes | str]


def picture(value: int) -> bytes:
    """A grey image that begins with `value` and uses all the range."""
    pixels = np.array([[value, 0], [128, 255]], np.uint8).repeat(4, 0).repeat(4, 1)
    return encoded(Image.fromarray(pixels))


def pics(folder: str, n: int = 3, names: str = "{:03d}.png") -> Files:
    return {f"{folder}/{names.format(i)}".lstrip("/"): picture(i) for i in range(n)}


def both(*folders: str, n: int = 3) -> Files:
    return {name: content for folder in folders for name, content in pics(folder, n).items()}


def table(header: str, row: str, n: int = 12) -> str:
    """Lines for `n` images; in `row`, I is the number and K one of two classes."""
    lines = (row.replace("I", f"{i:03d}").replace("K", "ab"[i % 2]) for i in range(n))
    return "\n".join([*([header] if header else []), *lines, ""])


def lines(names: list[str]) -> str:
    return "".join(f"{name}\n" for name in names)


@dataclass
class Case:
    """Files and what is to be understood.

    `classes` are those of train with their counts, `splits` all splits with theirs; `says` are
    parts of sentences, and without any there must be none.
    """

    files: Files
    classes: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] | None = None
    count: int | None = None
    texts: Any = None
    columns: dict[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    unread: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


RED_BLUE = {"blue": 3, "red": 3}
COCO = {
    "images": [{"id": i, "file_name": f"{i:03d}.png"} for i in range(4)],
    "categories": [{"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}],
}


def coco(categories: list[list[int]], caption: bool = False) -> str:
    notes = [
        {"image_id": i, "category_id": c, **({"caption": f"a {i}"} if caption else {})}
        for i, each in enumerate(categories) for c in each
    ]  # fmt: skip
    return json.dumps({**COCO, "annotations": notes})


CASES = {
    # splits
    "plain": Case(
        both("train/red", "train/blue", "val/red", "test/blue"),
        RED_BLUE, {"train": 6, "valid": 3, "test": 3},
    ),
    "coco-names": Case(both("train2017", "val2017"), {}, {"train": 3, "valid": 3}),
    "yolo": Case(
        both("images/train2017", "images/val2017") | {"labels/train2017/000.txt": "0 .5 .5 .1 .1",
            "data.yaml": "nc: 1"},
        {}, {"train": 3, "valid": 3}, unread={".txt": 1, ".yaml": 1},
    ),
    "kaggle-sets": Case(
        both(*(f"{s}/{s}/{k}" for s in ("training_set", "test_set") for k in ("cat", "dog"))),
        {"cat": 3, "dog": 3}, {"train": 6, "test": 6},
    ),
    "kaggle-images-masks": Case(
        both("train_images", "train_masks", "test_images"), {}, {"train": 3, "test": 3},
        says=("Left out 3 images that belong to other images: 3 in train_masks/.",),
    ),
    "tumours": Case(
        both("Training/red", "Training/blue", "Testing/red", "Testing/blue"),
        RED_BLUE, {"train": 6, "test": 6},
    ),
    "stl": Case(
        both("train/red", "train/blue", "test/red", "unlabeled"), RED_BLUE,
        {"train": 6, "test": 3}, says=("Left out 3 images beside the splits: 3 in unlabeled/.",),
    ),
    "extra-and-preview": Case(
        both("train/red", "train/blue", "test/red", "docs", "assets/icons") | pics("", 1),
        RED_BLUE, {"train": 6, "test": 3},
        says=("Left out 7 images beside the splits: 3 in assets/, 3 in docs/, 000.png.",),
    ),
    "one-split-and-more": Case(
        both("train/red", "train/blue", "unlabeled"), RED_BLUE, {"train": 6},
        says=("Left out 3 images beside the splits: 3 in unlabeled/.",),
    ),
    "one-split-and-a-preview": Case(
        both("train/red", "train/blue") | pics("", 1), RED_BLUE, {"train": 6},
        says=("Left out 1 image beside the splits: 000.png.",),
    ),
    "mvtec": Case(
        both(*(f"{k}/{s}" for k in ("bottle", "cable")
               for s in ("train/good", "test/good", "test/broken"))),
        {"bottle": 3, "cable": 3}, {"train": 6, "test": 12},
        says=("folders of level 1; below them lie 'broken', 'good', which --class-level 2",),
    ),
    "mvtec-leaf": Case(
        both(*(f"{k}/{s}" for k in ("bottle", "cable") for s in ("train/good", "test/broken"))),
        {"bottle/broken": 0, "bottle/good": 3, "cable/broken": 0, "cable/good": 3},
        {"train": 6, "test": 6}, options={"class_level": 2},
    ),
    "cyclegan": Case(
        both("trainA", "trainB", "testA", "testB"), {"A": 3, "B": 3}, {"train": 6, "test": 6}
    ),
    "split-and-class-in-one": Case(
        both("train_cats", "train_dogs", "test_cats", "test_dogs"),
        {"cats": 3, "dogs": 3}, {"train": 6, "test": 6},
    ),
    "market": Case(
        both("bounding_box_train", "bounding_box_test", "query"), {}, {"train": 3, "test": 3},
        says=("3 in query/",),
    ),
    "train-is-a-class": Case(
        both("train", "car", "bus"), {"bus": 3, "car": 3, "train": 3}, {"train": 9},
        says=("The folder 'train' is taken for a class",),
    ),
    "words-in-class-names": Case(
        both("steam_train", "test_tube", *(f"k{i}" for i in range(9))),
        {f"k{i}": 3 for i in range(9)} | {"steam_train": 3, "test_tube": 3}, {"train": 33},
    ),
    "a-class-below-others": Case(
        both("animal/cat", "animal/dog", "transport/train"), {"animal": 6, "transport": 3},
        {"train": 9}, says=("below them lie 'cat', 'dog', 'train'",),
    ),
    "omniglot": Case(
        both(*(f"images_{s}/{k}/c01" for s in ("background", "evaluation") for k in "XY")),
        {"X": 3, "Y": 3}, {"train": 6, "test": 6},
        says=("'images_background' is taken for the split train",),
    ),
    "voc": Case(
        both("VOC/JPEGImages", n=4) | both("VOC/SegmentationClass", "VOC/SegmentationObject")
        | {"VOC/ImageSets/Main/train.txt": "000\n001\n", "VOC/ImageSets/Main/val.txt": "002\n",
           "VOC/ImageSets/Main/trainval.txt": "000\n001\n002\n",
           "VOC/Annotations/000.xml": "<a/>"},
        {}, {"train": 2, "valid": 1},
        says=("Left out 6 images that belong to other", "Left out 1 image that no list gives a"),
        unread={".xml": 1, ".txt": 1},
    ),
    "food": Case(
        both("images/cake", "images/soup", n=4)
        | {"meta/train.txt": lines([f"{k}/00{i}" for k in ("cake", "soup") for i in range(3)]),
           "meta/test.txt": "cake/003\nsoup/003\n", "meta/classes.txt": "cake\nsoup\n"},
        {"cake": 3, "soup": 3}, {"train": 6, "test": 2}, unread={".txt": 1},
    ),
    "split-column": Case(
        pics("", 12) | {"metadata.csv": table("file_name,label,split", "I.png,K,train", 8)
                        + "".join(f"{i:03d}.png,a,val\n" for i in range(8, 12))},
        {"a": 4, "b": 4}, {"train": 8, "valid": 4},
    ),
    "celeba": Case(
        pics("img_align", 12)
        | {"list_eval_partition.csv": "image_id,partition\n"
           + "".join(f"{i:03d}.png,{i // 6 * 2}\n" for i in range(12))},
        {}, {"train": 6, "test": 6},
    ),
    "a-table-for-each-split": Case(
        pics("images", 12)
        | {f"{s}.csv": "image,label\n" + "".join(f"{i:03d}.png,{'ab'[i % 2]}\n" for i in rows)
           for s, rows in (("train", range(8)), ("test", range(8, 12)))},
        {"a": 4, "b": 4}, {"train": 8, "test": 4},
    ),
    "kaggle-unlabelled-test": Case(
        both("train", "test", n=12) | {"labels.csv": table("id,breed", "train/I,K")},
        {"a": 6, "b": 6}, {"train": 12},
        says=("The classes are the column 'breed'", "The 12 images of the split test are left"),
    ),
    # labels and captions
    "nested": Case(
        both("animal/cat", "animal/dog", "vehicle/car"), {"animal": 6, "vehicle": 3}, count=9,
        says=("below them lie 'car', 'cat', 'dog', which --class-level 2 takes instead",),
    ),
    "nested-leaf": Case(
        both("animal/cat", "animal/dog", "vehicle/car"), {"car": 3, "cat": 3, "dog": 3}, count=9,
        options={"class_level": 2},
    ),
    "parts": Case(both("part_1", "part_2"), count=6, says=("'part_1', 'part_2' only divide",)),
    "ffhq": Case(
        {f"{i // 1000 * 1000:05d}/{i:05d}.png": picture(i % 200)
         for i in (*range(3), *range(1000, 1004))},
        count=7, says=("'00000', '01000' only divide the files",),
    ),
    "digits": Case(both(*"0123456789"), dict.fromkeys("0123456789", 3), count=30),
    "one-image-a-folder": Case(
        both(*(f"id{i}" for i in range(12)), n=1), count=12,
        says=("12 different folders for 12 images are no classes",),
    ),
    "logo-beside": Case(
        both("cat", "dog", n=12) | pics("", 1, "logo.png"), {"cat": 12, "dog": 12}, count=24,
        says=("Left out 1 image in no class folder: logo.png.",),
    ),
    "labels-csv": Case(
        pics("images", 12) | {"labels.csv": table("id,label", "I.png,K")}, {"a": 6, "b": 6}
    ),
    "no-header": Case(pics("", 12) | {"labels.csv": table("", "I.png,K")}, {"a": 6, "b": 6}),
    "list-with-spaces": Case(
        pics("", 12) | {"labels.txt": table("", "I.png K")}, {"a": 6, "b": 6}
    ),
    "semicolons-and-spaces": Case(
        pics("", 12) | {"metadata.csv": table("file_name; label", "I.png; K")}, {"a": 6, "b": 6}
    ),
    "tabs": Case(
        pics("", 12) | {"captions.tsv": table("image\tcaption", "I.png\ta K, sitting")},
        texts="a a, sitting",
    ),
    "path-and-caption": Case(
        pics("images", 12) | {"metadata.csv": table("path,caption", 'images/I.png,"a K, sat"')},
        texts="a a, sat",
    ),
    "capitals": Case(
        pics("", 12) | {"metadata.csv": table("File Name,Class", "I.png,K")}, {"a": 6, "b": 6}
    ),
    "text-and-class": Case(
        pics("", 12) | {"metadata.csv": table("file_name,text,class", "I.png,a red I,K")},
        {"a": 6, "b": 6}, texts="a red 000",
    ),
    "label-and-caption-jsonl": Case(
        pics("", 12) | {"metadata.jsonl": table(
            "", '{"file_name": "I.png", "label": "K", "caption": "a I"}')},
        {"a": 6, "b": 6}, texts="a 000",
    ),
    "number-labels": Case(
        pics("", 12) | {"metadata.csv": table("file_name,label", "I.png,I.5")},
        says=("12 different labels for 12 images are no classes",),
    ),
    "chosen-columns": Case(
        pics("", 12) | {"metadata.csv": table("file_name,label,breed,note", "I.png,I,K,a I")},
        {"a": 6, "b": 6}, texts="a 000", columns={"label": "class"},
        options={"label_column": "breed", "caption_column": "note"},
    ),
    "folders-and-captions": Case(
        both("cats", "dogs") | {"captions.json": json.dumps(
            {f"{k}/{i:03d}.png": f"a {k} called {i}" for k in ("cats", "dogs") for i in range(3)})},
        {"cats": 3, "dogs": 3}, texts="a cats called 0",
    ),
    "folders-and-metadata": Case(
        both("cats", "dogs") | {"metadata.csv": "file_name,text\n" + "".join(
            f"{k}/{i:03d}.png,a {k} {i}\n" for k in ("cats", "dogs") for i in range(3))},
        texts="a cats 0", says=("The folders 'cats', 'dogs' are no classes",),
    ),
    "json-list": Case(
        pics("", 4) | {"captions.json": json.dumps(
            [{"image": f"{i:03d}.png", "caption": [f"a {i}", "x"]} for i in range(4)])},
        texts="a 0",
    ),
    "flickr": Case(
        pics("Images", 4) | {"captions.txt": "image,caption\n" + "".join(
            f"{i:03d}.png,dog {i} runs {j}\n" for i in range(4) for j in range(3))},
        texts="dog 0 runs 0", says=("captions.txt has several rows for an image",),
    ),
    "coco-captions": Case(
        pics("images", 4) | {"annotations/captions.json": coco([[0], [7], [0], [7]], True)},
        {"cat": 2, "dog": 2}, texts="a 0",
    ),
    "coco-boxes": Case(
        pics("images", 4) | {"instances.json": coco([[0, 7], [7, 7], [], [0]])},
        columns={"categories": "labels"},
    ),
    "labelme": Case(
        pics("", 4) | {f"{i:03d}.json": json.dumps(
            {"version": "5", "shapes": [{"label": "ab"[i % 2]}], "imagePath": f"{i:03d}.png"})
            for i in range(4)},
        columns={"classes": "labels"},
    ),
    "kohya": Case(
        pics("10_sks dog", 4) | {f"10_sks dog/{i:03d}.caption": f"a dog {i}" for i in range(4)},
        texts="a dog 0",
    ),
    "caption-and-tags": Case(
        pics("", 4) | {f"{i:03d}.caption": f"a dog {i}" for i in range(4)}
        | {f"{i:03d}.txt": "dog, 1girl" for i in range(4)},
        texts="a dog 0", says=(".caption files beside the images are the captions",),
        unread={".txt": 4},
    ),
    "darknet": Case(
        pics("obj_train_data", 4) | {"obj.names": "a\nb"}
        | {f"obj_train_data/{i:03d}.txt": f"{i} 0.5 0.5 0.2 0.3\n" * (i > 0) for i in range(4)},
        says=("The .txt files beside the images hold numbers",), unread={".names": 1, ".txt": 4},
    ),
    "webdataset-pairs": Case(
        {f"{i}.{w}.png": picture(9 + i) for i in range(4) for w in ("input", "target")}
        | {f"{i}.txt": f"make it {i}" for i in range(4)},
        count=4, texts="make it 0", columns={"input": "image"},
        says=("Each sample has 2 images, input, target: 'target' is made",),
    ),
    "captions-apart": Case(
        pics("images", 4) | {f"captions/{i:03d}.txt": f"a red {i}" for i in range(4)},
        texts="a red 0",
    ),
    "names-say-the-split": Case(
        pics("", 4, "train_{}.png") | pics("", 2, "test_{}.png"), {}, {"train": 4, "test": 2},
        says=("The splits are those that the names of the files say.",),
    ),
    "pets": Case(
        pics("images", 4, "cat_{}.jpg") | pics("annotations/trimaps", 4, "cat_{}.png")
        | {"annotations/trainval.txt": lines([f"cat_{i} 1 1 1" for i in range(3)]),
           "annotations/test.txt": "cat_3 1 1 1\n", "annotations/list.txt": "#Image CLASS-ID\n"},
        {}, {"train": 3, "test": 1}, says=("4 in annotations/",), unread={".txt": 1},
    ),
    "birds": Case(
        both("images/001.Tern", "images/002.Crow", n=6)
        | {"images.txt": "".join(f"{i + 1} {k}/{i % 6:03d}.png\n" for i, k in enumerate(
            ["001.Tern"] * 6 + ["002.Crow"] * 6)), "classes.txt": "1 001.Tern\n2 002.Crow\n"},
        {"001.Tern": 6, "002.Crow": 6}, unread={".txt": 2},
    ),
    "tiny-imagenet": Case(
        both("train/n01/images", "train/n02/images", n=6) | pics("val/images", 6, "val_{}.png")
        | {"train/n01/n01_boxes.txt": "000.png\t0\t0\t62\t62\n" * 6,
           "val/val_annotations.txt": "".join(
               f"val_{i}.png\tn0{1 + i % 2}\t0\t32\t44\t62\n" for i in range(6))},
        {"n01": 6, "n02": 6}, {"train": 12, "valid": 6}, unread={".txt": 1},
    ),
    "camera": Case(
        pics("DCIM/100APPLE", 6) | pics("DCIM/101APPLE", 6), count=12,
        says=("The folders '100APPLE', '101APPLE' only divide the files",),
    ),
    # what belongs to other images
    "celebamask": Case(
        pics("CelebA-HQ-img", 6, "{}.jpg") | pics("CelebAMask-HQ-mask-anno/0", 6, "{}_hair.png"),
        count=6, says=("6 in CelebAMask-HQ-mask-anno/",),
    ),
    "busi": Case(
        both("benign", "malignant") | pics("benign", 3, "{:03d}_mask.png")
        | pics("malignant", 2, "{:03d}_mask_1.png"),
        {"benign": 3, "malignant": 3},
        says=("Left out 5 images that belong to other images: *_mask.",),
    ),
    "images-and-masks": Case(
        both("images/train", "images/val", "masks/train", "masks/val"), {},
        {"train": 3, "valid": 3}, says=("6 in masks/",),
    ),
    "cityscapes": Case(
        both("leftImg8bit/train/bonn", "leftImg8bit/val/ulm", "gtFine/train/bonn"),
        {"bonn": 3, "ulm": 0},
        {"train": 3, "valid": 3}, says=("3 in gtFine/",),
    ),
    "nuclei": Case(
        both(*(f"{k}/{s}" for k in ("a1", "b2") for s in ("images", "masks"))),
        {"a1": 3, "b2": 3}, says=("Left out 6 images that belong",),
    ),
    "face-masks": Case(
        both("with_mask", "without_mask"), {"with_mask": 3, "without_mask": 3}, count=6
    ),
    # files that are not looked at
    "heic": Case(pics("", 3) | {f"I{i}.HEIC": b"x" for i in range(4)} | {"a.SVG": "x", "b": "y"},
                 count=3, unread={".heic": 4, ".svg": 1, "no ending": 1}),
    "other-table": Case(
        pics("", 3) | {"prices.csv": "city,price\nBonn,3\n", "notes.json": "{", "a.txt": "hello"},
        count=3, says=("notes.json was not read",), unread={".csv": 1, ".json": 1, ".txt": 1},
    ),
    "hidden": Case(
        both("猫", "犬 (1) #2%") | both(".hidden", "__MACOSX/x") | {"猫/Thumbs.db": b"x"},
        {"犬 (1) #2%": 3, "猫": 3}, unread={".db": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_understood(case, tmp_path):
    wanted = CASES[case]
    path = str(write(tmp_path / "set", wanted.files))
    data = load(path, **wanted.options)
    counts = Counter(data.classes[i] for i in data.labels) if data.labels is not None else {}
    assert {name: counts[name] for name in data.classes} == wanted.classes
    if wanted.splits is not None:
        assert set(splits(path)) == set(wanted.splits)
        for split, count in wanted.splits.items():
            assert len(arrange(files_at(path), split).names) == count
    assert wanted.count in (None, len(data))
    assert (data.texts[0] if data.texts else None) == wanted.texts
    kinds = {name: column.kind for name, column in data.columns.items()}
    assert wanted.columns.items() <= kinds.items()
    for words in wanted.says:
        assert any(words in note for note in data.report.notes), data.report.notes
    assert len(data.report.notes) >= len(wanted.says)
    assert bool(data.report.notes) == bool(wanted.says), data.report.notes
    assert dict(data.report.unread) == wanted.unread


REFUSED = {
    "unquoted-comma": (
        pics("", 2) | {"metadata.csv": "file_name,text\n000.png,a cat, sitting\n001.png,b\n"},
        {}, "metadata.csv row 1 has 3 values for 2 columns: put values that hold the separator in",
    ),
    "unquoted-class": (
        pics("", 2) | {"labels.csv": "image,label\n000.png,cat\n001.png,cat 0, tabby\n"},
        {}, "labels.csv row 2 has 3 values for 2 columns",
    ),
    "too-few": (
        pics("", 2) | {"metadata.csv": "file_name,text\n000.png\n001.png,b\n"},
        {}, "metadata.csv row 1 has 1 values for 2 columns",
    ),
    "a-column-twice": (
        pics("", 2) | {"metadata.csv": "file_name,text,text\n000.png,a,b\n001.png,b,c\n"},
        {}, "two columns called 'text'",
    ),
    "no-such-column": (
        pics("", 2) | {"metadata.csv": "file_name,note\n000.png,a\n001.png,b\n"},
        {"caption_column": "nota"}, "--caption-column nota: metadata.csv .* 'file_name', 'note'",
    ),
    "too-deep": (both("a", "b"), {"class_level": 2}, "--class-level 2: the images lie in 1 folder"),
    "no-level": (both("a", "b"), {"class_level": 0}, "--class-level 0: the uppermost folder is 1"),
    "latin-1": (
        pics("", 2) | {"metadata.csv": b"file_name,label\n000.png,\xe4\n001.png,b\n"},
        {}, "metadata.csv is not UTF-8 text.*save it as UTF-8",
    ),
    "columns-that-say-nothing": (
        pics("", 2) | {"metadata.csv": "file_name,label\n000.png,\n001.png,\n"},
        {}, "neither a 'label' nor a 'text' column, nor any; its columns: 'file_name', 'label'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_to_do(case, tmp_path):
    files, options, words = REFUSED[case]
    with pytest.raises((DataError, UsageError), match=words):
        load(str(write(tmp_path, files)), **options)


def test_separators_of_unicode_do_not_end_a_row(tmp_path):
    texts = ["one\u2028two", "a\x85b", "c\x0cd", "e\x0bf", '"g\nh"']
    rows = "".join(f"{i:03d}.png,{text}\r\n" for i, text in enumerate(texts))
    files = pics("", 5) | {"metadata.csv": "file_name,text\r\n" + rows}
    assert load(str(write(tmp_path, files))).texts == (*texts[:4], "g\nh")


def test_metadata_of_a_spreadsheet_in_utf_16(tmp_path):
    text = "file_name\ttext\n000.png\tä\n001.png\tö\n"
    files = pics("", 2) | {"metadata.csv": text.encode("utf-16")}
    assert load(str(write(tmp_path, files))).texts == ("ä", "ö")


def archive(path, files: Files):
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {n: c.encode() if isinstance(c, str) else c for n, c in files.items()}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as new:
            for name, content in whole.items():
                new.writestr(name, content)
        return
    with tarfile.open(path, "w") as new:
        for name, content in whole.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            new.addfile(member, BytesIO(content))


@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_archives_win_over_a_few_images_beside_them(ending, tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    root = write(tmp_path / "set", both("assets", n=2) | {"README.md": "x"})
    for split in ("train", "val"):
        archive(root / f"{split}.{ending}", both(f"{split}/cat", f"{split}/dog"))
    data = load(str(root))
    assert data.classes == ("cat", "dog")
    assert data.report.notes == ("Left out 2 images beside the archives: 2 in assets/.",)
    assert dict(data.report.unread) == {".md": 1}
    assert splits(str(root)) == ("train", "valid")
    write(root, pics("more", 30))  # an archive of what was unpacked, say
    data = load(str(root))
    assert len(data) == 32
    assert dict(data.report.unread)[f".{ending}"] == 2


def test_archives_that_speak_of_no_split_are_left_out_beside_those_that_do(tmp_path):
    for name in ("train", "test", "extra"):
        archive(tmp_path / f"set/{name}.zip", both("cat", "dog"))
    data = load(str(tmp_path / "set"))
    assert len(data) == 6
    assert data.classes == ("cat", "dog")
    assert data.report.notes == ("Left out 6 images beside the splits: 3 in cat/, 3 in dog/.",)


def test_a_zip_that_is_encrypted_or_damaged_inside(tmp_path):
    archive(tmp_path / "a.zip", pics("", 3))
    whole = bytearray((tmp_path / "a.zip").read_bytes())
    whole[60] ^= 255  # in the first image
    (tmp_path / "a.zip").write_bytes(whole)
    data = load(str(tmp_path / "a.zip"), max_bad=0.5)
    assert [bad.path for bad in data.bad] == ["000.png"]
    start = whole.index(b"PK\x01\x02")
    whole[start + 8] |= 1
    (tmp_path / "a.zip").write_bytes(whole)
    with pytest.raises(DataError, match="is encrypted: unpack it"):
        load(str(tmp_path / "a.zip"))


def test_links_count_once_and_may_make_the_splits(tmp_path):
    root = write(tmp_path / "a", both("real", n=4))
    (root / "again").symlink_to("real")
    (root / "self").symlink_to("self")
    (root / "one.png").symlink_to("real/000.png")
    data = load(str(root))
    assert len(data) == 4
    assert data.report.notes == ("5 links to images of the same folder were not followed.",)
    root = write(tmp_path / "b", both("all", n=4))
    for split, rows in (("train", (0, 1, 2)), ("test", (3,))):
        (root / split).mkdir()
        for i in rows:
            (root / split / f"{i}.png").symlink_to(f"../all/{i:03d}.png")
    assert len(load(str(root))) == 3
    assert splits(str(root)) == ("test", "train")


def test_links_among_many_folders_end(tmp_path):
    root = write(tmp_path, {f"{i}/a.png": picture(i) for i in range(12)})
    for i in range(12):
        for j in range(12):
            (root / f"{i}" / f"to{j}").symlink_to(root / f"{j}")
    assert len(load(str(root))) == 12


def test_a_folder_nested_a_thousand_deep(tmp_path, monkeypatch):
    write(tmp_path, pics("", 2))
    monkeypatch.chdir(tmp_path)
    try:
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
        assert len(Folder.scan(tmp_path).names) == 2
    finally:  # what is to remove it goes down by recursion
        while os.path.basename(os.getcwd()) == "d":
            os.chdir("..")
            os.rmdir("d")


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
@pytest.mark.parametrize("packed", [False, True])
def test_names_that_are_not_utf_8(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    root = tmp_path / os.fsdecode(b"donn\xe9es")
    files = {f"{os.fsdecode(k)}/{i}.png": picture(9)
             for k in (b"caf\xe9", b"th\xe9") for i in range(2)}  # fmt: skip
    if packed:
        archive(root / "a.tar", files)
    else:
        write(root, files)
    for _ in range(2):  # with an index of the archive, too
        data = load(str(root))
        assert data.classes == ("caf\\xe9", "th\\xe9")
    monkeypatch.setattr("demist.data.images.store.fits", lambda shape: False)
    first, again = load(str(root)), load(str(root))
    assert again.fingerprint == first.fingerprint == data.fingerprint
    assert again.x[:].tolist() == data.x.tolist()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("X.npy", "Y.npy"),
        ("x_train.npy", "y_train.npy"),
        ("kmnist-train-imgs.npz", "kmnist-train-labels.npz"),
        ("train_images.npy", "train_labels.npy"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_labels_in_an_array_file_beside_the_images(images, labels, named, tmp_path):
    from demist import load as load_any

    x, y = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8), np.array([0, 2, 1, 0, 2, 2])
    for name, array in ((images, x), (labels, y)):
        (np.save if name.endswith(".npy") else np.savez)(tmp_path / name, array)
    data = load_any(str(tmp_path / images if named else tmp_path))
    assert data.labels.tolist() == y.tolist()
    assert data.classes == ("0", "1", "2")
    assert data.report.notes == (f"The labels are those of {labels}.",)
    assert dict(data.report.unread) == {}
    np.savez(tmp_path / "y", y=np.eye(3)[y])


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.eye(3)[[0, 2, 1, 2]], ("0", "1", "2")),
        (np.array([0.0, 2, 1, 2]), ("0", "1", "2")),
        (np.array(["a", "c", "b", "c"]), ("a", "b", "c")),
    ],
)
def test_labels_of_other_types(y, classes, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 8, 8), np.uint8), y=y)
    data = load(str(tmp_path / "a.npz"))
    assert data.labels.tolist() == [0, 2, 1, 2]
    assert data.classes == classes
