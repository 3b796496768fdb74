"""Inversions return: exactly by kept draws, at the solver's order by the ODE, nearer by nulls."""

import numpy as np
import pytest
import torch
from small import end, images, small

from demist.core import Linear, Seeded
from demist.core.exact import Exact
from demist.data import load
from demist.editing import (
    Replay,
    between,
    followed,
    invert,
    inverted,
    noise_maps,
    nothing_added,
    undo,
    unguided,
    with_null,
)
from demist.errors import UsageError
from demist.guidance import CFG
from demist.model import open_model
from demist.samplers import DDIM, DDPM, DPMpp2M, sample, smooth
from truth import MIXTURE, rms

PROMPTS = ["a red three", "a big blue seven on the left"]


def back(maps, model, grid, solver, **cond):
    for point in maps.trajectory(model, maps.start, grid, solver, Seeded([9] * 32), **cond):
        pass
    return point.x


@pytest.mark.parametrize("solver", [DDIM(1.0), DDIM(0.3), DDPM(), DDPM("large")], ids=str)
def test_kept_draws_give_the_data_back(solver):
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(32, torch.Generator().manual_seed(0))
    grid = smooth(7, Linear())
    maps = noise_maps(model, x, grid, solver, Seeded(range(32)))
    assert rms(back(maps, model, grid, solver) - x) < 1e-12
    assert maps.maps.shape == (7, 32, 2)
    assert maps.maps[:-1].std() > 1.05, "they hold the data, so they are larger than noise"


def test_states_on_the_way_are_noised_afresh():
    """Or the draws would be those of a true trajectory, which do not hold the image."""
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(512, torch.Generator().manual_seed(0))
    grid, solver = smooth(5, Linear()), DDIM(1.0)
    noise = Seeded(range(512))
    maps = noise_maps(model, x, grid, solver, noise)
    schedule = Linear()
    points = maps.trajectory(model, maps.start, grid, solver, noise)
    for i, point in enumerate(points):
        alpha, sigma = schedule(point.t)
        if point.t > 0:
            torch.testing.assert_close(point.x, alpha * x + sigma * noise.at(i)(x))


def test_solvers_that_cannot_keep_it():
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(4, torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="draws no noise that could hold"):
        noise_maps(model, x, smooth(5, Linear()), DPMpp2M())
    with pytest.raises(ValueError, match="decreases to 0"):
        noise_maps(model, x, smooth(5, Linear())[:-1])


def test_replay_belongs_to_its_step():
    maps = torch.arange(6.0).reshape(3, 2)
    noise = Replay(maps).at(2)
    assert torch.equal(noise(torch.zeros(2)), maps[2])
    assert torch.equal(noise(torch.zeros(2)), maps[2])


@pytest.mark.parametrize("guidance", [0.0, 7.5])
@pytest.mark.parametrize("start", [None, 0.6])
def test_edit_friendly_is_exact_whatever_the_guidance(guidance, start):
    model, x = small(), images()
    how = {"guidance": guidance, "solver": "ddim:eta=1", "seed": 3}
    init = {} if start is None else {"init": x, "start": start}
    plan = inverted(model.plan(2, text=PROMPTS, **how, **init), x)
    assert (end(plan) - model.encode(x)).abs().max() <= 1e-5
    assert np.array_equal(plan.sample(), x)
    assert np.array_equal(plan.sample([1]), x[1:]), "each sample has its own draws"
    other = followed(plan, model.plan(2, text="a green five", **how, **init))
    moved = (end(other) - model.encode(x)).abs().max()
    assert moved > 1e-3 if guidance else moved <= 1e-5, "without guidance no prompt is read"


@pytest.mark.parametrize("solver", ["adams", "heun"])
def test_direct_inversion_is_exact_with_guidance_and_clamp(solver):
    model, x = small(), images()
    guided, how = model.plan(2, text=PROMPTS, guidance=7.5, solver=solver), "direct"
    plan = inverted(guided, x, how)
    assert (end(plan) - model.encode(x)).abs().max() <= 1e-5
    assert np.array_equal(plan.sample([1]), x[1:])
    other = followed(plan, guided)
    assert other.walk is None, "what is missing belongs to the source"
    assert rms(end(other) - model.encode(x)) > 1e-3


def test_the_ode_returns_at_its_order():
    model, x = small(bounds=None), images()

    def error(solver, steps):
        plan = model.plan(2, text=PROMPTS, guidance=1.0, solver=solver, steps=steps)
        return rms(end(inverted(plan, x, "ddim")) - model.encode(x))

    assert 1.5 < error("ddim", 8) / error("ddim", 16) < 2.5
    assert error("adams", 8) / error("adams", 16) > 2


