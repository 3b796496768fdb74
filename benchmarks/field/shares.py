"""Shares and means with their 95 % intervals."""

import math

import numpy as np

Z = 1.96


def wilson(share: float, n: int) -> tuple[float, float]:
    """The interval of a share of `n` independent trials (Wilson 1927)."""
    middle = share + Z**2 / (2 * n)
    half = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (middle - half) / (1 + Z**2 / n), (middle + half) / (1 + Z**2 / n)


def half_of_mean(values: np.ndarray) -> float:
    """Half the interval of a mean of independent values."""
    return Z * float(values.std(ddof=1)) / math.sqrt(len(values))


def of_mean(values: np.ndarray) -> tuple[float, float]:
    """The interval of a mean of independent values."""
    half = half_of_mean(values)
    return float(values.mean()) - half, float(values.mean()) + half
