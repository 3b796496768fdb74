"""How images are brought to a size: crop, pad, squash, and with transparency."""

import numpy as np
import pytest
from data_samples import encoded, png, write
from PIL import Image

from demist.cli import main
from demist.data import Rules, decode, load
from demist.errors import UsageError
from demist.io.notation import size_near
from demist.networks import UNet

WIDE = np.repeat(np.arange(8, dtype=np.uint8)[None] * 20, 4, 0)  # 4 x 8, brighter to the right


def fitted(pixels, **rules):
    return decode(encoded(Image.fromarray(pixels)), Rules(**rules))


def test_crop_takes_the_middle_in_the_shape_asked_for():
    assert fitted(WIDE, size="4x2")[0].tolist() == WIDE[:, 3:5].tolist()
    assert fitted(WIDE, size=(2, 8))[0].tolist() == WIDE[1:3].tolist()
    assert fitted(WIDE, size="4x8")[0].tolist() == WIDE.tolist()


def test_pad_keeps_all_between_margins_of_the_background():
    made = fitted(WIDE, size=8, fit="pad")
    assert made.shape == (1, 8, 8)
    assert made[0, 2:6].tolist() == WIDE.tolist()
    assert (made[0, [0, 1, 6, 7]] == 255).all()
    red = fitted(WIDE, size=8, fit="pad", background="red")
    assert red[:, 0, 0].tolist() == [255, 0, 0]
    assert red[:, 2:6].tolist() == [WIDE.tolist()] * 3
    clear = fitted(WIDE, size=8, fit="pad", channels=4)
    assert clear[3, 0, 0] == 0
    assert (clear[3, 2:6] == 255).all()


def test_squash_keeps_all_out_of_proportion():
    made = fitted(WIDE, size=4, fit="squash")
    assert made.shape == (1, 4, 4)
    assert np.abs(made[0, 0].astype(int) - [10, 50, 90, 130]).max() <= 6


def test_what_fit_does_is_said(tmp_path):
    path = str(write(tmp_path / "set", {f"{i}.png": png("red", (8, 4)) for i in range(3)}))
    said = load(path, size="4x6").report.paragraph()
    assert "They were 4x8 (height x width): the middle 75 % is kept." in said
    assert "padded to fit, 3 are enlarged" not in load(path, size=8, fit="pad").report.paragraph()
    assert "stretched to fit, 3 are enlarged" in load(path, size=8, fit="squash").report.paragraph()


@pytest.mark.parametrize("size", ["4x", "x", "4x4x4", "big", "0x4"])
def test_sizes_that_make_no_sense(size):
    with pytest.raises(UsageError, match=f"--size {size}: "):
        Rules(size=size)
    with pytest.raises(UsageError, match="--fit stretch: choose crop, pad, squash"):
        Rules(fit="stretch")


def test_the_advice_for_odd_sides_keeps_their_shape():
    net = UNet(in_channels=1, out_channels=1, channels=(8, 8), patch=2, head_dim=4, norm_groups=2)
    with pytest.raises(UsageError, match=r"images of 47x63 .* use --size 48x64 \(with --fit pad"):
        net.require_fit((1, 47, 63))
    assert size_near(18, 18, 4) == "16"
    assert size_near(1, 9, 4) == "4x8"


def test_transparency_is_kept_with_four_channels(tmp_path):
    clear = np.array([[[10, 20, 30, 0], [40, 50, 60, 128]]], np.uint8)
    files = {"a.png": encoded(Image.fromarray(clear)), "b.png": png((1, 2, 3), (2, 1))}
    data = load(str(write(tmp_path / "set", files)), channels=4)
    assert data.x[0].transpose(1, 2, 0).tolist() == clear.tolist()
    assert data.x[1, :, 0, 0].tolist() == [1, 2, 3, 255]
    assert data.report.paragraph() == "2 images of 1x2 pixels, colour and alpha."


def test_a_large_jpeg_is_decoded_small_before_it_counts(tmp_path):
    big = encoded(Image.new("RGB", (9_600, 9_600), "red"), "jpeg", quality=5)
    files = {"big.jpg": big, "a.png": png("red"), "b.png": png("red")}
    path = str(write(tmp_path / "set", files))
    data = load(path, size=8)
    assert data.x.shape == (3, 3, 8, 8)
    assert data.bad == ()
    whole = load(path, max_bad=0.5)
    assert whole.bad[0].reason == (
        "9600 x 9600 is over 89,478,485 pixels; with --size it can be decoded smaller"
    )


def test_train_and_sample_with_transparency(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    files = {
        f"{i}.png": encoded(Image.fromarray(rng.integers(0, 256, (8, 16, 4), np.uint8)))
        for i in range(8)
    }
    write(tmp_path / "set", files)
    tiny = "--steps 2 --channels-per-level 16 --head-dim 8 --batch-size 4 --sample-count 2"
    options = [*tiny.split(), "--sample-steps", "2", "--channels", "4", "--size", "8x12"]
    assert main(["train", "set", *options]) == 0
    assert "They were 8x16 (height x width): the middle 75 % is kept." in capsys.readouterr().err
    assert main(["sample", "1", "--n", "2", "--steps", "2", "--out", "grid.png"]) == 0
    with Image.open("grid.png") as grid:
        assert grid.getpixel((0, 0))[:3] == (255, 255, 255)
