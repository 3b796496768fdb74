"""The command on images larger than the model, in new words, and from one to another."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from small import images, small

from demist.cli import main
from demist.codecs import Pixels
from demist.conditions import Conditioner, LowResolution
from demist.core import Denoiser, Linear, Prediction, Velocity
from demist.drawing import read_metadata
from demist.editing import Following, Tiled, inpaint, restyle, starts, upscale, vary, windowed
from demist.errors import UsageError
from demist.model import Pipeline, Sampling
from demist.networks import UNet

LINE = "a big red seven"


@pytest.fixture(scope="module")
def upscaler():
    torch.manual_seed(0)
    conditioner = Conditioner({"low": LowResolution((3, 8, 8), 2)})
    net = UNet(
        in_channels=3, channels=(16,), norm_groups=4, head_dim=16, patch=2,
        inlets=conditioner.specs(),
    )  # fmt: skip
    for p in net.parameters():
        p.data += 0.1 * torch.randn_like(p)
    denoiser = Denoiser(net, Linear(), Velocity()).eval()
    return Pipeline(denoiser, Pixels(), conditioner, (3, 8, 8), Sampling(steps=2))


@pytest.fixture
def place(tmp_path, monkeypatch, upscaler):
    monkeypatch.chdir(tmp_path)
    upscaler.save("up")
    small().save("text")
    a, b = images(2)
    large = np.random.default_rng(1).integers(0, 256, (3, 12, 20), dtype=np.uint8)
    for name, x in (("a", a), ("b", b), ("large", large), ("tiny", a[:, ::2, ::2])):
        Image.fromarray(x.transpose(1, 2, 0)).save(f"{name}.png")
    return tmp_path


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(("overlap", "grain"), [(0, 1), (3, 1), (4, 2), (5, 4)])
def test_windows_cover_all_and_share_what_was_asked(wrap, overlap, grain):
    for length in range(8, 40, grain if grain > 1 else 3):
        found = starts(length, 8, overlap, wrap, grain)
        ends = [*found, found[0] + length] if wrap else found
        assert found[0] == 0
        assert wrap or found[-1] == length - 8
        assert all(start % grain == 0 for start in found)
        most = max(8 - overlap, grain)
        assert all(0 < b - a <= most for a, b in pairwise(ends))


def test_each_window_is_given_its_part_of_what_lies_over_the_image():
    """A denoiser that answers with its condition: the answer is exact, and whole."""

    class Copy:
        schedule = Linear()

        def __call__(self, x, t, **cond):
            assert cond["low.image"].shape == x.shape
            x0, one = cond["low.image"], torch.ones(())
            return Prediction(x0, x - x0, one, one)

    low, x = torch.randn(2, 3, 12, 16), torch.randn(2, 3, 12, 16)
    tiled = Tiled(Copy(), (8, 8), 4, over=frozenset({"low"}), grain=2)
    p = tiled(x, torch.tensor(0.5), **{"low.image": low, "low.level": torch.zeros(2, 1, 12, 16)})
    torch.testing.assert_close(p.x0, low)


def test_one_window_is_no_window(upscaler):
    small_image = images(2)[:, :, ::2, ::2]
    larger, guide = windowed(upscaler, (8, 8))
    a = upscale(larger, small_image, seed=1, guide=guide)
    assert np.array_equal(a, upscale(upscaler, small_image, seed=1))


def test_upscaling_in_windows(place, upscaler, capsys):
    assert main(["edit", "up", "a.png", "--upscale", "--windows", "--seed", "3"]) == 0
    said = "16x16 pixels are made in 9 windows of 8x8 pixels, overlapping by 4 or more"
    assert said in capsys.readouterr().err
    larger, guide = windowed(upscaler, (16, 16))
    expected = upscale(larger, images(2)[0], seed=(3,), guide=guide, n=1)
    assert np.array_equal(read("edited.png"), expected[0])
    edit = read_metadata("edited.png")["sampling"]["edit"]
    assert edit == {"upscale": True, "windows": True, "overlap": 0.5, "seamless": False}
    assert main(["edit", "up", "tiny.png", "--upscale", "--windows", "--out", "one.png"]) == 0
    assert "windows" not in capsys.readouterr().err
    assert main(["edit", "up", "tiny.png", "--upscale", "--out", "own.png"]) == 0
    assert np.array_equal(read("one.png"), read("own.png"))


@pytest.mark.slow
def test_varying_and_filling_in_windows(place):
    line = ["edit", "text", "large.png", "--windows", "--prompt", LINE, "--seed", "2"]
    line += ["--steps", "2"]
    assert main([*line, "--strength", "0.5", "--overlap", "0.25"]) == 0
    larger, guide = windowed(small(), (12, 20), overlap=0.25)
    x = vary(larger, read("large.png"), 0.5, seed=(2,), guide=guide, text=LINE, steps=2)
    assert np.array_equal(read("edited.png"), x[0])
    assert main([*line, "--strength", "0", "--seamless", "--out", "same.png"]) == 0
    assert np.array_equal(read("same.png"), read("large.png"))
    assert main([*line, "--box", "10,4,6,6", "--out", "hole.png"]) == 0
    mask = np.zeros((12, 20), np.float32)
    mask[4:10, 10:16] = 1
    larger, guide = windowed(small(), (12, 20))
    x = inpaint(larger, read("large.png"), mask, seed=(2,), guide=guide, text=LINE, steps=2)
    assert np.array_equal(read("hole.png"), x[0])
    assert (read("hole.png") == read("large.png"))[:, mask == 0].all()


def test_a_folder_of_images_of_several_sizes_in_windows(place):
    (place / "in").mkdir()
    for name in ("a", "large", "b"):
        (place / f"{name}.png").rename(place / "in" / f"{name}.png")
    line = f"edit text in --windows --out done --batch-size 4 --prompt {LINE.split()[2]}"
    assert main(line.split()) == 0
    assert read("done/large.png").shape == (3, 12, 20)
    assert read("done/b.png").shape == (3, 8, 8)


def test_new_words_in_the_shapes_of_an_image(place):
    new = "a blue five"
    line = ["edit", "text", "a.png", "--prompt", LINE, "--restyle"]
    assert main([*line, new, "--seed", "2"]) == 0
    x = restyle(small(), new, images=images(2)[0], caption=LINE, seed=(2,))
    assert np.array_equal(read("edited.png"), x.images[0])
    assert main([*line, new, "--structure", "0.7", "--out", "more.png", "--seed", "2"]) == 0
    share = Following(words=0, pixels=0.7, features=0.7)
    x = restyle(small(), new, images=images(2)[0], caption=LINE, seed=(2,), following=share)
    assert np.array_equal(read("more.png"), x.images[0])
    assert main([*line, LINE, "--structure", "1", "--out", "same.png"]) == 0
    assert np.abs(read("same.png").astype(int) - images(2)[0]).max() <= 1


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_a_film_from_one_image_to_another(place, ending, capsys):
    line = f"edit text a.png --towards b.png --frames 5 --steps 4 --out film.{ending}"
    assert main(line.split()) == 0
    seen = capsys.readouterr()
    assert seen.out.split() == [f"film.{ending}"]
    assert "5 frames from a.png to b.png through their noises" in seen.err
    with Image.open(f"film.{ending}") as film:
        assert film.n_frames == 5


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("text tiny.png --windows", "windows are of 8x8 pixels"),
        ("up large.png --upscale", "show it in parts of that size with windows"),
        ("text a.png --overlap 0.2", "--overlap and --seamless go with --windows"),
        ("text large.png --windows --overlap 1", "overlap = 1 is no share of a window"),
        ("text large.png --windows --restyle red", "in all of an image; leave --windows out"),
        ("text large.png --windows --swap red-> --prompt red", "at once; leave --windows out"),
        ("text large.png --windows --only-masked --box 0,0,2,2", "ask for one of them"),
        ("up a.png --restyle red", "this model has no prompt"),
        ("text a.png --restyle red --swap red->blue", "are different edits"),
        ("text a.png --restyle red --strength 0", "--restyle with --strength 0 changes nothing"),
        ("text a.png --restyle red --structure 2", "a share is a number from 0 to 1"),
        ("text a.png --structure 0.5", "--structure goes with --restyle"),
        ("text a.png --frames 3", "--frames goes with --towards"),
        ("text a.png --towards b.png --n 2", "--towards makes one film"),
        ("text a.png --towards b.png --out film.png", "a film cannot be written as 'film.png'"),
        ("text a.png --towards b.png --frames 1", "1 frames: a film"),
        ("text a.png --towards b.png --solver ddim:eta=1", "deterministic"),
        ("text a.png --towards none.png", "there is no image none.png"),
        ("text . --towards b.png", "is a folder"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(place, capsys, line, words):
    assert main(["edit", *line.split()]) in (64, 66)
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_sizes_that_are_no_whole_small_pixels_are_refused(upscaler):
    with pytest.raises(UsageError, match="multiples of 2; cut or resize the image to 8x16"):
        windowed(upscaler, (9, 16))
