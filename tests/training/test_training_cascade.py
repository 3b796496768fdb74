"""A run of two stages whose model has the first one inside, and is sampled as one."""

import numpy as np
import pytest
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.config import Stage, Stages, update
from demist.data import Dataset
from demist.data.images.reduced import averaged
from demist.errors import UsageError
from demist.model import Pipeline
from demist.model.feeders import stages_of
from demist.recipes import find
from demist.training.run import train

DATA = pictures(24, ("a", "b"))


def test_the_model_of_a_cascade_has_its_stages(tmp_path):
    config = update(CONFIG, {"runs": str(tmp_path / "runs"), "patch": 1, "steps": 3})
    base = update(config, {"reduce": 2, "sample_rule": "threshold:model=cfg"})
    last = update(
        config,
        {
            "conditions": "label,(low-resolution:factor=2,noise=0.5)",
            "feeds": "low_resolution=stage:base",
            "sample_condition_noise": 0.25,
        },
    )
    run = train(Stages((Stage("base", base),), last), data=DATA, quiet=True)
    saved, kept = Pipeline.load(run.model), Pipeline.from_run(run)
    assert list(stages_of(saved)) == ["base"]
    small = stages_of(saved)["base"]
    assert small.shape == (saved.shape[0], saved.shape[1] // 2, saved.shape[2] // 2)
    assert small.defaults.guidance_rule == "threshold:model=cfg"
    assert saved.defaults.condition_noise == 0.25
    how = {"label": ["a", "b"], "steps": 2}
    np.testing.assert_array_equal(saved.sample(2, **how), kept.sample(2, **how))
    assert saved.plan(2, **how).sampling.stages["base"].guidance_rule == "threshold:model=cfg"


def test_what_does_not_fit_is_refused_before_training(tmp_path):
    config = update(CONFIG, {"runs": str(tmp_path / "runs"), "feeds": "edges=digits"})
    with pytest.raises(UsageError, match="no condition 'edges'"):
        train(config, data=DATA, quiet=True)
    with pytest.raises(UsageError, match="write CONDITION=MODEL"):
        train(update(config, {"feeds": "edges"}), data=DATA, quiet=True)


def test_blocks_are_averaged():
    x = np.arange(2 * 3 * 4 * 6, dtype=np.uint8).reshape(2, 3, 4, 6)
    small = averaged(Dataset(x), 2)
    assert small.x.shape == (2, 3, 2, 3)
    assert small.x[0, 0, 0, 0] == np.rint((0 + 1 + 6 + 7) / 4)
    assert small.fingerprint != Dataset(x).fingerprint
    with pytest.raises(UsageError, match="6x4 pixels are no multiples"):
        averaged(Dataset(x), 4)


@pytest.mark.parametrize("name", ["imagen", "glide"])
def test_cascades_divide_one_budget(name):
    base, last = find(name).divided()
    assert base.config.limits.budget == last.config.limits.budget == "20m"
    assert base.config.data.reduce == 4
    assert base.config.cascade.feeds is None
    assert last.config.cascade.feeds == "low_resolution=stage:base"
    told = last.config.output.sample_condition_noise
    assert (told > 0) == (name == "imagen")
