"""How to sample, from what a form says: the same for all kinds of jobs that sample."""

from collections.abc import Mapping
from typing import Any

from demist.errors import UsageError
from demist.model.sampling import Sampling, parse

STEPS = 10_000
"""At most: of each the time is kept, and more only round."""


def sampling_of(given: Mapping[str, Any]) -> Sampling:
    """Fields of `Sampling` by name, as they were typed; what is empty or None is not said.

    Raises:
        UsageError: One makes no sense.
    """
    typed = {k: parse(k, v) if isinstance(v, str) else v for k, v in given.items() if v != ""}
    how = Sampling(**typed)
    if how.steps is not None and how.steps > STEPS:
        raise UsageError(f"steps = {how.steps}: {STEPS} are the most")
    return how
