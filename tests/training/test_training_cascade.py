"""A run of two stages whose model has the first one inside, and is sampled as one."""

import numpy as np
import pytest
from tiny import CONFIG, one_thread, pictures  # noqa: F401

from demist.config import Stage, Stages, flat, parse_duration, update
from demist.data import Column, Dataset
from demist.data.images.reduced import averaged
from demist.data.images.told import NAMES as SIZES
from demist.errors import UsageError
from demist.measuring.likelihood import measure_likelihood
from demist.model import Pipeline
from demist.model.feeders import alone, stages_of
from demist.recipes import find
from demist.training.run import train

DATA = pictures(24, ("a", "b"))


@pytest.mark.slow
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
    last_alone, whole = (measure_likelihood(m, DATA, 2, seed=0) for m in (alone(saved), saved))
    assert whole == last_alone  # of the last stage, and it says so
    assert "over 2 test images chosen at random, each given its own low_resolution (" in str(whole)


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


def test_a_cascade_with_a_base_that_is_there_trains_its_last_stage_alone():
    given = update(find("imagen").config(), {"feeds": "low_resolution=runs/0003-base"})
    (last,) = find("imagen").divided(given)
    assert last.config.cascade.feeds == "low_resolution=runs/0003-base"
    assert last.config.limits.budget == "40m"  # all of it


@pytest.mark.slow
def test_sdxl_trains_a_refiner_of_little_noise_that_samples_with_the_model(tmp_path):
    """In its own small form: two towers, sizes, and a refiner that its run hands over to."""
    x = np.random.default_rng(0).integers(0, 256, (24, 3, 8, 8)).astype(np.uint8)
    about = {name: Column("sizes", np.full((24, 2), 8.0), ("height", "width")) for name in SIZES}
    data = Dataset(x, texts=("a red dot", "a blue line") * 12, name="tiny", columns=about)
    kept = ("network", "text_tower", "schedule", "parameterization", "clock", "times", "weight",
            "sizes", "refiner", "refine_from")  # fmt: skip
    options = {name: flat(find("sdxl").config())[name] for name in kept}
    small = {"runs": str(tmp_path), "patch": 1, "text_width": 32, "flip": False, "steps": 10}
    stages = find("sdxl").divided(update(CONFIG, options | small))
    assert [stage.config.limits.steps for stage in stages] == [2, 8]
    run = train(stages, data=data, quiet=True)
    saved = Pipeline.load(run.model)
    second = saved.refinement
    assert second.start == 0.2
    assert saved.conditioner.conditions["text"].tower == "clip+own"
    assert second.pipeline.conditioner.conditions["text"].tower == "clip"
    how = {"text": "a red dot", "steps": 10, "guidance": 2.0}
    np.testing.assert_array_equal(saved.sample(2, **how), Pipeline.from_run(run).sample(2, **how))
    plan = saved.plan(2, **how)
    asked = [frame.t for frame in plan.frames()]
    assert plan.then is not None
    assert plan.until == sum(1 for t in asked[:-1] if t > 0.2)
    alone = second.taken_from(saved).sample(2, **how)
    assert not np.array_equal(alone, saved.sample(2, **how))


def test_the_refiner_learns_the_times_that_it_is_asked_at():
    refined = update(find("sdxl").config(), {"refine_from": 0.3, "times": "logit-normal:mean=1"})
    codec, refiner, last = find("sdxl").divided(refined)
    assert refiner.config.diffusion.times == "logit-normal:mean=1,high=0.3"
    assert last.config.diffusion.times == "logit-normal:mean=1"
    assert last.config.cascade.refine_from == 0.3
    minutes = [parse_duration(s.config.limits.budget) / 60 for s in (codec, refiner, last)]
    assert minutes == [10, 6, 24]
    assert refiner.config.latents == last.config.latents
    assert refiner.config.latents.codec == "stage:codec"


def test_sdxl_takes_a_codec_that_is_there_and_a_refiner_that_is_there():
    given = update(find("sdxl").config(), {"codec": "runs/0003-codec"})
    refiner, last = find("sdxl").divided(given)
    assert [refiner.config.latents.codec, last.config.latents.codec] == ["runs/0003-codec"] * 2
    minutes = [parse_duration(s.config.limits.budget) / 60 for s in (refiner, last)]
    assert minutes == [8, 32]
    for other in (None, "runs/0004-refiner"):
        stages = find("sdxl").divided(update(given, {"refiner": other}))
        assert not stages.earlier
        assert stages.last.cascade.refiner == other
