"""Rewritings: how prompts are put into the words of the captions that a model has learned from.

A model of long captions that say everything (Betker et al. 2023, "Improving Image Generation with
Better Captions", section 4) makes poor images of short prompts; so these are rewritten alike. The
condition that reads prompts names the rewriting, and it is saved with it.
"""

from collections.abc import Callable, Mapping

from demist.errors import UsageError
from demist.parts import unknown
from demist.scenes import LONG, rewritten

REWRITINGS: Mapping[str, Callable[[str], str]] = {LONG: rewritten}
"""By name: puts a prompt into other words; UsageError says that it is not understood. A prompt that
is in these words already stays as it is."""


def require_rewriting(name: str) -> None:
    """Check the name of a rewriting; "" is none.

    Raises:
        UsageError: There is no such rewriting.
    """
    if name and name not in REWRITINGS:
        raise UsageError(unknown("rewriting of prompts", name, REWRITINGS))
