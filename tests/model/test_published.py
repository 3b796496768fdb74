"""The solver, the grid and the noise of other makers, asked for through a pipeline."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from demist import Pipeline
from demist.commands.list import main as list_parts
from demist.core import TorchSeeded
from demist.errors import DataError, DemistError, UsageError
from demist.networks import published

NET = {
    "sample_size": 8, "block_out_channels": [8, 16], "norm_num_groups": 4, "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
}  # fmt: skip


@pytest.fixture
def make(tmp_path):
    """A folder of a network without a scheduler, and what opens it with one."""
    torch.manual_seed(1)
    net = published.UNet2D.from_json(NET, "here")
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **NET}))
    tensors = {k: v.contiguous() for k, v in net.state_dict().items()}
    save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors")

    def made(kind="DDIM", **config):
        config = {"_class_name": f"{kind}Scheduler", **config}
        (tmp_path / "scheduler_config.json").write_text(json.dumps(config))
        return Pipeline.load(tmp_path)

    return made


def last(plan, rows=None):
    return list(plan.states(rows))[-1].x


def test_the_solver_brings_its_times_and_the_scale_of_the_start(make):
    pipeline = make()
    plan = pipeline.plan(2, solver="published", steps=4)
    assert plan.grid.tolist() == pytest.approx([0.751, 0.501, 0.251, 0.001, 0.0])
    assert plan.scale == 1
    assert plan.sampling.grid is None
    first = next(iter(plan.states()))
    ours = next(iter(pipeline.plan(2, grid=plan.grid.tolist()).states()))
    sigma = float(pipeline.denoiser.schedule(plan.grid[0])[1])
    torch.testing.assert_close(first.x * sigma, ours.x)


def test_the_recipe_makes_the_same_again(make):
    pipeline = make("EulerAncestralDiscrete")
    init = torch.zeros(3, 3, 8, 8)
    asked = {"solver": "published", "steps": 3, "seed": 8, "noise": "torch", "start": 0.6}
    plan = pipeline.plan(3, init=init, **asked)
    assert plan.grid[0] < 0.6
    again = pipeline.plan(3, plan.sampling, init=init)
    assert torch.equal(last(plan), last(again))
    assert plan.sampling.recipe()["noise"] == "torch"
    assert "noise" not in pipeline.plan(1).sampling.recipe()


def test_clipping_is_theirs_with_their_solver_only(make):
    pipeline = make("DDPM")
    assert pipeline.denoiser.bounds == (-1, 1)
    plan = pipeline.plan(2, solver="published", steps=3)
    assert float(plan.sample().std()) > 1
    assert plan.model.range.limit == 1
    assert pipeline.denoiser.bounds == (-1, 1)
    free = make("EulerDiscrete").plan(2, solver="published", steps=3)
    assert free.model.bounds is None


def test_what_the_network_is_told(make):
    """At Karras's levels the published indices are rounded, and the noise levels are not."""
    pipeline = make("DPMSolverMultistep", use_karras_sigmas=True)
    plan = pipeline.plan(2, solver="adams", grid="published", steps=6)
    told = [plan.model.clock(t, *plan.model.schedule(t)) for t in plan.grid[:-1]]
    assert [float(i) for i in told] == [round(float(i)) for i in told]
    usual = [float(pipeline.denoiser.clock(t, t, t)) for t in plan.grid[:-1]]
    assert 0.1 < max(abs(float(a) - b) for a, b in zip(told, usual, strict=True)) < 0.51


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_one_seed_is_drawn_at_once(make, batch_size):
    plan = make("DDPM").plan(
        5, solver="published", steps=2, noise="torch", seed=3, batch_size=batch_size
    )
    generator = torch.Generator().manual_seed(3)
    x, z = (torch.randn(5, 3, 8, 8, generator=generator) for _ in range(2))
    starts = torch.cat([next(iter(plan.states(rows))).x for rows in plan.batches()])
    assert torch.equal(starts, x)
    model = plan.model
    with torch.no_grad():
        p = model(x, plan.grid[0])
    (a_t, g_t), (a_s, g_s) = model.schedule(plan.grid[0]), model.schedule(plan.grid[1])
    beta = 1 - (a_t / a_s) ** 2
    mean = (a_s * beta * p.x0 + (a_t / a_s) * g_s**2 * x) / g_t**2
    expected = mean + (g_s / g_t * beta.sqrt()) * z
    found = torch.cat([list(plan.states(rows))[1].x for rows in plan.batches()])
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-5)


def test_each_seed_has_its_generator():
    noise = TorchSeeded([4, -1, 2**64 - 1], 3, [2, 0])
    like = torch.zeros(2, 1, 4)
    one, two = noise(like), noise.at(0)(like)
    for row, seed in enumerate((2**64 - 1, 4)):
        generator = torch.Generator().manual_seed(seed)
        assert torch.equal(one[row], torch.randn(1, 1, 4, generator=generator)[0])
        assert torch.equal(two[row], torch.randn(1, 1, 4, generator=generator)[0])
    half = TorchSeeded(4, 2, [0, 1], torch.float16)(like)
    generator = torch.Generator().manual_seed(4)
    assert torch.equal(half, torch.randn(2, 1, 4, generator=generator, dtype=torch.half).float())


