"""Chapters: where they are, their cells, and the form without the solutions."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from demist.errors import MissingError, UsageError

BEGIN, END = "# <solution>", "# </solution>"
"""Lines around what an exercise leaves out."""
MISSING = "your code here"
"""What stands there instead."""


@dataclass(frozen=True)
class Chapter:
    """One file of the course.

    Attributes:
        number: As people say it: "3"; electives have a word, "flow-matching".
        title: Its first heading, without the number.
        path: The file.
    """

    number: str
    title: str
    path: Path


@dataclass(frozen=True)
class Cell:
    """A piece of a chapter between two lines `# %%`.

    Attributes:
        head: The line that begins it.
        text: Its lines, without that one.
        line: Where it begins in the file, from 1 on.
    """

    head: str
    text: str
    line: int

    @property
    def markdown(self) -> bool:
        """Whether it is text and no program."""
        return "[markdown]" in self.head

    @property
    def exercise(self) -> bool:
        """Whether it holds a solution."""
        return BEGIN in self.text

    @property
    def prose(self) -> str:
        """The Markdown of a cell of text."""
        return "\n".join(line.removeprefix("#").removeprefix(" ") for line in self.text.split("\n"))


def folder() -> Path:
    """Where the chapters are.

    Raises:
        MissingError: They are not there.
    """
    installed = Path(__file__).parent / "pages"
    for place in (installed, Path(__file__).parents[3] / "course"):
        if place.is_dir():
            return place
    raise MissingError(f"the course is not there: {installed} is missing; install demist again")


def chapters(where: Path | None = None) -> list[Chapter]:
    """All chapters in the order in which they are read, then the electives by their name."""
    found = []
    for path in sorted((where or folder()).glob("*.py")):
        number, _, rest = path.stem.partition("_")
        heading = re.search(r"^# # (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        title = heading[1] if heading else rest.replace("_", " ")
        if number.isdigit():
            # the site counts them itself
            found.append(Chapter(str(int(number)), title.split(" · ", 1)[-1], path))
        elif number == "elective":
            found.append(Chapter(rest.replace("_", "-"), title, path))
    return sorted(found, key=lambda one: (not one.number.isdigit(), one.path.name))


def find_chapter(spec: str, where: Path | None = None) -> Chapter:
    """The chapter of that number or name.

    Raises:
        UsageError: There is none.
    """
    every = chapters(where)
    for one in every:
        if spec in (one.number, one.number.zfill(2), one.path.stem, one.path.name):
            return one
    there = ", ".join(one.number for one in every)
    raise UsageError(f"there is no chapter {spec!r}; there are {there}")


def cells(source: str) -> list[Cell]:
    """The cells of a chapter in order; what stands above the first line `# %%` is none."""
    found: list[Cell] = []
    head, begun, lines = "", 0, list[str]()
    for number, line in enumerate([*source.split("\n"), "# %%"], 1):
        if not re.match(r"# %%( |$)", line):
            lines.append(line)
            continue
        if begun:
            found.append(Cell(head, "\n".join(lines).strip("\n"), begun))
        head, begun, lines = line, number, []
    return found


def blanked(source: str) -> str:
    """A program without what stands between `BEGIN` and `END`.

    Raises:
        UsageError: A mark without its other one.
    """
    kept: list[str] = []
    inside = False
    for number, line in enumerate(source.split("\n"), 1):
        mark = line.strip()
        if mark in (BEGIN, END):
            if inside == (mark == BEGIN):
                raise UsageError(f"line {number}: {mark} without the mark that goes with it")
            inside = mark == BEGIN
            if inside:
                space = line[: len(line) - len(line.lstrip())]
                kept += [f"{space}# {MISSING}", f'{space}raise NotImplementedError("{MISSING}")']
        elif not inside:
            kept.append(line)
    if inside:
        raise UsageError(f"{BEGIN} is not followed by {END}")
    return "\n".join(kept)


def exercise_of(chapter: Chapter) -> str:
    """The chapter with `MISSING` in place of its solutions."""
    return blanked(chapter.path.read_text(encoding="utf-8"))


def exercises(chapter: Chapter) -> list[str]:
    """Names of the functions that a learner writes, in order."""
    return [
        node.name
        for cell in cells(chapter.path.read_text(encoding="utf-8"))
        if cell.exercise
        for node in ast.parse(cell.text).body
        if isinstance(node, ast.FunctionDef)
        and BEGIN in (ast.get_source_segment(cell.text, node) or "")
    ]
