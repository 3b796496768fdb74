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
    Motion,
    Operator,
    PoissonNoise,
    Scaled,
    ThroughCodec,
    conjugate_gradients,
    make_operator,
)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


HIDDEN = torch.tensor([[0, 1, 1], [0, 0, 1]])
KERNEL = torch.tensor([[0.0, 2, 0], [1, 3, 0]])


def named(spec, shape):
    return lambda: make_operator(spec, shape)


OPERATORS_HERE = {
    "mask": lambda: Mask((2, 2, 3), HIDDEN),
    "mask of a vector": lambda: Mask((5,), torch.tensor([0, 1, 0, 0, 1])),
    "dense": lambda: Dense((2, 3), drawn(4, 6)),
    "dense of low rank": lambda: Dense((6,), drawn(5, 2) @ drawn(2, 6, seed=1)),
    "dense with many rows": lambda: Dense((3,), drawn(5, 3)),
    "box": named("box:1,0,2,3", (2, 4, 5)),
    "half": named("half:left", (1, 3, 5)),
    "random": named("random:0.7", (2, 3, 4)),
    "random of points": named("random:0.5,seed=3", (7,)),
    "gaps of a wave": named("gaps:2,5", (2, 7)),
    "gaps of frames": named("gaps:1,4,axis=0,every=2", (4, 2, 3)),
    "low resolution": named("sr:2", (2, 4, 6)),
    "bicubic": named("sr:2,bicubic", (1, 8, 6)),
    "low resolution of a wave": named("sr:3", (6,)),
    "blur": named("blur:0.7", (2, 5, 3)),
    "blur that goes round": named("blur:0.6,circular", (1, 4, 5)),
    "colour": named("colour", (3, 2, 3)),
    "motion": named("motion:2.2,30", (2, 5, 6)),
    "motion by a kernel": lambda: Motion((1, 4, 5), kernel=KERNEL),
    "separable after separable": named("sr:2@blur:0.7", (1, 4, 6)),
    "grey and small": named("sr:2@colour", (3, 4, 2)),
    "composed": lambda: Dense((6,), drawn(4, 6)) @ Mask((2, 2, 3), HIDDEN),
    "masked after": named("half:upper@blur:0.5@colour", (3, 3, 4)),
    "composed of low rank": lambda: (
        Mask((5,), torch.tensor([0, 0, 1, 0, 0])) @ Dense((6,), drawn(5, 2) @ drawn(2, 6, seed=1))
    ),
    "scaled": lambda: Dense((2, 3), drawn(4, 6)) @ Scaled((6,), 0.3, (2, 3)),
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


@pytest.mark.parametrize(
    ("spec", "shape", "words"),
    [
        ("blurr:1", (1, 4, 4), "no operator called 'blurr'. Did you mean 'blur'"),
        ("sr:3", (1, 4, 6), "factor 3 does not divide the sides 4 x 6"),
        ("sr:2.5", (1, 4, 6), "factor='2.5' is not a whole number"),
        ("sr:2,cubic", (1, 4, 6), "kernel='cubic' is not one of average, bicubic"),
        ("sr", (1, 4, 6), "'sr' needs factor: write sr:factor="),
        ("sr:2,bicubic,3", (1, 4, 6), "operator sr has no place for '3'"),
        ("random:1", (1, 4, 6), "a share of 1 cannot be hidden"),
        ("random:70", (1, 4, 6), "a share of 70 cannot be hidden"),
        ("box:1,2,3,4", (1, 4, 6), "box 1,2,3,4 is not inside an image of 6 x 4"),
        ("box:1,2,3", (1, 9, 9), "needs height: write box:height="),
        ("box:0,0,4,4", (1, 4, 4), "hides everything"),
        ("half:lower", (9,), "operator half is for images"),
        ("half:low", (1, 4, 4), "side='low' is not one of lower, upper, left, right"),
        ("gaps:3,3", (9,), "the gap 3,3 is not inside the 9 places of axis -1"),
        ("gaps:1,3,axis=4", (9,), "axis 4: the data has 1"),
        ("blur:0", (1, 4, 4), "a blur of 0 pixels is none"),
        ("colour", (1, 4, 4), r"has \(1, 4, 4\); take another model"),
        ("motion:9", (1, 4, 4), "longer than the image of 4 x 4"),
        ("mask:a.png", (1, 4, 4), "names a file"),
        ("sr:2@", (1, 4, 4), "factor='2@' is not a whole number"),
        ("sr:4@sr:4", (1, 8, 8), "factor 4 does not divide the sides 2 x 2"),
    ],
)
def test_what_is_written_wrong_is_one_sentence(spec, shape, words):
    with pytest.raises(UsageError, match=words):
        make_operator(spec, shape)


def test_files_are_read_for_the_operator_that_names_them():
    asked = []

    def read(kind, path, shape):
        asked.append((kind, path, shape))
        return {"mask": torch.eye(4)[None], "kernel": KERNEL, "matrix": torch.eye(16)}[kind]

    whole = make_operator("mask:a@2x.png@motion:k.png@sr:2", (1, 8, 8), read)
    assert asked == [("kernel", "k.png", (1, 4, 4)), ("mask", "a@2x.png", (1, 4, 4))]
    assert whole.out == (12,)
    assert make_operator("dense:m.npy", (1, 4, 4), read).out == (16,)


def test_values_by_hand():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert make_operator("sr:2", (1, 4, 4)).forward(x).tolist() == [[[[2.5, 4.5], [10.5, 12.5]]]]
    seen = make_operator("box:1,0,3,4", (1, 4, 4)).forward(x)
    assert seen.tolist() == [[0, 4, 8, 12]]
    assert make_operator("half:lower", (1, 4, 4)).forward(x).tolist() == [[*range(8)]]
    colour = make_operator("colour", (3, 1, 1))
    grey = colour.forward(torch.tensor([1.0, 0.5, -1])[None, :, None, None])
    assert grey.item() == pytest.approx(0.299 + 0.587 * 0.5 - 0.114)
    spot = torch.zeros(1, 1, 9, 9)
    spot[0, 0, 0, 4] = 1
    mirrored, around = (
        make_operator(f"blur:1,{b}", (1, 9, 9)).forward(spot)[0, 0, :, 4]
        for b in ("reflect", "circular")
    )
    gauss = torch.tensor([math.exp(-(i**2) / 2) for i in range(-4, 5)])
    gauss = gauss / gauss.sum()
    peak = gauss[4]
    assert torch.allclose(mirrored[:2], peak * torch.stack([peak + gauss[5], gauss[5] + gauss[6]]))
    assert torch.allclose(around[[0, 1, 8]], peak * gauss[[4, 5, 5]])
    line = make_operator("motion:4,90", (1, 9, 9)).forward(torch.roll(spot, 4, 2))[0, 0]
    assert torch.allclose(line[:, 4], torch.tensor([0, 0, 0.5, 1, 1, 1, 0.5, 0, 0]) / 4, atol=0.01)
    shifted = Motion((1, 3, 4), kernel=torch.tensor([[0.0, 0, 1]]))
    x = drawn(1, 1, 3, 4)
    assert torch.allclose(shifted.forward(x), x.roll(1, -1))


def test_random_places_are_those_of_the_seed_and_of_all_channels():
    one, same, other = (
        make_operator(s, (3, 10, 10)) for s in ("random:0.7", "random:0.7,seed=0", "random:0.7,1")
    )
    assert torch.equal(one.hidden_part, same.hidden_part)
    assert not torch.equal(one.hidden_part, other.hidden_part)
    assert (one.hidden_part == one.hidden_part[:1]).all()
    assert one.hidden_part[0].sum() == 70


def test_latents_are_measured_as_what_they_become():
    inside = make_operator("sr:2", (1, 4, 4))
    through = ThroughCodec((2, 2), inside, lambda z: z.tanh().repeat(1, 2, 2)[:, None])
    z = drawn(3, 2, 2)
    assert torch.allclose(through.forward(z), inside.forward(z.tanh().repeat(1, 2, 2)[:, None]))
    assert through.out == (1, 2, 2)
    assert not isinstance(through, LinearOperator)
    leaf = z.clone().requires_grad_()
    measurement = Measurement(through, torch.zeros(1, 1, 2, 2), GaussianNoise(0.1))
    measurement = measurement.to(z)
    measurement.log_likelihood(leaf).sum().backward()
    wanted = -(1 - z.tanh() ** 2) * inside.forward(through.decode(z)).mean((1, 2, 3))[:, None, None]
    assert torch.allclose(leaf.grad, wanted * 100)
