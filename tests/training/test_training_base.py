"""A run that starts from a model: it begins as that, learns what is new, and goes on without it."""

import shutil

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.config import TrainConfig, divide, giving_way, update
from demist.data import Column, Dataset
from demist.errors import DataError, MissingError, UsageError
from demist.model import folder as model_folder
from demist.model.pipeline import Pipeline
from demist.training.build import build
from demist.training.resume import unfinished
from demist.training.run import train

DATA = pictures()
EDGES = {"edges": Column("image", DATA.x[:, :, ::-1].copy())}
TOLD = Dataset(DATA.x, DATA.labels, DATA.classes, name="tiny", columns=EDGES)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run of six steps."""
    config = update(CONFIG, {"runs": str(tmp_path_factory.mktemp("base")), "flip": False})
    return str(train(config, data=DATA, quiet=True).path)


@pytest.fixture
def config(base, tmp_path):
    """Of a run that starts from that and is told edges."""
    own = {"start_from": base, "batch_size": 8, "lr": 1e-3, "warmup": 0, "precision": "fp32"}
    out = {"steps": 4, "runs": str(tmp_path / "runs"), "sample_count": 4, "save_every": "2"}
    return update(TrainConfig(), {**own, **out, "conditions": "label,edges"})


@pytest.mark.slow
def test_it_begins_as_its_base_and_learns_what_is_new(config, base):
    e = build(config, TOLD)
    theirs = Pipeline.from_run(base).denoiser
    assert list(e.pipeline.conditioner.conditions) == ["label", "edges"]
    x, t, label = torch.randn(4, 1, 8, 8), torch.full((4,), 0.5), torch.arange(4) % 3
    for edges in (None, TOLD.columns["edges"].values[:4]):
        cond = e.pipeline.conditioner.encode(4, {"label": label.tolist(), "edges": edges})
        ours = e.pipeline.denoiser.eval()(x, t, **cond).x0
        torch.testing.assert_close(ours, theirs(x, t, label=label).x0, rtol=0, atol=1e-6)
    weight = e.network.conv_in.weight
    assert weight.shape[1] == 3 * 4
    assert not weight[:, 4:].any()
    [note] = e.notes
    for words in (base, "network unet", "new columns of zeros in conv_in.weight", "anew: edges"):
        assert words in note
    made = Pipeline.load(train(config, data=TOLD, quiet=True).model)
    assert made.denoiser.net.conv_in.weight[:, 4:].abs().min() > 0
    assert made.facts["base"] == model_folder.weights_hash(Pipeline.from_run(base))
    assert made.sample(2, label=["a", "b"], edges=DATA.x[0]).shape == (2, 1, 8, 8)


def test_nothing_new_is_bit_for_bit_the_base(config, base):
    e = build(update(config, {"conditions": None}), DATA)
    theirs = Pipeline.from_run(base).denoiser.net.state_dict()
    for name, value in e.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name
    assert "nothing is new" in e.notes[0]


def test_a_condition_without_a_column_stays_and_is_hidden(config):
    e = build(update(config, {"conditions": "edges"}), Dataset(DATA.x, columns=EDGES))
    assert "no such column: label, hidden" in e.notes[0]
    batch = e.batches(0)
    assert (batch.cond["label"] == 3).all()
    assert list(e.pipeline.conditioner.conditions) == ["label", "edges"]


@pytest.mark.slow
def test_it_goes_on_bit_for_bit_when_its_base_is_gone(config, base, tmp_path):
    config = update(config, {"start_from": str(tmp_path / "moved"), "decay": "constant"})
    shutil.copytree(base, tmp_path / "moved")
    whole = train(config, data=TOLD, quiet=True)
    run = train(update(config, {"steps": 2}), data=TOLD, quiet=True)
    shutil.rmtree(tmp_path / "moved")
    train(config, run, resume=True, data=TOLD, quiet=True)
    ours, theirs = (Pipeline.load(r.model).denoiser.net.state_dict() for r in (run, whole))
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    shutil.rmtree(run.path / "base")
    with pytest.raises(MissingError, match="no saved model"):
        train(update(config, {"steps": 5}), run, resume=True, data=TOLD, quiet=True)


@pytest.mark.slow
def test_the_latest_run_is_named_and_the_same_command_goes_on(config, base, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(base, runs / "0001-base")
    asked = update(config, {"start_from": "latest"})
    run = train(asked, data=TOLD, quiet=True)
    assert run.config().network.start_from == str(runs / "0001-base")
    run.write_status("stopped")
    assert unfinished(asked) == run
    assert unfinished(update(config, {"start_from": "1"})) == run
    shutil.copytree(base, runs / "0009-later")
    assert unfinished(asked) is None


def test_another_copy_of_the_base_is_refused(config):
    run = train(update(config, {"steps": 2}), data=TOLD, quiet=True)
    other = Pipeline.load(run.model)
    other.save(run.path / "base", replace=True)
    with pytest.raises(DataError, match="had another base"):
        train(update(run.config(), {"steps": 4}), run, resume=True, data=TOLD, quiet=True)


def test_what_does_not_fit_is_one_sentence(config):
    def refused(words, data=TOLD, error=UsageError, **values):
        with pytest.raises(error, match=words):
            build(update(config, values), data)

    refused("no saved model", error=MissingError, start_from="nowhere")
    refused("depth = 7: with start_from", depth=7)
    refused("schedule = 'vp'.*leave it out", schedule="vp")
    refused("variance_steps = 10.*leave it out", variance_steps=10)
    with pytest.raises(UsageError, match="learns in what that learned in"):
        divide(update(config, {"codec": "kl"}))
    refused("label=label.*has the condition label", conditions="label=label")
    refused("with a teacher", teacher="digits")
    refused("start_from is for models that make samples", network="autoencoder")
    three = Dataset(np.repeat(DATA.x, 3, 1), DATA.labels, DATA.classes)
    refused("data is 3 x 8 x 8 .* makes 1 x 8 x 8; use --channels 1", three, conditions="label")
    more = pictures(classes=("a", "b", "d"))
    refused("knows the classes a, b, c", more, conditions=None)


def test_the_network_of_a_recipe_gives_way():
    given = update(TrainConfig(), {"depth": 9, "codec": "kl", "schedule": "vp", "lr": 0.1})
    assert giving_way(given, None) == given
    assert giving_way(given, "digits") == update(TrainConfig(), {"lr": 0.1})


def test_the_model_of_the_package_is_a_base():
    data = pictures(classes=tuple("0123456789"), size=28)
    e = build(update(TrainConfig(), {"start_from": "digits", "batch_size": 8}), data)
    assert e.pipeline.denoiser.schedule == Pipeline.load("digits").denoiser.schedule


def test_instructions_are_read_by_the_prompt_of_the_base(tmp_path, capsys):
    words = tuple(f"digit {'abc'[i % 3]}" for i in range(20))
    own = {"runs": str(tmp_path), "flip": False, "text_width": 32, "text_depth": 1, "steps": 1}
    base = train(update(CONFIG, own), data=Dataset(DATA.x, texts=words), quiet=True)
    columns = EDGES | {"instruction": Column("text", words), "other": Column("text", words)}
    chosen = "(edges:drop=0.2,group=~edit),(instruction:drop=0.2,group=~edit)"
    given = {"start_from": str(base.path), "conditions": chosen, "batch_size": 8}
    e = build(update(TrainConfig(), given), Dataset(DATA.x, columns=columns))
    assert "instruction is read by the prompt of the model" in capsys.readouterr().err
    text, edges = (e.pipeline.conditioner.conditions[name] for name in ("text", "edges"))
    assert text.drop == edges.drop == 0.2
    assert text.group == edges.group == "~edit"
    assert e.batches(0).cond["text.tokens"].float().std() > 0
    assert not e.network.conv_in.weight[:, 4:].any()
    assert "anew: edges" in e.notes[0]
    assert "hidden" not in e.notes[0]
