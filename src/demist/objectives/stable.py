"""Targets of less variance: what a noisy sample may have been, instead of the one that it was.

The denoising loss asks for `x0`, of which its best answer is the mean `E[x0 | x]`. Over a finite
data set that mean is known (`demist.core.exact.points`), and as a target it has the same optimum
and less variance: none at strong noise, where many examples may have become the same `x`. A few
drawn examples stand for all others.

References:
    Xu, Tong, Jaakkola: Stable Target Field for Reduced Variance Score Estimation in Diffusion
        Models, ICLR 2023, arXiv:2302.00670, eq. 7.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from demist.core import left


@dataclass(frozen=True)
class Candidates:
    """Training examples that samples of a batch may have been, too.

    Attributes:
        sets: Number -> examples of equal conditions, `(K, ...)`, drawn without regard to the batch.
        of: Number of each sample's set, `(B,)`.
        place: Where in it the sample itself stands, `(B,)`; -1: it does not.
    """

    sets: Mapping[int, Tensor]
    of: Int[Tensor, " B"]
    place: Int[Tensor, " B"]

    def means(
        self,
        x: Float[Tensor, "B ..."],
        x0: Float[Tensor, "B ..."],
        alpha: Float[Tensor, " B"],
        sigma: Float[Tensor, " B"],
    ) -> tuple[Float[Tensor, "B ..."], Float[Tensor, "B ..."]]:
        """`E[x0 | x]` and `E[eps | x]`, if each of x0 and the set's examples is equally likely.

            E[x0 | x] = sum_k w_k x_k / sum_k w_k,  w_k = exp(-|x - alpha x_k|^2 / (2 sigma^2))

        Args:
            x: Noisy samples, `alpha x0 + sigma eps`.
            x0: What they were made of.
            alpha: Scale of the signal of each, fp64.
            sigma: Of the noise, above 0.

        Returns:
            Both of each sample, fp32, with no gradient: they add up to `x`.
        """
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            found = x0.float().clone()
            noisy, clean = x.flatten(1).float(), found.flatten(1)
            for number, examples in self.sets.items():
                rows = torch.nonzero(self.of == number)[:, 0]
                if len(rows):
                    others, a = examples.flatten(1).float(), (alpha / sigma)[rows].float()[:, None]
                    scaled = noisy[rows] / sigma[rows].float()[:, None]
                    # Distances up to what all examples have in common, |x|^2.
                    one = a * ((scaled - a / 2 * clean[rows]) * clean[rows]).sum(1, keepdim=True)
                    many = a * (scaled @ others.T) - a.square() / 2 * others.square().sum(1)
                    twice = torch.nonzero(self.place[rows] >= 0)[:, 0]
                    many[twice, self.place[rows][twice]] = -torch.inf
                    share = torch.cat([one, many], 1).softmax(1)
                    mean = share[:, :1] * clean[rows] + share[:, 1:] @ others
                    found[rows] = mean.view_as(found[rows])
            return found, (x - left(alpha, x) * found) / left(sigma, x)
