"""The loss of a run, as one number: the same in the bar, in `demist ls` and in the summary."""

from collections.abc import Iterable, Mapping
from typing import Any

RECENT = 200
"""Steps over which it is the mean."""


def recent_loss(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Mean loss of the last `RECENT` steps; None: there is none.

    Args:
        rows: Lines of metrics.jsonl, in order. The loss of each is the mean since the one before.
    """
    parts, before = [], 0
    for row in rows:
        step = row.get("step", before)
        if row.get("loss") is not None and step > before:
            parts.append((step, step - before, row["loss"]))
        before = step
    recent = [(steps, loss) for step, steps, loss in parts if step > before - RECENT]
    count = sum(steps for steps, _ in recent)
    return sum(steps * loss for steps, loss in recent) / count if count else None
