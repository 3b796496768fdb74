"""Models learn from columns of images, in pixels and in latents, and edit as they were taught."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CONFIG, one_thread  # noqa: F401

from demist import recipes
from demist.cli import main
from demist.conditions import Conditioner, InLatents, LowResolution, Masked, Picture
from demist.conditions.holes import NUMBERS, holes
from demist.config import TrainConfig, flat, update
from demist.core import Seeded
from demist.data import load
from demist.editing import inpaint, instruct, upscale
from demist.errors import DataError, UsageError
from demist.model import open_model
from demist.training.build import build
from demist.training.run import train

OWN = {key: flat(CONFIG)[key] for key in (
    "channels_per_level", "attention_levels", "head_dim", "norm_groups", "batch_size", "steps",
    "precision", "sample_steps", "sample_count", "log_every", "warmup",
)}  # fmt: skip
SMALL = OWN | {"text_width": 32, "text_depth": 1, "cross_levels": [1], "budget": None,
               "hold_out": 0.0, "device": "cpu"}  # fmt: skip
WORDS = ("make it red", "make it blue", "remove it", "make it red")
N = 8


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


def picture(i, channels=3, side=8):
    return np.random.default_rng(i).integers(0, 256, (channels, side, side), np.uint8)


def put(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(path)


def hole(i):
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[:, i % 4 : i % 4 + 4, 1:5] = 255  # unlike its mirror image
    return mask


@pytest.fixture
def pairs(tmp_path):
    """A folder with all columns that pairs can have."""
    folder, rows = tmp_path / "pairs", []
    for i in range(N):
        small = picture(100 + i).reshape(3, 4, 2, 4, 2).mean((2, 4)).astype(np.uint8)
        images = {"target": picture(i), "source": picture(100 + i), "mask": hole(i), "low": small}
        for name, image in images.items():
            put(folder / name / f"{i}.png", image)
        files = {name: f"{name}/{i}.png" for name in images}
        rows.append({"file_name": files.pop("target"), **files, "instruction": WORDS[i % 4]})
    write(folder, rows)
    return folder


def write(folder, rows):
    lines = [json.dumps(row) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join([*lines, ""]))


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


@pytest.fixture
def coder(tmp_path, pairs):
    """A run that made a codec."""
    options = {**OWN, "network": "autoencoder", "latent_channels": 2, "downsample": 2}
    config = update(CONFIG, {**options, "path": str(pairs), "runs": str(tmp_path / "runs"),
                             "name": "coder", "hold_out": 0.0})  # fmt: skip
    return train(config, quiet=True)


def asked(recipe, pairs, **more):
    runs = str(pairs.parent / "runs")
    return update(
        recipes.find(recipe).config(), {**SMALL, "path": str(pairs), "runs": runs, **more}
    )


def latent(coder):
    return {"codec": str(coder.path), "patch": 1}


def test_two_conditions_are_hidden_alone_and_together_as_often():
    shape = (1, 2, 2)
    two = {name: Picture(shape, drop=0.1, group="~edit") for name in "ab"}
    conditioner = Conditioner(two)
    u = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    cond = conditioner.encode(1000, {name: np.zeros((1, 2, 2), np.uint8) for name in "ab"})
    cond = conditioner.drop(cond, lambda name: u)
    a, b = (cond[f"{name}.unsaid"].flatten(1).all(1) for name in "ab")
    assert [int(x.sum()) for x in (a & ~b, b & ~a, a & b)] == [50, 50, 50]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["pixels", "latents"])
def test_instructions_are_learned_and_followed_with_two_scales(pairs, coder, where):
    more = latent(coder) if where == "latents" else {}
    run = train(asked("instruct", pairs, **more), quiet=True)
    model = open_model(str(run.path))
    kinds = {name: type(c) for name, c in model.conditioner.conditions.items()}
    assert kinds["source"] is (InLatents if more else Picture)
    assert model.defaults.guidance_rule == "dual:first=source"
    torch.manual_seed(0)
    with torch.no_grad():  # so that it heeds its conditions after so few steps
        for p in model.denoiser.net.parameters():
            p += 0.1 * torch.randn_like(p)
    image = picture(0)
    shown = {"source": image[None], "instruction": "make it red"}
    for scale in (1.0, 2.0):  # equal scales are plain guidance
        dual = instruct(model, image, "make it red", guidance=scale, image_guidance=scale)
        plain = model.sample(1, guidance=scale, guidance_rule="cfg", **shown)
        assert np.abs(dual.astype(int) - plain).max() <= 1
    far = instruct(model, image, "make it red", guidance=9.0, image_guidance=0.5)
    assert np.abs(far.astype(int) - plain).max() > 1
    model.save(pairs.parent / "saved")
    again = open_model(str(pairs.parent / "saved"))
    assert (instruct(again, image, "remove it") == instruct(model, image, "remove it")).all()
    put(pairs.parent / "one.png", image)
    line = ["edit", str(pairs.parent / "saved"), str(pairs.parent / "one.png"), "--steps", "2"]
    out = pairs.parent / "made.png"
    assert main([*line, "--instruct", "make it blue", "--out", str(out)]) == 0
    want = instruct(model, image, "make it blue", steps=2, seed=0)[0]
    assert (np.asarray(Image.open(out)).transpose(2, 0, 1) == want).all()


@pytest.mark.parametrize("recipe, name", [("instruct", "source"), ("inpaint", "mask")])
def test_training_sees_the_latents_that_sampling_sees(pairs, coder, recipe, name):
    e = build(asked(recipe, pairs, flip=True, **latent(coder), batch_size=N))
    data, condition = load(str(pairs)), e.pipeline.conditioner.conditions[name]
    assert condition.coder is e.pipeline.codec  # its scale measured on the data
    column, hidden = data.columns[name].values, condition.null()["image"]
    for step in range(3):
        index, cond = e.streams.indices(step), e.batches(step).cond
        turned = e.streams.uniforms("flip", step) < 0.5
        for k, i in enumerate(index):
            x = data.x[i][None], column[i][None]
            if turned[k]:
                x = tuple(part[..., ::-1].copy() for part in x)
            want = condition.encode(condition.beside(x[1], x[0]), 1)
            found = cond[f"{name}.image"] if name == "mask" else cond[name]
            if torch.allclose(found[k], hidden[0]):
                continue
            torch.testing.assert_close(found[k], want["image"][0], rtol=1e-4, atol=1e-4)
            if name == "mask":
                assert torch.equal(cond["mask.mask"][k], want["mask"][0])


@pytest.mark.slow
@pytest.mark.parametrize("where", ["pixels", "latents"])
def test_holes_are_drawn_where_there_are_no_masks(pairs, coder, where):
    write(pairs, without("mask")(rows_of(pairs)))
    for file in (pairs / "mask").iterdir():
        file.unlink()
    more = latent(coder) if where == "latents" else {}
    config = asked("inpaint", pairs, **more)
    e, again = build(config), build(config)
    first, second = (e.batches(step).cond["masked.mask"] for step in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(again.batches(1).cond["masked.mask"], second)  # of the step alone
    if not more:
        batch = e.batches(0)
        anew = batch.cond["masked.mask"].bool()
        shown = batch.cond["masked.image"]
        assert not shown[anew.expand_as(shown)].any()
        kept = ~anew.expand_as(shown)
        assert torch.equal(shown[kept], batch.x0[kept])
    run = train(config, quiet=True)
    model = open_model(str(run.path))
    mask = np.zeros((8, 8), np.float32)
    mask[2:5, 1:6] = 1
    made = inpaint(model, picture(3), mask)[0]
    differs = (made != picture(3)).any(0)
    assert differs.any()
    assert not (differs & (mask == 0)).any()


def test_masks_of_a_column_are_taken_where_there_are_some(pairs):
    e = build(asked("inpaint", pairs))
    known = e.pipeline.conditioner.conditions
    assert list(known) == ["mask"]
    assert isinstance(known["mask"], Masked)
    assert e.pipeline.defaults.guidance == 1.0  # there is nothing else to lead to
    assert "there is but mask: samples are drawn without guidance" in " ".join(e.notes)
    seen = e.batches(0).cond["mask.mask"]
    wanted = load(str(pairs)).columns["mask"].values[e.streams.indices(0)] >= 128
    hidden = (seen == 1).flatten(1).all(1)
    assert all(h or torch.equal(m.bool(), torch.from_numpy(w))
               for h, m, w in zip(hidden, seen, wanted, strict=True))  # fmt: skip
    captioned = [{**row, "text": row["instruction"]} for row in rows_of(pairs)]
    write(pairs, captioned)
    how = build(asked("inpaint", pairs)).pipeline.defaults
    assert how.guidance_rule == "dual:first_scale=1,first=mask"
    assert how.guidance == 3.0


def test_a_stroke_is_all_that_is_near_its_line_and_a_rectangle_has_its_sides():
    # Whole, kind, count; then of each part y and x, y and x or height and width, thickness.
    first = [0.5, 0.9, 0.0, 0.25, 0.3, 0.6, 0.7, 0.5]
    u = torch.zeros(2, NUMBERS, dtype=torch.float64)
    u[0, : len(first)] = u[1, : len(first)] = torch.tensor(first)
    u[1, 1] = 0.1
    stroke, box = holes(u, 64, 64)[:, 0]
    y, x = (torch.arange(64, dtype=torch.float64) + 0.5).div(64), torch.linspace(0, 1, 4000)
    line = torch.stack([0.25 + 0.35 * x, 0.3 + 0.4 * x], -1).double()
    away = torch.cdist(torch.cartesian_prod(y, y), line).min(1).values.reshape(64, 64)
    assert torch.equal(stroke.bool(), away < 0.08)
    high, wide = 0.15 + 0.45 * 0.6, 0.15 + 0.45 * 0.7
    inside = ((y - 0.25).abs() < high / 2)[:, None] & ((y - 0.3).abs() < wide / 2)
    assert torch.equal(box.bool(), inside)


@pytest.mark.slow
def test_drawn_holes_are_of_all_kinds_and_never_empty():
    u = torch.from_numpy(np.random.default_rng(0).random((2000, NUMBERS)))
    for side in (4, 8, 64):
        share = holes(u, side, side).float().mean((1, 2, 3))
        assert share.min() > 0
        assert 0.08 < (share == 1).float().mean() < 0.16
    assert 0.05 < share[share < 1].quantile(0.1) < share[share < 1].quantile(0.9) < 0.7
    one = holes(u[3:4], 64, 64)
    assert torch.equal(one[0], holes(u, 64, 64)[3])  # whatever others there are


def test_small_images_become_large_from_a_column_or_from_the_images(pairs, capsys):
    e = build(asked("upscale", pairs))
    assert isinstance(low := e.pipeline.conditioner.conditions["low"], LowResolution)
    assert (low.factor, low.noise) == (2, 0.2)
    assert "column low says" in capsys.readouterr().err
    wider = build(asked("upscale", pairs, size=16))  # the small ones keep their size
    assert wider.pipeline.conditioner.conditions["low"].factor == 4
    small = load(str(pairs)).columns["low"].values[e.streams.indices(0)]
    cond = e.batches(0).cond
    level = cond["low.level"][:, 0, 0, 0]
    assert 0 < level.min() < level.max() < 1
    clean = torch.from_numpy(small).float() / 127.5 - 1
    error = (cond["low.image"][:, :, ::2, ::2] - clean).flatten(1).std(1)
    assert torch.allclose(error, 0.2 * level, rtol=0.6, atol=0.02)
    write(pairs, [{"file_name": r["file_name"], "note": str(i)} for i, r in
                  enumerate(rows_of(pairs))])  # fmt: skip
    for name in ("low", "source", "mask"):
        for file in (pairs / name).iterdir():
            file.unlink()
    run = train(asked("upscale", pairs), quiet=True)
    model = open_model(str(run.path))
    assert model.conditioner.conditions["low_resolution"].factor == 4
    assert upscale(model, picture(0, side=2)).shape == (1, 3, 8, 8)


def test_what_pairs_are_also_called(tmp_path, capsys):
    for i in range(4):
        put(tmp_path / "p" / f"{i}.input.png", picture(i))
        put(tmp_path / "p" / f"{i}.target.png", picture(9 + i))
        (tmp_path / "p" / f"{i}.txt").write_text(WORDS[i])
    e = build(asked("instruct", tmp_path / "p", batch_size=4))
    assert list(e.pipeline.conditioner.conditions) == ["input", "text"]
    assert e.pipeline.defaults.guidance_rule == "dual:first=input"
    assert "the column input is taken for it" in capsys.readouterr().err


def without(column):
    return lambda rows: [{k: v for k, v in row.items() if k != column} for row in rows]


def with_value(column, value, which=slice(0, 1)):
    def changed(rows):
        for row in rows[which]:
            row[column] = value
        return rows

    return changed


@pytest.mark.parametrize(
    "recipe, change, error, words",
    [
        ("instruct", without("source"), UsageError, "no column 'source'; it has"),
        ("instruct", without("instruction"), UsageError, "no column 'instruction'"),
        ("instruct", with_value("instruction", ""), UsageError,
         "'instruction', as 1 of 8 rows have no value, first 'target/0.png'"),
        ("instruct", with_value("source", "source/x.png"), DataError,
         "'source' of the metadata: 1 files are not there, first 'source/x.png'"),
        ("instruct", with_value("source", "lost.png", slice(None)), UsageError,
         "the images that it names are not there, first 'lost.png'"),
        ("instruct", with_value("source", "low/0.png", slice(None)), UsageError,
         "its images are 4x4 .* and the samples 8x8"),
        ("inpaint", with_value("mask", "black.png", slice(None)), UsageError,
         "the column mask: all its masks are empty"),
        ("upscale", with_value("low", "odd.png", slice(None)), UsageError,
         "its images are 3x3 .* no whole part"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(pairs, recipe, change, error, words):
    put(pairs / "black.png", np.zeros((1, 8, 8), np.uint8))
    put(pairs / "odd.png", picture(0, side=3))
    rows = change(rows_of(pairs))
    used = {row[k] for row in rows for k in row if str(row[k]).endswith(".png")}
    for file in pairs.rglob("*.png"):
        if str(file.relative_to(pairs)) not in used:
            file.unlink()
    write(pairs, rows)
    with pytest.raises(error, match=words) as caught:
        build(asked(recipe, pairs))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", [True, False])
def test_small_images_become_latents_whose_noise_is_told(pairs, coder, column):
    if not column:
        (pairs / "metadata.jsonl").unlink()
        for name in ("low", "source", "mask"):
            shutil.rmtree(pairs / name)
    e = build(asked("upscale", pairs, **latent(coder), flip=True, batch_size=N))
    name = "low" if column else "low_resolution"
    told, data = e.pipeline.conditioner.conditions[name], load(str(pairs))
    assert isinstance(told, InLatents)
    assert told.coder is e.pipeline.codec
    given = data.columns["low"].values if column else data.x[:]
    cond, index = e.batches(0).cond, e.streams.indices(0)
    turned = e.streams.uniforms("flip", 0) < 0.5
    rows = np.stack([given[i][..., ::-1] if turned[k] else given[i] for k, i in enumerate(index)])
    clean = told.encode(rows, N)
    assert not clean["level"].any()
    level = cond[f"{name}.level"][:, 0, 0, 0]
    there = level >= 0  # else it is hidden
    assert there.any()
    assert 0 < level[there].min() < level[there].max() < 1
    error = (cond[f"{name}.image"] - clean["image"]).flatten(1).std(1)
    torch.testing.assert_close(error[there], 0.2 * level[there], rtol=0.4, atol=0.02)
    assert not cond[f"{name}.image"][~there].any()
    shown = told.sampled(clean, Seeded(range(N)), 0.5)
    assert (shown["level"] == 0.5).all()
    with pytest.raises(UsageError, match="no multiples of"):
        told.sized(9, 9)


EDITS = {
    "low": ["--upscale"],
    "mask": ["--box", "2,2,4,4"],
    "source": ["--instruct", "make it red"],
}


@pytest.fixture
def base(pairs, coder):
    """A model of words in latents, by the network and its clock."""

    def make(network):
        options = {**SMALL, **latent(coder), "network": network, "conditions": "instruction",
                   "steps": 2}  # fmt: skip
        if network == "unet2d":
            options |= {"conditions": "", "cross_levels": None}
        config = update(TrainConfig(), {**options, "path": str(pairs), "flip": False,
                                        "runs": str(pairs.parent / "runs")})  # fmt: skip
        return train(config, quiet=True)

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "column"),
    [("unet2d", "mask"), ("unet", "low"), ("sd", "mask"), ("mmdit", "source"), ("dit", "low")],
)
def test_a_base_in_latents_is_told_an_image_and_edits(pairs, base, network, column):
    start = base(network)
    named = "low-resolution" if column == "low" else column
    named = f"instruction,{named}" if network != "unet2d" else named
    own = {key: SMALL[key] for key in ("batch_size", "steps", "precision", "budget", "device",
                                       "hold_out", "sample_steps")}  # fmt: skip
    config = update(TrainConfig(), {**own, "path": str(pairs), "flip": False, "lr": 1e-2,
                                    "start_from": str(start.path), "conditions": named,
                                    "runs": str(pairs.parent / "runs")})  # fmt: skip
    e, theirs = build(config), open_model(str(start.path))
    told = e.pipeline.conditioner.conditions[column]
    assert isinstance(told, InLatents)
    assert told.coder is e.pipeline.codec
    x = torch.randn(2, *theirs.state_shape)
    t = torch.full((2,), 0.5)
    shown = load(str(pairs)).columns[column].values[:2]
    values = {column: told.beside(shown, picture(5)[None].repeat(2, 0))}
    values |= {} if network == "unet2d" else {"instruction": ["make it red"] * 2}
    ours = e.pipeline.denoiser.eval()(x, t, **e.pipeline.conditioner.encode(2, values)).x0
    values.pop(column)
    plain = theirs.denoiser(x, t, **theirs.conditioner.encode(2, values)).x0
    assert torch.equal(ours, plain)
    run = train(config, quiet=True)
    assert torch.equal(open_model(str(start.path)).denoiser(x, t, **theirs.conditioner.encode(
        2, values)).x0, plain)  # fmt: skip
    saved, put_in, out = pairs.parent / "saved", pairs.parent / "one.png", pairs.parent / "made.png"
    made = open_model(str(run.path))
    for name, columns in made.denoiser.net.columns.items():
        weight = made.denoiser.net.get_parameter(name).split(list(columns.values()), 1)
        assert column not in columns or weight[list(columns).index(column)].any()
    made.save(saved)
    put(put_in, picture(3, side=4 if column == "low" else 8))
    line = ["edit", str(saved), str(put_in), "--steps", "2", "--out", str(out)]
    assert main([*line, *EDITS[column]]) == 0
    with Image.open(out) as image:
        assert image.size == (8, 8)


def test_noise_of_a_drawn_hole_is_the_samples_own():
    draw = Seeded([1, 2])
    u = torch.special.ndtr(draw(torch.empty(2, NUMBERS)))
    assert torch.equal(u[1], torch.special.ndtr(Seeded([2])(torch.empty(1, NUMBERS)))[0])
