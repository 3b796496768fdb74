"""The checker of the test run checks."""

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from torch import Tensor

import typecheck
from demist.networks import UNet


def add(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return a + b


def test_shapes_are_checked_in_the_first_calls_of_each_test():
    checked = typecheck._jaxtyped(typechecker=typecheck.checked)(add)
    two, one = torch.zeros(2), torch.zeros(1)
    for _ in range(typecheck.CHECKED):
        assert checked(two, two).shape == (2,)
    assert checked(two, one).shape == (2,)  # no longer looked at
    typecheck.next_test()
    with pytest.raises(TypeCheckError, match="n=2"):
        checked(two, one)


def test_the_package_is_checked():
    net = UNet(channels=(16,))
    with pytest.raises(TypeCheckError):
        net.forward(torch.zeros(2, 1, 8, 8), torch.zeros(3))
    with pytest.raises(TypeCheckError):
        UNet(channels=16)
