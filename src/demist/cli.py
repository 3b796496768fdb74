"""The command line: finds the sub-command, runs it, turns errors into sentences and exit codes.

Each sub-command is a module of `demist.commands` with an `Options` dataclass, which its flags are
made from, and a `main(args)`: one file, and nothing to register. Nothing here imports torch, so
that help is instant.

Exit codes: 0 done or cleanly stopped, 64 usage, 65 bad data or checkpoint, 66 input missing, 69
lock held, 70 internal, 73 cannot create, 74 I/O or disk full, 75 try again, 77 refused for safety,
130 interrupted.
"""

import difflib
import importlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from demist.errors import REMEDIES, DemistError, StorageError, UsageError, remedy
from demist.machine.processes import leave_code
from demist.machine.streams import tolerated
from demist.version import __version__

ORDER = (
    "demo", "train", "launch", "sample", "trace", "edit", "restore", "bulk", "evaluate",
    "classifier", "fit-solver", "make-pairs", "make-loops", "pack", "export", "show", "studio",
    "learn", "convert", "push", "ls", "list", "config", "doctor", "completion",
)  # fmt: skip
"""The order of help, which is that in which people meet the commands; others follow by name."""


def found() -> dict[str, str]:
    """Every command and the first line of its help, read from the source: nothing is imported."""
    first_line = re.compile(r'^class Options\b.*:\n    """(.+?)(?:""")?$', re.MULTILINE)
    summaries = {}
    for path in sorted((Path(__file__).parent / "commands").glob("*.py")):
        if match := first_line.search(path.read_text(encoding="utf-8")):
            summaries[path.stem.replace("_", "-")] = match[1]
    order = [*filter(summaries.get, ORDER), *(name for name in summaries if name not in ORDER)]
    return {name: summaries[name] for name in order}


WORK = ("demo", "train", "launch")
"""Commands whose result is a run: their words may get lost, and nothing ends by that."""
COMMANDS = found()
"""What help lists: the files of `demist.commands` that have a class `Options`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `demist` with `argv` (default: the process's own) and return its exit code."""
    shown, warnings.formatwarning = warnings.formatwarning, plainly
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with tolerated(whole=bool(words) and words[0] in WORK):
            code = _main(words)
    finally:
        warnings.formatwarning = shown
    leave_code(code)
    return code


def _main(argv: list[str]) -> int:
    try:
        run(argv)
        sys.stdout.flush()
    except SystemExit as stop:
        # tyro has explained itself; it ends with 0 after help and 2 after a usage error.
        return UsageError.exit_code if stop.code == 2 else int(stop.code or 0)
    except KeyboardInterrupt:
        print("demist: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return explain(error)
    return 0


def run(argv: list[str]) -> None:
    """Print help or the version, or hand over to the sub-command."""
    name, *args = argv or ["--help"]
    if not COMMANDS:
        raise UsageError(
            "demist reads its own files and cannot run from inside a zip file: unpack it, or "
            "install it with pip"
        )
    if name in ("-h", "--help", "help"):
        print(help_text())
    elif name in ("-V", "--version"):
        print(f"demist {__version__}")
    elif name in COMMANDS:
        importlib.import_module(f"demist.commands.{name.replace('-', '_')}").main(args)
    else:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"there is no command {name!r}; {hint}")


def plainly(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """A warning as people read it: without the place in the code that gave it."""
    return f"demist: {message}\n"


def help_text() -> str:
    """What `demist --help` prints."""
    lines = ["usage: demist COMMAND [OPTIONS]", "", "Train and sample diffusion models.", ""]
    lines += [f"  {name:<12}{summary}" for name, summary in COMMANDS.items()]
    lines += ["", "`demist COMMAND --help` explains one; `demist --version` tells the version."]
    return "\n".join(lines)


def explain(error: Exception) -> int:
    """Print one sentence about `error` and return its exit code; DEMIST_TRACEBACK=1 shows all."""
    if os.environ.get("DEMIST_TRACEBACK"):
        traceback.print_exception(error)
    if isinstance(error, DemistError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError) and (error.filename or error.errno in REMEDIES):
        what = "a file" if error.filename is None else os.fsdecode(error.filename)
        message = f"cannot read or write {what}: {error.strerror}; {remedy(error)} and try again"
        code = StorageError.exit_code
    else:
        kind = type(error).__name__
        message = f"internal error, {kind}: {error}; DEMIST_TRACEBACK=1 shows where it happened"
        code = DemistError.exit_code
    print(f"demist: {message}", file=sys.stderr)
    return code
