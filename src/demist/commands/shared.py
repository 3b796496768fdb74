"""What several commands need: flags read with one sentence on what is wrong, and free names."""

import contextlib
import io
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import tyro
from tyro.conf import OmitArgPrefixes

from demist.errors import CannotCreateError, UsageError

Options = TypeVar("Options")
KINDS = {"INT": "a whole number", "FLOAT": "a number"}
"""What tyro calls a value -> what it is."""


def read(
    options: type[Options], command: str, args: Sequence[str], default: Any = tyro.MISSING
) -> Options:
    """The options of a command, from its flags.

    Args:
        options: The dataclass.
        command: Its name, for help and messages.
        args: What was typed.
        default: Values where nothing is typed; else those of the dataclass.

    Raises:
        UsageError: A flag or a value makes no sense.
    """
    output, given = io.StringIO(), {} if default is tyro.MISSING else {"default": default}
    try:
        with contextlib.redirect_stderr(output):
            made: Options = tyro.cli(
                options, prog=f"demist {command}", args=list(args), config=(OmitArgPrefixes,),
                **given,
            )  # fmt: skip
            return made
    except SystemExit as stop:
        if stop.code != 2:
            raise
        raise UsageError(_sentence(output.getvalue(), command, list(args))) from None


def _sentence(box: str, command: str, args: list[str]) -> str:
    """One sentence from the box that tyro draws around what it has to say."""
    rows = (row.strip(" │|") for row in box.splitlines() if not re.match(r" *(╭|╰|\+-)", row))
    text = " ".join(" ".join(row for row in rows if not re.fullmatch("[─-]*", row)).split())
    more = f"`demist {command} --help` explains all"
    if found := re.search(
        r"Unrecognized options: (.*?)(?: Perhaps you meant: (--[\w-]+).*)? For", text
    ):
        word = found[1].split(",")[0]
        if not word.startswith("-"):
            return f"{word!r} belongs to no option; several values are written a,b. {more}"
        return f"there is no option {word}" + (
            f"; did you mean {found[2]}?" if found[2] else f"; {more}"
        )
    if found := re.search(r"Missing from .*?: (.*) For full", text):
        names = re.findall(r"(?<![\w-])(?:[A-Z][A-Z|]+|--[\w-]+)(?![\w.])", found[1])
        return f"demist {command} needs {' '.join(names)}; {more}"
    flag = re.search(r"--[\w-]+", text)
    if flag is None:
        return f"{text.partition(' For full helptext')[0]}; {more}"
    after = [value for name, value in pairwise(args) if name == flag[0]]
    typed = f"{flag[0]} {after[0]}" if after and not after[0].startswith("--") else flag[0]
    if choices := re.search(r"Expected one of \((.*?)\)", text):
        return f"{typed}: choose one of {choices[1].replace(chr(39), '')}"
    named = re.search(rf"helptext: {flag[0]} (\S+)", text)
    kinds = [what for name, what in KINDS.items() if named and name in named[1]]
    if kinds:
        several = "s, with spaces between them" if named and named[1].startswith("[") else ""
        return f"{typed}: give {kinds[0].removeprefix('a ') if several else kinds[0]}{several}"
    return f"{typed}: give a value; {more}"


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
