"""`demist restore` and `demist.restore`: what is drawn, compared, written and refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import demist
from demist.cli import main
from demist.codecs import KLAutoencoder, Standardize
from demist.conditions import Conditioner
from demist.core import Denoiser, Eps, Linear
from demist.editing import restoring, scores_of
from demist.editing.damage import Damage, decoder, from_unit, read_noise, to_unit
from demist.editing.restorer import FACTS, shown_spread
from demist.editing.sources import seed_of
from demist.errors import DemistError, UsageError
from demist.inverse import Dense, GaussianNoise, LinearOperator, PoissonNoise, make_method
from demist.io.tensors import write_tensors
from demist.model import Pipeline, Sampling, open_model
from demist.networks import MLP, Autoencoder

HOW = {"method": "prior", "steps": 2}
FLAGS = ("--method", "prior", "--steps", "2", "--n", "3")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def digits():
    return open_model("digits")


@pytest.fixture
def clean():
    return (np.arange(28 * 28).reshape(1, 28, 28) % 251).astype(np.uint8)


@pytest.fixture
def photos(tmp_path, clean):
    """Three images, and a folder in the folder."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "more/c.png")):
        Image.fromarray(clean[0] // (i + 1)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def points_model():
    net = MLP(features=2, width=16, depth=1)
    codec = Standardize((3.0, -1.0), 2.0)
    return Pipeline(Denoiser(net, Linear(), Eps()), codec, Conditioner({}), (2,))


def test_a_restoration_says_all_that_is_known_of_it(digits, clean):
    done = demist.restore(digits, clean, "half:lower", 0.05, n=3, simulate=True, seed=7, **HOW)
    assert done.samples.shape == (3, 1, 28, 28)
    plain = digits.sample(3, seed=(7, 8, 9), steps=2, grid="angular")
    assert np.array_equal(done.samples, plain)
    x = done.samples.astype(float)
    assert np.abs(done.mean - x.mean(0)).max() <= 0.5
    assert np.allclose(done.spread, x.std(0, ddof=1) / 127.5, atol=1e-6)
    upper = done.damaged[:, :14].astype(float) - clean[:, :14]
    inside = np.abs(clean[:, :14] - 127.5) < 90
    assert 5 < upper[inside].std() < 8  # 0.05 of -1 .. 1
    assert (done.damaged[:, 14:] == 128).all()
    y = to_unit(clean)[:, :14] + 0
    assert done.misfit == pytest.approx(
        ((to_unit(done.samples)[:, :, :14] - y).square().mean((1, 2, 3)) / 0.0025).numpy(), rel=0.1
    )
    assert set(done.scores()) == {
        "misfit", "spread", "psnr", "psnr_sample", "coverage", "coverage_wanted",
        "spread_over_error",
    }  # fmt: skip


def test_the_noise_is_the_seeds_and_no_samples(digits, clean):
    one, same, other = (
        demist.restore(digits, clean, "sr:2", 0.1, n=1, simulate=True, seed=s, **HOW).damaged
        for s in (1, 1, 2)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_damaged_data_is_taken_as_it_is(digits, clean):
    done = demist.restore(digits, clean, "half:lower", n=1, **HOW)
    assert np.array_equal(done.damaged[:, :14], clean[:, :14])
    assert "psnr" not in done.scores()
    assert math.isinf(done.scores()["misfit"])
    small = clean[:, ::4, ::4]
    assert np.array_equal(demist.restore(digits, small, "sr:4", n=1, **HOW).damaged, small)
    with pytest.raises(UsageError, match=r"damaged data has \(1, 28, 28\)"):
        demist.restore(digits, clean, "sr:4", n=1, **HOW)


def test_scores_by_hand():
    truth = np.full((1, 1, 4), 127.5 + 51, np.float32) / 127.5 - 1
    samples = np.stack([truth - 0.2, truth + 0.4])
    found = scores_of(samples.astype(np.float32), truth.astype(np.float32))
    assert found["psnr"] == pytest.approx(10 * math.log10(4 / 0.01), rel=1e-4)
    assert found["psnr_sample"] == pytest.approx(10 * math.log10(4 / 0.1), rel=1e-4)
    assert found["spread_over_error"] == pytest.approx(math.sqrt(0.18 * 1.5 / 0.01), rel=1e-4)
    assert found["coverage"] == 1
    assert found["coverage_wanted"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("levels", [2, 5, 250])
def test_coverage_is_that_of_ranks_whatever_the_ties(levels):
    """Truth and samples alike: of n = 8 the truth is inside in 7 of 9, ties or not."""
    rng = np.random.default_rng(levels)
    odds = rng.random((1, 40_000)) ** 3
    drawn = (rng.random((9, 40_000)) < odds) if levels == 2 else rng.random((9, 40_000))
    drawn = np.floor(drawn * (levels - 1)).astype(np.uint8)
    found = scores_of(drawn[1:], drawn[0])
    assert found["coverage"] == pytest.approx(found["coverage_wanted"], abs=0.01)
    narrow = scores_of((drawn[1:] // 3 + levels // 3).astype(np.uint8), drawn[0])
    assert narrow["coverage"] < found["coverage_wanted"] - 0.05


def test_points_are_measured_in_their_own_unit():
    pipeline = points_model()
    operator = Dense((2,), torch.tensor([[1.0, 2.0]]))
    damage = Damage.of(pipeline, operator, 0.1)
    x = torch.tensor([[5.0, 1.0], [3.0, -1.0]])
    y = operator.forward(x)
    inside = damage.in_states(y)
    assert isinstance(inside.operator, LinearOperator)
    assert inside.noise == GaussianNoise(0.1)
    z = pipeline.codec.encode(x)
    assert torch.allclose(inside.residual(z), torch.zeros(2, 1), atol=1e-6)
    assert torch.allclose(inside.residual(z + 1), torch.full((2, 1), -6.0), atol=1e-5)
    poisson = Damage.of(pipeline, operator, PoissonNoise(9.0, 0.0, 20.0)).in_states(y)
    assert torch.allclose(poisson.residual(z), torch.zeros(2, 1), atol=1e-6)
    done = demist.restore(pipeline, np.array([7.0], np.float32), operator, 0.1, n=4, **HOW)
    assert done.samples.shape == (4, 2)


def test_latents_are_measured_through_their_autoencoder():
    net = Autoencoder(in_channels=1, latent_channels=2, channels=[8], patch=2, norm_groups=2)
    codec = KLAutoencoder(net)
    shape = codec.state_shape((1, 16, 16))
    pipeline = Pipeline(
        Denoiser(torch.nn.Conv2d(2, 2, 1), Linear(), Eps()), codec, Conditioner({}), (1, 16, 16)
    )
    damage = Damage.of(pipeline, "sr:4", 0.1)
    assert restoring.chosen(damage, "auto") == "mmps:most=4"
    z = torch.randn(2, *shape)
    leaf = z.clone().requires_grad_()
    decoded = decoder(pipeline)(leaf)
    inside = damage.in_states(torch.zeros(1, 1, 4, 4))
    assert torch.allclose(inside.operator.forward(z), damage.operator.forward(decoded))
    near = from_unit(decoded.detach(), codec.decode(z).numpy())
    assert np.abs(near.astype(int) - codec.decode(z).numpy()).max() <= 1
    inside.log_likelihood(leaf).sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())


def test_noise_is_read():
    assert read_noise("0.05") == read_noise(0.05) == GaussianNoise(0.05)
    assert read_noise("poisson:30") == PoissonNoise(30.0)
    for text in ("loud", "poisson", "poisson:", "gauss:3"):
        with pytest.raises(UsageError, match="in the unit of the data, which for images goes"):
            read_noise(text)
    with pytest.raises(UsageError, match="at least 0"):
        read_noise(-1)


def test_methods_that_walk_by_themselves_take_the_grid_as_it_is(digits):
    for name in ("ddrm", "daps", "fps", "mmps"):
        how = restoring.usual(digits, Sampling(), make_method(name))
        assert "shift" not in str(digits.plan(1, how).sampling.grid), name
    assert "shift" in str(digits.plan(1, steps=40).sampling.grid)


def test_auto_goes_with_any_operator_and_noise(digits):
    for operator in ("sr:4", "half:lower@blur:1"):  # with and without a spectrum
        for noise, wanted in ((0.1, "tds-mmps"), (0.0, "mmps:most=4"), ("poisson:20", "mmps")):
            damage = Damage.of(digits, operator, noise)
            assert restoring.chosen(damage, "auto") == wanted
            y = torch.full((1, *damage.operator.out), 0.5)
            make_method(wanted).require(damage.in_states(y))
    real = Damage.of(digits, "half:lower", 0.1)
    assert restoring.chosen(real, "prior") == "prior"
    y = torch.zeros(1, 392)
    plan = restoring.planned(real, y, "auto", [0], Sampling(), {})
    assert (plan.sampling.steps, plan.sampling.solver) == (40, "ddim:eta=1")
    plan = restoring.planned(real, y, "auto", [0], Sampling(steps=3, solver="heun"), {})
    assert (plan.sampling.steps, plan.sampling.solver) == (3, "heun")
    for name in ("tmpd", "replacement", "repaint", "ilvr"):
        assert restoring.planned(real, y, name, [0], Sampling(), {}).sampling.solver == "ddim:eta=1"


@pytest.mark.slow
def test_auto_fits_poisson_noise():
    """Four iterations leave a dark block at a misfit of thousands."""
    x = np.asarray(demist.load("digits", split="test").x[0])
    found = demist.restore("digits", x, "sr:4", "poisson:30", n=2, simulate=True, steps=10, seed=0)
    assert found.misfit.max() < 2


def test_a_file_becomes_its_mean_its_samples_and_its_spread(digits, photos, capsys):
    line = ["restore", "digits", str(photos / "a.png"), "--operator", "half:lower", "--noise"]
    assert main([*line, "0.05", "--simulate", *FLAGS]) == 0
    said = capsys.readouterr()
    names = said.out.split()
    assert names == [f"restored{word}.png" for word in ("", "-damaged", "-samples", "-spread")]
    assert "392 numbers are measured of the 784" in said.err
    assert "standard deviation 0.05 (6.4 of 255), in the data's unit, from -1 (black)" in said.err
    assert "method prior (as asked): 3 samples of 2 steps of adams:p=2,last=1" in said.err
    assert "evaluations of the network for one sample: 2" in said.err
    assert "coverage" in said.err
    clean = np.asarray(Image.open(photos / "a.png"))[None]
    done = demist.restore(digits, clean, "half:lower", 0.05, n=3, simulate=True, **HOW)
    mean, damaged, _, spread = (np.asarray(Image.open(name).convert("L")) for name in names)
    assert np.array_equal(mean, done.mean[0])
    assert np.array_equal(damaged, done.damaged[0])
    assert np.array_equal(spread, shown_spread(done.spread)[0])
    assert main([*line, "0.05", *FLAGS, "--out", "restored.png"]) == 73
    assert "exists already" in capsys.readouterr().err
    assert main([*line, "0.05", *FLAGS, "--out", "all.npy"]) == 0
    assert np.load("all.npy").shape == (3, 1, 28, 28)
    # What is measured by a matrix is no image.
    np.save("sums.npy", np.eye(4, 784))
    line[4] = "dense:sums.npy"
    assert main([*line, "0.05", "--simulate", "--out", "sums.png", *FLAGS]) == 0
    assert not Path("sums-damaged.png").exists()
    assert capsys.readouterr().out.split()[-3:] == [
        "sums.png",
        "sums-samples.png",
        "sums-spread.png",
    ]


def test_a_folder_keeps_its_names_and_goes_on(digits, photos, capsys):
    line = ["restore", "digits", str(photos), "--operator", "half:lower", "--out", "out", *FLAGS]
    assert main([*line, "--simulate"]) == 0
    capsys.readouterr()
    made = {p.relative_to("out").as_posix(): p.read_bytes() for p in _files("out")}
    assert sorted(made) == sorted(
        [FACTS]
        + [
            f"{name}{word}.png"
            for name in ("a", "b", "more/c")
            for word in ("", "-damaged", "-samples", "-spread")
        ]
    )
    # An image's draws depend neither on the others nor on the batch.
    data = np.asarray(Image.open(photos / "more" / "c.png"))[None]
    seed = seed_of(0, "more/c.png")
    alone = demist.restore(digits, data, "half:lower", n=3, seed=seed, simulate=True, **HOW)
    assert np.array_equal(np.asarray(Image.open("out/more/c.png").convert("L")), alone.mean[0])
    scores = json.loads(made[FACTS])["scores"]["more/c.png"]
    assert scores["psnr"] == pytest.approx(alone.scores()["psnr"], rel=1e-4)
    assert main([*line, "--simulate"]) == 73
    assert "is not empty; add --resume" in capsys.readouterr().err
    (photos.parent / "out" / "b.png").unlink()
    assert main([*line, "--simulate", "--resume"]) == 0
    assert "2 of 3 images are there already" in capsys.readouterr().err
    again = {p.relative_to("out").as_posix(): p.read_bytes() for p in _files("out")}
    assert again == made
    assert main([*line, "--simulate", "--resume", "--seed", "3"]) == 73
    assert "were restored otherwise" in capsys.readouterr().err


def test_a_bad_file_of_a_folder_is_left_out(photos, capsys):
    (photos / "b.png").write_bytes(b"no image")
    line = ["restore", "digits", str(photos), "--operator", "half:lower", "--out", "out", *FLAGS]
    assert main(line) == 65
    said = capsys.readouterr().err
    assert "b.png is left out" in said
    assert "1 of 3 images were not restored" in said
    assert (photos.parent / "out" / "more" / "c.png").exists()


@pytest.fixture
def holes(tmp_path):
    """A mask of its own for each of the photos, one with another ending."""
    (tmp_path / "holes" / "more").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.bmp", "more/c.png")):
        mask = np.zeros((28, 28), np.uint8)
        mask[4 * i + 3 : 4 * i + 9 + i, 4:20] = 255
        Image.fromarray(mask).save(tmp_path / "holes" / name)
    return tmp_path / "holes"


def test_each_image_of_a_folder_has_its_own_mask(photos, holes, capsys):
    line = ["restore", "digits", str(photos), "--operator", "mask:holes", "--out", "out"]
    line += ["--method", "ddnm", *FLAGS[2:]]
    assert main(line) == 0
    said = capsys.readouterr().err
    assert "each with the mask of its own name; of the first: 688 numbers are measured" in said
    for name, mask, seen in (
        ("a", "a.png", 688),
        ("b", "b.bmp", 672),
        ("more/c", "more/c.png", 656),
    ):
        data = np.asarray(Image.open(photos / f"{name}.png"))[None]
        hidden = np.asarray(Image.open(holes / mask)) > 0
        assert (~hidden).sum() == seen
        mean = np.asarray(Image.open(f"out/{name}.png").convert("L"))
        assert np.abs(mean.astype(int) - data[0])[~hidden].max() <= 1
        seed = seed_of(0, f"{name}.png")
        alone = demist.restore(
            "digits", data, f"mask:{holes / mask}", method="ddnm", n=3, seed=seed, steps=2
        )
        assert np.array_equal(mean, alone.mean[0])
    made = {p.name: p.read_bytes() for p in _files("out")}
    (photos.parent / "out" / "b.png").unlink()
    assert main([*line, "--resume"]) == 0
    assert "2 of 3 images are there already" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in _files("out")} == made


def test_one_image_finds_its_mask_in_a_folder(photos, holes):
    line = ["restore", "digits", str(photos / "b.png"), *FLAGS, "--operator"]
    assert main([*line, "mask:holes", "--out", "one.png"]) == 0
    assert main([*line, f"mask:{holes / 'b.bmp'}", "--out", "two.png"]) == 0
    one, two = (np.asarray(Image.open(name)) for name in ("one.png", "two.png"))
    assert np.array_equal(one, two)
    with pytest.raises(UsageError, match=r"holes is a folder of masks, one for each file"):
        demist.restore("digits", np.zeros((1, 28, 28), np.uint8), "mask:holes", n=1, **HOW)


def test_masks_that_do_not_fit_their_images(photos, holes, capsys):
    line = ["restore", "digits", str(photos), "--operator", "mask:holes", "--out", "out", *FLAGS]
    (holes / "a.png").unlink()
    Image.fromarray(np.full((9, 7), 255, np.uint8)).save(holes / "b.bmp")
    assert main(line) == 65
    said = capsys.readouterr().err
    missing = f"there is no mask {'holes/a.png'} for a.png; a mask has the name of its image"
    assert f"a.png is left out: {missing}" in said
    assert "b.png is left out: mask holes/b.bmp has 7x9 pixels, and the data is 28x28" in said
    assert "2 of 3 images were not restored" in said
    assert (photos.parent / "out" / "more" / "c.png").exists()
    (holes / "more" / "c.png").unlink()
    line[line.index("out")] = "nowhere"
    assert main(line) == 65
    said = capsys.readouterr().err
    assert f"none of 3 images can be restored; of the first: {missing}" in said
    assert said.strip().count("\n") == 0
    assert not (photos.parent / "nowhere").exists()


def _files(folder):
    from pathlib import Path

    return sorted(p for p in Path(folder).rglob("*") if p.is_file())


def test_files_of_operators(photos, digits, tmp_path):
    mask = np.zeros((28, 28), np.uint8)
    mask[3:9, 4:20] = 255
    Image.fromarray(mask).save("mask.png")
    operator = Damage.of(digits, "mask:mask.png", 0.0).operator
    assert torch.equal(operator.hidden_part[0], torch.from_numpy(mask > 0))
    rows = torch.randn(5, 784, dtype=torch.float64)
    np.save("rows.npy", rows.numpy())
    write_tensors("rows.safetensors", {"a": rows})
    for name in ("rows.npy", "rows.safetensors"):
        assert torch.equal(Damage.of(digits, f"dense:{name}", 0.0).operator.matrix, rows)
    Image.fromarray(np.eye(5, dtype=np.uint8) * 255).save("kernel.png")
    assert torch.equal(Damage.of(digits, "motion:kernel.png", 0.0).operator.kernel, torch.eye(5))
    np.save("y.npy", rows.numpy()[:, 0])
    line = ["restore", "digits", "y.npy", "--operator", "dense:rows.npy", *FLAGS]
    assert main([*line, "--out", "a.png"]) == 0


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("has 7x9 pixels, and the data is 28x28", ("--operator", "mask:small.png")),
        ("is empty, so nothing is hidden", ("--operator", "mask:black.png")),
        ("grey pixels", ("--operator", "mask:photos/a.png")),
        ("cannot read the image nothing.png", ("--operator", "mask:nothing.png")),
        ("there is no array nothing.npy", ("--operator", "dense:nothing.npy")),
        ("no operator called 'sharpen'", ("--operator", "sharpen")),
        ("no method called 'magic'", ("--operator", "sr:4", "--method", "magic")),
        ("in the unit of the data", ("--operator", "sr:4", "--noise", "loud")),
        ("the operator gives 7x7 from the model's 28x28", ("--operator", "sr:4")),
        ("take another model", ("--operator", "colour")),
        ("no prompt", ("--operator", "half:lower", "--prompt", "a dog")),
        ("no class", ("--operator", "half:lower", "--class", "x")),
        ("--n 0: give 1 or more", ("--operator", "half:lower", "--n", "0")),
        ("is no image; give an array", ("--operator", "dense:one.npy")),
    ],
)
def test_bad_input_is_one_sentence(photos, words, more, capsys):
    Image.fromarray(np.full((9, 7), 255, np.uint8)).save("small.png")
    Image.fromarray(np.zeros((28, 28), np.uint8)).save("black.png")
    np.save("one.npy", np.ones((1, 784)))
    assert main(["restore", "digits", str(photos / "a.png"), *FLAGS[:4], *more]) != 0
    said = capsys.readouterr().err.strip()
    assert words in said
    assert said.count("\n") == 0
    assert not list(photos.parent.glob("restored*"))


def test_bad_folders_are_one_sentence(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    line = ["restore", "digits", "--operator", "half:lower", *FLAGS]
    assert main([*line, "empty"]) == 66
    assert "there are no images in empty" in capsys.readouterr().err
    assert main([*line, "nothing.png"]) == 66
    assert "there is no file nothing.png" in capsys.readouterr().err
    with pytest.raises(DemistError, match="2 seeds for 3 samples"):
        demist.restore("digits", np.zeros((1, 28, 28), np.uint8), "sr:4", n=3, seed=(1, 2))
