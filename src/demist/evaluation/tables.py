"""Reports as Markdown: one run, and one run against another with intervals."""

import math
from typing import Any

import numpy as np

from demist.errors import DataError
from demist.evaluation.metrics.metric import rows_of

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip
"""Student's t with 1, 2, ... degrees of freedom at 97.5 %."""


def markdown(report: dict[str, Any]) -> str:
    """The report as a Markdown table, with its protocol and warnings below.

    Of a model in latents it has a further column: real images through its codec.
    """
    p = report["protocol"]
    through = report.get("codec", {}).get("metrics")
    third, rule = ("", "") if through is None else (" through the codec |", "---:|")
    lines = [f"| metric | generated | real |{third} better | what it sees |",
             f"|---|---:|---:|{rule}---|---|"]  # fmt: skip
    rows = rows_of()
    for name, entry in report["metrics"].items():
        row = rows[name]
        cells = [_number(entry, "value", row.digits), _number(entry, "floor", row.digits)]
        if through is not None:
            cells.append(_number({"value": through.get(name)}, "value", row.digits))
        lines.append(f"| {row.title} | {' | '.join(cells)} | {row.better} | {row.sees} |")
    seeds = p.get("seeds")
    sets, spread = "", ""
    if seeds:
        numbers, one = ", ".join(map(str, seeds)), len(seeds) == 1
        sets = f"1 set (seed {numbers}) of " if one else f"{len(seeds)} sets (seeds {numbers}) of "
        spread = "one seed shows no spread" if one else "± is the standard deviation over the seeds"
        spread = f"; {spread}"
    to, instead = (
        ("training", "held-out") if p["reference"] == "train" else ("held-out", "training")
    )
    lines += [
        "",
        f"{sets}{p['generated']} generated samples; {p['compared']} of each set are compared with "
        f"the {p[p['reference']]} of the {to} data. The column “real” has {p['compared']} of the "
        f"{instead} data in their place{spread}.",
    ]
    judge = p.get("judge")
    shared = "Features, labels and Inception Score" if judge == p["features"] else "Features"
    lines.append(f"{shared}: {p['features']}; {p['dimension']} numbers.")
    if "k" in p:
        lines.append(f"Neighbours: k = {p['k']}.")
    if judge not in (None, p["features"]):
        lines.append(f"Labels and Inception Score: {judge}.")
    if "captions" in p:
        lines.append(
            f"Images and captions compared by {p['captions']}; “real” are held-out images with "
            "their own captions, the same that were asked for."
        )
    lines.append("")
    return "\n".join(lines + [f"- {warning}" for warning in report["warnings"]]).rstrip() + "\n"


def against(
    one: dict[str, Any], other: dict[str, Any], names: tuple[str, str] = ("this", "other")
) -> str:
    """Two runs side by side; the difference with its 95 % interval (Welch's t over the seeds).

    Raises:
        DataError: they were not measured in the same way.
    """
    for key, value in one["protocol"].items():
        if other["protocol"].get(key) != value:
            raise DataError(
                f"The two runs were measured with {key} = {value} and "
                f"{other['protocol'].get(key)}, so their numbers do not compare; evaluate both "
                "alike."
            )
    lines = [
        f"| metric | {names[0]} | {names[1]} | difference | 95 % interval | better | |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    rows = rows_of()
    for name, a in one["metrics"].items():
        row, b = rows[name], other["metrics"][name]
        cells = [_number(a, "value", row.digits), _number(b, "value", row.digits), "–", "–"]
        verdict = ""
        if a["value"] is not None and b["value"] is not None:
            low, high = interval(a["values"], b["values"])
            cells[2] = f"{a['value'] - b['value']:+.{row.digits}f}"
            cells[3] = f"{low:+.{row.digits}f} … {high:+.{row.digits}f}"
            verdict = _winner(a, b, row.better, names) if low > 0 or high < 0 else "no difference"
        lines.append(f"| {row.title} | {' | '.join(cells)} | {row.better} | {verdict} |")
    lines += [
        "",
        f"Difference: {names[0]} minus {names[1]}; Welch's interval over "
        f"{len(one['protocol']['seeds'])} seeds of sampling each. It does not know how much "
        "training again with another seed would change. Of "
        f"{len(one['metrics'])} rows, one may differ by chance.",
    ]
    return "\n".join(lines) + "\n"


def interval(a: list[float], b: list[float]) -> tuple[float, float]:
    """95 % interval of the difference of two means (Welch 1947), degrees of freedom rounded down.

    Raises:
        DataError: fewer than two values on a side.
    """
    if min(len(a), len(b)) < 2:
        raise DataError("An interval needs at least 2 values on each side; use more seeds.")
    va, vb = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    step = float(np.mean(a) - np.mean(b))
    if va + vb == 0:
        return step, step
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = T_975[min(int(freedom), len(T_975)) - 1] * math.sqrt(va + vb)
    return step - half, step + half


def _winner(a: dict[str, float], b: dict[str, float], better: str, names: tuple[str, str]) -> str:
    """Whose value is better, where a target or a direction is known."""
    x, y = a["value"], b["value"]
    if better in ("low", "high"):
        return names[(x < y) != (better == "low")]
    target = a["floor"] if better == "as real" else float(better)
    return names[abs(x - target) > abs(y - target)]


def _number(entry: dict[str, float | None], key: str, digits: int) -> str:
    value, spread = entry[key], entry.get("spread") if key == "value" else None
    text = "–" if value is None else f"{value:.{digits}f}"
    return text if spread is None else f"{text} ± {spread:.{digits}f}"
