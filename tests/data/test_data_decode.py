import struct
import zlib

import numpy as np
import pytest
from data_samples import encoded, png
from PIL import Image, UnidentifiedImageError

from demist.data.images.decode import Rules, decode, extensions, formats
from demist.errors import UsageError

# Two rows, three columns: enough to tell rows from columns and left from right.
GREY = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def same(data: bytes, expected, **rules):
    np.testing.assert_array_equal(decode(data, Rules(**rules)), np.array(expected))


def test_grey_keeps_one_channel_and_repeats_to_three():
    data = encoded(Image.fromarray(GREY))
    same(data, GREY[None])
    same(data, np.stack([GREY] * 3), channels=3)


def test_rgb_keeps_its_channels_and_becomes_luma():
    data = encoded(Image.fromarray(COLOUR))
    same(data, COLOUR.transpose(2, 0, 1))
    luma = np.rint(COLOUR @ np.array([0.299, 0.587, 0.114]))
    same(data, luma[None], channels=1)


def test_bits_are_black_and_white():
    same(encoded(Image.fromarray(GREY > 120)), [[[0, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm"])
def test_16_bits_are_scaled_by_65535(kind):
    values = np.array([[0, 128, 129, 256], [257, 32768, 65406, 65535]], np.uint16)
    expected = np.rint(values / 65535 * 255)
    assert expected.tolist() == [[0, 0, 1, 1], [1, 128, 254, 255]]
    same(encoded(Image.fromarray(values), kind), expected[None])


def test_integers_and_floats_without_a_range_are_refused():
    wide = encoded(Image.fromarray(np.array([[0, 70000]], np.int32)), "tiff")
    with pytest.raises(ValueError, match=r"0\.\.65535"):
        decode(wide, Rules())
    with pytest.raises(ValueError, match="floating-point"):
        decode(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "tiff"), Rules())


def test_alpha_lies_on_the_background():
    red = png((255, 0, 0, 51), (1, 1), "RGBA")  # 51 / 255 = one fifth
    same(red, [[[255]], [[204]], [[204]]])
    same(red, [[[51]], [[0]], [[0]]], background="black")
    same(red, [[[51]], [[0]], [[204]]], background="#0000ff")


def test_grey_with_alpha_is_grey_unless_the_background_is_not():
    data = png((100, 51), (1, 1), "LA")
    same(data, [[[224]]])
    same(data, [[[20]]], background="black")
    same(data, [[[20]], [[20]], [[224]]], background="blue")


def test_palette_with_a_transparent_entry():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putdata([0, 1])
    same(encoded(image), [[[255, 0]], [[0, 255]], [[0, 0]]])
    same(encoded(image, transparency=1), [[[255, 7]], [[0, 8]], [[0, 9]]], background="#070809")
    same(encoded(image, "gif", transparency=1), [[[255, 7]], [[0, 8]], [[0, 9]]],
         background="#070809")  # fmt: skip


def test_palette_with_half_transparent_entries():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    data = encoded(image, transparency=bytes([255, 51, 0]))  # whole, one fifth, nothing
    same(data, [[[255, 0, 0]], [[0, 51, 0]], [[0, 0, 0]]], background="black")
    same(data, [[[255, 204, 255]], [[0, 255, 255]], [[0, 204, 255]]])


def test_palette_without_colour_is_grey():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 10, 10, 200, 200, 200, 255, 0, 0])
    image.putdata([0, 1])
    same(encoded(image), [[[10, 200]]])


def test_transparent_colour_of_a_grey_png():
    same(encoded(Image.fromarray(GREY), transparency=50), [[[0, 255, 100], [150, 200, 250]]])


def test_cmyk():
    ink = Image.fromarray(
        np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]], np.uint8), "CMYK"
    )
    same(encoded(ink, "tiff"), [[[255, 0, 0]], [[255, 255, 0]], [[255, 255, 0]]])


