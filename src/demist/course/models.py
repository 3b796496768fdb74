"""Models that several chapters need: trained once, then read from the cache."""

import hashlib
import inspect
from collections.abc import Callable

from demist.io.files import cache_folder
from demist.model import Pipeline
from demist.version import __version__


def kept(name: str, build: Callable[[], Pipeline]) -> Pipeline:
    """What `build` gives, at once where it gave it before.

    It lies in demist's cache (`DEMIST_CACHE`) under a name that changes with the source of `build`
    and with the version of demist, so that a changed recipe is trained anew.

    Args:
        name: For people: what is trained.
        build: Trains and gives a model; takes no arguments, and all that matters stands in it.
    """
    source = inspect.getsource(build) + __version__
    mark = hashlib.sha256(source.encode()).hexdigest()[:12]
    place = cache_folder() / "course" / f"{name}-{mark}"
    if place.is_dir():
        return Pipeline.load(place)
    made = build()
    place.parent.mkdir(parents=True, exist_ok=True)
    made.save(place)
    return made
