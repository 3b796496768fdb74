"""`demist sample --cond name=value` and `--grid` for every condition that a model may have."""

import numpy as np
import pytest
from PIL import Image

from demist.commands import sample
from demist.config import TrainConfig, update
from demist.data import Column, Dataset
from demist.drawing import read_metadata
from demist.errors import UsageError
from demist.model.pipeline import Pipeline
from demist.model.values import conditions_of
from demist.studio.models import all_models
from demist.studio.recipes import restored
from demist.training.build import build

RNG = np.random.default_rng(0)
N = 6
COLUMNS = {
    "digit": Column("class", np.arange(N) % 3, ("0", "1", "2")),
    "tags": Column("labels", np.eye(N, 2, dtype=np.uint8), ("cat", "dog")),
    "place": Column("numbers", np.linspace([0, 0.1], [90, 1], N), ("angle", "size")),
    "edges": Column("image", RNG.integers(0, 256, (N, 1, 8, 8), np.uint8)),
    "hole": Column("mask", 255 * RNG.integers(0, 2, (N, 1, 8, 8), np.uint8)),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    x = RNG.integers(0, 256, (N, 1, 8, 8), np.uint8)
    options = {"channels_per_level": [8], "head_dim": 8, "norm_groups": 2, "device": "cpu",
               "batch_size": 4, "conditions": ",".join(COLUMNS), "sample_steps": 2}  # fmt: skip
    pipeline = build(update(TrainConfig(), options), Dataset(x, columns=COLUMNS)).pipeline
    assert isinstance(pipeline, Pipeline)
    for p in pipeline.denoiser.parameters():
        p.data.add_(0.2 * np.sin(1 + p.numel()))
    folder = tmp_path_factory.mktemp("models") / "model"
    pipeline.save(folder)
    for name, shade in (("a", 20), ("b", 230), ("m", 255)):
        Image.new("L", (10, 10), shade).save(folder.parent / f"{name}.png")
    return folder


def test_values_of_all_kinds_reach_the_model(model, tmp_path, monkeypatch):
    monkeypatch.chdir(model.parent)
    out = tmp_path / "x"
    typed = ["digit=2", "tags=cat|dog", "place=40,0.5", "edges=a.png", "hole=b.png,m.png"]
    made = Pipeline.load(model)
    picture = np.full((1, 8, 8), 20, np.uint8)
    hole = (np.full((1, 8, 8), 230, np.uint8), np.ones((1, 8, 8), np.uint8))
    want = made.sample(3, digit="2", tags="cat|dog", place=(40.0, 0.5), edges=picture, hole=hole)
    flags = [word for text in typed for word in ("--cond", text)]
    sample.main([str(model), "--n", "3", *flags, "--out", f"{out}.png", "--arrays", f"{out}.npy"])
    assert np.array_equal(np.load(f"{out}.npy"), want)
    facts = read_metadata(f"{out}.png")["sampling"]
    assert (facts["digit"], facts["place"], facts["edges"]) == ("2", [40.0, 0.5], "image")
    for left_out in range(len(typed)):
        some = conditions_of(made, [t for i, t in enumerate(typed) if i != left_out],
                             sample_reader())  # fmt: skip
        assert not np.array_equal(made.sample(3, **some), want) or typed[left_out][0] == "h"


def sample_reader():
    from demist.data.images.decode import read_image

    return read_image


def test_a_grid_over_any_condition(model, tmp_path, monkeypatch):
    monkeypatch.chdir(model.parent)
    from demist.measuring.pages import grid_page

    made = Pipeline.load(model)
    page = grid_page(made, ["edges=a.png,b.png", "place=10,0.2|80,0.9"], digit="1")
    assert len(page.x) == 4
    for k, (shade, place) in enumerate([(20, (10.0, 0.2)), (20, (80.0, 0.9)),
                                        (230, (10.0, 0.2)), (230, (80.0, 0.9))]):  # fmt: skip
        edges = np.full((1, 8, 8), shade, np.uint8)
        alone = made.sample(1, digit="1", edges=edges, place=place)
        assert np.array_equal(page.x[k], alone[0])
    holes = grid_page(made, ["hole=a.png,m.png|b.png,m.png"])
    assert len(holes.x) == 2


@pytest.mark.parametrize(
    "text, words",
    [
        ("digit", "write name=value; the model's conditions: digit, tags, place, edges, hole"),
        ("speaker=ann", "no condition 'speaker'"),
        ("digit=5", "there is no class 5"),
        ("place=40", "there are 2: angle, size"),
        ("edges=none.png", "cannot read the image none.png"),
        ("hole=a.png", "give an image and its mask"),
    ],
)
def test_mistakes(model, monkeypatch, text, words):
    monkeypatch.chdir(model.parent)
    with pytest.raises(UsageError, match=words):
        sample.main([str(model), "--cond", text])


def test_size_is_width_and_height(model, tmp_path):
    flags = ["--n", "2", "--steps", "2", "--out", str(tmp_path / "x.png")]
    for size, shape in (("16x24", (2, 1, 24, 16)), ("16", (2, 1, 16, 16))):
        arrays = tmp_path / f"{size}.npy"
        sample.main(["digits", *flags, "--size", size, "--arrays", str(arrays), "--force"])
        assert np.load(arrays).shape == shape
        recipe = read_metadata(tmp_path / "x.png")
        assert recipe["sampling"]["size"] == size
        assert restored(recipe, all_models(tmp_path))["settings"]["size"] == size
    for size in ("16x", "0", "axb", "1x2x3", "-8"):
        with pytest.raises(UsageError, match=f"--size {size}: write one side, 512, or width and"):
            sample.main(["digits", *flags, f"--size={size}", "--force"])
    with pytest.raises(UsageError, match=r"'edges' is an image of shape \(1, 8, 8\), so the size"):
        sample.main([str(model), *flags, "--size", "16", "--force"])
    with pytest.raises(UsageError, match=r"size = \(30, 30\): this model needs sides that are mul"):
        sample.main(["digits", *flags, "--size", "30", "--force"])