@pytest.mark.parametrize("ink", [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 255, 0), (0, 0, 0, 255)])
def test_cmyk_of_a_jpeg(ink):
    """Photoshop's JPEGs hold the complement; a flat one has no rounding but that of the colour."""
    cyan, magenta, yellow, black = ink
    expected = [(255 - c) * (255 - black) // 255 for c in (cyan, magenta, yellow)]
    data = encoded(Image.new("CMYK", (16, 16), ink), "jpeg", quality=100)
    found = decode(data, Rules()).astype(int)
    assert abs(found - np.array(expected)[:, None, None]).max() <= 2


def test_16_bits_in_colour_keep_the_high_byte():
    values = np.array([[[0, 255, 256], [257, 40_000, 65_535]]], ">u2")
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(b"\0" + values.tobytes()), b"IEND": b""}
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c))
        for k, c in chunks.items()
    )
    same(data, np.moveaxis(values >> 8, 2, 0))


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, GREY),
        (2, GREY[:, ::-1]),
        (3, GREY[::-1, ::-1]),
        (4, GREY[::-1]),
        (5, GREY.T),
        (6, np.rot90(GREY, -1)),
        (7, GREY[::-1, ::-1].T),
        (8, np.rot90(GREY)),
    ],
)
def test_exif_orientation(orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    same(encoded(Image.fromarray(GREY), exif=exif), turned[None])


def test_animation_is_its_first_frame():
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "lime", "blue")]
    for kind, options in (("gif", {}), ("png", {}), ("webp", {"lossless": True})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        same(data, np.array([255, 0, 0]).reshape(3, 1, 1) * np.ones((1, 2, 2)))


def test_the_centred_square_is_cut_out():
    wide = np.arange(21, dtype=np.uint8).reshape(3, 7)
    same(encoded(Image.fromarray(wide)), wide[None, :, 2:5], size=3)
    odd = np.arange(18, dtype=np.uint8).reshape(6, 3)  # margin 3: one row above, two below
    same(encoded(Image.fromarray(odd)), odd[None, 1:4], size=3)


def test_resizing_does_not_alias():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    small = decode(encoded(Image.fromarray(stripes)), Rules(size=16))
    assert small.shape == (1, 16, 16)
    assert abs(small.astype(int) - 127.5)[..., 2:-2].max() <= 2


def test_resizing_up_reaches_the_size_and_keeps_a_constant():
    same(png((10, 20, 30), (5, 8)), np.array([10, 20, 30]).reshape(3, 1, 1) * np.ones((1, 12, 12)),
         size=12)  # fmt: skip


def test_transparent_colours_do_not_bleed_when_resized():
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., 0] = 255
    pixels[:, ::2] = (0, 255, 0, 255)  # the rest is fully transparent red
    small = decode(encoded(Image.fromarray(pixels)), Rules(size=8, background="lime"))
    np.testing.assert_array_equal(small[0], 0)


def test_large_jpeg_is_decoded_small_with_the_same_look():
    ramp = np.add.outer(np.arange(800), np.arange(800)) / 1600 * 255
    data = encoded(Image.fromarray(ramp.astype(np.uint8)), "jpeg", quality=95)
    small = decode(data, Rules(size=20))
    exact = ramp.reshape(20, 40, 20, 40).mean(axis=(1, 3))
    assert abs(small[0] - exact).max() < 4


def test_a_jpeg_decoded_small_keeps_the_detail_that_the_size_can_show():
    x, y = np.meshgrid(np.arange(320), np.arange(320))
    waves = (127 + 60 * np.sin(x / 3) + 60 * np.cos(y / 4)).astype(np.uint8)
    data = encoded(Image.fromarray(waves), "jpeg", quality=95)
    whole = encoded(Image.fromarray(decode(data, Rules())[0]))
    difference = decode(data, Rules(size=80)).astype(int) - decode(whole, Rules(size=80))
    assert abs(difference).mean() < 2


@pytest.mark.filterwarnings("ignore:Image size")
def test_too_many_pixels_are_refused():
    with pytest.raises(ValueError, match="pixels"):
        decode(encoded(Image.new("1", (9_000, 9_950))), Rules())


def test_postscript_is_never_run():
    assert "EPS" not in formats()
    assert {".png", ".jpg", ".webp", ".tiff", ".bmp"} <= extensions()
    assert not {".eps", ".pdf", ".h5"} & extensions()
    with pytest.raises(OSError):
        decode(encoded(Image.new("RGB", (2, 2)), "eps"), Rules())


@pytest.mark.parametrize("data", [b"", b"<html>", png("red")[:30]])
def test_the_reason_is_for_people(data):
    """Pillow says `<_io.BytesIO object at 0x7f3c>`, which differs from run to run."""
    with pytest.raises(UnidentifiedImageError, match=r"^not an image of a kind"):
        decode(data, Rules())


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"size": 0}, "--size 0"),
        ({"size": 5000}, "4096"),
        ({"channels": 2}, "--channels 2"),
        ({"background": "whit"}, "'whit' is no colour"),
    ],
)
def test_rules_that_make_no_sense(rules, words):
    with pytest.raises(UsageError, match=words):
        Rules(**rules)
