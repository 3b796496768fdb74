"""Models that are told the vector which a small CLIP makes of an image."""

import shutil

import numpy as np
import pytest
import torch
from test_training_clip import DATA
from test_training_clip import config as clip_config  # noqa: F401
from test_training_run import assert_same_weights, interrupt_after
from tiny import CONFIG, one_thread  # noqa: F401

from demist.conditions import Conditioner, ImageVector, Label
from demist.config import update
from demist.data import Column, Dataset
from demist.errors import DataError, UsageError
from demist.io.files import cache_folder
from demist.model import Pipeline
from demist.model.learned_clip import LearnedClip
from demist.model.learned_codec import open_codec
from demist.networks.clip import Clip
from demist.training.batches import Batches
from demist.training.build import build
from demist.training.parallel import ALONE
from demist.training.run import train
from demist.training.vectors import kept_vectors

NAME = "image_vector"


def tiny_clip(**options):
    torch.manual_seed(0)
    return Clip(size=(8, 8), channels=(8,), width=16, vocabulary=9, text_width=32, **options)


@pytest.fixture
def seen():
    return ImageVector.of(Column("image", DATA.x), (3, 8, 8), 0.1, tiny_clip())


@pytest.fixture
def clip(clip_config, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path / "cache"))
    return train(clip_config, data=DATA, quiet=True)


@pytest.fixture
def config(clip):
    more = {"runs": str(clip.path.parent), "image_encoder": "1", "steps": 4, "captions": False}
    return update(CONFIG, {"channels_per_level": [8], **more})


def test_images_and_their_vectors_tell_the_same(seen):
    unit = seen.clip.see(torch.from_numpy(DATA.x[:3]).float() / 127.5 - 1)
    images = seen.encode(DATA.x[:3], 3)
    torch.testing.assert_close(images["vector"], 4 * unit)
    assert images["unsaid"].tolist() == [[0.0]] * 3
    told = seen.encode(7 * unit.numpy(), 3)["vector"]
    torch.testing.assert_close(told, images["vector"])
    one = seen.encode(DATA.x[0], 2)["vector"]
    torch.testing.assert_close(one, images["vector"][:1].expand(2, -1))
    mixed = seen.encode([None, DATA.x[1], np.zeros(16)], 3)
    assert mixed["unsaid"].tolist() == [[1.0], [0.0], [1.0]]
    assert not mixed["vector"][0].any()
    assert seen.spec() == {"route": "vector", "features": 17}


def test_images_of_other_sizes_are_resized(seen):
    large = DATA.x[:2].repeat(2, 2).repeat(2, 3)
    cosine = (seen.see(large) * seen.see(DATA.x[:2])).sum(1)
    assert bool((cosine > 0.95).all())
    assert seen.see(DATA.x[:2, :1]).shape == (2, 16)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.full(16, np.nan), "no direction"),
        (np.ones(5), "16 numbers"),
        (DATA.x[:3], "got 3 images or vectors for 2"),
    ],
)
def test_what_is_no_vector_is_refused(seen, value, words):
    with pytest.raises(UsageError, match=words):
        seen.encode(value, 2)


def test_without_a_clip_or_images_it_is_refused():
    column = Column("image", DATA.x)
    with pytest.raises(UsageError, match="--image-encoder CLIPRUN"):
        ImageVector.of(column, (3, 8, 8), 0.1)
    with pytest.raises(UsageError, match="not images"):
        ImageVector.of(column, (2,), 0.1, tiny_clip())


@pytest.mark.parametrize("flip", [False, True])
def test_batches_read_the_vectors_of_their_images(seen, flip, tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path))
    rng = np.random.default_rng(0)
    data = Dataset(rng.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8), name="noise")
    conditioner = Conditioner({NAME: ImageVector(seen.clip, drop=0.0)})
    experiment = build(update(CONFIG, {"flip": flip}), data)
    told = kept_vectors(conditioner, {}, data, flip, ALONE)
    made = Batches(data.x, experiment.streams, experiment.batches.codec, *told, flip=flip)
    for step in range(3):
        batch = made(step)
        expected = seen.clip.see(batch.x0)
        torch.testing.assert_close(batch.cond[f"{NAME}.vector"] / 4, expected, atol=1e-5, rtol=0)
    assert len(list((cache_folder() / "vectors").glob("*.npy"))) == 1


