"""Optional packages: whether they are there, before any work and without importing them."""

import importlib.util
import sys
from collections.abc import Sequence

from demist.errors import MissingError


def installed(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return package in sys.modules or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # nor is the package that it lies in
        return False


def require_packages(what: str, packages: Sequence[str], extra: str) -> None:
    """Check that packages are there.

    Args:
        what: What needs them.
        packages: Their names.
        extra: The extra of demist that installs them.

    Raises:
        MissingError: One is not.
    """
    for package in packages:
        if not installed(package):
            raise MissingError(f"{what} needs the package {package}: pip install 'demist[{extra}]'")
