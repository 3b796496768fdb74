"""Every operator against its own dense matrix in float64."""

import math
from dataclasses import dataclass, replace

import pytest
import torch

from demist.core import Seeded
from demist.errors import UsageError
from demist.inverse import (
    OPERATORS,
    Dense,
    GaussianNoise,
    LinearOperator,
    Mask,
    Measurement,
    Operator,
    PoissonNoise,
    conjugate_gradients,
    make_operator,
)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


HIDDEN = torch.tensor([[0, 1, 1], [0, 0, 1]])
OPERATORS_HERE = {
    "mask": lambda: Mask((2, 2, 3), HIDDEN),
    "mask of a vector": lambda: Mask((5,), torch.tensor([0, 1, 0, 0, 1])),
    "dense": lambda: Dense((2, 3), drawn(4, 6)),
    "dense of low rank": lambda: Dense((6,), drawn(5, 2) @ drawn(2, 6, seed=1)),
    "dense with many rows": lambda: Dense((3,), drawn(5, 3)),
    "composed": lambda: Dense((6,), drawn(4, 6)) @ Mask((2, 2, 3), HIDDEN),
    "composed of low rank": lambda: (
        Mask((5,), torch.tensor([0, 0, 1, 0, 0])) @ Dense((6,), drawn(5, 2) @ drawn(2, 6, seed=1))
    ),
}


def matrix_of(operator):
    """Its matrix, `(m, n)`, from the unit vectors."""
    n = math.prod(operator.shape)
    units = torch.eye(n, dtype=torch.float64).reshape(n, *operator.shape)
    return operator.forward(units).flatten(1).T


@pytest.fixture(params=sorted(OPERATORS_HERE))
def operator(request):
    return OPERATORS_HERE[request.param]()


def test_all_with_names_are_here():
    assert {o().name for o in OPERATORS_HERE.values()} >= set(OPERATORS.names())


def test_adjoint(operator):
    x, y = drawn(3, *operator.shape), drawn(3, *operator.out, seed=1)
    assert operator.forward(x).shape == y.shape
    assert torch.allclose(
        operator.adjoint(y).flatten(1), y.flatten(1) @ matrix_of(operator), atol=1e-12
    )
    assert operator.forward(x.float()).dtype == operator.adjoint(y.float()).dtype == torch.float32


def test_pseudo_inverse(operator):
    y = drawn(3, *operator.out)
    dense = torch.linalg.pinv(matrix_of(operator), rtol=1e-8)
    assert torch.allclose(operator.pinv(y).flatten(1), y.flatten(1) @ dense.T, atol=1e-9)
    x = drawn(3, *operator.shape)
    seen = operator.forward(x)
    assert torch.allclose(operator.forward(operator.pinv(seen)), seen, atol=1e-9)


@pytest.mark.parametrize("b", [0.3, 0.0])
def test_solve(operator, b):
    y, a = drawn(3, *operator.out), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    if not b:
        y = operator.forward(drawn(3, *operator.shape))
    found = operator.solve(y, a, b).flatten(1)
    square = matrix_of(operator) @ matrix_of(operator).T
    for i in range(3):
        whole = a[i] * square + b * torch.eye(len(square))
        wanted = torch.linalg.pinv(whole, rtol=1e-10) @ y[i].flatten()
        assert torch.allclose(found[i], wanted, atol=1e-8)


def test_spectrum(operator):
    known = operator.spectrum
    if known is None:
        pytest.skip("not known")
    n, m = math.prod(operator.shape), math.prod(operator.out)
    v = known.to_v(torch.eye(n, dtype=torch.float64).reshape(n, *operator.shape))
    u = known.to_u(torch.eye(m, dtype=torch.float64).reshape(m, *operator.out))
    assert torch.allclose(v @ v.T, torch.eye(n, dtype=torch.float64), atol=1e-10)
    assert torch.allclose(u @ u.T, torch.eye(m, dtype=torch.float64), atol=1e-10)
    x, y = drawn(2, *operator.shape), drawn(2, *operator.out)
    assert torch.allclose(known.from_v(known.to_v(x)), x, atol=1e-10)
    assert torch.allclose(known.from_u(known.to_u(y)), y, atol=1e-10)
    r = len(known.values)
    s = torch.zeros(n, m, dtype=torch.float64)
    s[range(r), range(r)] = known.values
    assert torch.allclose(v @ s @ u.T, matrix_of(operator).T, atol=1e-9)


def test_a_sample_does_not_depend_on_its_batch(operator):
    y = drawn(4, *operator.out) * torch.tensor([1, 1e-3, 1e3, 0]).reshape(
        -1, *[1] * len(operator.out)
    )
    a, b = torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.1, 0.2, 1e-4, 0.3])
    together, inverse = operator.solve(y, a, b), operator.pinv(y)
    for i in range(4):
        alone = operator.solve(y[i : i + 1], a[i : i + 1], b[i : i + 1])
        assert torch.allclose(together[i : i + 1], alone, rtol=1e-12, atol=0)
        assert torch.allclose(inverse[i : i + 1], operator.pinv(y[i : i + 1]), rtol=1e-12, atol=0)


@dataclass(frozen=True, eq=False)
class Wrong(Dense):
    def adjoint(self, y):
        return super().adjoint(y) * 1.01


@dataclass(frozen=True, eq=False)
class Square(Operator):
    shape: tuple[int, ...]

    def forward(self, x):
        return x.square()


