"""Parts by name: solvers, schedules, guidance rules and the like, found in the files they are in.

A `Family` is every concrete class below a base class in the modules of one package. To add a part,
write one file there: nothing is registered. A class of your own, elsewhere, is (`own`). `notation`
says how a part is written.
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
    with_option,
)
from demist.parts.own import FAMILIES, OWN, name_of, spec_of
from demist.parts.saved import from_json, kind_of, to_json

__all__ = [
    "FAMILIES",
    "OWN",
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
    "name_of",
    "one_of",
    "parse",
    "read_number",
    "spec_of",
    "split",
    "to_json",
    "typed",
    "unknown",
    "with_option",
]
