"""`demist evaluate --likelihood`: bits per dimension of images, by the ODE and by the bound."""

import sys
from typing import TYPE_CHECKING, Any

from demist.errors import UsageError

if TYPE_CHECKING:
    import demist.data
    import demist.pipeline

CLEAN = 13.0
"""Log-SNR taken as clean: noise of 0.19 of a byte's bin, for data encoded to [-1, 1]."""


def measure_likelihood(
    pipeline: "demist.pipeline.Pipeline", test: "demist.data.Dataset", n: int, seed: int
) -> dict[str, Any]:
    """Bits per dimension of the first `n` test images, uniformly dequantised once.

    The ODE's divergence is estimated with one Rademacher vector per image, the bound's integral
    with one draw at each of 200 noise levels.

    Raises:
        UsageError: The model does not make images.
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
    by_ode, by_bound, evaluations = [], [], 0
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
        found = log_prob(
            model,
            x,
            start=start,
            divergence="rademacher",
            noise=noise,
            rtol=1e-3,
            atol=1e-3,
            **cond,
        )
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
            "bits_per_dim_bound": float(elbo.mean()),
            "bits_per_dim_bound_error": float(elbo.std() / n**0.5),
            "bound_levels": 200,
        }
    }


def sentence(facts: dict[str, Any]) -> str:
    """The result in words."""
    f = facts["likelihood"]
    return (
        f"{f['bits_per_dim_ode']:.3f} +- {f['bits_per_dim_ode_error']:.3f} bits per dimension by "
        f"the probability-flow ODE, at most {f['bits_per_dim_bound']:.3f} +- "
        f"{f['bits_per_dim_bound_error']:.3f} by the variational bound, over {f['images']} test "
        f"images (uniform dequantisation, 1 draw)"
    )
