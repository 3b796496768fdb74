"""The job of the page Generate: the same pixels as the library, recipes in pictures, cancels."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from demist.codecs import LogMel, Standardize
from demist.conditions import Conditioner
from demist.core import VP, Denoiser, Eps
from demist.drawing import read_metadata
from demist.errors import DataError, MissingError, UsageError
from demist.measuring import pages
from demist.model import Pipeline, Sampling, open_model
from demist.networks import MLP, UNet
from demist.studio import marks, models, recipes
from demist.studio.jobs import generate
from demist.studio.jobs.generate import Settings
from demist.studio.store import Store
from demist.studio.telling import CancelledError, Tell
from demist.studio.worker import schema, settings_of


@pytest.fixture(scope="module")
def digits():
    return open_model("digits", device="cpu")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Run a job into a folder of its own; `make.told` has what it told."""
    monkeypatch.setenv("DEMIST_STUDIO_RUNS", str(tmp_path / "runs"))
    made = []

    def job(_stop_at=None, **settings):
        folder = tmp_path / f"job-{len(made)}"
        folder.mkdir()
        job.told = []

        def send(header, data):
            job.told.append((header, data))
            if _stop_at is not None and header.get("step") == _stop_at:
                tell.cancel()

        tell = Tell("000001-generate", folder, send)
        made.append(folder)
        generate.run(settings_of(generate, json.loads(json.dumps(settings))), folder, tell)
        return folder

    job.folders = made
    return job


def pixels(file):
    return np.asarray(Image.open(file))


def again(folder, make, name):
    """The picture that the recipe of a picture makes."""
    found = recipes.restored(read_metadata(folder / name), models.all_models(folder.parent))
    assert found["missing"] == []
    return make(**found["settings"])


def test_the_same_settings_make_the_same_pixels_as_the_pipeline(make, digits):
    folder = make(n=5, steps=3, seed=4, cond={"label": ["7", "3"]}, guidance=2, solver="ddim")
    how = Sampling(steps=3, seed=4, guidance=2.0, solver="ddim")
    x = digits.sample(5, how, label=["7", "7", "7", "3", "3"])
    for i in range(5):
        assert np.array_equal(pixels(folder / f"image-{i:03d}.png"), x[i, 0])
    page = pages.sample_page(digits, 5, how, labels=["7", "7", "7", "3", "3"])
    assert np.array_equal(pixels(folder / "page.png"), np.asarray(page.image))
    wanted = json.loads(json.dumps(page.facts))
    facts = read_metadata(folder / "page.png")
    assert facts.pop("command") == (
        "demist sample digits --n 5 --steps 3 --solver ddim --guidance 2.0 --seed 4 --class 7,3"
    )
    assert facts == wanted


def test_every_picture_carries_the_recipe_that_makes_it_again(make):
    folder = make(n=4, steps=3, seed=9, cond={"label": ["1", "2", "8", "9"]})
    alone = again(folder, make, "image-002.png")
    assert sorted(p.name for p in alone.glob("image-*")) == ["image-000.png"]
    one = pixels(alone / "image-000.png")
    assert np.array_equal(one, pixels(folder / "image-002.png"))
    assert not np.array_equal(one, pixels(folder / "image-001.png"))
    assert np.array_equal(pixels(again(folder, make, "page.png") / "page.png"),
                          pixels(folder / "page.png"))  # fmt: skip


@pytest.mark.slow
def test_a_grid_has_a_recipe_for_each_cell(make, digits):
    grid = ["guidance=1,3", "seed=0:2"]
    folder = make(grid=grid, steps=3, cond={"label": "5"})
    page = pages.grid_page(digits, grid, Sampling(steps=3), label="5")
    assert np.array_equal(pixels(folder / "page.png"), np.asarray(page.image))
    facts = [read_metadata(folder / f"image-{i:03d}.png")["sampling"] for i in range(4)]
    assert [(f["guidance"], f["seed"]) for f in facts] == [(1, 0), (1, 1), (3, 0), (3, 1)]
    assert all(f["n"] == 1 and f["label"] == "5" and "grid_of" not in f for f in facts)
    for i in (1, 2):
        cell = pixels(again(folder, make, f"image-{i:03d}.png") / "image-000.png")
        assert np.array_equal(cell, pixels(folder / f"image-{i:03d}.png"))
        assert np.array_equal(cell, page.x[i, 0])
    result = json.loads((folder / "result.json").read_text())
    assert result["grid"]["rows"]["labels"] == ["guidance 1", "guidance 3"]
    assert result["grid"]["columns"]["labels"] == ["seed 0", "seed 1"]


