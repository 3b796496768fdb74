"""One command trains a codec and a model in its latents: both are stages of one run."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist import runs
from demist.commands import ls
from demist.commands.train import divided, parse, table
from demist.config import Stage, Stages, TrainConfig, codec_first, differences, divide, update
from demist.config.stages import part
from demist.errors import DataError, MissingError, UsageError
from demist.model import Pipeline
from demist.model.components import hash_of
from demist.model.folder import weights_hash
from demist.model.learned_codec import open_codec
from demist.training import run as run_module
from demist.training.plan import plan
from demist.training.resume import unfinished
from demist.training.run import train

DATA = pictures(24, ("a", "b"))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))


OWN = {"codec": "own", "latent_channels": 2, "downsample": 2, "codec_budget": "4steps", "patch": 1}


@pytest.fixture
def config(tmp_path):
    """Options of a run that trains its codec first."""
    return update(CONFIG, {"runs": str(tmp_path / "runs"), **OWN})


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run that nothing interrupted, and that no test changes."""
    place = tmp_path_factory.mktemp("kept")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIST_CACHE", str(place / "cache"))
        config = update(CONFIG, {"runs": str(place / "runs"), **OWN})
        return train(config, data=DATA, quiet=True)


@pytest.fixture
def through(kept, tmp_path):
    """A copy of it, which a test may change."""
    return runs.Run(Path(shutil.copytree(kept.path, tmp_path / "kept" / kept.path.name)))


def codec_of(run):
    return runs.stages.stage(run, "codec")


def killed_at(patch, step):
    """The process ends in the middle of a step, without a word."""
    real = run_module.fit

    def fit(*args, **kwargs):
        for state in real(*args, **kwargs):
            if state.step == step:
                raise KeyboardInterrupt
            yield state

    patch.setattr(run_module, "fit", fit)


# What is trained


def test_two_stages_are_the_two_runs_that_one_would_make_by_hand(config, through, tmp_path):
    stages = divide(config)
    hand = {"runs": str(tmp_path / "hand")}
    coder = train(update(stages.earlier[0].config, hand), data=DATA, quiet=True)
    by_hand = train(update(stages.last, {**hand, "codec": str(coder.path)}), data=DATA, quiet=True)
    assert_same_weights(codec_of(through), coder)
    assert_same_weights(through, by_hand)
    assert Pipeline.load(through.model).codec.scale == Pipeline.load(by_hand.model).codec.scale


def test_the_folder_of_a_run_in_stages(config, through):
    assert through.status()["state"] == codec_of(through).status()["state"] == "done"
    assert through.path.name == "0001-tiny"
    stages = runs.stages.read(through)
    assert [stage.name for stage in stages] == ["codec", "model"]
    assert stages.last.latents.codec == "stage:codec"
    assert stages.earlier[0].config.limits.steps == 4
    # The model is whole: it needs neither the stage nor the run.
    model = Pipeline.load(through.model)
    made = open_codec(str(codec_of(through).path))
    assert model.facts["codec"] == hash_of(made.components())
    shutil.rmtree(through.path / "stages")
    assert model.sample(2, label="a").shape == (2, 1, 8, 8)
    assert weights_hash(Pipeline.from_run(through)) == weights_hash(model)
    page = (through.model / "README.md").read_text()
    assert "--codec own --codec-budget 4steps" in page
    assert "stage:" not in page


def test_what_is_derived_and_how_time_is_divided_is_said_first(config, capsys):
    train(config, data=DATA)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "first the stage codec: an autoencoder (own) of 2 channels and sides 2 times smaller, for "
        "4 steps; then the model in its latents, for 6 steps; --codec-budget divides otherwise"
    )
    assert lines[1] == "stage codec (1 of 2)"
    assert "stage model (2 of 2)" in lines


