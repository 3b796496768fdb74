"""Sampling and Plan: recipes that complete themselves, and trajectories one can go on from."""

import copy
from dataclasses import replace
from math import nan

import numpy as np
import pytest
import torch

from demist.codecs import Pixels, Standardize
from demist.conditions import Conditioner, Label
from demist.core import Denoiser, Linear, Seeded, Velocity
from demist.core.schedule import VP
from demist.errors import NotFiniteError, UsageError
from demist.model import STANDARD, Pipeline, Sampling, parse_axes, sample_seed, sweep
from demist.model.sampling import FIELDS, parse
from demist.networks import MLP, UNet
from demist.samplers import make_grid, make_solver, settled, trajectory


def made(net, schedule, *rest):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return Pipeline(Denoiser(net, schedule, Velocity()), *rest)


@pytest.fixture(scope="module")
def images():
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, num_classes=2, patch=2)
    label = Conditioner({"label": Label(("cat", "dog"))})
    return made(net, Linear(), Pixels(), label, (1, 8, 8), Sampling(steps=4, guidance=2.0))


@pytest.fixture(scope="module")
def points():
    codec = Standardize((3.0, -1.0), 2.0)
    return made(MLP(features=2, width=16, depth=1), VP(), codec, Conditioner(), (2,))


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)


# ------------------------------------------------------------------ Sampling


def test_what_is_none_is_said_elsewhere():
    call, model = Sampling(steps=5, seed=3), Sampling(steps=9, solver="heun")
    assert call.over(model) == Sampling(steps=5, solver="heun", seed=3)
    assert call.over(model).over(STANDARD) == replace(STANDARD, steps=5, solver="heun", seed=3)
    assert Sampling(guidance=0.0).over(Sampling(guidance=2.0)).guidance == 0.0


def test_in_a_saved_model_young_fields_stand_only_where_they_differ(points, tmp_path):
    first = {"steps": 20, "solver": "auto", "grid": None, "guidance": 1.0, "batch_size": 32}
    assert STANDARD.to_json() == Sampling().to_json() == first
    young = Sampling(grid=(1.0, 0.5, 0.0), start=0.9, seed=(1, 2), guidance_interval=(0.1, 0.8))
    assert young.to_json() == first | {
        "grid": [1.0, 0.5, 0.0], "start": 0.9, "seed": [1, 2], "guidance_interval": [0.1, 0.8]
    }  # fmt: skip
    assert Sampling(**young.to_json()) == young.over(Sampling(**first))
    saved = replace(points, defaults=young, bucket=1).save(tmp_path / "m")
    assert Pipeline.load(saved).defaults == young.over(STANDARD)
    assert Pipeline.load(saved).bucket == 1


def test_every_field_is_a_flag_and_can_be_typed():
    from demist.commands.sampling import SamplingOptions

    flags = {f if f != "time_grid" else "grid" for f in vars(SamplingOptions())}
    # No command takes what to start from; --stage says more than one word of a stage.
    assert set(FIELDS) - flags == {"start", "stages"}
    typed = SamplingOptions(time_grid="1,0.5,0", guidance_interval="0.1:0.8", steps=7)
    said = Sampling(7, grid="1,0.5,0", guidance_interval=(0.1, 0.8), seed=0)
    assert typed.sampling() == said
    assert parse("guidance", "2") == 2.0
    with pytest.raises(UsageError, match="time"):
        SamplingOptions(guidance_interval="0.1").sampling()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, "steps = 0: must be at least 1"),
        ({"batch_size": 0}, "batch_size = 0: must be at least 1"),
        ({"start": 1.5}, "start = 1.5: a time from 0"),
    ],
)
def test_values_that_make_no_sense(changes, words):
    with pytest.raises(UsageError, match=words):
        Sampling(**changes)


