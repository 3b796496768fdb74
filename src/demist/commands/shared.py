"""What several commands need: opening a model, and never overwriting a file unasked."""

import hashlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from demist.errors import CannotCreateError

if TYPE_CHECKING:
    from demist.pipeline import Pipeline


def command_line(name: str, args: list[str]) -> str:
    """What was typed, ready to be typed again."""
    return shlex.join(["demist", name, *args])


def open_model(spec: str, runs: Path, step: int | None = None, device: str = "auto") -> "Pipeline":
    """The model of a run (path, number, name or `latest`) or in a saved model's folder.

    Raises:
        MissingError: There is no such run, or it has no checkpoint yet.
        DataError: The model is damaged.
    """
    import torch

    from demist.pipeline import Pipeline
    from demist.runs import find

    if (Path(spec) / "model_index.json").is_file():
        pipeline = Pipeline.load(spec)
    else:
        pipeline = Pipeline.from_run(find(spec, runs), step)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return pipeline.to(device)


def weights_hash(pipeline: "Pipeline") -> str:
    """SHA-256 of the names and values of the network's tensors, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pipeline.denoiser.net.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()


def require_free(path: Path, force: bool) -> None:
    """Check, before any work, that `path` can be written without losing anything.

    Raises:
        CannotCreateError: It exists and `force` is false, or its folder does not exist.
    """
    if path.exists() and not force:
        raise CannotCreateError(f"{path} exists already; choose another name, or add --force")
    if not path.absolute().parent.is_dir():
        raise CannotCreateError(f"there is no folder {path.parent} to write {path.name} in")


def free_name(path: Path) -> Path:
    """`path`, or `stem-2`, `stem-3`, ... if it exists."""
    names = (path.with_stem(f"{path.stem}-{i}") for i in range(2, 10**9))
    return path if not path.exists() else next(name for name in names if not name.exists())
