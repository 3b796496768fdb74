import pytest
import torch
from torch import nn

from demist.core import Denoiser, Gaussian, Linear, Prediction, Velocity
from demist.core.exact import Exact, Normal
from demist.objectives import few_steps, matching_loss, weights
from truth import f64

MEAN, STD = torch.tensor([0.7, -0.3], dtype=f64), torch.tensor([0.5, 1.2], dtype=f64)


def normal(mean, std):
    return Exact(Normal(mean, torch.diag(std**2)), Linear())


class Affine(nn.Module):
    """x0 = shift + scale * x / sigma at time 1: a student whose samples are N(shift, scale^2)."""

    schedule = Linear()

    def __init__(self, shift, scale):
        super().__init__()
        self.shift, self.scale = nn.Parameter(shift.clone()), nn.Parameter(scale.clone())

    def forward(self, x, t):
        assert (t == 1).all()
        return Prediction(self.shift + self.scale * x, x, t, t)


def pull(student, critic, teacher, n=200_000):
    """Expected gradient on shift and scale."""
    torch.manual_seed(0)
    t = torch.rand(n, dtype=f64)
    loss = matching_loss(student, critic, teacher, torch.empty(n, 2, dtype=f64), t)
    return torch.autograd.grad(loss.mean(), [student.shift, student.scale])


def test_a_student_that_equals_its_teacher_is_left_alone():
    student = Affine(MEAN, STD)
    for gradient in pull(student, normal(MEAN, STD), normal(MEAN, STD), n=1000):
        torch.testing.assert_close(gradient, torch.zeros(2, dtype=f64))


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_gradient_points_to_the_teacher(sign):
    """Descending it brings mean and spread nearer, each on its own."""
    off = MEAN + sign * 0.3
    shift, _ = pull(Affine(off, STD), normal(off, STD), normal(MEAN, STD))
    assert (torch.sign(shift) == sign).all()
    wide = STD * (1 + sign * 0.3)
    _, scale = pull(Affine(MEAN, wide), normal(MEAN, wide), normal(MEAN, STD))
    assert (torch.sign(scale) == sign).all()


def test_the_gradient_is_that_of_the_papers_equations():
    """(x0_critic - x0_teacher) / mean |x0 - x0_teacher|, by hand for one noise and time."""

    class Fixed(Gaussian):
        def __init__(self):
            super().__init__()
            self.left = [torch.tensor([v], dtype=f64) for v in ([0.4, -1.0], [1.5, 0.2])]

        def __call__(self, like):
            return self.left.pop(0).to(like)

    student = Affine(torch.zeros(2, dtype=f64), torch.ones(2, dtype=f64))
    zero, one = torch.zeros(2, dtype=f64), torch.ones(2, dtype=f64)
    critic, teacher = normal(zero, one), normal(MEAN, STD)
    like, t = torch.empty(1, 2, dtype=f64), torch.tensor([0.4], dtype=f64)
    loss = matching_loss(student, critic, teacher, like, t, noise=Fixed())
    (got,) = torch.autograd.grad(loss.sum(), [student.shift])
    z, eps = torch.tensor([0.4, -1.0], dtype=f64), torch.tensor([1.5, 0.2], dtype=f64)
    x = 0.6 * z + 0.4 * eps
    of_critic = 0.6 / (0.36 + 0.16) * x
    gain = 0.6 * STD**2 / (0.36 * STD**2 + 0.16)
    of_teacher = MEAN + gain * (x - 0.6 * MEAN)
    torch.testing.assert_close(
        got, (of_critic - of_teacher) / (z - of_teacher).abs().mean() / 2, atol=1e-12, rtol=1e-9
    )
    # Its value is the critic's denoising loss alone.
    torch.testing.assert_close(
        loss, weights.VelocityWeight()(2 * torch.log(torch.tensor([1.5], dtype=f64)))
        * ((of_critic - z) ** 2).mean() * torch.ones(1, dtype=f64),
    )  # fmt: skip


@pytest.mark.slow
def test_a_trained_pair_has_the_teachers_mean_and_spread():
    """The critic is learned too: for a Gaussian, the best x0 is affine in x at every time."""
    torch.manual_seed(0)
    student = Affine(torch.zeros(2, dtype=f64), 0.3 * torch.ones(2, dtype=f64))

    class Learned(nn.Module):
        """Exact for N(mean, std^2), of which it learns the two."""

        schedule = Linear()

        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(2, dtype=f64))
            self.log_std = nn.Parameter(torch.zeros(2, dtype=f64))

        def forward(self, x, t):
            a, s = (c[:, None] for c in Linear()(t))
            v = (2 * self.log_std).exp()
            x0 = self.mean + a * v / (a**2 * v + s**2) * (x - a * self.mean)
            return Prediction(x0, (x - a * x0) / s, a, s)

    critic, teacher = Learned(), normal(MEAN, STD)
    opt = torch.optim.Adam(
        [{"params": student.parameters(), "lr": 0.004}, {"params": critic.parameters()}], lr=0.02
    )
    schedule = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, 1500)
    for _ in range(1500):
        t = torch.sigmoid(torch.randn(256, dtype=f64))
        loss = matching_loss(student, critic, teacher, torch.empty(256, 2, dtype=f64), t)
        opt.zero_grad()
        loss.mean().backward()
        opt.step()
        schedule.step()
    torch.testing.assert_close(student.shift.data, MEAN, atol=0.02, rtol=0)
    torch.testing.assert_close(student.scale.data.abs(), STD, atol=0.03, rtol=0)


def test_samples_on_their_way_have_the_distribution_of_sampling():
    """Half of the samples are made in one evaluation, half in two; of exact posterior means the
    second has a known spread."""
    torch.manual_seed(0)
    n, mid = 200_000, 0.6
    x0 = few_steps(normal(MEAN, STD), torch.empty(n, 2, dtype=f64), (1.0, mid), Gaussian())
    first, second = x0[::2], x0[1::2]
    torch.testing.assert_close(first, MEAN.expand_as(first), atol=1e-9, rtol=0)
    a, s = 1 - mid, mid
    gain = a * STD**2 / (a**2 * STD**2 + s**2)
    torch.testing.assert_close(second.mean(0), MEAN, atol=0.01, rtol=0)
    torch.testing.assert_close(second.std(0), gain * s, atol=0.005, rtol=0)


def test_only_the_last_evaluation_has_a_gradient():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor(0.3))
            self.seen = []

        def forward(self, x, t):
            self.seen.append((len(x), torch.is_grad_enabled()))
            return self.w * x

    net = Net()
    student = Denoiser(net, Linear(), Velocity())
    few_steps(student, torch.empty(8, 1, 4, 4), (1.0, 0.6), Gaussian()).sum().backward()
    assert net.seen == [(4, False), (8, True)]
    assert net.w.grad.isfinite()
    assert net.w.grad != 0