def test_numbers_of_numpy_and_torch_are_as_good_as_pythons(images):
    own = {"steps": 2, "seed": 3, "guidance": 2.0, "start": 1.0, "batch_size": 8}
    for make in (np.int64, np.float32, np.array, torch.tensor):
        given = {name: make(value) for name, value in own.items()}
        assert images.plan(1, **given).sampling == images.plan(1, **own).sampling
    times, seeds = [1.0, 0.5, 0.0], [4, 5]
    want = images.sample(2, label=["dog", "cat"], grid=tuple(times), seed=tuple(seeds))
    for make in (list, np.array, torch.tensor):
        labels = list(np.array([1, 0])) if make is list else make([1, 0])
        x = images.sample(2, label=labels, grid=make(times), seed=make(seeds))
        assert np.array_equal(x, want)
    one = images.sample(2, label="dog", steps=2)
    for dog in (np.int64(1), np.array(1), torch.tensor(1), np.float64(1), 1.0):
        assert np.array_equal(images.sample(2, label=dog, steps=2), one)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 4.5}, "steps = 4.5: give a whole number"),
        ({"steps": "4"}, "steps = '4': give a whole number"),
        ({"seed": (1, None)}, "seed = None: give a whole number"),
        ({"guidance": "2"}, "guidance = '2': give a number"),
        ({"guidance": float("nan")}, "guidance = nan: give a number"),
        ({"grid": (1.0, "x")}, "grid = 'x': give a number"),
    ],
)
def test_what_is_no_number_is_refused_by_name(images, changes, words):
    with pytest.raises(UsageError, match=words):
        images.plan(2, **changes)


def test_times_that_differ_by_rounding_are_refused_with_the_remedy(images):
    for grid in ((1.0, 0.5, 0.5 - 1e-12, 0.0), "1,0.5,0.499999999999,0", (1.0, 1.0, 0.0)):
        with pytest.raises(UsageError, match=r"same time twice.*leave one of them out|must fall"):
            images.plan(2, grid=grid)


def test_no_condition_is_called_like_an_argument(images, tmp_path):
    for name in ("steps", "seed", "init", "rows"):
        with pytest.raises(UsageError, match=f"a condition cannot be called '{name}'"):
            replace(images, conditioner=Conditioner({name: Label(("a",))}))


@pytest.mark.parametrize("kind", ["images", "points"])
def test_nan_is_an_error_and_never_a_black_image(request, kind):
    model = request.getfixturevalue(kind)
    diverged = replace(model, denoiser=copy.deepcopy(model.denoiser))
    with torch.no_grad():
        for p in diverged.denoiser.parameters():
            p.mul_(1e12)
    words = r"3 of 3 samples came out as NaN or infinity.*less guidance, fp32.*--at-step"
    with pytest.raises(NotFiniteError, match=words):
        diverged.sample(3, steps=3)
    with pytest.raises(NotFiniteError, match=words):
        list(diverged.trajectory(3, steps=3))  # a film
    spoilt = model.plan(3, steps=3, constrain=lambda x, s: x.index_fill(0, torch.tensor(1), nan))
    with pytest.raises(NotFiniteError, match="1 of 3 samples"):
        spoilt.sample()


def test_guidance_beyond_all_numbers_is_an_error(images):
    with pytest.raises(NotFiniteError, match="4 of 4 samples"):
        images.sample(4, label="cat", guidance=1e38)


# ------------------------------------------------------------------ the number of steps


@pytest.mark.parametrize(
    "said",
    [
        Sampling(grid="1,0.6,0"),
        Sampling(grid=(1.0, 0.6, 0.0)),
        Sampling(grid="karras", steps=12, solver="ddim"),
        Sampling(grid="karras", steps=12, start=0.5),
        Sampling(grid="angular", steps=6, start=0.5),
        Sampling(grid="1,0.6,0.2,0", start=0.5),
    ],
)
def test_the_recipe_says_the_steps_taken_and_makes_the_same_again(images, photos, said):
    init = photos if said.start else None
    plan = images.plan(5, said, init=init)
    taken = [p.index for p in plan.states()]
    assert taken == list(range(plan.sampling.steps + 1))
    again = images.plan(5, Sampling(**plan.sampling.to_json()), init=init)
    assert torch.equal(again.grid, plan.grid)
    assert again.sampling == plan.sampling
    assert plan.sampling.recipe()["steps"] == plan.steps


