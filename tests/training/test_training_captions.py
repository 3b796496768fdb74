"""Captions from data to prompt: conditions built, trained, resumed, asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import CONFIG, one_thread  # noqa: F401

from demist import recipes, runs
from demist.codecs import Pixels
from demist.conditions import LowResolution
from demist.conditions.conditioner import Conditioner
from demist.config import update
from demist.data import Dataset
from demist.errors import UsageError
from demist.model.pipeline import Pipeline
from demist.networks import DiT, MMDiTNetwork, SDNetwork, UNet
from demist.training.batches import Batches
from demist.training.build import build
from demist.training.conditions import conditions
from demist.training.run import train
from demist.training.streams import Streams


def captioned(n=24, classes=()):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 2
    x = rng.integers(0, 40, (n, 3, 8, 8)) + 200 * labels[:, None, None, None]
    words = np.array(["a dark page", "a light page with many more words"])
    return Dataset(
        x.astype(np.uint8),
        labels if classes else None,
        classes,
        texts=tuple(words[labels]),
        name="pages",
    )


def test_captions_become_a_condition_beside_labels():
    e = build(CONFIG, captioned(classes=("d", "l")))
    assert list(e.pipeline.conditioner.conditions) == ["label", "text"]
    assert e.pipeline.conditioner.conditions["text"].length == 8
    assert isinstance(e.pipeline.denoiser.net, UNet)
    batch = e.batches(0)
    assert list(batch.cond) == ["label", "text.tokens", "text.weights"]
    off = update(CONFIG, {"captions": False, "labels": False})
    assert conditions(off, captioned(classes=("d", "l")))[0].conditions == {}


def test_recipes_of_prompts_refuse_data_without_captions():
    asked = update(CONFIG, {"require_captions": True})
    assert conditions(asked, captioned())[0].conditions
    silent = replace(captioned(classes=("d", "l")), columns={})
    with pytest.raises(UsageError, match=r"pages gives no captions.*--no-require-captions"):
        conditions(asked, silent)
    with pytest.raises(UsageError, match="gives no captions"):
        conditions(update(asked, {"captions": False}), captioned())
    for name in ("sd", "sdxl", "sd3", "imagen", "glide", "dalle2", "dalle3", "pixel", "emoji"):
        assert recipes.find(name).divided().last.data.require_captions


def test_long_captions_are_cut_and_counted(tmp_path):
    short = update(CONFIG, {"text_length": 4, "flip": False, "steps": 1, "runs": str(tmp_path)})
    pictures = update(short, {"sample_count": 24})
    train(pictures, data=captioned(), quiet=True)  # of all captions, the long ones too
    e = build(short, captioned())
    assert e.pipeline.facts["captions_cut"] == 12
    assert e.pipeline.conditioner.conditions["text"].length == 4
    with pytest.raises(UsageError, match="has 7 tokens and this model reads 3"):
        e.pipeline.conditioner.encode(1, {"text": "a light page with many more words"})


@pytest.mark.slow
@pytest.mark.parametrize("network", ["unet", "dit", "sd", "mmdit"])
def test_a_run_is_trained_resumed_and_asked(tmp_path, network):
    config = update(CONFIG, {"network": network, "runs": str(tmp_path), "flip": False,
                             "width": 32, "depth": 2, "steps": 3})  # fmt: skip
    run = train(config, data=captioned(), quiet=True)
    whole = train(update(config, {"steps": 5}), data=captioned(), quiet=True)
    train(update(config, {"steps": 5}), run, resume=True, data=captioned(), quiet=True)
    a, b = (Pipeline.from_run(r) for r in (run, whole))
    kind = {"unet": UNet, "dit": DiT, "sd": SDNetwork, "mmdit": MMDiTNetwork}[network]
    assert isinstance(a.denoiser.net, kind)
    made = a.sample(2, text="a dark page", guidance=2.0)
    assert made.shape == (2, 3, 8, 8)
    for p in (a, b):  # the learning rate's decay differs: only the weights' shapes must agree
        assert p.conditioner == a.conditioner
    assert np.array_equal(
        made, Pipeline.load(run.model).sample(2, text="a dark page", guidance=2.0)
    )
    assert len(list(runs.all_runs(str(tmp_path)))) == 2


def test_training_shows_noisy_small_pictures_of_its_own_noise():
    data = captioned()
    condition = LowResolution((3, 8, 8), drop=0.0)
    batches = Batches(
        data.x, Streams(0, len(data), 8), Pixels(), Conditioner({"low": condition}), {"low": data.x}
    )
    one, again, other = batches(0), batches(0), batches(1)
    for part in ("low.image", "low.level"):
        assert torch.equal(one.cond[part], again.cond[part])
    level = one.cond["low.level"][:, 0, 0, 0]
    assert len(level.unique()) == 8
    assert not torch.equal(level, other.cond["low.level"][:, 0, 0, 0])
    clean = condition.encode(data.x[Streams(0, len(data), 8).indices(0)], 8)
    added = (one.cond["low.image"] - clean["image"])[:, :, ::2, ::2]
    noise = one.noise(one.x0)[:, :, ::2, ::2]
    assert abs(float(torch.corrcoef(torch.stack([added.flatten(), noise.flatten()]))[0, 1])) < 0.2
