import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from demist.codecs import Pixels, Standardize
from demist.conditions import Conditioner, Label
from demist.config import update
from demist.core import (
    AngleClock,
    Cosine,
    Denoiser,
    Eps,
    IndexClock,
    Karras,
    Linear,
    LogSNRClock,
    Shifted,
    Table,
    TimeClock,
    V,
    Velocity,
    ZeroTerminal,
    linear_betas,
)
from demist.core.schedule import VP
from demist.errors import CannotCreateError, DataError, MissingError, UsageError
from demist.model import Pipeline, Sampling, sample_seed
from demist.model import folder as model_folder
from demist.networks import MLP, UNet
from unsealed import edit


def randomized(net):
    """Networks start at zero; give every weight a value."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return net


@pytest.fixture
def pictures():
    net = UNet(
        channels=(16, 32),
        norm_groups=2,
        head_dim=16,
        attention=(1,),
        num_classes=3,
        patch=2,
        dropout=0.3,
    )
    return Pipeline(
        Denoiser(randomized(net), Linear(), Velocity(), input_std=0.7, bounds=(-1, 1)),
        Pixels(),
        Conditioner({"label": Label(("cat", "dog", "7"))}),
        (1, 8, 8),
        Sampling(steps=3, guidance=2.0),
        {"data": "made up"},
    )


@pytest.fixture
def points():
    net = randomized(MLP(features=2, width=16, depth=1))
    codec = Standardize((3.0, -1.0), 2.0)
    return Pipeline(Denoiser(net, VP(), Eps()), codec, Conditioner(), (2,), Sampling(steps=3))


@pytest.mark.parametrize("solver", ["adams", "dpmpp-2m", "ddim:eta=1"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_picture_does_not_depend_on_the_batch(pictures, solver, threads):
    torch.set_num_threads(threads)
    names = (["cat"] * 7 + ["dog", "7", None] * 5)[:20]
    whole = pictures.sample(20, label=names, solver=solver, batch_size=64)
    assert whole.dtype == np.uint8
    assert whole.shape == (20, 1, 8, 8)
    assert len(np.unique(whole, axis=0)) == 20
    for n, size in [(3, 1), (3, 2), (3, 64), (20, 1), (20, 8), (20, 9), (1, 1), (11, None)]:
        some = pictures.sample(n, label=names[:n], solver=solver, batch_size=size)
        assert np.array_equal(some, whole[:n]), (n, size)


def test_the_network_runs_on_whole_buckets_only(pictures):
    sizes = []
    net = pictures.denoiser.net
    net.register_forward_hook(lambda _, args, out: sizes.append(len(args[0])))
    pictures.sample(11, batch_size=3, guidance=1.0)
    assert sizes == [pictures.bucket] * 6  # two chunks of 8 and 3, three steps
    sizes.clear()
    pictures.sample(11, label="cat", batch_size=64, guidance=2.0)
    assert sizes == [2 * 16] * 3  # with guidance both conditions in one call


def test_arguments_matter(pictures):
    def same(**changes):
        return np.array_equal(pictures.sample(2, label="cat", **changes), base)

    base = pictures.sample(2, label="cat")
    assert same(seed=0, steps=3, solver="adams:p=2,last=1", guidance=2.0, grid="angular")
    assert not same(solver="adams")
    assert same(batch_size=5, progress=False)
    assert not same(seed=1)
    assert not same(seed=2**32)
    assert not same(steps=4)
    assert not same(solver="ddim")
    assert not same(guidance=1.0)
    assert not same(grid="uniform")
    assert not np.array_equal(pictures.sample(2, label="dog"), base)
    # With nothing said, guidance does nothing.
    bare = [pictures.sample(2, guidance=w) for w in (1.0, 5.0)]
    assert np.array_equal(*bare)
    assert np.array_equal(bare[0], pictures.sample(2, label=None))
    assert np.array_equal(bare[0], pictures.sample(2, label="cat", guidance=0.0))


def test_a_grid_of_ones_own(pictures):
    grid = torch.tensor([1.0, 0.6, 0.3, 0.0], dtype=torch.float64)
    a = pictures.sample(2, grid=grid)
    assert np.array_equal(a, pictures.sample(2, grid=grid, steps=17))
    assert not np.array_equal(a, pictures.sample(2))


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"n": 0}, "at least 1"),
        ({"n": 2, "label": "bird"}, "no class 'bird'.*cat, dog, 7"),
        ({"n": 2, "label": ["cat"]}, "1 labels for 2 samples"),
        ({"n": 2, "text": "a cat"}, "no condition 'text'; it has label"),
        ({"n": 2, "solver": "dpm"}, "no solver called 'dpm'"),
        ({"n": 2, "grid": "x"}, "no grid called 'x'"),
        ({"n": 2, "steps": -1}, "at least 1"),
    ],
)
def test_mistakes(pictures, arguments, words):
    with pytest.raises(UsageError, match=words):
        pictures.sample(**arguments)


def test_points(points):
    x = points.sample(5)
    assert (x.dtype, x.shape) == (np.float32, (5, 2))
    # Eps cannot be solved in pure noise where alpha is 0; the grid starts a little later.
    linear = replace(points, denoiser=Denoiser(points.denoiser.net, Cosine(), Eps()))
    assert np.isfinite(linear.sample(5)).all()
    grid = torch.tensor([1.0, 0.9995, 0.0], dtype=torch.float64)
    assert [frame.t for frame in linear.trajectory(2, grid=grid)] == [0.99975, 0.9995, 0.0]


def test_trajectory_ends_in_the_sample(pictures):
    frames = list(pictures.trajectory(3, label="7", seed=4))
    assert [frame.step for frame in frames] == [0, 1, 2, 3]
    assert [frame.t for frame in frames][::3] == [1.0, 0.0]
    assert all(frame.x.shape == (3, 1, 8, 8) for frame in frames)
    assert np.array_equal(frames[-1].x, pictures.sample(3, label="7", seed=4))


def test_sampling_leaves_the_networks_mode_and_no_graph(pictures):
    for mode in (True, False):
        pictures.denoiser.train(mode)
        pictures.sample(1)
        assert pictures.denoiser.training is mode
    dropout = replace(pictures, denoiser=pictures.denoiser.train())
    assert np.array_equal(dropout.sample(2), dropout.sample(2))


def test_seeds_are_hashed():
    seeds = {sample_seed(seed, i) for seed in (0, 1, 2**32, -1) for i in range(50)}
    assert len(seeds) == 200
    assert all(0 <= s < 2**64 for s in seeds)


def test_guidance_needs_an_unconditional_model(pictures):
    label = Label(("cat", "dog", "7"), drop=0.0)
    never = replace(pictures, conditioner=Conditioner({"label": label}))
    with pytest.raises(UsageError, match="label_drop = 0"):
        never.sample(2, label="cat", guidance=3.0)
    assert never.sample(2, label="cat", guidance=1.0).shape == (2, 1, 8, 8)


# ------------------------------------------------------------------ saving


def test_saved_and_loaded_is_the_same(pictures, points, tmp_path):
    for name, pipeline, place in [("a", pictures, "unet"), ("b", points, "mlp")]:
        before = pipeline.sample(3)
        folder = pipeline.save(tmp_path / name)
        assert sorted(os.listdir(folder)) == sorted(
            ["README.md", "model_index.json", "scheduler", place]
        )
        back = Pipeline.load(folder)
        assert np.array_equal(back.sample(3), before)
        for key in ("codec", "conditioner", "shape", "defaults", "facts"):
            assert getattr(back, key) == getattr(pipeline, key)
        for key in model_folder.DENOISER:
            assert getattr(back.denoiser, key) == getattr(pipeline.denoiser, key)
        assert not back.denoiser.training


def test_the_layout_of_diffusers(pictures, tmp_path):
    pictures.save(tmp_path / "m")
    index = json.loads((tmp_path / "m/model_index.json").read_text())
    assert index["unet"] == ["demist", "UNet"]
    config = json.loads((tmp_path / "m/unet/config.json").read_text())
    assert (config["_class_name"], config["channels"]) == ("UNet", [16, 32])
    assert (tmp_path / "m/unet/diffusion_pytorch_model.safetensors").is_file()
    scheduler = json.loads((tmp_path / "m/scheduler/scheduler_config.json").read_text())
    assert scheduler["parameterization"] == {"kind": "Velocity"}


def test_nothing_is_overwritten_unasked(pictures, tmp_path):
    pictures.save(tmp_path / "m")
    with pytest.raises(CannotCreateError):
        pictures.save(tmp_path / "m")
    replace(pictures, facts={"data": "other"}).save(tmp_path / "m", replace=True)
    assert Pipeline.load(tmp_path / "m").facts == {"data": "other"}


INDEX, SCHEDULER = "model_index.json", "scheduler/scheduler_config.json"
DAMAGES = [
    (INDEX, lambda c: c.update(format=99), r"format 99, .*; if it is one, update demist to \d"),
    (INDEX, lambda c: c.update(_class_name="DDPMPipeline"), "DDPMPipeline"),
    (INDEX, lambda c: c.pop("unet"), "no network"),
    (INDEX, lambda c: c.pop("shape"), "does not describe a model: 'shape'"),
    (INDEX, lambda c: c["codec"].update(kind="os.system"), "unknown kind 'os.system'"),
    (INDEX, lambda c: c["conditions"]["label"].update(x=1), "Label cannot be made"),
    (INDEX, lambda c: c["defaults"].update(x=1), "saved defaults make no sense"),
    (SCHEDULER, lambda c: c.update(schedule={"kind": "VE", "sigma_max": [1, {}]}), "VE|describe"),
    (SCHEDULER, lambda c: c.pop("schedule"), "does not describe a model"),
    ("unet/config.json", lambda c: c.update(eval="1"), "does not describe a model"),
    ("unet/config.json", lambda c: c.update(channels=[16, 33]), "does not describe a model"),
    ("unet/config.json", lambda c: c.update(channels=[16, 64]), r"\(32,\)"),
    ("unet/config.json", lambda c: c.update(num_classes=9), r"class_embedding.weight +\(10, 64\)"),
]


@pytest.mark.parametrize("file, change, words", DAMAGES)
def test_damaged_models_are_named(pictures, tmp_path, file, change, words):
    pictures.save(tmp_path / "m")
    edit(tmp_path / "m" / file, change)
    with pytest.raises((DataError, MissingError), match=words):
        Pipeline.load(tmp_path / "m")


def test_missing_and_truncated_files(pictures, tmp_path):
    with pytest.raises(MissingError):
        Pipeline.load(tmp_path)
    folder = pictures.save(tmp_path / "m")
    os.truncate(folder / "unet/diffusion_pytorch_model.safetensors", 1000)
    with pytest.raises(DataError, match="not a whole safetensors file"):
        Pipeline.load(folder)


@pytest.mark.parametrize(
    "value",
    [
        VP(0.2, 12.0),
        Shifted(ZeroTerminal(VP()), 3.0),
        Karras(0.7),
        V(),
        LogSNRClock(5.0),
        IndexClock(50),
        Standardize((1.0, 2.0), 3.0),
        Label(("a", "b"), 0.25),
        {"label": Label(("a",))},
        [1, 2.5, "x", None, True],
    ],
)
def test_objects_and_json(value):
    text = json.dumps(model_folder.to_json(value))
    back = model_folder.from_json(json.loads(text), "here")
    assert back == (tuple(value) if type(value) is list else value)


def test_clocks_and_tables():
    for clock in (TimeClock(), AngleClock()):
        kind = {"kind": f"{clock.name}_clock"}
        assert model_folder.to_json(clock) == kind
        assert model_folder.from_json(kind, "here") == clock
    table = Table.from_betas(linear_betas(20))
    back = model_folder.from_json(json.loads(json.dumps(model_folder.to_json(table))), "here")
    assert torch.equal(back.alpha_bar, table.alpha_bar)
    with pytest.raises(TypeError, match="object cannot be saved"):
        model_folder.to_json(object())


# ------------------------------------------------------------------ runs


def test_from_run(tmp_path):
    from demist.config import TrainConfig
    from demist.data import Dataset
    from demist.training.run import train

    x = np.random.default_rng(0).normal(size=(32, 2)).astype(np.float32)
    config = update(
        TrainConfig(),
        {"runs": str(tmp_path), "steps": 4, "save_every": "2", "batch_size": 8, "width": 8,
         "depth": 1, "sample_count": 0, "keep": 3},
    )  # fmt: skip
    run = train(config, data=Dataset(x, name="dots"), quiet=True)
    newest = Pipeline.from_run(run)
    assert newest.facts["step"] == 4
    assert np.array_equal(newest.sample(3), Pipeline.load(run.model).sample(3))
    assert np.array_equal(newest.sample(3), Pipeline.from_run(run.path).sample(3))
    earlier = Pipeline.from_run(str(run.path), step=2)
    assert earlier.facts["step"] == 2
    assert not np.array_equal(earlier.sample(3), newest.sample(3))
    with pytest.raises(MissingError, match=r"no checkpoint 3.*2, 4"):
        Pipeline.from_run(run, step=3)
    # A reader warns of damage and goes back, but leaves the repair to the trainer.
    os.truncate(run.checkpoints / "step-00000004" / "ema.safetensors", 10)
    with pytest.warns(UserWarning, match=r"ema.safetensors is damaged \(10 bytes, should be \d+"):
        assert Pipeline.from_run(run).facts["step"] == 2
    assert (run.checkpoints / "step-00000004").is_dir()
    shutil.rmtree(run.checkpoints / "step-00000004")
    os.remove(run.checkpoints / "step-00000002" / "state.json")
    with (
        pytest.warns(UserWarning, match=r"2: state.json is damaged \(No such file"),
        pytest.raises(DataError, match=r"no checkpoint .* is good"),
    ):
        Pipeline.from_run(run)