def test_steps_of_typed_times_and_of_a_start():
    schedule = Linear()
    net = UNet(channels=(16,), norm_groups=4, head_dim=16, patch=2)
    pipeline = made(net, schedule, Pixels(), Conditioner(), (1, 8, 8))
    image = np.zeros((1, 8, 8), np.uint8)
    assert pipeline.plan(1, grid="1,0.6,0").sampling.steps == 2
    half = pipeline.plan(1, grid="1,0.6,0.2,0", start=0.5, init=image)
    assert half.grid.tolist() == [0.5, 0.2, 0.0]
    named = pipeline.plan(1, steps=6, start=0.5, init=image)
    assert torch.equal(named.grid, make_grid("angular:start=0.5", 6, schedule))


# ------------------------------------------------------------------ where it begins


def test_init_is_noised_with_each_samples_own_noise(images, photos):
    plan = images.plan(5, Sampling(start=0.6, seed=3), init=photos, label="cat")
    first = next(iter(plan.states()))
    alpha, sigma = Linear()(torch.tensor(0.6, dtype=torch.float64))
    noise = Seeded([sample_seed(3, i) for i in range(5)])(torch.empty(5, 1, 8, 8))
    want = alpha * (torch.from_numpy(photos).float() / 127.5 - 1) + sigma * noise
    assert torch.allclose(first.x, want, atol=1e-6)
    whole = plan.sample()
    assert np.array_equal(plan.sample([3]), whole[3:4])
    one = images.sample(
        1, start=0.6, seed=[3], init=photos[:1], label="cat"
    )  # seed 3 by itself: sample 0 of that seed
    assert np.array_equal(one, whole[:1])


def test_the_ends_of_start(images, points, photos):
    assert np.array_equal(images.sample(5, start=0.0, init=photos), photos)
    assert np.array_equal(images.sample(2, start=0.0, init=photos[0]), photos[[0, 0]])
    where = np.array([[1.0, 2.0], [-3.0, 0.5]], np.float32)
    for kind in (np.float32, np.float64):
        back = points.sample(2, start=0.0, init=where.astype(kind))
        np.testing.assert_allclose(back, where, rtol=1e-6)
        assert (
            back.dtype == points.sample(2, start=0.5, init=where.astype(kind)).dtype == np.float32
        )
    # At start = 1 nothing is left of it, where alpha(1) = 0.
    noise = images.sample(5, label="dog")
    assert np.array_equal(images.sample(5, start=1.0, init=photos, label="dog"), noise)
    near = images.sample(5, start=0.05, init=photos).astype(int)
    assert np.abs(near - photos).mean() < np.abs(noise.astype(int) - photos).mean() / 2


def test_a_tensor_is_a_state(images):
    z = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    points = list(images.plan(2, start=0.7, steps=3, init=z, label="dog", guidance=1.0).states())
    assert torch.equal(points[0].x, z)
    grid = make_grid("angular:start=0.7", 3, Linear())
    cond = images.conditioner.encode(2, {"label": "dog"})
    solver = make_solver(settled("auto", 3))
    for point, want in zip(
        points[1:], trajectory(images.denoiser, z, grid, solver, **cond), strict=True
    ):
        assert torch.allclose(point.x, want.x, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": 0.5}, "something to start from"),
        ({"init": np.zeros((1, 8, 8), np.uint8)}, "give start, such as 0.6"),
        ({"init": np.zeros((3, 1, 8, 8), np.uint8), "start": 0.5}, r"one sample of shape .* or 2"),
        ({"init": torch.zeros(2, 8, 8)}, "one state of shape"),
        (
            {"init": np.zeros((1, 8, 8)), "start": 0.5},
            "float64, but .* is uint8; images are",
        ),
    ],
)
def test_what_cannot_be_started_from(images, arguments, words):
    with pytest.raises(UsageError, match=words):
        images.plan(2, **arguments)


# ------------------------------------------------------------------ rows, points, constraints


def test_rows_are_those_of_the_whole(images):
    plan = images.plan(20, label=["cat", "dog"] * 10, seed=4, batch_size=8)
    whole = plan.sample()
    assert np.array_equal(plan.sample([19, 2, 2, 7]), whole[[19, 2, 2, 7]])
    assert np.array_equal(plan.sample(range(5, 16)), whole[5:16])
    assert np.array_equal(
        images.sample(20, label=["cat", "dog"] * 10, seed=4, rows=[9]), whole[9:10]
    )
    for rows in ([], [20], [-1]):
        with pytest.raises(UsageError, match="samples 0 to 19"):
            plan.sample(rows)


