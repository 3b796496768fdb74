"""Results of edits, which say how they were made.

A folder of results also holds `edit.json`, how they were made, so that nothing else goes into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from demist.drawing import save_image
from demist.editing.sheet import Bytes
from demist.errors import CannotCreateError
from demist.io.files import read_json, write_json
from demist.io.folders import sweep
from demist.measuring import pages
from demist.measuring.parameters import parameters_of
from demist.model.images import shown
from demist.model.pipeline import Pipeline

FACTS = "edit.json"


@dataclass(frozen=True)
class Writer:
    """Writes images that say how they were made.

    Attributes:
        about: Version and model, as `pages.facts_of` gives them.
        command: What was typed.
        metadata: Whether anything is said.
    """

    about: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    metadata: bool = True

    @classmethod
    def of(cls, pipeline: Pipeline, command: str | None, metadata: bool) -> "Writer":
        """One for images of this model."""
        return cls({**pages.facts_of(pipeline, {})}, command, metadata)

    def save(
        self, pipeline: Pipeline, image: Bytes, path: Path, options: Mapping[str, Any]
    ) -> None:
        """Write one image, with its recipe."""
        picture = shown(np.asarray(image)[None])[0].to_pil()
        if not self.metadata:
            save_image(picture, path)
            return
        line = parameters_of(pipeline, options)
        facts = {"command": self.command, **self.about, "sampling": dict(options)}
        save_image(picture, path, facts, {} if line is None else {"parameters": line})


def claim(out: Path, facts: Mapping[str, Any], resume: bool) -> None:
    """Make the folder of results, or make sure that it holds what is being made.

    Args:
        out: The folder.
        facts: How results are made.
        resume: Whether it may hold some of them.

    Raises:
        CannotCreateError: It cannot be made, or holds something else.
    """
    if out.is_dir() and any(out.iterdir()):
        if not (out / FACTS).is_file():
            raise CannotCreateError(f"{out} holds other files; choose another folder: --out")
        if not resume:
            raise CannotCreateError(
                f"{out} holds edited images already; add --resume to go on, or choose another "
                f"folder: --out"
            )
        there = read_json(out / FACTS)
        old, new = ({**one.get("sampling", {}), "model": one.get("model"),
                     "demist": one.get("demist")} for one in (there, facts))  # fmt: skip
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if differing:
            raise CannotCreateError(
                f"{out} holds images made otherwise ({', '.join(differing)} differ; see "
                f"{FACTS}); choose another folder: --out"
            )
        sweep(out)
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(f"cannot make {out}: {error.strerror}") from None
    write_json(out / FACTS, facts)
