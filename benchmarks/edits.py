"""Does an edit do what was asked, and leave the rest alone? Edits of DigitScenes of 64 pixels.

    python benchmarks/edits.py MODEL [--split test] [--n 200] [--tasks inpaint outpaint ...]
        [--rows "inpaint jumps=4 solver=ddim:eta=1" ...] [--sheets FOLDER]

The judge of scenes reads what was made. `digits` is the share of all digits that have their colour,
`named` that of the one that was asked for, `on the right` that of those with ink there, `colours`
that of the colours that are there at all, and `all` the share of scenes in which all is as the
prompt says. PSNR and ink IoU are against the exact target (of drawn images: against the source);
ink are pixels that differ from the background as the judge sees it. `outside` are the bytes that
differ from the source where none should. `seam` is by how many levels of 255 the ground changes
where two scenes meet, `elsewhere` the same at other columns. Of a film, `largest step` is that
between two frames over their mean: 1 is even; `full colour` the share of the ink between the ends
that has a colour of scenes: a cut has only real images, and a fade shows both at once.

Floors leave the edit undone or draw the image anew, ceilings are the target itself, and as the
model's codec gives it back. Intervals are of 95 %: Wilson's for shares, of which an image counts as
one trial, and over images for means. Settings are chosen on scenes of the training split, whose
rows have tables of their own. `by` is the model, the judge and the machine of the list below. A row
that was made is kept in `results/edits.json`, and not made again; where the model was trained anew
the earlier row is kept, too, and stands in the tables at the end.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from field.edit_figures import Seen
from field.edit_page import model_line, page, same
from field.edit_tasks import MODELLESS, TASKS, Task
from field.report import machine

import demist
from demist.drawing import image_grid, save_png
from demist.errors import MissingError
from demist.evaluation.judge.scenes import Judge
from demist.io.files import write_json, write_text
from demist.measuring.judging import scene_judge
from demist.model import Pipeline, open_model

KEPT = Path(__file__).parent / "results" / "edits.json"


def who(task: Task, row: str, name: str, pipeline: Pipeline) -> str:
    """The model of a row, in words; "" if it needs none.

    Raises:
        MissingError: It is another one, which is not there.
    """
    maker, how = task.maker(row)
    if maker in MODELLESS:
        return ""
    if "model" in how:
        return model_line(how["model"], open_model(how["model"]))
    return model_line(name, pipeline)


def run(
    pipeline: Pipeline, reader: Judge, split: str, name: str, row: str, n: int, sheets: Path | None
) -> dict[str, Any]:
    """One row: its seconds, and what was found."""
    task = TASKS[name]
    make, how = task.maker(row)
    work, began = task.draw(pipeline, split, n), time.process_time()
    result = make(work, **how)
    made, wanted = result if isinstance(result, tuple) else (result, work.targets)
    seconds = (time.process_time() - began) / n
    several = made if made.ndim == 5 else made[:, None]
    if sheets is not None:
        before = wanted if isinstance(result, tuple) else work.sources
        columns = [before, *several.swapaxes(0, 1)[:: max(1, several.shape[1] // 8)], wanted]
        label = f"{name}-{row}".replace(" ", "_").replace("/", "_")
        sheet(columns, work.prompts[:: work.across], sheets / f"{split}-{label}.png")
    values: dict[str, Any] = {}
    for figure in task.figures:
        values |= figure(Seen(reader, work, several, wanted))
    return {"seconds": round(seconds, 3), "found": values}


def sheet(images: Sequence[np.ndarray], labels: Sequence[str], path: Path) -> None:
    """A picture of columns: an image before, what was made of it, and as it should be."""
    rows = np.stack([x[i] for i in range(min(24, len(images[0]))) for x in images])
    words = [label for label in labels[:24] for _ in images]
    across = max(1, 12 // len(images)) * len(images)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(image_grid(rows, labels=words, columns=across, scale=2), path, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="of prompts: the name of a run, or a saved model")
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--n", type=int, help="images; as the task says if not given")
    parser.add_argument("--tasks", nargs="+", default=[*TASKS], choices=[*TASKS])
    parser.add_argument("--rows", nargs="+", help="of one task; the usual ones if not given")
    parser.add_argument("--sheets", type=Path, help="folder for pictures before and after")
    parser.add_argument("--kept", type=Path, default=KEPT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, reader = open_model(a.model), scene_judge(64)
    judge = str(reader.classifier.card)
    kept = json.loads(a.kept.read_text()) if a.kept.exists() else {"rows": []}
    for name in a.tasks:
        for row in a.rows or TASKS[name].usual:
            n = a.n or TASKS[name].n
            try:
                model = who(TASKS[name], row, a.model, pipeline)
            except MissingError as missing:
                print(f"left out: {name}, {row}: {missing}", flush=True)
                continue
            key = {"split": a.split, "task": name, "row": row, "n": n}
            key |= {"model": model, "judge": judge}
            if any(same(key, other) for other in kept["rows"]):
                continue
            found = run(pipeline, reader, a.split, name, row, n, a.sheets)
            made = key | {"machine": machine({"demist": demist.__version__})} | found
            print(json.dumps(made), flush=True)
            kept["rows"].append(made)
            write_json(a.kept, kept)
            words = "\n".join(__doc__.splitlines()[5:])
            write_text(a.kept.with_suffix(".md"), page(kept, words))


if __name__ == "__main__":
    main()