@pytest.mark.slow
def test_a_stage_of_ones_own_feeds_the_last(config, tmp_path):
    """Stages are data: here two codecs, of which the last stage takes the second."""
    stages = codec_first(config)
    second = Stage("second", update(stages.earlier[0].config, {"seed": 7}))
    last = update(stages.last, {"codec": "stage:second"})
    run = train(Stages((*stages.earlier, second), last), data=DATA, quiet=True)
    known = {
        name: hash_of(open_codec(str(runs.stages.stage(run, name).path)).components())
        for name in ("codec", "second")
    }
    assert Pipeline.load(run.model).facts["codec"] == known["second"] != known["codec"]


# Interrupted and gone on with


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "stage", "step"),
    [
        (interrupt_after, "codec", 3),
        (killed_at, "codec", 2),
        (interrupt_after, "model", 5),
        (killed_at, "model", 2),
    ],
)
def test_an_interrupted_stage_goes_on_bit_for_bit(
    config, through, monkeypatch, how, stage, step, tmp_path
):
    config = update(config, {"runs": str(tmp_path / "cut"), "save_every": "1"})
    cut = None
    with monkeypatch.context() as patch:
        # Both stages have a step 2, so the first is trained alone where the second is meant.
        if stage == "model" and step < 4:
            with monkeypatch.context() as first:
                interrupt_after(first, 4)
                cut = train(config, data=DATA, quiet=True)
            assert cut.status()["message"] == "stopped by SIGINT"
            assert not cut.description.exists()
        how(patch, step)
        try:
            cut = train(config, cut, resume=cut is not None, data=DATA, quiet=True)
        except KeyboardInterrupt:
            cut = runs.find("1", config.output.runs)
    assert cut.status()["state"] == "stopped"
    assert (codec_of(cut).path / "summary.json").exists() == (stage == "model")
    assert unfinished(config) == cut
    train(config, cut, resume=True, data=DATA, quiet=True)
    assert cut.status()["state"] == "done"
    assert_same_weights(codec_of(through), codec_of(cut))
    assert_same_weights(through, cut)
    assert len(runs.all_runs(config.output.runs)) == 1
    assert unfinished(config) is None


@pytest.mark.slow
def test_a_run_that_was_moved_goes_on_from_its_folder_alone(config, through, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3)
        cut = train(update(config, {"runs": str(tmp_path / "cut")}), data=DATA, quiet=True)
    moved = runs.Run(tmp_path / "elsewhere" / "0001-tiny")
    shutil.copytree(cut.path, moved.path)
    shutil.rmtree(cut.path)
    train(moved.config(), moved, resume=True, data=DATA, quiet=True)
    assert_same_weights(through, moved)


def test_what_is_seen_of_a_run_at_its_first_stage(config, monkeypatch, capsys):
    interrupt_after(monkeypatch, 2)
    cut = train(config, data=DATA)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"stopped after step 2; saved. To go on: {runs.resume_command(cut)}"
    status = cut.status()
    assert (status["state"], status["stage"], status["step"]) == ("stopped", "codec", 2)
    assert status["message"] == "stopped by SIGINT"
    row = dict(zip(ls.HEAD, ls.describe(cut), strict=True))
    assert (row["status"], row["step"]) == ("stopped (codec)", "2")
    words = (
        f"has no model yet: its stage codec comes first, which is stopped, 50% done; .*{cut.path}"
    )
    with pytest.raises(MissingError, match=words):
        Pipeline.from_run(cut)
    with pytest.raises(UsageError, match=f"is a stage of .*--resume {cut.path}$"):
        train(codec_of(cut).config(), codec_of(cut), resume=True, data=DATA)


def test_a_stage_that_fails_is_a_run_that_fails(config, monkeypatch):
    def broken(*args, **kwargs):
        raise DataError("no good")

    monkeypatch.setattr(run_module, "fit", broken)
    with pytest.raises(DataError, match="no good"):
        train(config, data=DATA, quiet=True)
    run = runs.find("1", config.output.runs)
    status = run.status()
    assert (status["state"], status["stage"], status["exit_code"]) == ("failed", "codec", 65)
    assert not run.is_locked()
    assert unfinished(config) == run


