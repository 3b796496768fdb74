"""A codebook that follows what the encoder gives: moving averages instead of a gradient.

With n_k the latents of a batch that are nearest to code k, and m_k their sum,

    N_k <- d N_k + (1 - d) n_k,    M_k <- d M_k + (1 - d) m_k,    code k = M_k / N_k.

That is k-means, a batch at a time. A code that hardly any latent is nearest to is given a new
place: a latent of the batch.

References:
    van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937,
        appendix A.1.
    Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446.
    Arthur, Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding".
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from demist.networks.published.vq_model import Codebook

DEAD = 0.05
"""A code is dead whose running count is below this share of an equal one's."""
FORGET = 9
"""The n-th update forgets at least FORGET / (n + FORGET), so that the start is soon forgotten."""


@dataclass(frozen=True)
class Usage:
    """How a codebook is used.

    Attributes:
        codes: How many of its codes are.
        perplexity: exp of the entropy of their frequencies, in nats: so many codes, used equally
            often, would say as much.
    """

    codes: int
    perplexity: float

    @classmethod
    def of(cls, counts: Float[Tensor, " k"]) -> "Usage":
        """Of how often each code was used, in any unit; all zero: none."""
        share = counts.double() / counts.double().sum().clamp(min=1e-300)
        entropy = torch.special.entr(share).sum()
        return cls(int((counts > 0).sum()), float(entropy.exp()))


class MovingCodebook(nn.Module):
    """What moves the codes of a `Codebook`, of which it writes the weights.

    `counts` and `sums` are N and M, per image. What a batch says is the gradient of `reports` (see
    `demist.training.joint`), one row per code: its count, a 1 for the proposal, the sum and the
    proposal. A proposal is a latent, where the code goes if it is dead.

    Args:
        codebook: Its codes.
        decay: d, in [0, 1).
        places: Latents of an image.

    Attributes:
        seen: Latents of all data.
    """

    counts: Tensor
    sums: Tensor
    updates: Tensor

    def __init__(self, codebook: Codebook, decay: float, places: int):
        super().__init__()
        codes = codebook.embedding.weight.requires_grad_(False)
        count, width = codes.shape
        self._codebook = (codebook,)  # no sub-module: it is one of the autoencoder's
        self.decay, self.seen = decay, places
        self.register_buffer("counts", torch.full((count,), places / count))
        self.register_buffer("sums", codes.detach() * places / count)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.reports = nn.Parameter(torch.zeros(count, 2 * width + 2))

    @property
    def codes(self) -> Tensor:
        """The codes, `(k, d)`, which are written in place."""
        return self._codebook[0].embedding.weight

    @torch.no_grad()
    def start(self, latents: Float[Tensor, "n d"], draws: np.random.Generator) -> None:
        """Place the codes on some of `latents`, far from each other, as k-means++ does."""
        self.codes.copy_(spread(latents.float(), len(self.codes), draws).to(self.codes))
        self.sums.copy_(self.codes * self.counts[:, None])

    def forward(
        self, z: Float[Tensor, "b d h w"], chance: Float[Tensor, "b s"], rows: range, batch: int
    ) -> tuple[Float[Tensor, "b d h w"], Float[Tensor, "k r"]]:
        """The code nearest to each latent, and what this share of the batch says of the codes.

        Args:
            z: Latents.
            chance: Uniforms in [0, 1), `ceil(k / batch)` per image: which latents are proposed.
            rows: Positions of the images in the batch of all processes.
            batch: Its size.

        Returns:
            The codes; and the mean per image, to be reported.
        """
        with torch.no_grad():
            book, z = self._codebook[0], z.detach().float()
            chosen = book.nearest(z)
            flat, found = z.permute(0, 2, 3, 1).flatten(0, 2), chosen.flatten()
            width = flat.shape[1]
            told = torch.zeros_like(self.reports)
            ones = torch.ones_like(flat[:, :1])
            told[:, : width + 2].index_add_(0, found, torch.cat([ones, 0 * ones, flat], dim=1))
            # Image i of the batch proposes latents for the codes i, i + batch, i + 2 batch, ...
            latents = z.flatten(2)
            for turn in range(chance.shape[1]):
                codes = torch.tensor([i + turn * batch for i in rows], device=z.device)
                mine = codes < len(told)
                place = (chance[:, turn] * latents.shape[2]).long().clamp(max=latents.shape[2] - 1)
                proposed = latents[torch.arange(len(z), device=z.device), :, place.to(z.device)]
                told[codes[mine], 1] = 1.0
                told[codes[mine], width + 2 :] = proposed[mine]
            y: Tensor = book.embedding(chosen).permute(0, 3, 1, 2).contiguous()
            return y, told / len(z)

    @torch.no_grad()
    def settle(self, told: Float[Tensor, "k r"]) -> Usage:
        """Move the codes after a step.

        Args:
            told: The mean per image of what was reported.

        Returns:
            How the batch used them.
        """
        width = self.sums.shape[1]
        counts, marks, sums, proposals = told.split([1, 1, width, width], dim=1)
        self.updates += 1
        decay = min(self.decay, float(self.updates) / (float(self.updates) + FORGET))
        self.counts.lerp_(counts[:, 0], 1 - decay)
        self.sums.lerp_(sums, 1 - decay)
        equal = self.counts.sum() / len(self.counts)
        dead = (self.counts < DEAD * equal) & (marks[:, 0] > 0)
        self.counts[dead] = equal
        self.sums[dead] = (proposals / marks)[dead] * equal
        self.codes.copy_(self.sums / self.counts[:, None])
        return Usage.of(counts[:, 0])


def spread(
    x: Float[Tensor, "n d"], count: int, draws: np.random.Generator
) -> Float[Tensor, "count d"]:
    """Some rows of `x`, each drawn with a chance that grows with its squared distance to the last.

    Args:
        x: At least `count` rows.
        count: How many.
        draws: Random numbers.
    """
    chosen = [int(draws.integers(len(x)))]
    nearest = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    for u in draws.random(count - 1):
        off = (x.double() - x[chosen[-1]].double()).square().sum(1)
        nearest = torch.minimum(nearest, off)
        heights = nearest.cumsum(0)
        # Where all that is left lies on a chosen row, the last one is taken again.
        at = torch.searchsorted(heights, heights[-1:] * u, right=True)
        chosen.append(int(at.clamp(max=len(x) - 1)))
    return x[torch.tensor(chosen, device=x.device)]
