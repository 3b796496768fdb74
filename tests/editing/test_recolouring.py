"""A change of looks is one function of the source, a change of shape is none."""

import numpy as np
import pytest
import torch

from demist.data.readers.scenes import alphas_of
from demist.editing import recoloured
from demist.scenes import COLOURS

GROUND = 20.0


def drawn(digit, colour, form=0, size=64):
    """One digit in the middle of a page, `(1, 3, s, s)`, and where its ink is."""
    alpha = alphas_of("train", size)(digit, True, np.random.default_rng(form))
    page = np.zeros((size, size), np.float32)
    top, left = (size - alpha.shape[0]) // 2, (size - alpha.shape[1]) // 2
    page[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    ink = torch.tensor(COLOURS[colour])[:, None, None] / 1.0
    image = GROUND + torch.from_numpy(page) * (ink - GROUND)
    return image[None], torch.from_numpy(page)


def test_another_colour_is_one_function_of_the_source_with_its_edges():
    source, _ = drawn(7, "red")
    target, _ = drawn(7, "green")
    fitted, explained = recoloured(source, target - source)
    assert explained > 0.999
    assert (source + fitted - target).abs().max() < 1.5


@pytest.mark.parametrize("form", range(4))
def test_another_shape_is_none(form):
    digits = [(a, b) for a in range(10) for b in (a + 1, a + 4)]
    shares = []
    for a, b in digits:
        (source, _), (target, _) = drawn(a, "red", form), drawn(b % 10, "red", form)
        shares.append(float(recoloured(source, target - source)[1]))
    assert max(shares) < 0.45
    ground = torch.full_like(source, GROUND)
    assert recoloured(ground, target - ground)[1] < 0.2, "something comes where nothing was"
    assert recoloured(target, ground - target)[1] < 0.2, "something goes, and nothing is left"


@pytest.mark.parametrize(("by", "least"), [(1, 0.9), (2, 0.7), (3, 0.6)])
def test_strokes_that_moved_go_back_and_do_not_pale(by, least):
    source, page = drawn(3, "red")
    wanted, _ = drawn(3, "green")
    moved = wanted.roll(by, -1)
    fitted, explained = recoloured(source, moved - source)
    assert least < explained < 0.96
    off = source + fitted - wanted
    assert off[0][:, page > 0.9].mean(1).abs().max() < 50
    assert off.norm(dim=1).mean() < 0.5 * (moved - wanted).norm(dim=1).mean()


def test_only_the_places_count_and_each_sample_is_alone():
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(2, 4, 8, 8, generator=generator)
    change = torch.randn(2, 4, 8, 8, generator=generator)
    places = torch.zeros(2, 1, 8, 8)
    places[:, :, :, :5] = 1
    function = torch.randn(4, 4, generator=generator)
    change[0, :, :, :5] = torch.einsum("ij,jhw->ihw", function, source[0, :, :, :5]) + 1
    fitted, explained = recoloured(source, change, places)
    assert explained[0] > 0.99
    assert explained[1] < 0.4
    torch.testing.assert_close(fitted[0, :, :, :5], change[0, :, :, :5], atol=0.02, rtol=0)
    other = change.clone()
    other[0], other[1, :, :, 5:] = 3, 7
    assert torch.equal(recoloured(source, other, places)[0][1], fitted[1])


def test_where_nothing_can_be_said_nothing_is():
    source = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    fitted, explained = recoloured(source, torch.zeros_like(source))
    assert explained == 0
    assert torch.equal(fitted, torch.zeros_like(source))
    few = torch.zeros(1, 1, 4, 4)
    few[0, 0, 0] = 1
    assert recoloured(source, source.roll(1, 1), few)[1] == 0, "four places, four numbers each"
    assert recoloured(source, source, torch.zeros_like(few))[1] == 0