def test_a_mistake_in_the_last_stage_is_found_before_the_first_begins(config):
    with pytest.raises(UsageError, match="attention heads"):
        train(update(config, {"head_dim": 7}), data=DATA, quiet=True)
    with pytest.raises(UsageError, match="cannot be made 2 times smaller"):
        train(config, data=pictures(size=9), quiet=True)
    assert runs.all_runs(config.output.runs) == []
    assert not os.path.exists(os.environ["DEMIST_CACHE"])  # what was tried left nothing behind


@pytest.mark.slow
def test_a_codec_that_was_changed_meanwhile_is_noticed(config, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5)
        cut = train(config, data=DATA, quiet=True)
    other = train(update(config, {"seed": 1}), data=DATA, quiet=True)
    shutil.rmtree(codec_of(cut).model)
    shutil.copytree(codec_of(other).model, codec_of(cut).model)
    with pytest.raises(DataError, match="had another codec"):
        train(config, cut, resume=True, data=DATA, quiet=True)
    with pytest.raises(UsageError, match="seed"):
        train(update(config, {"seed": 2}), cut, resume=True, data=DATA, quiet=True)


def test_options_of_other_stages_are_refused(config, through):
    with pytest.raises(UsageError, match=r"before its last: codec; and these options make: none"):
        train(update(config, {"codec": None, "codec_budget": None, "latent_channels": 4,
                              "downsample": 4}), through, resume=True, data=DATA)  # fmt: skip


# What is divided


def test_without_a_codec_to_train_there_is_one_stage():
    assert divide(CONFIG) == Stages((), CONFIG)
    for spec in ("7", "stage-codec", "none"):
        config = update(CONFIG, {"codec": spec})
        assert divide(config) == Stages((), config)
    alone = update(CONFIG, {"network": "autoencoder", "codec": "kl"})
    assert divide(alone) == Stages((), alone)


def test_the_options_of_the_codec_are_those_of_the_run():
    config = update(
        CONFIG,
        {"codec": "vq", "latent_channels": 3, "kl_weight": 0.5, "seed": 5, "threads": 1,
         "path": "scenes", "size": 32, "steps": None, "budget": "40m", "save_every": "7s"},
    )  # fmt: skip
    (codec,), last = divide(config).earlier, divide(config).last
    assert codec.config.data == last.data == config.data
    assert codec.config.network.network == "autoencoder"
    assert codec.config.latents == config.latents
    assert (codec.config.optimization.seed, codec.config.optimization.threads) == (5, 1)
    assert codec.config.output.save_every == "7s"
    assert (codec.config.limits.budget, last.limits.budget) == ("10m", "30m")
    # Nothing else is left for the model to refuse.
    assert differences(config, last).keys() == {"codec", "latent_channels", "kl_weight", "budget"}


@pytest.mark.parametrize(
    ("limits", "codec_budget", "first", "rest"),
    [
        ({}, None, "2m30s", "7m30s"),
        ({"budget": "1h"}, "50%", "30m", "30m"),
        ({"budget": "1h"}, "90s", "1m30s", "58m30s"),
        ({"budget": "1h", "steps": 9}, "15m", "15m", "45m"),
        ({"steps": 9}, None, "5m", None),
        ({"images": 9}, "30s", "30s", None),
        ({"steps": 9}, "2000steps", None, None),
    ],
)
def test_the_budget_is_divided(limits, codec_budget, first, rest):
    stages = divide(update(TrainConfig(), {"codec": "kl", "codec_budget": codec_budget, **limits}))
    codec = stages.earlier[0].config.limits
    assert (codec.budget, stages.last.limits.budget) == (first, rest)
    assert codec.steps == (2000 if codec_budget == "2000steps" else None)
    assert stages.last.limits.steps == limits.get("steps")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"budget": "5m", "codec_budget": "5m"},
            "not longer than the part of it that its codec",
        ),
        ({"steps": 9, "codec_budget": "25%"}, "this run ends after some steps; give a duration"),
        ({"codec": None, "codec_budget": "5m"}, "here there is none; leave it out"),
        ({"teacher": "digits"}, "latents of its teacher"),
        ({"codec_budget": "101%"}, "codec_budget = '101%'"),
        ({"codec_budget": "soon"}, "write a duration"),
    ],
)
def test_budgets_and_options_that_make_no_sense(options, words):
    with pytest.raises(UsageError, match=words):
        divide(update(TrainConfig(), {"codec": "kl", **options}))


