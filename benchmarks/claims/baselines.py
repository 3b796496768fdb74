"""The rivals of diffusion as generators of vectors: small, plain reference implementations.

Each trains until it has spent the given work, counted as parameters x samples x passes (backward
is two passes), which is how their compute is made equal to that of a diffusion model.
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from lab import BATCH, parameters
from torch import Tensor, nn

Look = Callable[["Generator", float], None]


class Generator(Protocol):
    """A trained model of vectors."""

    def sample(self, n: int, seed: int) -> np.ndarray: ...


class Residual(nn.Module):
    """linear -> residual blocks of two layers -> linear; the block of the package's MLP."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int = 2):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(F.silu(x))
        return self.last(F.silu(x))


class Model(nn.Module):
    """What all have in common: data batches, and training until the work is spent."""

    def batches(self, data: np.ndarray, seed: int) -> Iterator[Tensor]:
        rng, x = np.random.default_rng(seed), torch.from_numpy(data)
        while True:
            yield x[rng.integers(len(data), size=BATCH)]

    def fit(self, data: np.ndarray, seed: int, work: float, look: Look | None = None) -> None:
        torch.manual_seed(seed)
        spent, batches = 0.0, self.batches(data, seed)
        self.train()
        while spent < work:
            spent += self.step(batches, min(1.0, spent / work))
            if look is not None:
                look(self, spent / work)
        self.eval()

    def step(self, batches: Iterator[Tensor], progress: float) -> float:
        """One update; returns the work it took."""
        raise NotImplementedError


