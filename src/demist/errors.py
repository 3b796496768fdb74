"""Errors a user can act on. Each carries the exit code of the command line.

A message names the value, the limit and the remedy, in one or two sentences.
"""

import errno


class DemistError(Exception):
    """Base of everything demist raises on purpose; shown without a traceback."""

    exit_code = 70


class NotFiniteError(DemistError):
    """Samples came out as NaN or infinity."""


class UsageError(DemistError):
    """A flag, key or argument that makes no sense."""

    exit_code = 64


class DataError(DemistError):
    """A data set, checkpoint or configuration whose content is wrong."""

    exit_code = 65


class MissingError(DemistError):
    """An input that does not exist."""

    exit_code = 66


class LockedError(DemistError):
    """A run folder that another process is writing."""

    exit_code = 69


class CannotCreateError(DemistError):
    """An output that cannot be created, or exists already."""

    exit_code = 73


class StorageError(DemistError):
    """Reading or writing failed: disk full, quota, read-only file system."""

    exit_code = 74


class TryAgainError(DemistError):
    """A passing fault; the same command may succeed later."""

    exit_code = 75


class RefusedError(DemistError):
    """Refused for safety, such as a file that is a pickle."""

    exit_code = 77


REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "remove files of yours, or ask for a larger quota",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.EROFS: "make the disk writable, or copy the folder to another",
    errno.EACCES: "make it yours, or writable for you",
    errno.EPERM: "make it yours, or writable for you",
    errno.EIO: "check the disk",
}
"""What helps when the system refuses to read or write."""


def remedy(error: OSError) -> str:
    """What to do about `error`; every remedy begins like the second half of a sentence."""
    return REMEDIES.get(error.errno or 0, "mend that")
