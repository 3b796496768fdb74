"""Stages of a run in its folder.

A run in stages is the run of its last one. The earlier ones are runs of their own inside of it:

```
runs/0007-photos/      the last stage, and the status of the whole
  stages.json          names of the earlier stages in order, and the command that makes them all
  stages/codec/        a run like every other
```

All of it is there before the first stage begins, so that a run can be gone on with from its folder
alone, whatever interrupted it.
"""

import re
from pathlib import Path
from typing import Any

from demist.config.stages import REFERENCE, Stage, Stages
from demist.errors import DataError, MissingError, UsageError
from demist.io.files import read_json, write_json
from demist.io.untrusted import inside
from demist.runs.run import Run, resume_command, write_options

INDEX, FOLDER, FORMAT = "stages.json", "stages", 1
"""File of the names, folder of the earlier stages, and version of the file."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def names(run: Run) -> tuple[str, ...]:
    """Names of the earlier stages of a run, in order; none of most runs.

    Raises:
        DataError: They cannot be read.
    """
    return _read(run)[0]


def command(run: Run) -> str:
    """The command that makes such a run, if it has stages; else empty."""
    return _read(run)[1]


def stage(run: Run, name: str) -> Run:
    """The run of an earlier stage."""
    return Run(run.path / FOLDER / name)


def read(run: Run) -> Stages:
    """The options of all stages of a run, which may be the only one.

    Raises:
        DemistError: They cannot be read.
    """
    found, typed = _read(run)
    earlier = tuple(Stage(name, stage(run, name).config()) for name in found)
    return Stages(earlier, run.config(), command=typed)


def write(run: Run, stages: Stages) -> None:
    """Write the names and options of the earlier stages into a run's new folder, if it has any."""
    if not stages.earlier:
        return
    for one in stages.earlier:
        made = stage(run, one.name)
        made.checkpoints.mkdir(parents=True)
        made.image(0).parent.mkdir()
        write_options(made, one.config)
    listed = [one.name for one in stages.earlier]
    content = {"format": FORMAT, "earlier": listed, "command": stages.command}
    write_json(run.path / INDEX, content)


def resolve(value: str, run: Run | None) -> str:
    """What an option names: the model folder of an earlier stage for `stage:NAME`, else `value`.

    Args:
        value: Of an option such as `codec`.
        run: The run whose stage it is, or another stage of that run; None outside of any.

    Raises:
        UsageError: There is no such stage.
        MissingError: It has made nothing yet.
    """
    if not value.startswith(REFERENCE):
        return value
    name = value.removeprefix(REFERENCE)
    run = run and whole(run)
    if run is None or name not in names(run):
        raise UsageError(f"{value!r} names a stage of the same run, and there is none of that name")
    made = stage(run, name).model
    if not made.is_dir():
        raise MissingError(f"{value!r}: the stage {name} of {run.path} has made no model yet")
    return str(made)


def write_status(run: Run, state: str, **facts: Any) -> None:
    """Replace the status of a run; of an earlier stage that of the whole run, too."""
    run.write_status(state, **facts)
    if (outer := whole(run)) != run:
        now = "running" if state == "done" else state
        outer.write_status(now, stage=run.path.name, **facts)


def unready(run: Run) -> str:
    """Why a run has no model yet, if that is because an earlier stage comes first; else empty."""
    status = run.status()
    name, state = status.get("stage"), status.get("state")
    if name not in names(run):
        return ""
    share = status.get("progress")
    at = f"{share:.0%} done" if isinstance(share, float | int) else "just beginning"
    on = "" if state == "running" else f"; go on with it: {resume_command(run)}"
    return f"{run.path} has no model yet: its stage {name} comes first, which is {state}, {at}{on}"


def whole(run: Run) -> Run:
    """The run that `run` is a stage of, or itself."""
    outer = Run(run.path.parent.parent)
    is_stage = run.path.parent.name == FOLDER and (outer.path / INDEX).is_file()
    return outer if is_stage else run


def _read(run: Run) -> tuple[tuple[str, ...], str]:
    if not (run.path / INDEX).exists():
        return (), ""
    content: Any = read_json(inside(run.path, INDEX))
    listed, typed = content.get("earlier"), content.get("command", "")
    proper = isinstance(listed, list) and all(
        isinstance(name, str) and _NAME.fullmatch(name) for name in listed
    )
    if content.get("format") != FORMAT or not proper or not isinstance(typed, str):
        raise DataError(f"{Path(run.path, INDEX)} is damaged or of another version of demist")
    return tuple(listed), typed
