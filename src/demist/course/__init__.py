"""What the chapters of the course are made with: their cells, their exercises, their pictures.

A chapter is one file of `course/` at the root of the repository (`demist/course/pages/` where the
package is installed): Python in cells that begin with `# %%`. It holds the solutions of its
exercises; `exercise_of` leaves them out, and the checks of `course/checks/` say of an answer what
is wrong with it.
"""

from demist.course.chapters import (
    BEGIN,
    END,
    MISSING,
    Cell,
    Chapter,
    blanked,
    cells,
    chapters,
    exercise_of,
    exercises,
    find_chapter,
    folder,
)
from demist.course.checking import Answer, Hint, check, close, definitions, expect, load
from demist.course.figures import COLOURS, Shown, figure, film, images, said, say, show
from demist.course.live import ELEMENTS, Live, live
from demist.course.records import Record, record

__all__ = [
    "BEGIN",
    "COLOURS",
    "ELEMENTS",
    "END",
    "MISSING",
    "Answer",
    "Cell",
    "Chapter",
    "Hint",
    "Live",
    "Record",
    "Shown",
    "blanked",
    "cells",
    "chapters",
    "check",
    "close",
    "definitions",
    "exercise_of",
    "exercises",
    "expect",
    "figure",
    "film",
    "find_chapter",
    "folder",
    "images",
    "live",
    "load",
    "record",
    "said",
    "say",
    "show",
]
