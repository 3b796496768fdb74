"""`demist evaluate --likelihood`: bits per dimension of images, by the ODE and by the bound."""

import math
import sys
from typing import TYPE_CHECKING, Any

from demist.errors import DemistError, UsageError

if TYPE_CHECKING:
    import torch

    import demist.data
    import demist.likelihood
    import demist.model.pipeline

TOLERANCE, LIMIT = 1e-4, 0.02
"""Tolerance of the integration; and what ten times that may change, in bits per dimension."""
CLEAN = 13.0
"""Log-SNR taken as clean: noise of 0.19 of a byte's bin, for data encoded to [-1, 1]."""


def measure_likelihood(
    pipeline: "demist.model.pipeline.Pipeline", test: "demist.data.Dataset", n: int, seed: int
) -> dict[str, Any]:
    """Bits per dimension of the first `n` test images, uniformly dequantised once.

    The ODE's divergence is estimated with one Rademacher vector per image, the bound's integral
    with one draw at each of 200 noise levels.

    On the first batch the integration is repeated at a ten times looser tolerance: what that
    changes is an upper estimate of the error, and a number that is not settled is refused.

    Raises:
        UsageError: The model does not make images.
        DemistError: The integration is not accurate enough to print its result.
    """
    import torch
    from tqdm import tqdm

    from demist.core import Seeded
    from demist.likelihood import bits_per_dim, continuous_elbo, dequantise, log_prob

    if len(pipeline.shape) != 3:
        raise UsageError(
            "--likelihood counts bits per dimension of images; this model makes points"
        )
    n, size = min(n, len(test)), 32
    model = pipeline.denoiser.eval().requires_grad_(False)
    start = float(model.schedule.time_at(torch.tensor(CLEAN, dtype=torch.float64)))
    device = next(model.parameters()).device
    dimensions = 1
    for side in pipeline.shape:
        dimensions *= side
    by_ode, by_bound, evaluations, error = [], [], 0, 0.0
    chunks = range(0, n, size)
    for first in tqdm(chunks, unit="batch", disable=not sys.stderr.isatty(), leave=False):
        rows = range(first, min(first + size, n))
        noise = Seeded([seed * 1_000_003 + i for i in rows])
        x = pipeline.codec.encode(torch.from_numpy(test.x[list(rows)])).to(device)
        cond: dict[str, Any] = {}
        if pipeline.conditioner.conditions and test.labels is not None:
            names = [test.classes[k] for k in test.labels[list(rows)]]
            encoded = pipeline.conditioner.encode(len(x), {"label": names})
            cond = {key: value.to(device) for key, value in encoded.items()}
        x = dequantise(x, noise)

        def by_flow(
            tolerance: float, x: torch.Tensor = x, rows: range = rows, cond: dict[str, Any] = cond
        ) -> "demist.likelihood.Likelihood":
            return log_prob(
                model, x, start=start, divergence="rademacher",
                noise=Seeded([seed * 1_000_003 + i for i in rows], step=-1),
                rtol=tolerance, atol=tolerance, **cond,
            )  # fmt: skip

        found = by_flow(TOLERANCE)
        if first == 0:
            error = settled(found.log_prob, by_flow(10 * TOLERANCE).log_prob, dimensions)
        bound = continuous_elbo(model, x, noise, levels=200, max_log_snr=CLEAN, **cond)
        by_ode.append(bits_per_dim(found.log_prob, dimensions))
        by_bound.append(bits_per_dim(bound.elbo, dimensions))
        evaluations = max(evaluations, found.evaluations)
    ode, elbo = torch.cat(by_ode).double(), torch.cat(by_bound).double()
    return {
        "likelihood": {
            "images": n,
            "dequantisation": "uniform, 1 draw",
            "bits_per_dim_ode": float(ode.mean()),
            "bits_per_dim_ode_error": float(ode.std() / n**0.5),
            "ode_evaluations": evaluations,
            "ode_integration_error": error,
            "bits_per_dim_bound": float(elbo.mean()),
            "bits_per_dim_bound_error": float(elbo.std() / n**0.5),
            "bound_levels": 200,
        }
    }


def settled(fine: "torch.Tensor", coarse: "torch.Tensor", dimensions: int) -> float:
    """Bits per dimension that a ten times looser tolerance changes.

    Raises:
        DemistError: More than `LIMIT`.
    """
    change = float((fine - coarse).abs().double().mean()) / dimensions / math.log(2)
    if not change <= LIMIT:
        raise DemistError(
            "the likelihood by the ODE is not settled: a looser tolerance changes it by "
            f"{change:.2g} bits per dimension, more than {LIMIT:g}, so it is not printed; the "
            "network is too rough to integrate (train it longer, or use the variational bound)"
        )
    return change


def sentence(facts: dict[str, Any]) -> str:
    """The result in words."""
    f = facts["likelihood"]
    return (
        f"{f['bits_per_dim_ode']:.3f} +- {f['bits_per_dim_ode_error']:.3f} bits per dimension by "
        f"the probability-flow ODE (integrated to about {f['ode_integration_error']:.1g}), at most "
        f"{f['bits_per_dim_bound']:.3f} +- {f['bits_per_dim_bound_error']:.3f} by the variational "
        f"bound, over {f['images']} test images (uniform dequantisation, 1 draw)"
    )
