"""Parts by name: solvers, schedules, guidance rules and the like, found in the files they are in.

A `Family` is every concrete class below a base class in the modules of one package. To add a part,
write one file there: nothing is registered. `notation` says how a part is written.
"""

from demist.parts.declared import declared
from demist.parts.family import Family, Option, Part, Row
from demist.parts.notation import (
    Reader,
    bare,
    close,
    first,
    listed,
    one_of,
    parse,
    read_number,
    split,
    unknown,
)
from demist.parts.saved import from_json, kind_of, to_json

__all__ = [
    "Family",
    "Option",
    "Part",
    "Reader",
    "Row",
    "bare",
    "close",
    "declared",
    "first",
    "from_json",
    "kind_of",
    "listed",
    "one_of",
    "parse",
    "read_number",
    "split",
    "to_json",
    "typed",
    "unknown",
]