def test_a_drop_rate_of_1_is_the_unconditional_output_bit_for_bit(config):
    made = build(update(config, {"label_drop": 1.0}), DATA)
    net, batch = made.pipeline.denoiser.net, made.batches(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    net.eval()
    x, t = batch.x0, torch.full((len(batch),), 0.5)
    condition = made.pipeline.conditioner.conditions[NAME]
    known = made.pipeline.conditioner.encode(len(batch), {NAME: DATA.x[: len(batch)]})
    nothing = made.pipeline.conditioner.encode(len(batch), {})
    assert condition.drop == 1
    with torch.no_grad():
        dropped, bare, other = (net(x, t, **cond) for cond in (batch.cond, nothing, known))
    assert torch.equal(dropped, bare)
    assert not torch.allclose(other, bare)


def test_a_model_keeps_its_clip_and_makes_variations(clip, config):
    run = train(config, data=DATA, quiet=True)
    own = LearnedClip.load(clip.model)
    shutil.rmtree(clip.path)
    moved = run.path.rename(run.path.parent / "elsewhere")
    made = Pipeline.load(moved / "model")
    assert made.facts["image_encoder"]
    images = made.sample(2, seed=1, **{NAME: DATA.x[5]})
    vector = own.see(DATA.x[5:6])[0]
    np.testing.assert_allclose(
        images.astype(int), made.sample(2, seed=1, **{NAME: vector}).astype(int), atol=1
    )
    assert np.array_equal(Pipeline.from_run(moved).sample(2, seed=1, **{NAME: DATA.x[5]}), images)
    made.save(moved / "again")
    again = Pipeline.load(moved / "again").sample(2, seed=1, **{NAME: DATA.x[5]})
    assert np.array_equal(again, images)
    with pytest.raises(UsageError, match="no codec with a network"):
        open_codec(str(moved / "model"))


def test_a_model_of_vectors_feeds_it(config, tmp_path):
    points = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    plain = {"image_encoder": None, "flip": False, "width": 8, "depth": 1}
    prior = build(update(config, plain), Dataset(points, name="vectors")).pipeline
    decoder = build(config, DATA).pipeline
    cascade = decoder.fed(NAME, prior, name="prior")
    cascade.save(tmp_path / "model")
    made = Pipeline.load(tmp_path / "model").sample(2, seed=3)
    assert np.array_equal(made, cascade.sample(2, seed=3))
    assert (tmp_path / "model" / "image_encoder").is_dir()


@pytest.mark.slow
def test_a_run_goes_on_bit_for_bit_and_not_with_another_clip(clip, config, monkeypatch):
    whole = train(config, data=DATA, quiet=True)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        cut = train(config, data=DATA, quiet=True)
    assert cut.status()["state"] == "stopped"
    shutil.rmtree(cache_folder() / "vectors")
    other = LearnedClip.load(clip.model)
    with torch.no_grad():
        other.net.image.visual_projection.weight.mul_(2)
    kept = clip.model.rename(clip.path / "kept")
    other.save(clip.model)
    with pytest.raises(DataError, match="another image_encoder"):
        train(config, cut, resume=True, data=DATA, quiet=True)
    shutil.rmtree(clip.model)
    kept.rename(clip.model)
    train(config, cut, resume=True, data=DATA, quiet=True)
    assert_same_weights(whole, cut)


def test_conditions_that_leave_it_out_are_refused(config):
    with pytest.raises(UsageError, match="image_encoder makes the condition image-vector"):
        build(update(config, {"conditions": "text"}), DATA)


def test_conditions_without_networks_save_none():
    assert Label(("a", "b")).saved_networks == {}