class GAN(Model):
    """Goodfellow et al. 2014, non-saturating loss, Adam with beta_1 = 0.5 (Radford et al. 2016).

    With `modern`, after R3GAN (Huang et al. 2024, arXiv:2501.05441): relativistic pairing loss
    (eq. 3), zero-centred gradient penalties on real and on fake samples (eqs. 4, 5), Adam with
    beta_1 = 0, averaged weights of the generator.

    Networks see the data `units` times as large: between narrow modes that lie close together, a
    critic of few layers finds its way slowly.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        modern: bool = False,
        gamma: float = 0.2,
        momentum: float = 0.5,
        rate: float = 5e-4,
        units: float = 1.0,
    ):
        super().__init__()
        self.latent, self.modern, self.gamma = max(16, dim // 2), modern, gamma
        self.units = units
        self.generator = Residual(self.latent, dim, width)
        self.critic = Residual(dim, 1, width)
        for name, value in self.generator.state_dict().items():
            self.register_buffer(self._averaged(name), value.clone())
        betas = (0.0, 0.99) if modern else (momentum, 0.999)
        self.rate = rate
        self.optimizers = [
            torch.optim.Adam(net.parameters(), self.rate, betas)
            for net in (self.generator, self.critic)
        ]

    def step(self, batches: Iterator[Tensor], progress: float) -> float:
        of_generator, of_critic = self.optimizers
        for optimizer in self.optimizers:
            optimizer.param_groups[0]["lr"] = self.rate * (1 - progress)
        real = self.units * next(batches)
        with torch.no_grad():
            fake = self.generator(torch.randn(BATCH, self.latent))
        loss = self._critic_loss(real, fake)
        of_critic.zero_grad()
        loss.backward()
        of_critic.step()
        real = self.units * next(batches)
        fake = self.generator(torch.randn(BATCH, self.latent))
        score = self.critic(fake)
        margin = score - self.critic(real).detach() if self.modern else score
        of_generator.zero_grad()
        F.softplus(-margin).mean().backward()
        of_generator.step()
        with torch.no_grad():
            for name, value in self.generator.state_dict().items():
                average = getattr(self, self._averaged(name))
                average.lerp_(value, 0.005 if self.modern else 1.0)
        penalties = 12 if self.modern else 0  # a gradient with its own backward, on both halves
        g, d = parameters(self.generator), parameters(self.critic)
        return BATCH * (g * (1 + 3) + d * (6 + 3 + (1 if self.modern else 0) + penalties))

    def _critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        if not self.modern:
            return F.softplus(-self.critic(real)).mean() + F.softplus(self.critic(fake)).mean()
        real, fake = real.clone().requires_grad_(), fake.requires_grad_()
        a, b = self.critic(real), self.critic(fake)
        slopes = torch.autograd.grad(a.sum() + b.sum(), (real, fake), create_graph=True)
        penalty = sum(slope.square().sum(1).mean() for slope in slopes)
        return F.softplus(b - a).mean() + self.gamma / 2 * penalty

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> np.ndarray:
        z = torch.randn(n, self.latent, generator=torch.Generator().manual_seed(seed))
        names = self.generator.state_dict()
        average = {name: getattr(self, self._averaged(name)) for name in names}
        made = torch.func.functional_call(self.generator, average, (z,))
        return (made / self.units).numpy()

    @staticmethod
    def _averaged(name: str) -> str:
        """What the average of a weight is called."""
        return f"average_{name.replace('.', '_')}"


class VAE(Model):
    """Kingma & Welling 2014, with one variance for all outputs, the best one in closed form.

    That is the mean squared error of the batch (Rybkin et al. 2021, section 4.2). As a weight that
    Adam moves, it would be far from it after some hundred updates, and all codes empty.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        noisy: bool = True,
        latent: int | None = None,
        rate: float = 1e-3,
    ):
        super().__init__()
        self.latent, self.noisy = latent or (2 if dim == 2 else 16), noisy
        self.encoder = Residual(dim, 2 * self.latent, width)
        self.decoder = Residual(self.latent, dim, width)
        self.register_buffer("log_sigma", torch.zeros(()))
        self.rate = rate
        self.optimizer = torch.optim.Adam(self.parameters(), self.rate)

    def step(self, batches: Iterator[Tensor], progress: float) -> float:
        self.optimizer.param_groups[0]["lr"] = self.rate * (1 - progress)
        x = next(batches)
        mean, log_var = self.encoder(x).chunk(2, 1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        best = (self.decoder(z) - x).square().mean().log() / 2
        kl = (mean.square() + log_var.exp() - 1 - log_var).sum(1) / 2
        self.optimizer.zero_grad()
        (x.shape[1] * best + kl.mean()).backward()
        self.optimizer.step()
        self.log_sigma.lerp_(best.detach(), 0.02 if self.log_sigma else 1.0)
        return BATCH * 3 * parameters(self)

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> np.ndarray:
        g = torch.Generator().manual_seed(seed)
        x = self.decoder(torch.randn(n, self.latent, generator=g))
        noise = self.log_sigma.exp() * torch.randn(x.shape, generator=g) if self.noisy else 0
        return (x + noise).numpy()

    @torch.no_grad()
    def bound(self, x: Tensor, seed: int, draws: int = 16) -> Tensor:
        """Lower bound on log p(x), nats, `(n,)`: the mean over draws of the code."""
        g = torch.Generator().manual_seed(seed)
        mean, log_var = self.encoder(x).chunk(2, 1)
        kl = (mean.square() + log_var.exp() - 1 - log_var).sum(1) / 2
        unit = -self.log_sigma - math.log(2 * math.pi) / 2
        fits = []
        for _ in range(draws):
            z = mean + (log_var / 2).exp() * torch.randn(mean.shape, generator=g)
            error = (self.decoder(z) - x).square().sum(1)
            fits.append(x.shape[1] * unit - error / 2 * (-2 * self.log_sigma).exp())
        return torch.stack(fits).mean(0) - kl

    @torch.no_grad()
    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        mean, _ = self.encoder(torch.from_numpy(x)).chunk(2, 1)
        return self.decoder(mean).numpy()


class MADE(Model):
    """Autoregressive: p(x_1) p(x_2 | x_1) ..., each a histogram (Germain et al. 2015).

    Values are cut into bins over the data's range; a draw is uniform in its bin.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        bins: int,
        low: float,
        high: float,
        decay: float = 0.0,
        rate: float = 2e-3,
    ):
        super().__init__()
        self.dim, self.bins, self.low, self.high = dim, bins, low, high
        inputs = torch.arange(1, dim + 1)
        hidden = torch.arange(width) % max(1, dim - 1) + 1
        outputs = inputs.repeat_interleave(bins)
        degrees = [inputs, hidden, hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(len(a), len(b)) for a, b in pairwise(degrees))
        for i, (a, b) in enumerate(pairwise(degrees)):
            mask = b[:, None] > a[None] if i == 2 else b[:, None] >= a[None]
            self.register_buffer(f"mask{i}", mask.float())
        self.rate = rate
        self.optimizer = torch.optim.AdamW(self.parameters(), self.rate, weight_decay=decay)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.low) / (self.high - self.low) * 2 - 1
        for i, layer in enumerate(self.layers):
            x = F.linear(x, layer.weight * getattr(self, f"mask{i}"), layer.bias)
            x = F.silu(x) if i < 2 else x
        return x.view(len(x), self.dim, self.bins)

    def bin(self, x: Tensor) -> Tensor:
        return ((x - self.low) / (self.high - self.low) * self.bins).long().clamp(0, self.bins - 1)

    def step(self, batches: Iterator[Tensor], progress: float) -> float:
        self.optimizer.param_groups[0]["lr"] = self.rate * (1 - progress)
        x = next(batches)
        loss = F.cross_entropy(self(x).flatten(0, 1), self.bin(x).flatten())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return BATCH * 3 * parameters(self)

    @torch.no_grad()
    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density, nats, `(n,)`: a histogram is even within its bins."""
        chosen = F.cross_entropy(self(x).flatten(0, 1), self.bin(x).flatten(), reduction="none")
        width = (self.high - self.low) / self.bins
        return -chosen.view(x.shape).sum(1) - self.dim * math.log(width)

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> np.ndarray:
        g = torch.Generator().manual_seed(seed)
        x = torch.zeros(n, self.dim)
        for i in range(self.dim):
            drawn = torch.multinomial(self(x)[:, i].softmax(1), 1, generator=g)[:, 0]
            within = torch.rand(n, generator=g)
            x[:, i] = self.low + (drawn + within) / self.bins * (self.high - self.low)
        return x.numpy()


class Coupling(nn.Module):
    """One part of the numbers moves and scales the other (Dinh et al. 2017, eqs. 4 to 8)."""

    def __init__(self, dim: int, width: int, order: Tensor):
        super().__init__()
        self.kept = dim // 2
        self.register_buffer("order", order)
        self.net = Residual(self.kept, 2 * (dim - self.kept), width, depth=1)
        nn.init.zeros_(self.net.last.weight)  # a layer begins as the identity
        nn.init.zeros_(self.net.last.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Towards noise, and log |det| of the Jacobian."""
        a, b = x[:, self.order[: self.kept]], x[:, self.order[self.kept :]]
        log_scale, shift = self._of(a)
        return torch.cat([a, b * log_scale.exp() + shift], 1), log_scale.sum(1)

    def back(self, y: Tensor) -> Tensor:
        """Towards data."""
        a, b = y[:, : self.kept], y[:, self.kept :]
        log_scale, shift = self._of(a)
        x = torch.cat([a, (b - shift) * (-log_scale).exp()], 1)
        return x[:, torch.argsort(self.order)]

    def _of(self, a: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(a).chunk(2, 1)
        return 2 * torch.tanh(log_scale / 2), shift


class Flow(Model):
    """RealNVP (Dinh et al. 2017): an invertible map from data to noise, with its exact density.

    Args:
        dim: Numbers of a vector.
        width: Of the network in each coupling layer.
        layers: Coupling layers; each second one changes what the one before kept.
        bounded: Whether data lies in [-1, 1]: then it goes through a logit first, as in section 4.1
            of the paper, with 0.05 of room.
    """

    ROOM = 0.05

    def __init__(
        self, dim: int, width: int, layers: int = 8, bounded: bool = True, rate: float = 1e-3
    ):
        super().__init__()
        self.dim, self.bounded = dim, bounded
        g, turned = torch.Generator().manual_seed(0), torch.arange(dim).flip(0)
        self.couplings = nn.ModuleList(
            Coupling(dim, width, turned if i % 2 else torch.randperm(dim, generator=g))
            for i in range(layers)
        )
        self.rate = rate
        self.optimizer = torch.optim.Adam(self.parameters(), self.rate)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Noise `(n, dim)` for data, and log |det dz/dx|, `(n,)`."""
        log_det = x.new_zeros(len(x))
        if self.bounded:
            p = self.ROOM + (1 - 2 * self.ROOM) * (x + 1) / 2
            slope = (1 - 2 * self.ROOM) / 2 / (p * (1 - p))
            x, log_det = torch.logit(p), slope.log().sum(1)
        for coupling in self.couplings:
            x, more = coupling(x)
            log_det = log_det + more
        return x, log_det

    def back(self, z: Tensor) -> Tensor:
        """Data for noise."""
        for coupling in reversed(self.couplings):
            z = coupling.back(z)
        if self.bounded:
            z = (torch.sigmoid(z) - self.ROOM) / (1 - 2 * self.ROOM) * 2 - 1
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density, nats, `(n,)`."""
        z, log_det = self(x)
        return log_det - z.square().sum(1) / 2 - self.dim * math.log(2 * math.pi) / 2

    def step(self, batches: Iterator[Tensor], progress: float) -> float:
        self.optimizer.param_groups[0]["lr"] = self.rate * (1 - progress)
        self.optimizer.zero_grad()
        (-self.log_prob(next(batches)).mean()).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters(), 10.0 * self.dim)
        self.optimizer.step()
        return BATCH * 3 * parameters(self)

    @torch.no_grad()
    def sample(self, n: int, seed: int) -> np.ndarray:
        return self.back(
            torch.randn(n, self.dim, generator=torch.Generator().manual_seed(seed))
        ).numpy()


def matched(make: Callable[[int], nn.Module], target: int) -> nn.Module:
    """The model whose width brings its parameters nearest to `target`."""
    low, high = 4, 4096
    with torch.random.fork_rng():
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if parameters(make(middle)) <= target else (low, middle)
    return make(low)
