import json

import numpy as np
import pytest
from PIL import Image

from demist import drawing
from demist.drawing.curves import smooth
from demist.drawing.scatter import round_up
from demist.errors import CannotCreateError, DataError, MissingError, UsageError


def plain(values, side=28, channels=1):
    """Images of one grey value each."""
    values = np.asarray(values, np.uint8)
    return np.broadcast_to(values[:, None, None, None], (len(values), channels, side, side)).copy()


def ink(image):
    """Rows and columns of the page that hold text: neither paper nor an image's own grey 200."""
    page = np.array(image.convert("L"))
    return (page < 190).any(axis=1), (page < 190).any(axis=0)


def test_every_pixel_is_enlarged_without_smoothing():
    images = np.random.default_rng(0).integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    page = np.array(drawing.image_grid(images, columns=2, scale=3))
    # Gap 3; cells 12 high and 18 wide; three rows of two.
    assert page.shape == (3 + 3 * 15, 3 + 2 * 21, 3)
    for i, image in enumerate(images):
        y, x = 3 + i // 2 * 15, 3 + i % 2 * 21
        expected = image.transpose(1, 2, 0).repeat(3, 0).repeat(3, 1)
        np.testing.assert_array_equal(page[y : y + 12, x : x + 18], expected)
    assert (page[-15:, -21:] == 255).all()  # the sixth place is empty paper


def test_small_images_grow_and_large_ones_do_not():
    assert drawing.image_grid(plain([0])).size == (2 + 56 + 2, 2 + 56 + 2)
    assert drawing.image_grid(plain([0], side=64)).size == (68, 68)
    assert drawing.image_grid(plain([0], side=300)).size == (304, 304)


def test_default_shape_is_about_a_square():
    width, height = drawing.image_grid(plain(range(9)), scale=1).size
    assert width == height
    assert drawing.image_grid(plain(range(2)), scale=1).size == (2 + 2 * 30, 2 + 30)


def test_labels_shared_by_rows_are_written_once_on_the_left():
    images = plain([200] * 6)
    bare = drawing.image_grid(images, columns=3)
    page = drawing.image_grid(images, columns=3, labels=[7, 7, 7, 8, 8, 8])
    assert page.height == bare.height
    assert page.width > bare.width
    _, columns = ink(page)
    assert columns[: page.width - bare.width].any()
    assert not columns[page.width - bare.width + 2 :].any()


def test_labels_shared_by_columns_are_written_once_above():
    images = plain([200] * 6)
    bare = drawing.image_grid(images, columns=3)
    page = drawing.image_grid(images, columns=3, labels=list("abcabc"))
    assert page.width == bare.width
    assert page.height > bare.height
    rows, _ = ink(page)
    assert rows[: page.height - bare.height].any()
    assert not rows[page.height - bare.height + 2 :].any()


def test_other_labels_become_captions_cut_to_the_width():
    images = plain([200] * 4)
    bare = drawing.image_grid(images, columns=2)
    page = drawing.image_grid(images, columns=2, labels=["a", "b", "c", "a" * 100])
    assert page.width == bare.width
    assert (page.height - bare.height) % 2 == 0
    assert page.height > bare.height
    column = np.array(page.convert("L"))[:, -2:]
    assert (column == 255).all()  # the long caption stays inside its column


def test_a_last_row_that_is_shorter_keeps_its_label():
    page = drawing.image_grid(plain([200] * 5), columns=3, labels=["x"] * 3 + ["y"] * 2)
    assert page.height == drawing.image_grid(plain([200] * 5), columns=3).height


def test_transparency_shows_on_white():
    images = np.zeros((1, 4, 28, 28), np.uint8)
    page = np.array(drawing.image_grid(images))
    assert (page == 255).all()


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (plain([]), None, "at least one"),
        (plain([0], channels=2), None, "2 channels"),
        (plain([0, 1]), ["a"], "1 labels for 2 images"),
    ],
)
def test_impossible_grids_are_refused(images, labels, words):
    with pytest.raises(UsageError, match=words):
        drawing.image_grid(images, labels=labels)


def test_png_keeps_pixels_and_facts(tmp_path):
    image = drawing.image_grid(plain([3, 200]))
    facts = {"seed": 5, "classes": ["ü", "七"], "guidance": 1.5}
    drawing.save_png(image, tmp_path / "a.png", facts)
    assert drawing.read_metadata(tmp_path / "a.png") == facts
    with Image.open(tmp_path / "a.png") as read:
        np.testing.assert_array_equal(np.array(read), np.array(image))
        assert json.loads(read.text["demist"]) == facts
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_facts_of_a_foreign_picture(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    for name in ("a.png", "b.png", "c.png"):
        with pytest.raises(DataError, match="not an image made by demist"):
            drawing.read_metadata(tmp_path / name)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_film_keeps_order_speed_and_the_last_frame(tmp_path, ending):
    frames = [Image.new("L", (8, 8), value) for value in (0, 120, 250)]
    path = tmp_path / f"a.{ending}"
    drawing.animation(frames, path, fps=10.0, hold=0.5)
    greys, durations = [], []
    with Image.open(path) as film:
        assert film.n_frames == 3
        assert film.info["loop"] == 0
        for i in range(3):
            film.seek(i)
            film.load()
            greys.append(film.convert("L").getpixel((4, 4)))
            durations.append(film.info["duration"])
    np.testing.assert_allclose(greys, [0, 120, 250], atol=3)
    assert durations == [100, 100, 500]


def test_film_of_nothing_or_in_another_format(tmp_path):
    with pytest.raises(UsageError, match="at least one frame"):
        drawing.animation([], tmp_path / "a.gif")
    with pytest.raises(UsageError, match=r"end it in \.gif or \.webp"):
        drawing.animation([Image.new("L", (2, 2))], tmp_path / "a.mp4")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CannotCreateError, match=r"no/a\.png: No such file"):
        drawing.save_png(Image.new("L", (2, 2)), tmp_path / "no" / "a.png")


