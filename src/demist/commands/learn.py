"""`demist learn`: the course, its exercises and what is wrong with an answer."""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from demist.commands.shared import read
from demist.errors import CannotCreateError, DataError, UsageError
from demist.io.files import write_text

SITE = Path(__file__).parents[3] / "build" / "site"
"""Where `make docs` puts the pages."""


@dataclass(frozen=True)
class Options:
    """Learn diffusion by running it: chapters, exercises, and checks of your answers."""

    chapter: Annotated[Positional[str | None], arg(metavar="CHAPTER")] = None
    """Its number or, of an elective, its name; without it, all chapters are listed."""
    exercise: bool = False
    """Write the chapter with "your code here" in place of the solutions."""
    out: Path | None = None
    """File for --exercise; by default the chapter's name with `exercise_` before it, here."""
    check: Path | None = None
    """A file with your answers: says of each whether it is right, or gives a hint."""
    browser: bool = True
    """Open the page in the browser, where `make docs` has built it."""


def main(args: list[str]) -> None:
    """List, open, write or check.

    Raises:
        UsageError: No such chapter, or --exercise and --check without one.
        CannotCreateError: The file for --exercise is there already.
        DataError: An answer is not right yet.
    """
    options = read(Options, "learn", args)
    from demist import course

    if options.exercise and options.check:
        raise UsageError("--exercise writes a file and --check reads one: do one after the other")
    if options.out and not options.exercise:
        raise UsageError("--out is the file of --exercise; there is nothing else to write")
    if options.chapter is None:
        if options.exercise or options.check:
            raise UsageError("of which chapter? `demist learn` lists them")
        every = course.chapters()
        wide = max(len(one.number) for one in every)
        for one in every:
            print(f"{one.number:>{wide}}  {one.title}")
        print(_page("course/index.html", options.browser))
        return
    chapter = course.find_chapter(options.chapter)
    if options.exercise:
        out = options.out or Path(f"exercise_{chapter.path.name}")
        if out.exists():
            raise CannotCreateError(f"{out} is there already; --out names another file")
        write_text(out, course.exercise_of(chapter))
        names = ", ".join(course.exercises(chapter)) or "nothing: this chapter has no exercise"
        print(f"{out}: to be written are {names}")
        print(f"then: demist learn {chapter.number} --check {out}")
    elif options.check:
        print(
            "Of the file only imports, functions, classes and plain values are run.",
            file=sys.stderr,
        )
        answers = course.check(chapter, options.check)
        for answer in answers:
            mark = "right" if answer.right else "not yet" if answer.begun else "open"
            print(f"{mark:8} {answer.name}" + ("" if answer.right else f": {answer.hint}"))
        if wrong := [answer.name for answer in answers if not answer.right]:
            raise DataError(f"{len(wrong)} of {len(answers)} to go: {', '.join(wrong)}")
        print("All right. Compare with the solution in the chapter: there may be a shorter way.")
    else:
        print(f"{chapter.title}: {chapter.path}")
        print(_page(f"course/{chapter.path.stem}.html", options.browser))


def _page(name: str, browser: bool) -> str:
    """Open a page of the site, and say where it is or how to get it."""
    page = SITE / name
    if not page.is_file():
        return (
            "The pages are not built here: `make docs` in the repository does it; "
            "every chapter also runs as it is: python FILE, or as a notebook with jupytext."
        )
    if browser:
        webbrowser.open(page.as_uri())
    return str(page)
