"""A sampling trajectory is a value: stop it, go on, rewind it, branch it.

The denoiser is the exact one of a mixture of four Gaussians, so nothing is trained and every branch
can be judged: half way down, points have not yet decided which mode they belong to.
"""

import torch

from demist.core import Linear, Seeded
from demist.core.exact import Exact, Mixture
from demist.samplers import DDIM, angular, sample, trajectory


def main(steps: int = 40, n: int = 500) -> dict[str, float]:
    means = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    model = Exact(Mixture(torch.ones(4).double(), means, 0.04), Linear())
    grid, noise = angular(steps, model.schedule), Seeded(range(n))
    x = noise(torch.empty(n, 2, dtype=torch.float64))
    states = list(trajectory(model, x, grid, noise=noise))

    # Go on from the middle: the same end, to the last bit.
    middle = states[steps // 2 - 1]
    *_, again = trajectory(
        model, middle.x, grid, noise=noise, index=middle.index, memory=middle.memory
    )
    assert torch.equal(again.x, states[-1].x)

    # Branch: other noise from the same moment. The earlier, the fewer points keep their mode.
    kept = {}
    for share in (0.2, 0.5, 0.8):
        state = states[int(steps * share) - 1]
        other = DDIM(eta=1.0), Seeded(range(n, 2 * n))
        *_, end = trajectory(model, state.x, grid, *other, index=state.index)
        kept[f"branched after {share:.0%}"] = agreement(end.x, states[-1].x)

    # Rewind: a grid that goes up adds noise again, then comes down.
    detour = torch.cat([torch.tensor([0.0, 0.5]), 0.5 * grid[1:] / grid[1]]).double()
    detour = detour.unique_consecutive()
    back = sample(model, states[-1].x, detour, noise=Seeded(range(n)))
    kept["renoised to t = 0.5"] = agreement(back, states[-1].x)
    for what, fraction in kept.items():
        print(f"{what:>22}: {fraction:4.0%} of the points end in the same mode")
    return kept


def agreement(a: torch.Tensor, b: torch.Tensor) -> float:
    """Fraction of points in the same quadrant."""
    return float((a.sign() == b.sign()).all(1).double().mean())


if __name__ == "__main__":
    main()
