"""Batches of one shape: every image once per epoch, the same however it is resumed or shared."""

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import CONFIG, one_thread  # noqa: F401

from demist.codecs import KLAutoencoder
from demist.config import DataConfig, update
from demist.data import Column, Dataset
from demist.data.images.buckets import Bucketed
from demist.errors import UsageError
from demist.modalities.named import divided, of_one_shape, to_learn
from demist.model.pipeline import Pipeline
from demist.networks import Autoencoder
from demist.training.batches import Batches
from demist.training.build import build
from demist.training.latents import latents
from demist.training.run import train
from demist.training.shapes import as_read, require_full
from demist.training.streams import Groups, Streams

COUNTS = {(8, 8): 13, (4, 16): 9, (16, 4): 8}
SIZES = ("original_size", "crop", "target_size")


def several():
    """Images of three shapes in mixed order, each of its own brightness."""
    which = np.random.default_rng(0).permutation(np.repeat(np.arange(3), list(COUNTS.values())))
    parts = [np.zeros((n, 1, *sides), np.uint8) for sides, n in COUNTS.items()]
    for k, part in enumerate(parts):
        part += (8 * np.flatnonzero(which == k)).astype(np.uint8)[:, None, None, None]
    now = np.array(list(COUNTS), float)[which]
    words = {"crop": ("top", "left")}
    columns = {
        n: Column("sizes", now * (n not in words), words.get(n, ("height", "width"))) for n in SIZES
    }
    texts = tuple(f"page {i % 2}" for i in range(len(which)))
    return Dataset(Bucketed(tuple(parts), which), texts=texts, columns=columns, name="several")


def streams(size=4, world=1, rank=0):
    x = several().x
    return Streams(3, len(x), size, rank, world, Groups.of(x))


def test_an_epoch_has_every_image_and_fills_up_from_the_same_bucket():
    x, s = several().x, streams()
    per_epoch = 4 + 3 + 2
    orders = []
    for epoch in range(3):
        seen = [s.indices(step) for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)]
        for rows in seen:
            assert len(set(x.which[rows])) == 1
            assert len(set(rows.tolist())) == 4
        counts = np.bincount(np.concatenate(seen), minlength=len(x))
        assert counts.min() == 1
        assert counts.max() == 2
        assert counts.sum() - len(x) == 3 + 3  # of 13 and of 9 images in fours
        orders.append([int(x.which[rows[0]]) for rows in seen])
    assert orders[0] != sorted(orders[0])
    assert orders[0] != orders[1]


def test_processes_share_one_shape_and_the_batch_of_one():
    whole = streams()
    shares = [streams(world=2, rank=rank) for rank in range(2)]
    for step in (0, 5, 31):
        parts = [share.indices(step) for share in shares]
        assert np.array_equal(np.concatenate(parts), whole.indices(step))


def test_a_bucket_that_is_smaller_than_a_batch_is_refused():
    with pytest.raises(UsageError, match="bucket 16x4 has 8 images, fewer than a batch of 9"):
        require_full(several().x, 9)
    require_full(several().x, 8)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["unet:patch=1", "sd", "mmdit"])
