"""Conditions make themselves from columns, read what is typed, and know what does not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from demist.conditions import CONDITIONS, Conditioner, Label, Numbers
from demist.config import TrainConfig, update
from demist.data import Column, Dataset
from demist.errors import UsageError
from demist.training.build import build
from demist.training.conditions import conditions, examples, unused, values_of

RNG = np.random.default_rng(0)
N = 6
COLUMNS = {
    "digit": Column("class", np.arange(N) % 3, ("0", "1", "2")),
    "speaker": Column("class", np.arange(N) % 2, ("ann", "bob")),
    "tags": Column("labels", np.eye(N, 2, dtype=np.uint8), ("cat", "dog")),
    "angle": Column("numbers", np.linspace(0, 90, N)[:, None], ("angle",)),
    "caption": Column("text", ("a one", "a two", "a three", "four", "five", "six")),
    "edges": Column("image", RNG.integers(0, 256, (N, 1, 8, 8), np.uint8)),
    "hole": Column("mask", 255 * RNG.integers(0, 2, (N, 1, 8, 8), np.uint8)),
    "scan": Column("sizes", RNG.integers(8, 90, (N, 2)).astype(float), ("height", "width")),
    "cut": Column("sizes", RNG.integers(0, 9, (N, 2)).astype(float), ("top", "left")),
    "face": Column("states", RNG.standard_normal((N, 3, 4)).astype(np.float32)),
}
DATA = Dataset(RNG.integers(0, 256, (N, 1, 8, 8), np.uint8), columns=COLUMNS, name="all")
SMALL = {"channels_per_level": [8], "head_dim": 8, "norm_groups": 2, "batch_size": 4,
         "text_width": 32, "device": "cpu"}  # fmt: skip


def configured(chosen, **more):
    return update(TrainConfig(), {**SMALL, "conditions": chosen, **more})


def test_all_conditions_of_the_family_are_reached_and_trained():
    chosen = ",".join([*COLUMNS, "low-resolution"])
    e = build(configured(chosen), DATA)
    made = e.pipeline.conditioner.conditions
    assert list(made) == [*COLUMNS, "low_resolution"]
    elsewhere = {
        "frozen-text",
        "clip-text",
        "image-vector",
        "text-vector",
    }  # need an encoder, or a tower
    kinds = {type(c).name for c in made.values()} | elsewhere
    assert kinds == set(CONDITIONS.names())
    assert unused(e.pipeline.conditioner, DATA) == []
    batch = e.batches(0)
    loss = e.objective(e.pipeline.denoiser, batch).sum()
    loss.backward()
    assert torch.isfinite(loss)
    index = e.streams.indices(0)
    assert set(batch.cond["digit"].tolist()) <= {0, 1, 2, 3}
    kept = batch.cond["hole.mask"].flatten(1) == torch.tensor(
        COLUMNS["hole"].values[index] // 255
    ).flatten(1)
    hidden = (batch.cond["hole.mask"] == 1).flatten(1).all(1)
    assert (kept.all(1) | hidden).all()


def test_the_first_column_of_classes_is_the_networks_own_table_and_each_is_hidden_by_itself():
    e = build(configured("digit,speaker", label_drop=0.5), DATA)
    names = dict(e.pipeline.denoiser.net.named_parameters())
    assert names["class_embedding.weight"].shape[0] == 4
    assert names["intake.parts.speaker.weight"].shape[0] == 3
    hidden = [set(), set()]
    for step in range(20):
        cond = e.batches(step).cond
        for k, (name, null) in enumerate((("digit", 3), ("speaker", 2))):
            hidden[k] |= {(step, i) for i in (cond[name] == null).nonzero().flatten().tolist()}
    both, either = hidden[0] & hidden[1], hidden[0] | hidden[1]
    assert 10 < len(both) < 35  # 20 of 80 expected
    assert len(either) > 45  # 60 expected


def test_by_default_the_label_and_captions_of_images_are_taken_and_the_rest_is_named():
    data = replace(DATA, labels=np.arange(N) % 2, classes=("a", "b"), texts=tuple("abcdef"))
    conditioner, values = conditions(configured(None), data)
    assert list(conditioner.conditions) == list(values) == ["label", "text"]
    assert unused(conditioner, data) == list(COLUMNS)
    assert conditions(configured(None), DATA)[0].conditions == {}


@pytest.mark.parametrize(
    "chosen, words",
    [
        ("digits", r"all has no column 'digits'; it has digit \(class\)"),
        ("digit,digit", "has digit twice"),
        ("edges:rout=concat", "no option of image called 'rout'. Did you mean 'route'"),
        ("edges:route=vector", "route='vector' is not one of concat, residual"),
        ("edges=label", "kind image, which image, low-resolution, image-vector reads"),
        ("edges=labels2", "no condition called 'labels2'"),
        ("(low-resolution:factor=3)", "no multiples of 3"),
    ],
)
def test_mistakes_are_named(chosen, words):
    with pytest.raises(UsageError, match=words):
        conditions(configured(chosen), DATA)


def test_options_and_other_conditions_for_a_column():
    chosen = "edges=low-resolution,hole:route=residual,digit:drop=0.5"
    chosen += ",(low-resolution:factor=4,noise=0.25)"
    made = conditions(configured(chosen), DATA)[0].conditions
    assert made["hole"].route == "residual"
    assert (made["low_resolution"].factor, made["low_resolution"].noise) == (4, 0.25)
    assert (made["edges"].factor, made["edges"].name) == (2, "low-resolution")
    assert made["digit"].drop == 0.5
    small = replace(DATA, columns={"s": Column("image", np.zeros((N, 1, 2, 2), np.uint8))})
    assert conditions(configured("s=low-resolution"), small)[0].conditions["s"].factor == 4


def test_mirrored_samples_take_their_images_with_them():
    same = Dataset(DATA.x, columns={"edges": Column("image", DATA.x.copy())})
    e = build(configured("edges", flip=True, label_drop=0.0, batch_size=6), same)
    batch = e.batches(0)
    assert torch.equal(batch.x0, batch.cond["edges.image"])
    assert not torch.equal(batch.x0, torch.tensor(same.x[e.streams.indices(0)]) / 127.5 - 1)


def test_examples_go_through_choices_and_take_the_rest_from_the_data():
    conditioner, _ = conditions(configured("digit,speaker,caption,hole"), DATA)
    found = examples(conditioner, DATA, 8)
    assert found["digit"] == ["0", "1", "2", "0", "1", "2", "0", "1"]
    assert found["speaker"] == ["ann"] * 3 + ["bob"] * 3 + ["ann"] * 2
    assert found["caption"].tolist() == [*COLUMNS["caption"].values, "a one", "a two"]
    assert np.array_equal(found["hole"][0], DATA.x[[0, 1, 2, 3, 4, 5, 0, 1]])
    assert conditioner.words("caption", found["caption"], 8)[0] == "a one"
    assert conditioner.words("hole", found["hole"], 8) == [""] * 8


def test_typed_values():
    made = conditions(configured(",".join(COLUMNS)), DATA)[0].conditions
    asked = []

    def image(file, channels, sides):
        asked.append((file, channels, sides))
        return np.full((channels, *(sides or (4, 4))), 200, np.uint8)

    assert made["digit"].parse("2", image) == "2"
    assert made["digit"].parse("none", image) is None
    assert made["angle"].parse("45", image) == (45.0,)
    assert made["tags"].parse("cat|dog", image) == "cat|dog"
    assert made["caption"].parse("a two", image) == "a two"
    assert made["edges"].parse("e.png", image).shape == (1, 8, 8)
    picture, mask = made["hole"].parse("a.png,m.png", image)
    assert (picture == 200).all()
    assert (mask == 1).all()
    assert asked == [("e.png", 1, (8, 8)), ("m.png", 1, (8, 8)), ("a.png", 1, (8, 8))]
    for name, text in (("digit", "9"), ("angle", "x"), ("angle", "91"), ("tags", "cow"),
                       ("hole", "a.png"), ("face", "nothing.npy")):  # fmt: skip
        with pytest.raises(UsageError):
            made[name].parse(text, image)


def test_columns_of_other_data_are_translated_or_refused():
    label = Label(("a", "b", "c"))
    assert label.values(Column("class", np.array([0, 1, 0]), ("c", "a"))).tolist() == [2, 0, 2]
    with pytest.raises(UsageError, match="give data with the model's classes"):
        label.values(Column("class", np.array([0]), ("d",)))
    with pytest.raises(UsageError, match="no column angle of kind numbers; it has digit"):
        values_of(Conditioner({"angle": Numbers(("angle",), (0,), (1,))}),
                  replace(DATA, columns={"digit": COLUMNS["digit"]}))  # fmt: skip


def test_the_null_is_encoded_once(monkeypatch):
    conditioner, values = conditions(configured("digit,caption"), DATA)
    cond = conditioner.encode(N, values)
    conditioner.null(cond)
    monkeypatch.setattr(Label, "encode", None)
    assert conditioner.null(cond)["digit"].tolist() == [3] * N
    with torch.inference_mode():
        fresh = Conditioner(dict(conditioner.conditions) | {"digit": Numbers(("a",), (0,), (1,))})
        null = fresh.null(fresh.encode(2, {}))
    assert not any(v.is_inference() for v in null.values())