@pytest.mark.parametrize("solver", ["adams", "sde-adams", "unipc", "heun"])
def test_a_trajectory_goes_on_from_any_of_its_points(images, solver):
    plan = images.plan(3, label="cat", solver=solver, steps=5)
    points = list(plan.states())
    assert [p.index for p in points] == [0, 1, 2, 3, 4, 5]
    for point in points:
        after = list(plan.states(after=point))
        assert [p.index for p in after] == list(range(point.index + 1, 6))
        assert all(
            torch.equal(a.x, b.x) for a, b in zip(after, points[point.index + 1 :], strict=True)
        )
    # Another noise from the middle on: for a stochastic solver another end.
    other = replace(plan, sampling=replace(plan.sampling, seed=99))
    branch = list(other.states(after=points[2]))[-1].x
    assert torch.equal(branch, points[-1].x) == (solver != "sde-adams")


def test_the_constraint_sees_the_true_samples_after_every_step(images):
    seen = []

    def left_half_is_black(x, s):
        seen.append((len(x), float(s)))
        return torch.cat([torch.full_like(x[..., :4], -1.0), x[..., 4:]], -1)

    x = images.sample(3, constrain=left_half_is_black, label="cat")
    assert (x[..., :4] == 0).all()
    assert not np.array_equal(x, images.sample(3, label="cat"))
    assert [n for n, _ in seen] == [3] * 4
    assert [s for _, s in seen] == images.plan(3).grid[1:].tolist()
    a = images.sample(3, constrain=left_half_is_black, label="cat", rows=[2])
    assert np.array_equal(a, x[2:])


def test_the_bucket_is_the_pipelines(images):
    sizes = []
    hook = images.denoiser.net.register_forward_hook(lambda _, a, out: sizes.append(len(a[0])))
    for bucket, want in ((8, 8), (1, 3), (5, 5)):
        replace(images, bucket=bucket).sample(3, steps=1)
        assert sizes.pop() == want
    hook.remove()
    with pytest.raises(UsageError, match="bucket = 0"):
        replace(images, bucket=0)


def test_a_page_of_any_fields_and_conditions(images):
    axes = parse_axes(["label=cat,dog,none", "steps=1:4"], ["label"])
    page = sweep(images, *axes, Sampling(seed=5), guide=None)
    for i, label in enumerate(("cat", "dog", None)):
        for j, steps in enumerate((1, 2, 3)):
            one = images.sample(1, label=label, steps=steps, seed=5)
            assert np.array_equal(page[3 * i + j], one[0])
    page = sweep(images, *parse_axes(["negative=cat|dog", "guidance-interval=0:1,0.5:0.9"]),
                 label="cat", negative={"label": "cat"})  # fmt: skip
    want = images.sample(1, label="cat", negative={"label": "dog"}, guidance_interval=(0.5, 0.9))
    assert np.array_equal(page[3], want[0])
    known = (
        r"write an axis as .*seed, batch-size, condition-noise, rewrite, best-of, negative, class"
    )
    with pytest.raises(UsageError, match=known):
        parse_axes(["height=1,2"])
    with pytest.raises(UsageError, match="no condition 'height'"):
        sweep(images, *parse_axes(["height=1,2"], ["height"]))


def test_a_plan_names_the_solver_that_the_rule_chose(images):
    """So that a recipe gives the same again when the rule has changed."""
    plan = images.plan(2, label="cat", steps=5)
    assert plan.sampling.solver == "adams:p=2,last=1"
    again = images.plan(2, sampling=plan.sampling, label="cat")
    assert np.array_equal(again.sample(), plan.sample())
    other = images.plan(2, label="cat", steps=5, solver="adams")
    assert not np.array_equal(other.sample(), plan.sample())


@pytest.mark.parametrize(("grid", "steps"), [((1.0, 0.6, 0.2, 0.0), 3), ("1,0.6,0.2,0", 3)])
def test_times_that_are_typed_count_for_the_rule(images, grid, steps):
    """Twenty steps are the model's own number, and not that of these times."""
    chosen = images.plan(1, label="cat", grid=grid).sampling.solver
    assert chosen == settled("auto", steps) != settled("auto", 20)