@pytest.mark.slow
def test_a_picture_of_the_command_line_is_restored(make, digits, tmp_path):
    page = pages.sample_page(
        digits, 6, Sampling(steps=3, seed=3, solver="heun", guidance_interval=(0.1, 0.8)),
        labels=["0", "0", "4", "4", "8", "8"], negative={"label": "3"},
    )  # fmt: skip
    page.save(tmp_path / "samples.png", "demist sample digits")
    found = recipes.restored(
        read_metadata(tmp_path / "samples.png"), models.all_models(tmp_path)
    )["settings"]  # fmt: skip
    assert found["model"] == "model-digits"
    assert found["cond"] == {"label": ["0", "4", "8"]}
    assert (found["guidance_interval"], found["negative"]) == ("0.1:0.8", "3")
    made = make(**found)
    assert np.array_equal(pixels(made / "page.png"), pixels(tmp_path / "samples.png"))


def test_each_step_is_told_and_shown_and_a_cancel_takes_effect_within_one(make):
    make(n=3, steps=4, cond={"label": "2"}, seed=1)
    steps = [h for h, _ in make.told if h["type"] == "step"]
    assert [h["step"] for h in steps] == [1, 2, 3, 4]
    assert {h["of"] for h in steps} == {4}
    assert steps[-1]["facts"]["each"] > 0
    assert steps[-1]["facts"]["n"] == 3
    first = next(data for h, data in make.told if h["type"] == "preview")
    assert first.startswith(b"\x89PNG")
    with pytest.raises(CancelledError, match="after step 1 of 50"):
        make(n=3, steps=50, _stop_at=1)
    assert not list(make.folders[-1].glob("image-*"))


def test_a_cancel_keeps_the_pictures_that_are_finished(make):
    axes = ["steps=2,30", "seed=0:2"]
    with pytest.raises(CancelledError):
        make(grid=axes, cond={"label": "3"}, _stop_at=4)
    folder = make.folders[-1]
    found = json.loads((folder / "result.json").read_text())
    kept = sorted(path.name for path in folder.glob("image-*"))
    assert [one["file"] for one in found["pictures"]] == kept == ["image-000.png", "image-001.png"]
    assert not (folder / "page.png").exists()
    whole = make(grid=["steps=2", "seed=0:2"], cond={"label": "3"})
    for name in kept:
        assert np.array_equal(pixels(folder / name), pixels(whole / name))


def test_what_makes_no_sense_is_said(make):
    for settings, words in (
        ({"n": 0}, "n = 0: give 1 to 400 images"),
        ({"only": 8}, "only = 8: there are 8, 0 to 7"),
        ({"eta": 0.5}, "eta = 0.5 is for ddim"),
        ({"size": "big"}, "size = 'big'"),
        ({"weights": "0" * 64}, "other weights than this model has"),
        ({"grid": ["seed=0:2"], "cond": {"label": ["1", "2"]}}, "label has several values"),
        ({"grid": ["wings=1,2"]}, "--grid wings=1,2"),
        ({"steps": "many"}, "steps = 'many'"),
        ({"steps": 10**9}, "steps = 1000000000: 10000 are the most"),
        ({"path": "/etc"}, "there is no setting 'path'"),
    ):
        with pytest.raises(UsageError, match=words):
            make(**settings)
    with pytest.raises(MissingError, match="there is no model"):
        make(model="../../etc")
    assert Settings(solver="ddim", eta=0.5).sampling().solver == "ddim:eta=0.5"


@pytest.mark.slow
def test_points_give_a_page_and_sounds_a_file_each(make, tmp_path):
    (tmp_path / "runs").mkdir()
    torch.manual_seed(0)
    net = MLP(features=2, width=8, depth=1)
    codec = Standardize((0.0, 0.0), 1.0)
    points = Pipeline(Denoiser(net, VP(), Eps()), codec, Conditioner(), (2,))
    points.save(tmp_path / "runs/points")
    folder = make(model="folder-points", n=50, steps=2)
    assert sorted(p.name for p in folder.iterdir()) == ["page.png", "result.json", "samples.npy"]
    assert np.array_equal(np.load(folder / "samples.npy"), points.sample(50, Sampling(steps=2)))
    assert read_metadata(folder / "page.png")["sampling"]["n"] == 50
    assert all(data.startswith(b"\x89PNG") for h, data in make.told if h["type"] == "preview")
    with pytest.raises(UsageError, match="a grid shows images"):
        make(model="folder-points", grid=["seed=0:2"])
    net = UNet(in_channels=1, channels=(8, 8), norm_groups=2, head_dim=8)
    codec = LogMel(8000, 128, 512)
    facts = {"kind": "sounds:rate=8000"}
    shape = (1, 8 * 128)
    sounds = Pipeline(
        Denoiser(net, VP(), Eps()), codec, Conditioner(), shape, Sampling(steps=2), facts
    )
    sounds.save(tmp_path / "runs/sounds")
    folder = make(model="folder-sounds", n=2)
    names = ["image-000.png", "image-001.png", "page.png", "result.json"]
    assert sorted(p.name for p in folder.iterdir()) == [*names, "sound-000.wav", "sound-001.wav"]
    assert (folder / "sound-001.wav").read_bytes().startswith(b"RIFF")


