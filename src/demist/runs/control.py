"""Wishes to a run that trains: files in its folder, which the trainer takes within a second or two.

```
runs/0007-digits/control/sample    draw samples now      control/save    write a checkpoint now
                         stop      finish the step, save, and end
```

Whoever can write into the folder can ask, over a network's file system too: nothing is signalled.
What a run in stages is asked, the stage hears that is trained.
"""

from contextlib import suppress

from demist.errors import UsageError
from demist.io import files
from demist.runs import stages
from demist.runs.run import Run

ASKED = ("sample", "save", "stop")
"""What can be asked for."""
_FOLDER = "control"


def ask(run: Run, what: str) -> None:
    """Leave a wish.

    Raises:
        UsageError: There is no such wish, or nobody who could hear it.
    """
    if what not in ASKED:
        raise UsageError(f"a run can be asked to {', '.join(ASKED)}, not {what!r}")
    if not run.is_locked():
        raise UsageError(f"{run.path.name} does not train just now, so there is nobody to ask")
    folder = run.path / _FOLDER
    folder.mkdir(exist_ok=True)
    files.write_text(folder / what, "")


def take(run: Run) -> set[str]:
    """The wishes there are, which are gone then; none where they cannot be removed.

    Those to the run that it is a stage of are wishes to it.
    """
    found = set()
    for place in dict.fromkeys((run.path, stages.whole(run).path)):
        for what in ASKED:
            with suppress(OSError):
                (place / _FOLDER / what).unlink()
                found.add(what)
    return found
