"""The rows of edits that are kept, and the page of tables that is written from them."""

from collections.abc import Mapping, Sequence
from typing import Any

from demist import runs
from demist.errors import DemistError
from demist.io.files import read_json
from demist.model import Pipeline
from demist.model.folder import weights_hash
from field.edit_tasks import TASKS

PARTS = {
    ("test", True): "",
    ("train", True): "; training split, where settings are chosen",
    ("test", False): "; earlier models and judges",
    ("train", False): "; earlier models and judges, training split",
}
"""Split, and whether no later row is of the same edit -> what titles say."""
Row = Mapping[str, Any]


def model_line(name: str, pipeline: Pipeline) -> str:
    """A model in words: its name, how long it was trained, and which weights came of it."""
    words = [name, f"{pipeline.facts.get('step', 0):,} steps"]
    try:
        summary = read_json(runs.find(name).path / "summary.json")
        words.append(f"{summary['images']:,} images seen")
    except (DemistError, KeyError):
        pass  # a saved model without its run
    return ", ".join([*words, f"weights {weights_hash(pipeline)[:8]}"])


def same(a: Row, b: Row) -> bool:
    """Whether two rows are of the same edit, images, model and judge."""
    return all(a[key] == b[key] for key in ("split", "task", "row", "n", "model", "judge"))


def page(kept: Mapping[str, Any], words: str) -> str:
    """All tables.

    Args:
        kept: What is in the JSON.
        words: What is said before them.
    """
    rows = kept["rows"]
    by = list(dict.fromkeys(map(_made_by, rows)))
    latest = {(r["split"], r["task"], r["row"]): id(r) for r in rows}
    lines = ["# Edits of DigitScenes of 64 pixels", "", words, ""]
    lines += [f"{k}. {text}" for k, text in enumerate(by, 1)] + [""]
    for (split, newest), of in PARTS.items():
        for name, task in TASKS.items():
            shown = [
                r
                for r in rows
                if (r["split"], r["task"]) == (split, name)
                and newest == (latest[split, name, r["row"]] == id(r))
            ]
            if shown:
                order = {row: k for k, row in enumerate(task.usual)}
                shown.sort(key=lambda r: (order.get(r["row"], len(order)), r["row"]))
                lines += [f"## {name}: {task.title}{of}", "", *_table(shown, by), ""]
    return "\n".join(lines)


def _made_by(row: Row) -> str:
    return f"{row['model'] or 'No model'}; {row['machine']}; judge {row['judge']}"


def _table(rows: Sequence[Row], by: Sequence[str]) -> list[str]:
    figures = list(dict.fromkeys(figure for r in rows for figure in r["found"]))
    lines = ["| row | by | images | " + " | ".join(figures) + " | s per image |"]
    lines.append("|---|---:|" + "---:|" * (len(figures) + 2))
    for r in rows:
        cells = [cell(figure, r["found"].get(figure)) for figure in figures]
        line = [r["row"], str(by.index(_made_by(r)) + 1), str(r["n"]), *cells]
        lines.append("| " + " | ".join([*line, f"{r['seconds']:.2f}"]) + " |")
    return lines


def cell(name: str, value: Any) -> str:
    """A figure as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value} bytes"
    middle, low, high = value
    if name.startswith("PSNR"):
        return f"{middle:.1f} ± {high - middle:.1f}"
    if "IoU" in name:
        return f"{middle:.3f} ± {high - middle:.3f}"
    if name in ("seam", "elsewhere", "largest step"):
        return f"{middle:.2f} ± {high - middle:.2f}"
    return f"{100 * middle:.1f} ({100 * low:.0f} to {100 * high:.0f})"