def test_loss_curve_reads_past_other_lines_and_a_cut_one(tmp_path):
    lines = [json.dumps({"step": step, "loss": 1 / (step + 1)}) for step in range(50)]
    lines[10:10] = ['{"event": "saved"}', '{"step": 10, "loss": NaN}', ""]
    (tmp_path / "m.jsonl").write_text("\n".join(lines) + '\n{"step": 50, "lo')
    drawing.loss_curve(tmp_path / "m.jsonl", tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert image.size == (840, 480)
        assert len(image.convert("RGB").getcolors(100_000)) > 20
    drawing.loss_curve(tmp_path / "m.jsonl", tmp_path / "c.svg")
    assert b"<svg" in (tmp_path / "c.svg").read_bytes()


def test_loss_curve_without_losses(tmp_path):
    with pytest.raises(MissingError, match="a run writes it"):
        drawing.loss_curve(tmp_path / "m.jsonl", tmp_path / "c.png")
    (tmp_path / "m.jsonl").write_text('{"step": 1, "loss": 2}\n')
    with pytest.raises(DataError, match="holds 1 losses"):
        drawing.loss_curve(tmp_path / "m.jsonl", tmp_path / "c.png")


def test_smooth_is_a_centred_mean():
    np.testing.assert_allclose(smooth(np.array([0.0, 3, 6, 3])), [1.5, 3, 4, 4.5])
    line = np.arange(200.0)
    np.testing.assert_allclose(smooth(line, 0.1)[10:-10], line[10:-10])


def test_scatter_puts_a_point_where_it_belongs(tmp_path):
    points = np.array([[0.5, 0.25]], np.float32)
    image = drawing.scatter(points, tmp_path / "s.png", limit=1.0, size=400)
    dark = np.array(image.convert("L"))[40:360, 40:360] < 200
    y, x = np.argwhere(dark).mean(axis=0) + 40
    # The plane [-1, 1] spans pixels 34 to 366; up is positive.
    assert x == pytest.approx(34 + 0.75 * 332, abs=1)
    assert y == pytest.approx(34 + 0.375 * 332, abs=1)
    with Image.open(tmp_path / "s.png") as read:
        np.testing.assert_array_equal(np.array(read), np.array(image))


def test_histogram_of_one_repeated_number():
    image = drawing.scatter(np.full((100, 1), 8, np.float32))
    columns = (np.array(image.convert("L"))[100:400] < 100).any(axis=0)
    bar = np.flatnonzero(columns)
    assert len(bar) == bar[-1] - bar[0] + 1  # one bar
    assert len(bar) < 60


def test_points_that_are_not_finite():
    points = np.array([[0, 0], [np.nan, 1]], np.float32)
    red = np.array(drawing.scatter(points))[:40].astype(int)
    assert ((red[..., 0] - red[..., 1]) > 80).any()
    with pytest.raises(UsageError, match="none of the 1 points"):
        drawing.scatter(points[1:])
    with pytest.raises(UsageError, match="3 coordinates"):
        drawing.scatter(np.zeros((4, 3), np.float32))


def testround_up():
    assert [round_up(v) for v in (0.9, 1.0, 1.01, 3.2, 7.0, 9.0)] == [1, 1, 1.5, 4, 8, 10]


@pytest.mark.parametrize("ending", drawing.FORMATS)
def test_an_image_has_the_format_of_its_ending_and_carries_its_facts(ending, tmp_path):
    page, place = drawing.image_grid(plain([10, 200])), tmp_path / f"a{ending}"
    drawing.save_image(page, place, {"seed": 7, "command": "ä"})
    with Image.open(place) as image:
        assert image.format == drawing.FORMATS[ending]
        error = np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(page, int)).mean()
        assert error < (2 if image.format in ("JPEG", "GIF") else 1e-9)
    assert drawing.read_metadata(place) == {"seed": 7, "command": "ä"}


def test_facts_too_long_for_a_jpeg_are_left_out(tmp_path):
    drawing.save_image(drawing.image_grid(plain([10])), tmp_path / "a.jpg", {"x": "y" * 70_000})
    with pytest.raises(DataError):
        drawing.read_metadata(tmp_path / "a.jpg")


def test_an_image_of_no_known_ending(tmp_path):
    with pytest.raises(UsageError, match=r"written as 'a\.docx'; end it in \.png or \.jpg"):
        drawing.save_image(drawing.image_grid(plain([10])), "a.docx")