def test_the_form_is_drawn_from_the_schema():
    found = schema("generate")["properties"]
    assert [k for k, v in found.items() if v["group"] == "basic"] == [
        "model", "cond", "steps", "guidance", "seed",
    ]  # fmt: skip
    assert "heun" in found["solver"]["like"]
    assert all(one.get("description") for one in found.values())


def test_a_recipe_names_no_file_and_strange_ones_are_refused(tmp_path):
    known = models.all_models(tmp_path)
    for strange in (None, {}, {"sampling": 3}, {"sampling": []}):
        with pytest.raises(DataError, match="carries no recipe"):
            recipes.restored(strange, known)
    identity = {"sha256": "/etc/passwd", "data": "../../secret", "path": "/etc/passwd"}
    sampling = {"n": 1, "seed": [1, 2], "start": 0.5, "weak": {}, "edges": "image", "steps": 4}
    found = recipes.restored({"model": identity, "sampling": sampling}, known)
    assert "model" not in found["settings"]
    assert "weights" not in found["settings"]
    assert found["settings"]["seed"] == 1
    said = " ".join(found["missing"])
    assert "is not among the runs and models here" in said
    assert "given an image as edges" in said
    assert "at the time 0.5" in said


def test_numbers_of_a_recipe_that_no_job_takes_are_left_out_in_words():
    strange = {"n": 1, "steps": 10**400, "guidance": float("inf"), "grid": [1, 10**400, 0]}
    found = recipes.restored({"model": {}, "sampling": strange | {"seed": 3}}, [])
    assert found["settings"] == {"n": 1, "seed": 3, "cond": {}}
    assert [words for words in found["missing"] if "left out" in words] == [
        "A value of it is left out: steps is about 10 to the 400; 9223372036854775807 is the most.",
        "A value of it is left out: guidance is inf, which is no number that can be used.",
        "A value of it is left out: grid is about 10 to the 400; 9223372036854775807 is the most.",
    ]


def test_the_model_of_a_finished_run_is_found():
    facts = {"kind": "images", "data": {"name": "digits"}, "step": 5}
    known = [{"id": "run-2", "facts": facts | {"step": 6}}, {"id": "run-1", "facts": facts}]
    for told in (facts, facts | {"trained": {"seconds": 3}}):
        assert recipes.find(told | {"sha256": "0" * 64}, known)["id"] == "run-1"
        finished = [one | {"facts": one["facts"] | {"trained": {"seconds": 3}}} for one in known]
        assert recipes.find(told, finished)["id"] == "run-1"
    assert recipes.find(facts | {"data": {"name": "else"}}, known) is None


def test_an_edit_is_no_recipe_of_this_page():
    sampling = {"n": 1, "steps": 4, "edit": "inpaint", "image": "photo.png", "label": "7"}
    found = recipes.restored({"model": {"kind": "images"}, "sampling": sampling}, [])
    assert found["settings"]["cond"] == {"label": "7"}
    assert "an edit (inpaint) of photo.png, which the page Edit makes" in found["missing"][0]


def test_marks_are_files_that_move_with_the_job(tmp_path):
    store = Store(tmp_path)
    job = store.add("generate", {})
    folder = store.path(job)
    for name in ("image-000.png", "image-001.png"):
        (folder / name).write_bytes(b"x")
    marks.mark(folder, "image-001.png", True, None)
    marks.mark(folder, "image-000.png", None, True)
    assert store.read(job)["files"] == ["binned-000.png", "image-001.favourite", "image-001.png"]
    marks.mark(folder, "image-000.png", None, False)
    marks.mark(folder, "image-001.png", False, None)
    assert store.read(job)["files"] == ["image-000.png", "image-001.png"]
    for name in ("image-002.png", "../job.json", "job.json", "page.png"):
        with pytest.raises(MissingError):
            marks.mark(folder, name, True, None)
    store.throw_away(job)
    assert store.thrown() == [{"id": job, "kind": "generate", "files": 4}]
