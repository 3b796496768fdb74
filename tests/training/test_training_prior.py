"""DALL-E 2 in small: a CLIP, a prior of its image vectors, and a decoder that is fed by it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training_clip import DATA
from test_training_clip import config as clip_config  # noqa: F401
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread  # noqa: F401

from demist.conditions import TextVector
from demist.config import parse_duration, update
from demist.data import Dataset
from demist.errors import DataError, UsageError
from demist.io.files import cache_folder
from demist.model import Pipeline
from demist.model.best_of import nearest
from demist.model.feeders import stages_of
from demist.model.learned_clip import LearnedClip
from demist.recipes import find
from demist.training.build import build
from demist.training.run import train

TINY = {"width": 24, "depth": 1, "dropout": 0.0, "network": "prior", "flip": False}


@pytest.fixture
def clip(clip_config, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    return train(clip_config, data=DATA, quiet=True)


@pytest.fixture
def config(clip):
    return update(CONFIG, {"runs": str(clip.path.parent), "image_encoder": "1", **TINY})


def test_the_nearest_draw_is_kept():
    draws = np.array([[[9, 1], [1, 1], [1, 0]], [[0, 1], [5, 4], [0, 7]]], np.float32)
    texts = np.array([[0, 2], [1, 1], [0, 0]], np.float32)
    # By the cosine, not by length; the first of equals, as where there is no text.
    assert nearest(draws, texts).tolist() == [1, 0, 0]


def test_a_prior_keeps_the_draw_nearest_to_its_prompt(clip, config):
    prior = build(config, DATA).pipeline
    shake(prior)
    assert prior.defaults.best_of == 2
    texts, own = list(DATA.texts[:9]), LearnedClip.load(clip.model)
    wanted = own.read(texts)
    one, two = (prior.sample(9, text=texts, best_of=k, seed=1) for k in (1, 2))
    four = prior.sample(9, text=texts, best_of=4, seed=1)
    cosine = [near(x, wanted) for x in (one, two, four)]
    assert (cosine[0] <= cosine[1]).all()
    assert (cosine[1] <= cosine[2]).all()
    same = (one == two).all(1)
    assert 0 < same.sum() < 9
    assert np.array_equal(prior.sample(9, text=texts, seed=1), two)
    assert np.array_equal(prior.sample(9, text=texts, seed=1, rows=[7, 2]), two[[7, 2]])
    assert np.array_equal(prior.sample(9, seed=1), prior.sample(9, seed=1, best_of=1))
    plan = prior.plan(9, text=texts, guidance=1.0)
    plan.sample()
    assert plan.evaluations()["last"] == 2 * prior.plan(1, guidance=1.0, best_of=1).steps


def test_its_data_are_the_vectors_of_the_images(clip, config):
    made, own = build(config, DATA), LearnedClip.load(clip.model)
    np.testing.assert_allclose(made.data.x, own.see(DATA.x), atol=1e-6)
    state = made.pipeline.encode(np.array(made.data.x))
    assert state.mean(0).abs().max() < 1e-5
    assert float(state.square().mean()) == pytest.approx(1, abs=1e-4)
    told = made.batches(0).cond["text.vector"].norm(dim=1)
    assert {round(float(length), 3) for length in told} <= {0.0, 4.0}
    batch, rows = made.batches(3), made.streams.indices(3)
    wanted = own.read([DATA.texts[row] for row in rows])
    seen = batch.cond["text.unsaid"][:, 0] == 0
    np.testing.assert_allclose(batch.cond["text.vector"][seen] / 4, wanted[seen], atol=1e-5)


def test_a_prior_goes_on_bit_for_bit_and_not_with_another_clip(clip, config, monkeypatch):
    whole = train(config, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        cut = train(config, data=DATA, quiet=True)
    shutil.rmtree(cache_folder() / "vectors")
    other = LearnedClip.load(clip.model)
    with torch.no_grad():
        other.net.text.text_projection.weight.mul_(torch.linspace(0.5, 2, 16)[:, None])
    kept = clip.model.rename(clip.path / "kept")
    other.save(clip.model)
    with pytest.raises(DataError, match="another image_encoder"):
        train(config, cut, resume=True, data=DATA, quiet=True)
    shutil.rmtree(clip.model)
    kept.rename(clip.model)
    train(config, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(whole, cut)


@pytest.mark.slow
def test_it_learns_and_says_how_near_it_comes(config, capsys):
    run = train(update(config, {"steps": 150, "width": 64, "lr": 3e-3}), data=DATA)
    found = json.loads((run.path / "summary.json").read_text())["prior"]
    assert found["cosine_drawn"] > found["cosine_others"] + 0.1
    assert not found["held_out"]
    assert found["pairs"] == len(DATA)
    assert "prior, of 48 pairs: a drawn vector" in capsys.readouterr().err


@pytest.mark.slow
def test_the_decoder_gets_the_vector_that_the_prior_drew(clip, config):
    root = {"image_encoder": "1", "network": "auto", "steps": 3, "flip": False}
    prior = train(config, data=DATA, quiet=True)
    decoder = train(update(config, {**root, "width": 8}), data=DATA, quiet=True)
    alone = Pipeline.load(decoder.model)
    shake(alone)
    first = Pipeline.load(prior.model)
    both = alone.fed("image_vector", first, name="prior")
    texts = ["red over blue", "green over red", "blue over blue"]
    plan = both.plan(3, text=texts, seed=5)
    drawn = plan.feeds["image_vector"](range(3))
    assert drawn.shape == (3, 16)
    given = alone.sample(3, text=texts, seed=5, image_vector=drawn)
    assert np.array_equal(both.sample(3, text=texts, seed=5), given)
    assert plan.sampling.stages["prior"].best_of == 2
    other = both.sample(3, text=texts, seed=5, stages={"prior": {"best_of": 1, "seed": 9}})
    assert not np.array_equal(other, given)
    films = [frame.x.shape for frame in both.plan(3, text=texts).film()]
    assert set(films) == {(3, 3, 8, 8)}


@pytest.mark.slow
def test_stages_of_one_run_make_one_model(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    small = {
        "runs": str(tmp_path / "runs"), "path": "digits", "size": None, "codec_budget": "2steps",
        "downsample": 2, "steps": 20, "budget": None, "channels_per_level": [8],
        "attention_levels": [], "cross_levels": [0], "head_dim": 8, "text_width": 32,
        "text_depth": 1, "batch_size": 4, "sample_count": 4, "sample_steps": 2, "precision": "fp32",
    }  # fmt: skip
    stages = find("dalle2").divided(update(find("dalle2").config(), small))
    assert [stage.name for stage in stages] == ["codec", "clip", "prior", "model"]
    assert [stage.config.limits.steps for stage in stages] == [2, 4, 2, 14]
    tiny = {
        "text_width": 32, "text_depth": 1, "channels_per_level": [8], "batch_size": 8, "width": 16,
        "depth": 1,
    }  # fmt: skip
    codec, *others = stages.earlier
    others = [replace(stage, config=update(stage.config, tiny)) for stage in others]
    run = train(replace(stages, earlier=(codec, *others)), data=DATA, quiet=True)
    saved, kept = Pipeline.load(run.model), Pipeline.from_run(run)
    assert list(stages_of(saved)) == ["prior"]
    how = {"text": ["red over blue", "green over red"], "steps": 2}
    np.testing.assert_array_equal(saved.sample(2, **how), kept.sample(2, **how))
    assert isinstance(stages_of(saved)["prior"].conditioner.conditions["text"], TextVector)


def test_stages_divide_one_budget_and_are_left_out_where_a_model_is_named():
    made = find("dalle2")

    def minutes(**options):
        stages = made.divided(update(made.config(), options))
        return {s.name: round(parse_duration(s.config.limits.budget) / 60, 6) for s in stages}

    assert minutes() == {"codec": 10, "clip": 6, "prior": 3, "model": 21}
    assert minutes(codec="runs/c") == {"clip": 8, "prior": 4, "model": 28}
    assert minutes(codec_budget="20m") == {"codec": 20, "clip": 4, "prior": 2, "model": 14}
    assert minutes(image_encoder="runs/c") == {"codec": 10, "prior": 3, "model": 27}
    assert minutes(feeds="image_vector=runs/p") == {"codec": 10, "clip": 6, "model": 24}
    assert minutes(codec="runs/c", image_encoder="c", feeds="image_vector=p") == {"model": 40}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image_encoder": None}, "add --image-encoder CLIPRUN"),
        ({"flip": True}, "flip = True is for models of images"),
        ({"codec": "kl"}, "codec = 'kl' is for models of images"),
    ],
)
def test_what_a_prior_cannot_learn_is_refused(config, options, words):
    with pytest.raises(UsageError, match=words):
        build(update(config, options), DATA)


def test_data_without_captions_is_refused(config):
    with pytest.raises(UsageError, match="pages has no captions"):
        build(config, Dataset(DATA.x, name="pages"))


def test_only_a_prior_says_which_draw_is_best(config):
    prior = build(config, DATA).pipeline
    with pytest.raises(UsageError, match="one draw for each seed"):
        prior.sample(1, noise="torch")
    plain = build(update(config, {"network": "auto", "image_encoder": None}), DATA).pipeline
    with pytest.raises(UsageError, match="only a prior"):
        plain.sample(1, best_of=2)


def test_a_prior_of_another_clip_does_not_feed(clip, config):
    prior = build(config, DATA).pipeline
    other = LearnedClip.load(clip.model)
    with torch.no_grad():
        other.net.image.visual_projection.weight.mul_(-1)
    other.save(clip.path / "other")
    more = {"network": "auto", "image_encoder": str(clip.path / "other"), "width": 8}
    decoder = build(update(config, more), DATA).pipeline
    with pytest.raises(UsageError, match="of another CLIP"):
        decoder.fed("image_vector", prior, name="prior")


def shake(pipeline):
    """Give a new network, whose output is zero, an output."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in pipeline.denoiser.net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))


def near(x, wanted):
    return (x * wanted).sum(1) / np.linalg.norm(x, axis=1)
