"""What a tracker is: something outside that keeps the metrics and sample images of runs."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from demist.machine.packages import require_packages


@dataclass(frozen=True)
class Beginning:
    """What a tracker learns of a run that begins or goes on.

    Attributes:
        folder: Of the run; its name is the run's.
        options: All options of the run, by name.
        step: Steps done.
        identity: What `Session.identity` was before, if the run goes on; else empty.
    """

    folder: Path
    options: Mapping[str, Any]
    step: int = 0
    identity: str = ""


@dataclass(frozen=True)
class Session:
    """A run in a tracker. What these functions raise is said once and does not end training.

    Attributes:
        identity: By which the tracker finds the run again; kept in the run's folder.
        log: Called with values by name, and the step that they belong to.
        draw: Called with the file of an image, and its step.
        close: Called with how the run ended: done, stopped or failed.
    """

    identity: str
    log: Callable[[Mapping[str, float], int], object]
    draw: Callable[[Path, int], object]
    close: Callable[[str], object]


class Tracker(abc.ABC):
    """A program or service that keeps metrics; subclasses are frozen dataclasses.

    Attributes:
        name: It is asked for by this: `--log name:option=value`.
        package: What it imports, in `begin` and not before.
        extra: The extra of demist that installs the package; empty: the name.
    """

    name: ClassVar[str]
    package: ClassVar[str]
    extra: ClassVar[str] = ""

    @abc.abstractmethod
    def begin(self, run: Beginning) -> Session:
        """Begin a run in the tracker, or go on with the one that `run.identity` names."""

    def require(self) -> None:
        """Check that the package is there, without importing it.

        Raises:
            MissingError: It is not.
        """
        require_packages(f"--log {self.name}", [self.package], self.extra or self.name)
