"""The loss by noise level: where on the way from noise to data a model still learns.

Recorded beside the training: nothing is drawn for it, and no number that is trained on changes.
"""

import math
from typing import Any

import torch
from torch import Tensor

from demist.core import Denoiser
from demist.runs import LEVELS
from demist.training.batches import Batch
from demist.training.fit import Denoising, Hybrid


class Levels:
    """An objective that remembers which loss each noise level had; else the one it is given."""

    def __init__(self, objective: Denoising | Hybrid):
        self.objective = objective
        self._edges: Tensor | None = None
        self._sums: Tensor | None = None

    def __call__(self, denoiser: Denoiser, batch: Batch) -> Tensor:
        """The loss of each sample, as without."""
        loss = self.objective(denoiser, batch)
        with torch.no_grad():
            log_snr = denoiser.schedule.log_snr(self.objective.times(batch.u, denoiser.schedule))
            if log_snr.shape == loss.shape:  # else the parts of a sample have levels of their own
                self._add(log_snr, loss.detach())
        return loss

    def take(self) -> list[float | None]:
        """Mean loss of each level since it was last asked; None where none was seen.

        The levels lie between the log-SNRs of `demist.runs.LEVELS`, the noisiest first; the outer
        ones hold all that is beyond. Empty if nothing was recorded.
        """
        if self._sums is None:
            return []
        sums, counts = self._sums.tolist()
        self._sums = None
        means = [s / n if n else math.nan for s, n in zip(sums, counts, strict=True)]
        return [float(f"{mean:.5g}") if math.isfinite(mean) else None for mean in means]

    def _add(self, log_snr: Tensor, loss: Tensor) -> None:
        if self._edges is None:
            self._edges = torch.tensor(LEVELS[1:-1], dtype=torch.float64, device=loss.device)
        if self._sums is None:
            self._sums = loss.new_zeros(2, len(LEVELS) - 1, dtype=torch.float64)
        where = torch.bucketize(log_snr.to(self._edges), self._edges)
        both = torch.stack([loss.double(), torch.ones_like(loss, dtype=torch.float64)])
        self._sums.index_add_(1, where, both)


def recorded(objective: Any) -> Any:
    """The objective, remembering its loss by noise level if it has noise levels."""
    return Levels(objective) if isinstance(objective, Denoising | Hybrid) else objective