@pytest.mark.parametrize(
    ("config", "asked", "kind", "words"),
    [
        ({}, {"grid": "karras"}, UsageError, "goes with its own times"),
        ({}, {"solver": "published:eta=2"}, UsageError, "from 0 to 1"),
        ({}, {"solver": "published:eta=x"}, UsageError, "eta is a number"),
        ({}, {"solver": "published:order=3"}, UsageError, "no option of solver published"),
        ({"kind": "DDPM"}, {"solver": "published:eta=1"}, UsageError, "eta belongs to DDIM"),
        ({}, {"steps": 1001}, UsageError, "take from 1 to 1000"),
        ({"steps_offset": 1}, {"steps": 1000}, UsageError, "beyond the model's last"),
        ({}, {"noise": "cuda"}, UsageError, "one of seeded, torch"),
        ({}, {"noise": "torch", "seed": 2**64}, UsageError, "64 bits"),
        ({}, {"start": 0.0001, "init": np.zeros((3, 8, 8), np.uint8)}, UsageError, "later start"),
        ({"kind": "DEISMultistep"}, {}, DataError, "DEISMultistepScheduler.*any solver of"),
        ({"timestep_spacing": "odd"}, {}, DataError, "linspace, leading, trailing"),
        ({"kind": "DDPM", "variance_type": "learned_range"}, {}, DataError, "no variance"),
        ({"kind": "DDPM", "variance_type": "fixed_large_log"}, {}, DataError, "fixed_small_log"),
        ({"kind": "PNDM", "prediction_type": "sample"}, {}, DataError, "v_prediction"),
        ({"kind": "PNDM"}, {"steps": 3}, UsageError, "take 4 or more"),
        ({"kind": "LCM"}, {"steps": 51}, UsageError, "from 1 to 50"),
        ({"kind": "LCM", "original_inference_steps": 0}, {}, DataError, "original_inference"),
        ({"kind": "UniPCMultistep", "predict_x0": False}, {}, DataError, "final_sigmas_type"),
        ({"kind": "DPMSolverMultistep", "algorithm_type": "sde-dpmsolver"}, {}, DataError, "known"),
        ({"kind": "DPMSolverMultistep", "solver_order": 4}, {}, DataError, "1 to 3"),
        ({"kind": "DPMSolverMultistep"}, {"steps": 1000}, UsageError, "1 to 999"),
        ({"kind": "EulerDiscrete", "use_karras_sigmas": True, "use_beta_sigmas": True}, {},
         DataError, "only one"),
        ({"kind": "EulerDiscrete", "sigma_max": "much", "use_karras_sigmas": True}, {},
         DataError, "describes no sampler"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make, config, asked, kind, words):
    pipeline = make(**config)
    with pytest.raises(kind, match=words) as error:
        last(pipeline.plan(1, **{"solver": "published", "steps": 5, **asked}))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [-3, "x", float("nan")])
@pytest.mark.parametrize("kind", ["PNDM", "EulerDiscrete", "UniPCMultistep", "LCM"])
def test_values_of_no_sense_are_one_sentence(make, tmp_path, kind, value):
    keys = (
        "steps_offset", "timestep_spacing", "solver_order", "final_sigmas_type", "sigma_min",
        "original_inference_steps", "disable_corrector", "lambda_min_clipped", "thresholding",
        "dynamic_thresholding_ratio", "timestep_scaling", "skip_prk_steps",
    )  # fmt: skip
    pipeline, said = make(kind), []
    for key in keys:
        config = {"_class_name": f"{kind}Scheduler", "use_karras_sigmas": True, key: value}
        (tmp_path / "scheduler_config.json").write_text(json.dumps(config))  # read by each plan
        try:
            pipeline.plan(1, solver="published", steps=5)
        except DemistError as error:
            said.append(str(error))
    assert not any("\n" in sentence for sentence in said)


def test_a_model_of_ours_has_none():
    for asked in ({"solver": "published"}, {"grid": "published"}):
        with pytest.raises(UsageError, match="was trained here"):
            Pipeline.load("digits").plan(1, **asked)


def test_a_trajectory_of_torch_noise_does_not_go_on_in_the_middle(make):
    asked = {"solver": "published", "steps": 3, "noise": "torch"}
    plan = make("DDPM").plan(2, **asked)
    points = list(plan.states())
    with pytest.raises(UsageError, match="begin anew"):
        next(iter(plan.states(after=points[1])))
    plan = make("DDIM").plan(2, **asked)
    points = list(plan.states())
    assert torch.equal(list(plan.states(after=points[1]))[-1].x, points[-1].x)


def test_lists_say_it(capsys):
    for kind in ("solvers", "grids"):
        list_parts([kind])
        assert "\npublished " in capsys.readouterr().out
