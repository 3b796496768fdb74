"""Schedules, parameterizations and clocks by name, for the command line and saved files."""

from demist.core.clocks import Clock
from demist.core.modifiers import Shifted, ZeroTerminal
from demist.core.parameterization import Parameterization
from demist.core.schedule import Schedule
from demist.core.table import Table, rescale_to_zero_terminal
from demist.errors import UsageError
from demist.parts import Family, parse, read_number

SCHEDULES = Family("schedule", Schedule, "core")  # type: ignore[type-abstract]
PARAMETERIZATIONS = Family("parameterization", Parameterization, "core")  # type: ignore[type-abstract]
CLOCKS = Family("clock", Clock, "core")  # type: ignore[type-abstract]


def make_schedule(spec: str) -> Schedule:
    """A schedule from `name` or `name:option=value,...`.

    Every schedule also takes `zero_terminal=1` and `shift=2`, applied in this order: short forms of
    the schedules `zero-terminal` and `shifted`. A table's first knot stays where it is.

    Raises:
        UsageError: For an unknown name or option, or a value that does not fit.
    """
    name, given = parse(spec)
    own = {"shifted": {"shift"}}.get(name, set())
    short = {key: given.pop(key) for key in {"zero_terminal", "shift"} & given.keys() - own}
    made = SCHEDULES.make(name + ":" + ",".join(f"{key}={text}" for key, text in given.items()))
    try:
        if read_number(short.get("zero_terminal", "0")):
            if isinstance(made, Table):
                made = Table(rescale_to_zero_terminal(made.alpha_bar))
            else:
                made = ZeroTerminal(made)
        shift = read_number(short.get("shift", "1"))
        return made if shift == 1 else Shifted(made, shift)
    except ValueError as error:
        raise UsageError(f"schedule {spec!r}: {error}") from None
