import json

import numpy as np
import pytest
from data_samples import encoded, png, write
from PIL import Image

from demist.cli import main
from demist.data import Dataset, Report, load


def paragraph(tmp_path, files, **options) -> str:
    return load(str(write(tmp_path / "set", files)), **options).report.paragraph()


def noise(seed, sides=(8, 8), mode="RGB") -> Image.Image:
    shape = (*sides, len(mode)) if len(mode) > 1 else sides
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), mode)


def test_clean_data_is_one_sentence():
    x = np.arange(2 * 16, dtype=np.uint8).reshape(2, 1, 4, 4)
    assert Dataset(x).report.paragraph() == "2 images of 4x4 pixels, grey."
    points = Dataset(np.zeros((5, 2), np.float32), kind="points")
    assert points.report.paragraph() == "5 points."
    labelled = Dataset(np.repeat(x, 3, 0), np.array([0, 1, 1, 1, 2, 2]), ("a", "b", "c"))
    assert labelled.report.classes == {"a": 1, "b": 3, "c": 2}
    expected = "6 images of 4x4 pixels, grey, 3 classes of 1 to 3."
    assert labelled.report.paragraph() == expected
    few = labelled.subset(np.array([1, 2]))
    assert few.report.classes == {"a": 0, "b": 2, "c": 0}


def test_all_that_is_known_is_said():
    report = Report(
        count=12_000, what="images", split="train", others={"valid": 2000, "test": 1999},
        classes={"cat": 20, "dog": 1400}, captions=12_000, captions_from=".txt files",
        before=((480, 640), (3024, 4032)), after=(3, 64, 64), kept=0.75, enlarged=31,
        transparent=214, converted={"grey made colour": 16}, several=2, dropped=29, bad=4,
        bad_named=("a.png", "b.png", "c.png"), equal=1, unread={".tif2": 40, "labels.csv": 1},
        notes=("metadata.csv is empty.",), columns=("angle",),
    )  # fmt: skip
    assert report.paragraph() == (
        "12,000 images (train; 2,000 valid, 1,999 test) of 64x64 pixels, colour, 2 classes of 20 "
        "to 1,400, captions from .txt files, further columns angle. They were 480x640 to 3024x4032 "
        "(height x width): the middle 75 % is kept, 31 are enlarged. Converted: 214 with "
        "transparency laid on white, 16 grey made colour. 2 files have 31 frames or pages, of each "
        "the first is used. Left out: 4 unreadable files (a.png, b.png, c.png, ...). 1 file is "
        "equal to another. Not looked at: 40 .tif2, 1 labels.csv. metadata.csv is empty."
    )
    assert json.loads(json.dumps(report.to_json()))["paragraph"] == report.paragraph()


def test_sizes_and_crops_are_said(tmp_path):
    files = {f"{i}.png": encoded(noise(i, (4, 16))) for i in range(3)}
    files["3.png"] = encoded(noise(3, (12, 9)))
    data = load(str(write(tmp_path / "set", files)), size=6)
    assert data.report.before == ((4, 16), (12, 9))
    assert (data.report.kept, data.report.enlarged) == (0.25, 3)
    assert "They were 4x16 to 12x9 (height x width): the middle 25 % is kept, 3 are enlarged." in (
        data.report.paragraph()
    )


def test_a_turned_photograph_counts_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {f"{i}.jpg": encoded(noise(i, (8, 16)), "jpeg", exif=exif) for i in range(2)}
    data = load(str(write(tmp_path / "set", files)), size=4)
    assert data.report.before == ((16, 8), (16, 8))


def test_transparency_that_hides_everything_is_warned_of(tmp_path):
    white = np.full((4, 4, 4), 255, np.uint8)
    files = {}
    for i in range(3):
        white[..., 3] = np.arange(16).reshape(4, 4) * (i + 1)
        files[f"{i}.png"] = encoded(Image.fromarray(white.copy()))
    text = paragraph(tmp_path, files)
    assert "3 with transparency laid on white. 3 are of one colour all over: choose another" in text
    text = paragraph(tmp_path, files, background="black")
    assert "3 with transparency laid on black." in text
    assert "one colour" not in text


def test_frames_and_pages_are_counted(tmp_path):
    pages = [noise(i, mode="L") for i in range(4)]
    files = {
        "a.tif": encoded(pages[0], "tiff", save_all=True, append_images=pages[1:]),
        "b.gif": encoded(pages[1], "gif", save_all=True, append_images=pages[2:]),
        "c.png": encoded(pages[2]),
    }
    text = paragraph(tmp_path, files)
    assert "2 files have 7 frames or pages, of each the first is used." in text


def test_equal_and_bad_files_are_counted(tmp_path):
    files = {f"{i}.png": encoded(noise(i % 4)) for i in range(6)}
    files |= {f"bad{i}.png": b"no" for i in range(4)}
    text = paragraph(tmp_path, files, max_bad=0.5)
    assert "Left out: 4 unreadable files (bad0.png, bad1.png, bad2.png, ...)." in text
    assert "2 files are equal to another." in text


@pytest.mark.parametrize("more", [["--dry-run"], []], ids=["dry run", "run"])
def test_train_says_what_it_understood(tmp_path, capsys, more):
    files = {f"{kind}/{i}.png": png((i, 0, 0), (8, 8)) for kind in "ab" for i in range(4)}
    files["a/photo.heif2"] = b"?"
    path, runs = str(write(tmp_path / "set", files)), tmp_path / "runs"
    tiny = "--steps 2 --channels-per-level 16 --head-dim 8 --batch-size 4 --sample-count 0"
    assert main(["train", path, "--runs", str(runs), *tiny.split(), *more]) == 0
    out, err = capsys.readouterr()
    said = "8 images of 8x8 pixels, colour, 2 classes of 4."
    assert said in (out if more else err)
    if not more:
        kept = json.loads((runs / "0001-set" / "data.json").read_text())
        assert kept["paragraph"].startswith(said)
        assert kept["classes"] == {"a": 4, "b": 4}