def test_a_wrong_adjoint_is_found_at_once():
    for numbers in (torch.float32, torch.float64):
        with pytest.raises(UsageError, match="operator Wrong: its adjoint is wrong"):
            Measurement(
                Wrong((6,), drawn(4, 6)), torch.zeros(1, 4, dtype=numbers), GaussianNoise(0.1)
            )

    class Bent(Dense):
        def adjoint(self, y):
            return y

    with pytest.raises(UsageError, match=r"gives \(4,\); it must give the shape of a state"):
        Measurement(Bent((6,), drawn(4, 6)), torch.zeros(1, 4), GaussianNoise(0.1))


def test_bad_operators_are_refused():
    with pytest.raises(UsageError, match="they must be of one size"):
        Mask((3, 8, 8), torch.zeros(7, 7))
    with pytest.raises(UsageError, match="hides everything"):
        Mask((3, 8, 8), torch.ones(1))
    with pytest.raises(UsageError, match=r"it must be \(measurements, 6\)"):
        Dense((2, 3), torch.zeros(4, 5))
    with pytest.raises(UsageError, match="do not fit"):
        Dense((6,), torch.zeros(4, 6)) @ Dense((6,), torch.zeros(4, 6))
    with pytest.raises(UsageError, match="mask' needs a file: write mask:FILE"):
        make_operator("mask", (3,))
    with pytest.raises(UsageError, match="damaged data has"):
        Dense((6,), torch.zeros(4, 6)).measured(torch.zeros(1, 5))


def test_masks_take_their_part_of_whole_data():
    mask = Mask((2, 2, 3), HIDDEN)
    x = drawn(1, 2, 2, 3)
    assert torch.equal(mask.measured(x), mask.forward(x))
    assert mask.forward(x).tolist() == [x[0, :, ~HIDDEN.bool()].flatten().tolist()]
    assert torch.equal(mask.pinv(mask.forward(x)), x * (1 - HIDDEN))


def test_nonlinear_operators_compose():
    chained = Dense((4,), drawn(2, 4)) @ Square((4,))
    assert not isinstance(chained, LinearOperator)
    x = drawn(3, 4)
    assert torch.allclose(chained.forward(x), x.square() @ drawn(2, 4).T)
    assert chained.out == (2,)


def test_conjugate_gradients_stop_at_no_curvature():
    """A learned covariance need not be positive: what is left is finite, and each sample's own."""
    matrix = torch.diag(torch.tensor([3.0, 2.0, -1.0], dtype=torch.float64))
    y = torch.tensor([[1.0, 1, 0], [1, 1, 2.5], [0, 0, 1]], dtype=torch.float64)
    found = conjugate_gradients(lambda v: v @ matrix, y)
    assert torch.allclose(found[0], torch.tensor([1 / 3, 1 / 2, 0.0], dtype=torch.float64))
    assert found.isfinite().all()
    assert torch.equal(found[2], torch.zeros(3, dtype=torch.float64))
    near = conjugate_gradients(lambda v: v @ matrix, y[:1], start=found[:1], most=0)
    assert torch.equal(near, found[:1])
    begun = conjugate_gradients(lambda v: v @ matrix.abs(), y, start=torch.ones_like(y))
    assert torch.allclose(begun @ matrix.abs(), y)


def test_gaussian_measurements():
    operator = Dense((6,), drawn(400, 6))
    x = drawn(3, 6)
    noise = GaussianNoise(0.3)
    y = noise.add(operator.forward(x), Seeded([1, 2, 3]))
    measurement = Measurement(operator, y, noise)
    assert torch.allclose(measurement.misfit(x), torch.ones(3, dtype=torch.float64), atol=0.2)
    assert torch.equal(measurement.residual(x), y - operator.forward(x))
    wanted = torch.distributions.Normal(operator.forward(x), 0.3).log_prob(y).sum(1)
    assert torch.allclose(measurement.log_likelihood(x), wanted)
    taken = measurement.take([2, 2, 0])
    assert torch.equal(taken.y, y[[2, 2, 0]])
    assert replace(measurement, y=y[:1]).take([2, 2, 0]).y.shape == (1, 400)
    assert replace(measurement, noise=GaussianNoise(0)).misfit(x).isinf().all()
    for wrong in (-1, math.inf, math.nan):
        with pytest.raises(UsageError, match="at least 0"):
            GaussianNoise(wrong)
    with pytest.raises(UsageError, match="NaN or infinity"):
        Measurement(operator, y * math.nan, noise)
    with pytest.raises(UsageError, match="without noise a measurement has no density"):
        replace(measurement, noise=GaussianNoise(0)).log_likelihood(x)


def test_poisson_measurements():
    """Means and variances of many counts, and the density of the counts themselves."""
    clean = torch.linspace(-1, 1, 5, dtype=torch.float64).repeat(4000)[None]
    noise = PoissonNoise(20.0)
    y = noise.add(clean, Seeded([3])).reshape(4000, 5)
    assert torch.allclose(y.mean(0), clean[0, :5], atol=0.02)
    assert torch.allclose(y.var(0), noise.variance(clean[0, :5]), rtol=0.1, atol=1e-9)
    assert (y[:, 0] == -1).all()
    counts = (y + 1) * 10
    assert torch.allclose(counts, counts.round(), atol=1e-9)
    wanted = torch.distributions.Poisson(noise.rate(clean)).log_prob(counts.round().reshape(1, -1))
    assert torch.allclose(noise.log_likelihood(y.reshape(1, -1), clean), wanted.sum(1))
    with pytest.raises(UsageError, match="a peak of 0 photons"):
        PoissonNoise(0)
    with pytest.raises(UsageError, match="has no one standard deviation"):
        _ = Measurement(Mask((5,), torch.zeros(5)), y[:1], noise).std