def test_buckets_are_learned_resumed_bit_for_bit_and_drawn_in_any_shape(tmp_path, network):
    config = update(
        CONFIG,
        {"network": network, "runs": str(tmp_path), "width": 16, "depth": 1, "text_width": 32,
         "text_depth": 1, "batch_size": 4, "sizes": True, "flip": True, "sample_count": 2,
         "sample_guidance": 2.0, "decay": "constant",
         "warmup": 0},
    )  # fmt: skip
    whole = train(config, data=several(), quiet=True)
    part = train(update(config, {"steps": 2}), data=several(), quiet=True)
    train(config, part, resume=True, data=several(), quiet=True)
    model, resumed = Pipeline.from_run(whole), Pipeline.from_run(part)
    for a, b in zip(model.denoiser.parameters(), resumed.denoiser.parameters(), strict=True):
        assert torch.equal(a, b)
    conditions = model.conditioner.conditions
    assert list(conditions) == ["text", *SIZES]
    assert {c.group for c in conditions.values()} == {"original_size"}
    assert conditions["crop"].crop
    assert conditions["target_size"].default == (8, 8)
    for size in COUNTS:
        assert model.sample(1, text="page 1", size=size, steps=2).shape == (1, 1, *size)
    e = build(config, several())
    shapes = {tuple(e.batches(step).x0.shape[2:]) for step in range(9)}
    assert shapes == set(COUNTS)
    again, late = e.batches(7), build(config, several()).batches(7)
    assert torch.equal(again.x0, late.x0)
    # The images of a batch and what is told of them stay together.
    hidden = again.cond["target_size"] < 0
    assert (hidden | (again.cond["target_size"] == torch.tensor(again.x0.shape[2:]))).all()


def test_networks_of_one_size_and_images_as_conditions_are_refused():
    with pytest.raises(UsageError, match="a DiT learns images of one shape; leave out --buckets"):
        build(update(CONFIG, {"network": "dit", "width": 32, "batch_size": 4}), several())
    config = update(CONFIG, {"conditions": "low-resolution", "batch_size": 4})
    with pytest.raises(UsageError, match="images condition images of one shape only"):
        build(config, several())
    config = update(CONFIG, {"network": "sd:channels=(8,8,8,16)", "batch_size": 4})
    with pytest.raises(UsageError, match="4x16 cannot be halved 3 times"):
        build(config, several())


def test_latents_are_kept_bucket_by_bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("DEMIST_CACHE", str(tmp_path))
    torch.manual_seed(0)
    net = Autoencoder(in_channels=1, channels=(8,), latent_channels=2, patch=2)
    codec, data = KLAutoencoder(net), several()
    made = latents(codec, data, flip=True)
    assert made.x.shapes == ((2, 4, 4), (2, 2, 8), (2, 8, 2))
    rows = data.x.rows(2)[:3]
    alone = codec.moments(torch.from_numpy(data.x[rows]))[0]
    assert np.allclose(made.x[rows], alone.numpy(), atol=1e-5)
    mirrored = codec.moments(torch.from_numpy(data.x[rows][..., ::-1].copy()))[0]
    assert np.allclose(made.mirrored[rows], mirrored.numpy(), atol=1e-5)
    assert len(list((tmp_path / "latents").iterdir())) == 6
    batches = Batches(
        made.x, streams(1), made.encode, flip=True, mirrored=made.mirrored, draws=made.draws
    )
    seen = {tuple(batches(step).x0.shape[1:]) for step in range(12)}  # some mirrored, some not
    assert seen <= set(made.x.shapes)


def test_sides_of_chosen_buckets_are_those_that_the_network_takes():
    config = update(CONFIG, {"size": 32, "buckets": "3", "network": "sd:channels=(8,8,8,8,8)"})
    assert as_read(config).buckets == "32x32,16x64,64x16"
    config = update(config, {"network": "mmdit"})
    assert as_read(config).buckets == "32x32,28x36,36x28"
    alone = as_read(update(config, {"network": "autoencoder"}))
    assert (alone.buckets, alone.size) == ("32x32", "32x32")


def test_what_is_held_out_is_the_same_in_one_shape_and_in_several(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = rng.integers(0, 255, ((8, 16), (16, 8), (9, 9))[i % 3], np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
        (tmp_path / f"{i:02d}.txt").write_text(f"page {i}")
    options = DataConfig(path=str(tmp_path), size=8, buckets="8x8,4x16,16x4", hold_out=0.2)
    several, one = to_learn(options).data, to_learn(of_one_shape(options)).data
    division = divided(options)
    assert isinstance(several.x, Bucketed)
    assert one.x.shape == division.train.x.shape == (32, 1, 8, 8)
    assert several.texts == one.texts == division.train.texts
    assert set(division.test.texts).isdisjoint(several.texts)
