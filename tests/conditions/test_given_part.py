"""A part of the state that is given: what the network is told, and what training shows."""

import pytest
import torch

from demist.conditions import GivenPart
from demist.conditions.given_part import NUMBERS, drawn_parts
from demist.errors import UsageError

SHAPE = (1, 4, 10)


def test_what_is_given_is_shown_and_the_rest_is_hidden():
    condition = GivenPart(SHAPE)
    clean = torch.randn(3, *SHAPE)
    anew = torch.tensor([0.0] * 3 + [1.0] * 7)
    told = condition.encode((clean, anew), 3)
    assert torch.equal(told["clean"], clean * (1 - anew))
    assert torch.equal(told["mask"], anew.expand(3, 1, 4, 10))
    for_all = condition.encode((clean[0], anew), 2)
    assert torch.equal(for_all["clean"][1], (clean * (1 - anew))[0])
    assert condition.spec()["channels"] == told["clean"].shape[1] + told["mask"].shape[1]


def test_nothing_said_is_a_mask_of_ones():
    told = GivenPart(SHAPE).encode(None, 2)
    assert not told["clean"].any()
    assert torch.equal(told["mask"], torch.ones(2, 1, 4, 10))


@pytest.mark.parametrize(
    ("clean", "anew", "words"),
    [
        (torch.zeros(1, 4, 9), torch.zeros(10), r"\(1, 4, 9\).*\(1, 4, 10\)"),
        (torch.zeros(3, *SHAPE), torch.zeros(10), "for 2 samples"),
        (torch.zeros(SHAPE), torch.full((10,), 0.5), "has others"),
    ],
)
def test_what_does_not_fit_is_refused(clean, anew, words):
    with pytest.raises(UsageError, match=words):
        GivenPart(SHAPE).encode((clean, anew), 2)


def test_beginnings_ends_and_gaps_are_drawn_as_often():
    u = torch.rand(6000, NUMBERS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    anew = drawn_parts(u, 20, 0.25)
    whole = anew.all(1)
    assert abs(float(whole.float().mean()) - 0.75) < 0.02
    some = anew[~whole]
    assert some.any(1).all()  # and something is left to be made
    first, last = some[:, 0] == 1, some[:, -1] == 1
    kinds = {"beginning": ~first & last, "end": first & ~last, "gap": ~first & ~last}
    for kind in kinds.values():
        assert abs(float(kind.float().mean()) - 1 / 3) < 0.05
    # One stretch each: between what is given and what is anew there is one border, or two.
    borders = (some[:, 1:] != some[:, :-1]).sum(1)
    assert torch.equal(borders, 1 + kinds["gap"].long())
    share = 1 - some.mean(1)
    assert float(share.min()) < 0.15
    assert float(share.max()) > 0.85
    assert abs(float(share.mean()) - 0.5) < 0.03


def test_two_columns_are_enough():
    u = torch.rand(50, NUMBERS, generator=torch.Generator().manual_seed(0))
    anew = drawn_parts(u, 2, 1.0)
    assert (anew.sum(1) == 1).all()


def test_where_all_is_anew_the_network_sees_what_lies_nearest_in_time():
    clean = torch.tensor([9.0, 1.0, 9.0, 9.0, 9.0, 5.0, 9.0])[None, None, None].repeat(3, 2, 4, 1)
    anew = torch.tensor([[1, 0, 1, 1, 1, 0, 1], [1, 0, 1, 1, 1, 1, 1], [1] * 7]).float()
    told = told_part(clean, anew[:, None, None].expand(3, 1, 4, 7))["clean"]
    expected = torch.tensor([[1.0, 1, 2, 3, 4, 5, 5], [1, 1, 1, 1, 1, 1, 1], [0] * 7])
    assert torch.equal(told, expected[:, None, None].expand_as(told))