def test_the_clamp_is_left_out_both_ways():
    model, x = small(), images()
    plan = model.plan(2, text=PROMPTS, guidance=1.0, steps=24)
    there = inverted(plan, x, "ddim")
    assert rms(end(there) - model.encode(x)) < 0.02
    assert followed(there, plan).model.bounds is None
    assert model.denoiser.bounds == (-1.0, 1.0)


def test_undone_steps_give_the_data_back_at_any_number_of_steps():
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(32, torch.Generator().manual_seed(0))
    grid = smooth(12, Linear())
    start = undo(model, x, grid, settled=1e-12, most=200)
    assert rms(sample(model, start, grid, DDIM()) - x) < 1e-9
    assert rms(sample(model, invert(model, x, grid, DDIM()), grid, DDIM()) - x) > 1e-2
    alone = undo(model, x[3:4], grid, settled=1e-12, most=200)
    torch.testing.assert_close(alone, start[3:4], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_undone_steps_give_clamped_digits_back():
    model, x = open_model("digits"), load("digits", split="test").x[:2]
    plan = model.plan(2, solver="ddim", steps=40)
    x = model.encode(np.stack([np.asarray(image) for image in x]))
    assert rms(end(inverted(plan, x, "fixed-point")) - x) < 1e-3
    assert rms(end(inverted(plan, x, "ddim")) - x) > 0.1
    assert inverted(plan, x, "fixed-point").model is plan.model, "the clamp stays"


def test_steps_that_cannot_be_undone_are_told():
    model, x = Exact(MIXTURE, Linear()), MIXTURE.sample(8, torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="of 8 samples will not quite be given back"):
        undo(model, x, smooth(4, Linear()), settled=1e-12, most=2)
    with pytest.raises(ValueError, match="only steps of ddim"):
        undo(model, x, smooth(4, Linear()), DDPM())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unet", "sd"])
def test_nulls_bring_guided_sampling_nearer(kind):
    model, x = small(kind, bounds=None), images()

    def plan(guidance, prompts):
        return model.plan(len(prompts), text=prompts, guidance=guidance, steps=4, solver="ddim")

    guided = plan(4.0, PROMPTS)
    unmoved = end(followed(inverted(plan(1.0, PROMPTS), x, "ddim"), guided))
    moved = end(inverted(guided, x, "null-text"))
    assert rms(moved - model.encode(x)) < 0.7 * rms(unmoved - model.encode(x))
    alone = end(inverted(plan(4.0, PROMPTS[1:]), x[1:], "null-text"))
    assert rms(alone - moved[1:]) < 1e-4, "one sample does not depend on another"


def test_what_cannot_be_inverted_is_told():
    model, x = small(), images()
    plan = model.plan(2, text=PROMPTS, solver="ddim:eta=1")
    with pytest.raises(UsageError, match="no inversion 'magic'"):
        inverted(plan, x, "magic")
    with pytest.raises(UsageError, match="ddim draws noise"):
        inverted(plan, x, "ddim")
    with pytest.raises(UsageError, match="draws no noise"):
        inverted(model.plan(2, text=PROMPTS, solver="heun"), x)
    with pytest.raises(UsageError, match="guidance above 1"):
        inverted(model.plan(2, text=PROMPTS, guidance=1.0), x, "null-text")
    with pytest.raises(UsageError, match="give one for each"):
        inverted(plan, images(3))
    with pytest.raises(UsageError, match="same samples"):
        followed(inverted(plan, x), model.plan(2, steps=5, solver="ddim:eta=1"))
    with pytest.raises(UsageError, match="no prompt"):
        nothing_added({}, {"label": {"route": "vector"}})


def test_the_null_of_a_guided_model_is_found():
    model = Exact(MIXTURE, Linear())
    guided = CFG(model, 2.0, lambda cond: cond)
    assert unguided(guided) is model
    assert unguided(model) is model
    assert with_null(guided, lambda null: torch.sin).null is torch.sin


def test_a_film_begins_and_ends_in_its_images():
    model, x = small(bounds=None), images()
    film = between(model, *x, frames=3, steps=24)
    assert film.shape == (3, 3, 8, 8)
    off = np.abs(film[[0, -1]].astype(int) - x)
    assert off.mean() < 2
    with pytest.raises(UsageError, match="1 frames"):
        between(model, *x, frames=1)
