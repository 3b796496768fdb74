"""azula's posterior samplers, on its own grid and schedule, with its defaults unless tuned."""

from collections.abc import Callable
from typing import Any

import torch
from azula import sample
from azula.denoise import Denoiser, DiracPosterior
from azula.guidance import dps, mmps, pgdm, tds, tmpd
from azula.guidance.diffpir import DiffPIRDenoiser
from azula.linalg.covariance import IsotropicCovariance
from azula.noise import RectifiedSchedule
from torch import Tensor

from field.posteriors import Counted, Known, f64

# Its length is that of the whole batch: sixteen times a scale of ours for 256 samples.
ZETAS = (
    0.05, 0.2, 0.8, 1.6, 2.26, 3.2, 4.53, 6.4, 9.05, 12.8, 18.1, 25.6, 36.2, 51.2,
)  # fmt: skip


class _Exact(Denoiser):
    def __init__(self, counted: Counted):
        super().__init__()
        self.counted = counted
        self.schedule = RectifiedSchedule(1e-3, 1e-3)

    def forward(self, x_t: Tensor, t: Tensor) -> DiracPosterior:
        self.counted.schedule = self.schedule
        return DiracPosterior(self.counted(x_t, t).x0)


def methods(steps: int) -> dict[str, Callable[[Known, Counted, Tensor], Tensor]]:
    """By name: from a problem, a denoiser and draws to samples. DPS by its step size."""
    options: dict[str, Any] = {"steps": steps, "silent": True, "dtype": f64}

    def noisy(make: Callable[..., Any]) -> Callable[[Known, Counted, Tensor], Tensor]:
        def run(known: Known, counted: Counted, z: Tensor) -> Tensor:
            def see(x: Tensor) -> Tensor:
                return x @ known.matrix.T

            found: Tensor = make(known, _Exact(counted), known.y.expand(len(z), -1), see)(z)
            return found

        return run

    def wrapped(make: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: sample.DDPMSampler(make(*given), **options)

    def pseudo(known: Known, model: Denoiser, y: Tensor, see: Callable[[Tensor], Tensor]) -> Any:
        inverse = torch.linalg.pinv(known.matrix)
        return pgdm.PGDMSampler(model, y, see, lambda u: u @ inverse.T, eta=1.0, **options)

    def twisted(known: Known, model: Denoiser, y: Tensor, see: Callable[[Tensor], Tensor]) -> Any:
        def twist(x: Tensor, spread: Tensor) -> Tensor:
            variance = known.std**2 + spread**2 / (1 + spread**2)
            return -0.5 * (y - see(x)).square() / variance

        return tds.TDSSampler(model, twist, **options)

    found = {
        "azula MMPS (gmres 1)": wrapped(
            lambda k, m, y, see: mmps.MMPSDenoiser(m, y, see, IsotropicCovariance(_t(k.std**2)))
        ),
        "azula MMPS (cg 3)": wrapped(
            lambda k, m, y, see: mmps.MMPSDenoiser(
                m, y, see, IsotropicCovariance(_t(k.std**2)), solver="cg", iterations=3
            )
        ),
        "azula TMPD": wrapped(lambda k, m, y, see: tmpd.TMPDenoiser(m, y, see, k.std**2)),
        "azula PGDM": pseudo,
        "azula DiffPIR": wrapped(lambda k, m, y, see: DiffPIRDenoiser(m, y, see, k.std**2)),
        "azula TDS": twisted,
    }
    for zeta in ZETAS:
        found[f"azula DPS:zeta={zeta:g}"] = lambda k, m, y, see, zeta=zeta: dps.DPSSampler(
            m, y, see, zeta, **options
        )
    return {name: noisy(make) for name, make in found.items()}


def _t(value: float) -> Tensor:
    return torch.tensor(value, dtype=f64)
