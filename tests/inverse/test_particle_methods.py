"""Particles: resampling, and samplers that come to the posterior with their number."""

from itertools import combinations

import pytest
import torch

from demist.core import VP, X0, Denoiser, Exact, Gaussian, Mixture, Normal, Normals, Seeded
from demist.errors import UsageError
from demist.inverse import Dense, GaussianNoise, Measurement, PoissonNoise
from demist.inverse.methods import FPS, MMPS, TDS, MMPSLangevin, TDSThenMMPS
from demist.inverse.particles import Crowd, Each, picked, resampled, uniform
from demist.samplers import DDIM, ancestral_variances, angular


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def drawn(method, model, seen, n, shape, steps, seed=0):
    x = model.schedule(torch.ones((), dtype=torch.float64))[1] * randn(n, *shape, seed=9 + seed)
    grid = angular(steps, model.schedule)
    noise = Gaussian(generator(seed))
    *_, point = method.trajectory(model, seen, x, grid, DDIM(eta=1), noise)
    return point


def test_systematic_resampling_copies_by_weight_rounded_up_or_down():
    w = torch.tensor([[0.05, 0.5, 0.15, 0.3], [0.25, 0.25, 0.25, 0.25]]).double()
    wanted = 4 * w
    total = torch.zeros(2, 4)
    for u in torch.linspace(0.005, 0.995, 100).double():
        chosen, log_weights = resampled(w.log(), u.expand(2), 1.0)
        assert (chosen.reshape(2, 4) // 4 == torch.tensor([[0], [1]])).all()
        counts = chosen.bincount(minlength=8).reshape(2, 4)
        assert ((counts >= wanted.floor()) & (counts <= wanted.ceil())).all()
        assert torch.equal(log_weights[0], torch.zeros(4).double())
        total += counts
    assert torch.allclose(total / 100, wanted.float(), atol=0.02)


def test_a_crowd_that_is_large_enough_goes_on_as_it_is():
    """Effective sizes 1 / sum w^2 of 1.99 and 1 of 4, by hand; the threshold is half."""
    rows = [[0.0, 0.1, -50, -50], [0, -50, -50, -50], [0, 0.1, 0, 0.1]]
    log_weights = torch.tensor(rows).double()
    chosen, after = resampled(log_weights, torch.full((3,), 0.5).double(), 0.49)
    assert chosen.tolist() == [0, 1, 2, 3, 4, 4, 4, 4, 8, 9, 10, 11]
    assert torch.equal(after[[0, 2]], log_weights[[0, 2]])
    assert not after[1].any()


def test_one_is_picked_by_weight():
    log_weights = torch.tensor([[0.1, 0.6, 0.3]]).double().log()
    found = [int(picked(log_weights, torch.tensor([u]).double())) for u in (0.05, 0.2, 0.65, 0.95)]
    assert found == [0, 1, 1, 2]


def test_each_particle_has_its_own_noise_and_each_sample_its_own():
    z = Each(Seeded([3, 4]).at(0), 3)(torch.zeros(6, 5))
    assert len({tuple(row.tolist()) for row in z}) == 6
    alone = Each(Seeded([4]).at(0), 3)(torch.zeros(3, 5))
    assert torch.equal(z[3:], alone)


RANDOM = randn(4, 4, seed=1) / 2
COVARIANCE = RANDOM @ RANDOM.T + 0.05 * torch.eye(4, dtype=torch.float64)
MATRIX = randn(2, 4, seed=3) / 2
STD = 0.2


def gaussian(n, y):
    model = Exact(Normal(torch.zeros(4).double(), COVARIANCE), VP())
    seen = Measurement(Dense((4,), MATRIX), y.expand(n, 2), GaussianNoise(STD))
    noise = STD**2 * torch.eye(2, dtype=torch.float64)
    gain = COVARIANCE @ MATRIX.T @ torch.linalg.inv(MATRIX @ COVARIANCE @ MATRIX.T + noise)
    return model, seen, gain @ y, COVARIANCE - gain @ MATRIX @ COVARIANCE


def expected_misfit(mean, covariance, y):
    squares = (MATRIX @ mean - y).square() + (MATRIX @ covariance @ MATRIX.T).diagonal()
    return float(squares.mean() / STD**2)


@pytest.mark.parametrize("seed", [0, 1])
def test_tds_has_the_spread_and_the_misfit_of_the_posterior(seed):
    y = randn(2, seed=20 + seed)
    model, seen, mean, covariance = gaussian(400, y)
    x = drawn(TDS(), model, seen, 400, (4,), 60, seed).x
    assert 0.9 < float((x.var(0).sum() / covariance.trace()).sqrt()) < 1.1
    assert float((x.mean(0) - mean).norm() / covariance.trace().sqrt()) < 0.15
    misfit = expected_misfit(mean, covariance, y)
    assert float(seen.misfit(x).mean()) == pytest.approx(misfit, rel=0.2)


def test_fps_counts_the_measurement_more_than_once():
    y = randn(2, seed=20)
    model, seen, mean, covariance = gaussian(256, y)
    x = drawn(FPS(), model, seen, 256, (4,), 60).x
    assert float(seen.misfit(x).mean()) < 0.6 * expected_misfit(mean, covariance, y)


def weights_off(method, n, steps=40, std=0.3):
    """Total variation of the modes' weights: two clusters whose measured parts are alike."""
    prior = Mixture(
        torch.tensor([1.0, 1, 1, 1]).double(),
        torch.tensor([[1.0, 1], [1.2, -1], [-1, 1], [-1.2, -1]]).double(),
        0.01,
    )
    matrix, y = torch.tensor([[1.0, 0.3]]).double(), torch.tensor([0.2]).double()
    scale = (std**2 + 0.01 * matrix.square().sum()).sqrt()
    logits = prior.weights.log() - 0.5 * ((y - prior.means @ matrix[0]) / scale).square()
    seen = Measurement(Dense((2,), matrix), y.expand(n, 1), GaussianNoise(std))
    x = drawn(method, Exact(prior, VP()), seen, n, (2,), steps).x
    found = torch.cdist(x, prior.means).argmin(1).bincount(minlength=4) / n
    return float(0.5 * (found - logits.softmax(0)).abs().sum())


def test_tds_comes_to_the_posterior_with_its_particles():
    """The floor: what 300 exact draws of these weights are off by, 0.03 on average."""
    off = [weights_off(TDS(particles=k), 300, 30) for k in (1, 4, 32)]
    assert off[0] > 1.5 * off[2]
    assert off[2] < 0.06


def sliced_distance(a, b):
    """Sliced 2-Wasserstein of two samples of one size, over 100 directions."""
    axes = torch.nn.functional.normalize(randn(a.shape[1], 100, seed=77), dim=0)
    return float(((a @ axes).sort(0)[0] - (b @ axes).sort(0)[0]).square().mean().sqrt())


@pytest.mark.slow
def test_the_distance_of_tds_falls_with_its_particles_to_the_floor():
    """Four modes of 8 dimensions, two measurements: 1, 4 and 32 particles, against exact draws."""
    n, std = 256, 0.2
    prior = Normals(
        torch.ones(4).double(), randn(4, 8, seed=11), 0.09 * torch.eye(8).double().expand(4, 8, 8)
    )
    matrix = randn(2, 8, seed=12) / 8**0.5
    y = matrix @ prior.means[:2].mean(0)  # between two modes
    posterior = prior.given(matrix, y, std**2)
    seen = Measurement(Dense((8,), matrix), y.expand(n, 2), GaussianNoise(std))
    true = [posterior.sample(n, generator(30 + i)) for i in range(4)]
    pairs = list(combinations(true, 2))
    floor = sum(sliced_distance(*pair) for pair in pairs) / len(pairs)
    off = []
    for k in (1, 4, 32):
        x = drawn(TDS(particles=k), Exact(prior, VP()), seen, n, (8,), 80).x
        off.append(sum(sliced_distance(x, one) for one in true) / 4)
    assert off[0] > off[1] > off[2]
    assert off[0] > 1.5 * floor > off[2]


@pytest.mark.parametrize(
    "method",
    [
        TDSThenMMPS(particles=16, signal=0.5),
        TDSThenMMPS(particles=16, signal=2.0),
        MMPSLangevin(particles=4),
        MMPSLangevin(particles=1),
    ],
)
def test_methods_led_by_the_jacobian_are_right_on_gaussians(method):
    y = randn(2, seed=20)
    model, seen, mean, covariance = gaussian(400, y)
    x = drawn(method, model, seen, 400, (4,), 60).x
    assert 0.9 < float((x.var(0).sum() / covariance.trace()).sqrt()) < 1.1
    assert float((x.mean(0) - mean).norm() / covariance.trace().sqrt()) < 0.15
    misfit = expected_misfit(mean, covariance, y)
    assert float(seen.misfit(x).mean()) == pytest.approx(misfit, rel=0.2)


def test_tds_then_mmps_weighs_modes_that_its_crowd_tells_apart():
    """The floor is 0.03; modes of deviation 0.1 are told apart when signal is 5 times the noise."""
    alone, few, many = (
        weights_off(method, 300, 30)
        for method in (MMPS(), *(TDSThenMMPS(particles=k, signal=5.0) for k in (1, 32)))
    )
    assert min(alone, few) > 1.5 * many
    assert many < 0.08


def test_tds_then_mmps_is_both_bit_for_bit_and_goes_on_from_anywhere():
    """A crowd down to alpha = sigma, then one; from any point the rest is the same."""
    model, seen, _, _ = gaussian(3, randn(2, seed=20))
    grid, x = angular(8, model.schedule), randn(3, 4, seed=9)

    def points(method, **given):
        start, noise = given.pop("x", x), Seeded([0, 1, 2])
        return list(method.trajectory(model, seen, start, grid, DDIM(eta=1), noise, **given))

    method = TDSThenMMPS(particles=3, width=1.0, signal=1.0, most=100)
    found, crowd = points(method), points(TDS(particles=3))
    alpha, sigma = model.schedule(grid)
    last = int((alpha < sigma).sum())
    assert 0 < last < 8
    assert [point.index for point in found] == [point.index for point in crowd]
    assert all(torch.equal(a.x, b.x) for a, b in list(zip(found, crowd, strict=True))[: last - 1])
    rest = points(MMPS(), x=found[last - 1].x, index=last)
    assert torch.equal(rest[-1].x, found[-1].x)
    for point in found[:-1]:
        more = points(method, x=point.x, index=point.index, memory=point.memory)
        assert torch.equal(more[-1].x, found[-1].x)


def test_mmps_with_langevin_goes_on_from_anywhere_and_needs_no_noise():
    model, _, _, _ = gaussian(3, randn(2, seed=20))
    y = randn(2, seed=20).expand(3, 2)
    seen = Measurement(Dense((4,), MATRIX), y, GaussianNoise(0.0))
    grid, x, method = angular(8, model.schedule), randn(3, 4, seed=9), MMPSLangevin(particles=3)

    def points(**given):
        start, noise = given.pop("x", x), Seeded([0, 1, 2])
        return list(method.trajectory(model, seen, start, grid, DDIM(eta=1), noise, **given))

    found = points()
    assert float(seen.residual(found[-1].x).abs().max()) < 0.05  # of what the first guess leaves
    for point in found[:-1]:
        more = points(x=point.x, index=point.index, memory=point.memory)
        assert torch.equal(more[-1].x, found[-1].x)


def test_the_weights_of_mmps_with_langevin_are_those_of_the_path():
    """One step of three particles, by hand: likelihood and ratio of the steps' densities."""
    model, seen, _, _ = gaussian(1, randn(2, seed=20))
    method, (t, s) = (
        MMPSLangevin(particles=3, n=0, tolerance=0.0),
        torch.tensor([0.7, 0.6]).double(),
    )
    own = Measurement(seen.operator, seen.y.expand(3, 2), seen.noise)
    before = Crowd(randn(3, 4, seed=5), torch.tensor([[0.0, 0.2, -0.1]]).double())
    after = method.moved(own, model, before, t, s, Seeded([4]).at(0))
    assert (after.log_weights != 0).all()  # nobody was resampled
    (alpha, sigma), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
    prior, led = model(before.x, t), MMPS(tolerance=0.0).wrap(model, own)(before.x, t)
    v, _ = ancestral_variances((alpha, sigma), (alpha_s, sigma_s))
    root = (sigma_s**2 - v).sqrt()
    means = [alpha_s * p.x0 + root * p.eps for p in (prior, led)]
    densities = [-0.5 * (after.x - mean).square().sum(1) / v for mean in means]
    want = before.log_weights[0] + densities[0] - densities[1]
    assert torch.allclose(after.log_weights[0], want, atol=1e-9)


def test_the_langevin_step_of_a_particle_is_by_the_score_of_the_posterior():
    """One particle, by hand: a step at t, and then the step to s."""
    model, own, _, _ = gaussian(1, randn(2, seed=20))
    method = MMPSLangevin(particles=1, n=1, delta=0.2, tolerance=0.0)
    t, s = torch.tensor([0.7, 0.6]).double()
    x, noise = randn(1, 4, seed=5), Seeded([4]).at(0)
    after = method.moved(own, model, Crowd(x, torch.zeros(1, 1).double()), t, s, noise)
    noise = Seeded([4]).at(0)
    uniform(noise, x)
    (alpha, sigma), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
    led = MMPS(tolerance=0.0).wrap(model, own)
    x = x + 0.1 * sigma**2 * led(x, t).score + 0.2**0.5 * sigma * noise(x)
    v, _ = ancestral_variances((alpha, sigma), (alpha_s, sigma_s))
    p = led(x, t)
    want = alpha_s * p.x0 + (sigma_s**2 - v).sqrt() * p.eps + v.sqrt() * noise(x)
    assert torch.allclose(after.x, want, atol=1e-9)


@pytest.mark.slow
def test_fps_without_noise_comes_to_the_posterior_with_its_particles():
    y = torch.tensor([0.8, -0.5]).double()
    model, _, _, _ = gaussian(1, y)
    exact = Measurement(Dense((4,), MATRIX), y.expand(400, 2), GaussianNoise(0.0))
    gain = COVARIANCE @ MATRIX.T @ torch.linalg.inv(MATRIX @ COVARIANCE @ MATRIX.T)
    size = (COVARIANCE - gain @ MATRIX @ COVARIANCE).trace().sqrt()
    ends = [drawn(FPS(particles=k), model, exact, 400, (4,), 60).x for k in (1, 64)]
    off = [float((x.mean(0) - gain @ y).norm() / size) for x in ends]
    assert off[1] < 0.15 < off[0]


def test_all_particles_of_the_end_are_in_its_memory():
    model, seen, _, _ = gaussian(3, randn(2, seed=20))
    point = drawn(TDS(particles=5), model, seen, 3, (4,), 10)
    assert point.memory.x.shape == (15, 4)
    assert point.memory.log_weights.shape == (3, 5)
    for i in range(3):
        assert (point.memory.x[5 * i : 5 * i + 5] == point.x[i]).all(1).any()


def test_conditions_follow_their_samples():
    seen_by_model = []

    class Told:
        schedule = VP()

        def __call__(self, x, t, label):
            seen_by_model.append(label)
            return Exact(Normal(torch.zeros(4).double(), COVARIANCE), VP())(x, t)

    _, seen, _, _ = gaussian(2, randn(2, seed=20))
    x, grid = randn(2, 4), angular(3, VP())
    for _ in TDS(particles=3).trajectory(Told(), seen, x, grid, label=torch.tensor([7, 8])):
        pass
    assert all(label.tolist() == [7, 7, 7, 8, 8, 8] for label in seen_by_model)


def test_gradients_pass_conditions_and_clamps_in_inference_mode():
    class Scaled(torch.nn.Module):
        def forward(self, x, clock, scale):
            return x * scale[:, None] + 10  # all above the bounds

    model = Denoiser(Scaled(), VP(), X0(), bounds=(-1.0, 1.0)).eval()
    _, seen, _, _ = gaussian(2, torch.tensor([2.0, 2]).double())
    with torch.inference_mode():
        moved = [
            list(method.trajectory(
                model, seen, randn(2, 4), torch.tensor([0.6, 0.5], dtype=torch.float64), None,
                Seeded([0, 1]), scale=torch.ones(2).double(),
            ))[-1].x
            for method in (TDS(particles=1), TDS(particles=1, width=1e-6))
        ]  # fmt: skip
    # Both are led, though the clamped data do not move; a broader twist leads less.
    assert not torch.allclose(*moved)


@pytest.mark.parametrize("method", [TDS(), MMPSLangevin(particles=4)], ids=lambda m: m.name)
def test_they_count_photons(method):
    model, _, _, _ = gaussian(1, randn(2))
    seen = Measurement(Dense((4,), MATRIX), torch.full((50, 2), 0.2).double(), PoissonNoise(20.0))
    x, floor = drawn(method, model, seen, 50, (4,), 30).x, randn(50, 4) @ RANDOM.T
    assert x.isfinite().all()
    assert float(seen.log_likelihood(x).mean()) > float(seen.log_likelihood(floor).mean()) + 1


def test_a_constraint_does_not_reach_particles():
    model, seen, _, _ = gaussian(2, randn(2))
    with pytest.raises(UsageError, match="constraint"):
        next(TDS().trajectory(model, seen, randn(2, 4), angular(3, VP()), constrain=lambda x, s: x))