def test_a_share_of_the_limits():
    limits = update(TrainConfig(), {"steps": 10, "images": 100, "budget": "1h"}).limits
    assert vars(part(limits, 0.25)) == vars(limits) | {
        "steps": 2, "images": 25, "budget": "15m"
    }  # fmt: skip
    assert part(TrainConfig().limits, 0.5).budget == "5m"
    assert part(update(TrainConfig(), {"steps": 3}).limits, 0.5).budget is None


def test_stages_name_what_comes_before_them():
    with pytest.raises(UsageError, match=r"codec = 'stage:codec' names a stage .* there is none"):
        divide(update(CONFIG, {"codec": "stage:codec"}))
    with pytest.raises(UsageError, match="two stages are called 'a'"):
        Stages((Stage("a", CONFIG), Stage("a", CONFIG)), CONFIG)
    with pytest.raises(UsageError, match="small letters"):
        Stage("../a", CONFIG)


# The same command, and others


LINE = "train digits --codec own --codec-budget 9steps --steps 9 --seed 3"


def test_the_same_command_goes_on_and_another_does_not(tmp_path):
    place = ["--runs", str(tmp_path)]
    asked = divided(parse([*LINE.split()[1:], *place]))
    run = runs.create(tmp_path, "x", asked.last, lambda new: runs.stages.write(new, asked))
    assert unfinished(asked) == run
    assert runs.stages.read(run) == replace(asked, said=())
    for change in (["--latent-channels", "3"], ["--lr", "0.1"], ["--codec", "kl"]):
        other = divided(parse([*LINE.split()[1:], *place, *change]))
        assert unfinished(other, pytest.fail) is None
    said = []
    longer = divided(parse([*LINE.split()[1:], *place, "--codec-budget", "10steps"]))
    assert unfinished(longer, said.append) is None
    assert said == [
        f"{run.path} is not gone on with, as it has steps of codec = 9: --resume 1 does"
    ]
    plain = divided(parse(["digits", "--steps", "9", "--seed", "3", *place]))
    assert unfinished(plain, pytest.fail) is None


def test_flags_of_a_resumed_run(tmp_path):
    line = ["digits", "--codec", "own", "--budget", "40m", "--runs", str(tmp_path)]
    asked = divided(parse(line))
    run = runs.create(tmp_path, "x", asked.last, lambda new: runs.stages.write(new, asked))
    again = ["--resume", str(run.path)]
    codec, last = divided(parse([*again, "--threads", "1", "--budget", "1h"]))
    assert (codec.config.optimization.threads, last.config.optimization.threads) == (1, 1)
    # The budget is that of the whole run.
    assert (codec.config.limits.budget, last.config.limits.budget) == ("10m", "50m")
    with pytest.raises(UsageError, match=r"the stages before the last \(codec\) take 10m"):
        divided(parse([*again, "--budget", "10m"]))


def test_a_damaged_list_of_stages(config, through):
    file = through.path / "stages.json"
    for content in ({}, {"format": 1, "earlier": ["../.."]}, {"format": 2, "earlier": []}):
        file.write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"stages.json is damaged or of another version"):
            train(config, through, resume=True, data=DATA)


def test_the_plan_shows_every_stage(config):
    found = plan(update(config, {"codec_budget": "50%", "steps": None, "budget": "10s"}), DATA)
    ((name, codec),) = found.earlier
    assert name == "codec"
    assert found.items == codec.items == 24
    assert found.parameters != codec.parameters
    assert codec.seconds == pytest.approx(5, rel=0.5)
    text = table(found)
    assert text.index("stage codec") < text.index("stage model") < text.index("seconds in all")
    assert "--codec-budget divides otherwise" in text
    assert not os.path.exists(config.output.runs)
    assert not os.path.exists(os.environ["DEMIST_CACHE"])
