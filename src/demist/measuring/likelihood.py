"""Bits per dimension of test images or their latents, by the flow and by the variational bound."""

import math
import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from demist.core import Seeded
from demist.data import Dataset
from demist.errors import DemistError, UsageError
from demist.measuring.candidate import Named, data_of, open_candidate
from demist.measuring.prompts import values_of_rows
from demist.modalities import of
from demist.modalities.named import divided
from demist.model.pipeline import Pipeline
from demist.objectives.likelihood import (
    Likelihood,
    bits_per_dim,
    continuous_elbo,
    dequantise,
    log_prob,
)

TOLERANCE, LIMIT = 1e-4, 0.02
"""Tolerance of the integration; and what ten times that may change, in bits per dimension."""
CLEAN = 13.0
"""Log-SNR taken as clean: noise of 0.19 of a byte's bin, for data encoded to [-1, 1]."""


@dataclass(frozen=True)
class LikelihoodReport:
    """How likely a model finds images, or their latents; all bits are per dimension.

    Bits of images are of bytes. Those of latents are of a density of real numbers: below 0 where it
    is high, and not to be compared with bits of images or of another codec.

    Attributes:
        images: How many.
        dequantisation: What was added to the bytes; none to latents.
        bits_per_dim_ode: By the probability-flow ODE, the mean over the images.
        bits_per_dim_ode_error: Standard error of that mean.
        ode_evaluations: Evaluations of the network for one batch, the most.
        ode_integration_error: What a ten times looser tolerance changes, in bits.
        bits_per_dim_bound: By the variational bound: at most so many on average.
        bits_per_dim_bound_error: Standard error of that mean.
        bound_levels: Levels of noise at which the bound is computed.
    """

    images: int
    dequantisation: str
    bits_per_dim_ode: float
    bits_per_dim_ode_error: float
    ode_evaluations: int
    ode_integration_error: float
    bits_per_dim_bound: float
    bits_per_dim_bound_error: float
    bound_levels: int
    of: str = "images"
    """What is found likely: images, or the latents of a model whose codec loses something."""
    given: str = ""
    """Conditions that are made from the images themselves, such as a small copy: it is the
    likelihood given these, the last factor of a cascade's and no likelihood of the whole."""

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return asdict(self)

    def __str__(self) -> str:
        how = "uniform dequantisation, 1 draw"
        bits, known = "bits per dimension", f", each given its own {self.given}" * bool(self.given)
        if self.of == "latents":
            bits += " of the latents"
            how = "a density of latents, not to be compared with bits of images"
        return (
            f"{self.bits_per_dim_ode:.3f} +- {self.bits_per_dim_ode_error:.3f} {bits} "
            f"by the probability-flow ODE (integrated to about {self.ode_integration_error:.1g}), "
            f"at most {self.bits_per_dim_bound:.3f} +- {self.bits_per_dim_bound_error:.3f} by the "
            f"variational bound, over {self.images} test images chosen at random{known} ({how})"
        )


def likelihood(
    model: Named, *, n: int = 64, data: str | None = None, seed: int = 0
) -> LikelihoodReport:
    """Bits per dimension of test images: `print(demist.likelihood("latest"))`.

    Slow: minutes for 64 digits on a processor.

    Args:
        model: A run, or a saved model.
        n: How many images of the test data, chosen at random.
        data: Other data than the model was trained on; a saved model needs it.
        seed: Of the choice and of the noise.

    Raises:
        MissingError: There is no such model or data.
        UsageError: The model does not make images, or its data is not known.
        DemistError: The integration is not accurate enough to report its result.
    """
    candidate = open_candidate(model)
    test = divided(data_of(candidate, data)).test
    return measure_likelihood(candidate.pipeline, test, n, seed)


def measure_likelihood(pipeline: Pipeline, test: Dataset, n: int, seed: int) -> LikelihoodReport:
    """Bits per dimension of `n` test images chosen at random, uniformly dequantised once.

    Where the codec does not keep images whole, it is the likelihood of their latents; of a model
    with stages before it, that of the last stage, given what the test images are for the others.

    The ODE's divergence is estimated with one Rademacher vector per image, the bound's integral
    with one draw at each of 200 noise levels.

    On the first batch the integration is repeated at a ten times looser tolerance: what that
    changes is an upper estimate of the error, and a number that is not settled is refused.

    Raises:
        UsageError: The model does not make images.
        DemistError: The integration is not accurate enough to print its result.
    """
    if not (modality := of(pipeline)).discrete:
        raise UsageError(
            f"--likelihood counts bits per dimension of images; this model makes {modality.name}"
        )
    whole = pipeline.codec.lossless
    width = 2 / 255 if whole else 1.0
    n, size = min(n, len(test)), 32
    chosen = np.random.default_rng(seed).permutation(len(test))[:n]
    model = pipeline.denoiser.eval().requires_grad_(False)
    start = float(model.schedule.time_at(torch.tensor(CLEAN, dtype=torch.float64)))
    device = next(model.parameters()).device
    dimensions = 1
    for side in pipeline.state_shape:
        dimensions *= side
    by_ode, by_bound, evaluations, error = [], [], 0, 0.0
    chunks = range(0, n, size)
    for first in tqdm(chunks, unit="batch", disable=not sys.stderr.isatty(), leave=False):
        rows = range(first, min(first + size, n))
        noise = Seeded([seed * 1_000_003 + i for i in rows])
        images = test.x[chosen[rows.start : rows.stop]]
        x = pipeline.codec.encode(torch.from_numpy(images)).to(device)
        known = values_of_rows(pipeline, test, chosen[rows.start : rows.stop].tolist(), images)
        encoded = pipeline.conditioner.encode(len(x), known)
        cond: dict[str, Any] = {key: value.to(device) for key, value in encoded.items()}
        x = dequantise(x, noise) if whole else x

        def by_flow(
            tolerance: float, x: torch.Tensor = x, rows: range = rows, cond: dict[str, Any] = cond
        ) -> Likelihood:
            return log_prob(
                model, x, start=start, divergence="rademacher",
                noise=Seeded([seed * 1_000_003 + i for i in rows], step=-1),
                rtol=tolerance, atol=tolerance, **cond,
            )  # fmt: skip

        found = by_flow(TOLERANCE)
        if first == 0:
            error = settled(found.log_prob, by_flow(10 * TOLERANCE).log_prob, dimensions)
        bound = continuous_elbo(model, x, noise, levels=200, max_log_snr=CLEAN, **cond)
        by_ode.append(bits_per_dim(found.log_prob, dimensions, width))
        by_bound.append(bits_per_dim(bound.elbo, dimensions, width))
        evaluations = max(evaluations, found.evaluations)
    ode, elbo = torch.cat(by_ode).double(), torch.cat(by_bound).double()
    return LikelihoodReport(
        images=n,
        dequantisation="uniform, 1 draw" if whole else "none",
        bits_per_dim_ode=float(ode.mean()),
        bits_per_dim_ode_error=float(ode.std() / n**0.5),
        ode_evaluations=evaluations,
        ode_integration_error=error,
        bits_per_dim_bound=float(elbo.mean()),
        bits_per_dim_bound_error=float(elbo.std() / n**0.5),
        bound_levels=200,
        of="images" if whole else "latents",
        given=" and ".join(k for k, c in pipeline.conditioner.conditions.items() if c.from_samples),
    )


def settled(fine: torch.Tensor, coarse: torch.Tensor, dimensions: int) -> float:
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
