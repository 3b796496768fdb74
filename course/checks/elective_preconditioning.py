"""Checks of the elective on preconditioning."""

import torch

from demist.course import close, expect

SIGMA, STD = torch.tensor([0.3, 0.6, 2.0]), 0.8
TOTAL = SIGMA**2 + STD**2


def scales(answer):
    found = answer(SIGMA, STD)
    expect(
        isinstance(found, tuple | list) and len(found) == 3,
        "three are asked for: c_in, c_skip and c_out",
    )
    c_in, c_skip, c_out = found
    expect(
        not close(c_in, 1 / TOTAL),
        "c_in divides by the variance; what goes in then has not variance 1: a root is missing",
    )
    expect(
        not close(c_in, 1 / (SIGMA + STD)),
        "variances of data and noise add up, standard deviations do not",
    )
    expect(
        not close(c_in, 1 / SIGMA),
        "what goes in is noise and data: where is the variance of the data?",
    )
    expect(
        close(c_in, 1 / TOTAL**0.5),
        f"with sigma = 0.6 and sigma_data = 0.8 the state has variance 1, so c_in is 1; yours is "
        f"{float(c_in[1]):.3f}",
    )
    expect(
        not close(c_skip, SIGMA**2 / TOTAL),
        "your c_skip grows with the noise; in little noise the state is the data, so there it is near 1",
    )
    expect(
        not (close(c_skip, torch.zeros(3)) or close(c_skip, torch.ones(3))),
        "that is allowed, but c_out is not smallest there: set the slope of c_out² to 0",
    )
    expect(
        close(c_skip, STD**2 / TOTAL),
        "c_in is right; for c_skip take the slope of (1 - c_skip)² sigma_data² + c_skip² sigma² "
        "with respect to c_skip, and set it to 0",
    )
    expect(
        not close(c_out, SIGMA**2 * STD**2 / TOTAL),
        "that is the square of c_out",
    )
    expect(
        close(c_out, SIGMA * STD / TOTAL**0.5),
        "c_in and c_skip are right; put c_skip into c_out² and take the root",
    )


def levels(answer):
    found = answer(3, 1.0, 16.0, 2)
    expect(
        not close(torch.as_tensor(found)[..., :3], torch.tensor([1.0, 6.25, 16.0])),
        "a walk begins in the noise: from high to low",
    )
    expect(
        len(torch.as_tensor(found)) != 3,
        "after the last level comes 0, the clean data: n + 1 numbers",
    )
    expect(
        not close(found, torch.tensor([16.0, 8.5, 1.0, 0.0])),
        "that is even in sigma itself, which is rho = 1: go even steps in the root",
    )
    expect(
        not close(found, torch.tensor([4.0, 2.5, 1.0, 0.0])),
        "these are the roots; raise them to the power of rho again",
    )
    expect(
        not close(found, torch.tensor([16.0, 128.5**0.5, 1.0, 0.0])),
        "that is even in the power of rho; the formula has the root, the power of 1 / rho",
    )
    expect(
        close(found, torch.tensor([16.0, 6.25, 1.0, 0.0])),
        f"with 3 levels from 16 to 1 and rho = 2 the roots are 4, 2.5 and 1, so the levels 16, 6.25, "
        f"1 and 0; yours are {[round(float(v), 2) for v in torch.as_tensor(found).flatten()]}",
    )
    expect(
        close(answer(2, 0.1, 5.0, 7), torch.tensor([5.0, 0.1, 0.0])),
        "right for rho = 2; with two levels only `high` and `low` are visited, then 0",
    )
    expect(
        torch.as_tensor(found).dtype == torch.float64,
        "the numbers are right; make them float64, since steps of a walk are small differences",
    )
