"""What a kind of edit is: images in, and the plan that edits them.

To add one, write a file with a frozen dataclass whose fields are what is asked for, and give it a
flag in `demist.commands.edit`. Files, folders, masks, windows, seeds and `--resume` are not its
business.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from demist.editing.redrawing import Edit
from demist.editing.sheet import Bytes, Sheet
from demist.model.pipeline import Pipeline
from demist.model.sampling import Sampling

Told = Mapping[str, Any]
"""Conditions by name, and further arguments of `Pipeline.plan`."""


class Kind(abc.ABC):
    """One kind of edit."""

    resized: ClassVar[bool] = True
    """Whether images of another size are resized for the model, which the user is told."""

    without_windows: ClassVar[str] = ""
    """Why images larger than the model cannot be edited in windows; "": they can."""

    def size(self, pipeline: Pipeline, image: Bytes) -> tuple[int, int]:
        """Height and width of what is made of an image, if the model makes any size."""
        return image.shape[1], image.shape[2]

    says: ClassVar[str] = ""
    """What the user is told of it before the work begins; "": nothing needs a word."""

    @abc.abstractmethod
    def edit(
        self, pipeline: Pipeline, sheets: Sequence[Sheet], sampling: Sampling, cond: Told
    ) -> Edit:
        """The edit of some images.

        Args:
            pipeline: The model; where it sees windows, for images of their size.
            sheets: Images with their masks.
            sampling: How, with a seed for each of them.
            cond: What the user says besides.

        Raises:
            UsageError: The model cannot, or a field makes no sense.
        """
