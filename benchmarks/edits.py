"""Does an edit do what was asked, and leave the rest alone? Edits of DigitScenes of 64 pixels.

    python benchmarks/edits.py RUN [--split test] [--n 200] [--tasks inpaint outpaint ...]
        [--rows "inpaint jumps=4 solver=ddim:eta=1" ...] [--sheets FOLDER]

The judge of scenes reads what was made. `digits` is the share of all digits that have their colour,
`named` that of the one that was asked for, `on the right` that of those with ink there, and `all`
the share of scenes in which all is as the prompt says. PSNR and ink IoU are against the exact
target (of drawn images, and where a digit becomes another one: against the source); ink are pixels
that differ from the background as the judge sees it. `outside` are the bytes that differ from the
source where none should. Floors leave the edit undone or draw the image anew, ceilings are the
target itself, and as the model's codec gives it back. Intervals are of 95 %: Wilson's for shares,
of which an image counts as one trial, and over images for means. Settings are chosen on scenes of
the training split, whose rows have a table of their own. A row that was made is kept in
`results/edits.json`, and not made again.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from field.report import machine
from field.shares import of_mean, wilson
from PIL import Image

import demist
from demist.data.scene_pairs import Pair, draw_pair
from demist.drawing import image_grid, save_png
from demist.editing import SWAP as USUAL_SWAP
from demist.editing import inpaint, instruct, outpaint, swap, upscale, vary
from demist.editing.damage import Damage, to_unit
from demist.editing.restoring import planned
from demist.evaluation.judge.scenes import Judge, find
from demist.io.files import write_json, write_text
from demist.measuring.judging import scene_judge
from demist.model import Pipeline, Sampling, open_model
from demist.scenes import Scene, describe

SIZE = 64
SEED = 1
RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "edits.json"
INK = 45
"""How far a pixel of ink is from the background, as the judge has it."""


@dataclass(frozen=True)
class Work:
    """What one task edits.

    Attributes:
        pipeline: The model.
        pairs: Images before and after.
        seed: Of the first image; each has one of its own.
    """

    pipeline: Pipeline
    pairs: Sequence[Pair]
    seed: int = 0

    @cached_property
    def targets(self) -> np.ndarray:
        """Images as they should be."""
        return np.stack([pair.image for pair in self.pairs])

    @cached_property
    def sources(self) -> np.ndarray:
        """Images before the edit; where there is none the targets."""
        found = [pair.image if pair.source is None else pair.source for pair in self.pairs]
        return np.stack(found)

    def beside(self, name: str) -> np.ndarray:
        """Another image of each pair."""
        return np.stack([(pair.beside or {})[name] for pair in self.pairs])

    @cached_property
    def holes(self) -> np.ndarray:
        """Masks: 1 is made anew."""
        return (self.beside("mask")[:, 0] > 0).astype(np.float32)

    @property
    def prompts(self) -> list[str]:
        """Of the targets."""
        return [pair.prompt for pair in self.pairs]

    @cached_property
    def before(self) -> list[str]:
        """Prompts of the sources, and what is to become of each: `old->new`."""
        return [
            describe(pair.before, np.random.default_rng(i))
            for i, pair in enumerate(self.pairs)
            if pair.before is not None
        ]

    @cached_property
    def after(self) -> list[str]:
        """Prompts of what the sources become, in the same wording."""
        return [describe(pair.scene, np.random.default_rng(i)) for i, pair in enumerate(self.pairs)]

    def through_codec(self, images: np.ndarray) -> np.ndarray:
        """Images as the model's codec gives them back."""
        return self.pipeline.decode(self.pipeline.encode(images))


Made = np.ndarray
Maker = Callable[..., Made]


def ground(images: np.ndarray) -> np.ndarray:
    """The background of each image, `(n, 3, 1, 1)`."""
    return np.median(images.reshape(*images.shape[:2], -1), axis=2)[..., None, None]


def hidden(work: Work, masks: np.ndarray) -> Made:
    """Background where a mask is 1."""
    flat = ground(work.targets).round().astype(np.uint8)
    return np.where(masks[:, None] > 0, flat, work.targets)


def right_half(work: Work) -> np.ndarray:
    """The masks of outpainting."""
    masks = np.zeros((len(work.pairs), SIZE, SIZE), np.float32)
    masks[:, :, SIZE // 2 :] = 1
    return masks


def filled_in(work: Work, **how: Any) -> Made:
    """The named digit drawn anew in its hole."""
    return inpaint(
        work.pipeline, work.targets, work.holes, seed=work.seed, text=work.prompts, **how
    )


def extended(work: Work, **how: Any) -> Made:
    """The right half made from the left one."""
    left = work.targets[..., : SIZE // 2]
    return outpaint(
        work.pipeline, left, {"right": SIZE // 2}, seed=work.seed, text=work.prompts, **how
    )


def drawn_anew(work: Work, **how: Any) -> Made:
    """A new image of the new prompt."""
    return work.pipeline.sample(len(work.pairs), seed=work.seed, text=work.prompts, **how)


def swapped(work: Work, **how: Any) -> Made:
    """Prompt-to-prompt on given images."""
    return _swapped(work, images=work.sources, **how).images


def _swapped(work: Work, **how: Any) -> Any:
    """With the shares of `swap`, but for those that are said."""
    names = ("words", "pixels", "features", "blend", "looks")
    following = replace(USUAL_SWAP, **{name: how.pop(name) for name in names if name in how})
    return swap(
        work.pipeline, work.before, to=work.after, following=following, seed=work.seed, **how
    )  # fmt: skip


def redigited(pair: Pair, i: int) -> Pair:
    """A recoloured pair, in which the digit becomes another one instead, in its own colour."""
    assert pair.before is not None
    k, things = pair.changed, pair.before.things
    others = [digit for digit in range(10) if digit != things[k].digit]
    thing = replace(things[k], digit=int(np.random.default_rng([7, i]).choice(others)))
    scene = replace(pair.before, things=(*things[:k], thing, *things[k + 1 :]))
    return replace(pair, scene=scene, prompt=describe(scene, np.random.default_rng(i)))


def instructed(work: Work, model: str = "", **how: Any) -> Made:
    """By a model that learned to follow instructions."""
    words = [pair.instruction for pair in work.pairs]
    return instruct(open_model(model), work.sources, words, seed=work.seed, **how)


def bicubic(work: Work) -> Made:
    """The small image, made large without a model."""
    return np.stack([
        np.asarray(Image.fromarray(low.transpose(1, 2, 0)).resize(
            (SIZE, SIZE), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        for low in work.beside("low")
    ])  # fmt: skip


def restored(
    work: Work, method: str = "pigdm", each: int = 8, noise: float = 0.01, **how: Any
) -> Made:
    """Samples of what a small image may come from, without its prompt: `(n, each, 3, s, s)`."""
    damage = Damage.of(work.pipeline, "sr:4", noise)
    y = damage.operator.measured(to_unit(work.beside("low")))
    seeds = range(work.seed, work.seed + len(y) * each)
    samples = planned(damage, y, method, list(seeds), Sampling(), how).sample()
    return samples.reshape(len(y), each, *samples.shape[1:])


def upscaled(work: Work, model: str = "", each: int = 8, **how: Any) -> Made:
    """By a model that learned to: `(n, each, 3, s, s)`."""
    low = work.beside("low").repeat(each, 0)
    made = upscale(open_model(model), low, seed=work.seed, **how)
    return made.reshape(-1, each, *made.shape[1:])


def varied(work: Work, strength: float = 0.5, **how: Any) -> Made:
    """Noised and sampled from there, with the image's own prompt."""
    return vary(work.pipeline, work.targets, strength, seed=work.seed, text=work.prompts, **how)


def again(work: Work, times: int = 10, **how: Any) -> Made:
    """Inpainted again and again, each time what the last one made."""
    x = work.targets
    for k in range(times):
        x = inpaint(
            work.pipeline, x, work.holes, seed=work.seed + 1000 * k, text=work.prompts, **how
        )
    return x


DIGIT = "swap digit"
SWAPS = {
    "swap (drawn)": "Prompt-to-prompt on drawn images",
    "swap digit (drawn)": "A digit of a drawn image becomes another one",
}
TASKS: dict[str, tuple[str, str, dict[str, Maker]]] = {
    "inpaint": ("hole", "A named digit drawn anew in its hole", {
        "background in the hole": lambda work: hidden(work, work.holes),
        "inpaint": filled_in, "ten in a row": again,
    }),
    "outpaint": ("hole", "The right half made from the left one", {
        "background on the right": lambda work: hidden(work, right_half(work)),
        "outpaint": extended,
    }),
    "recolour": ("recolour", "A digit of a given image in another colour", {
        "source unchanged": lambda work: work.sources, "drawn anew": drawn_anew,
        "swap": swapped, "instruct": instructed,
    }),
    "upscale": ("low", "Four times as large", {
        "bicubic": bicubic, "restore": restored, "upscale": upscaled,
    }),
    DIGIT: ("recolour", "A digit of a given image becomes another one", {"swap": swapped}),
    "vary": ("hole", "Variations with the image's own prompt", {"vary": varied}),
}  # fmt: skip
"""Task -> the pairs it is of, its title, and what does it. All have the ceilings as well."""

CEILINGS: dict[str, Maker] = {
    "target": lambda work: work.targets,
    "target through the codec": lambda work: work.through_codec(work.targets),
}
MASKS: dict[str, Callable[[Work], np.ndarray]] = {
    "inpaint": lambda work: work.holes, "outpaint": right_half,
}  # fmt: skip


def scores(reader: Judge, made: Made, scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """Of each image: share of digits that have their colour, and of each digit whether."""
    rows = []
    for scene, found in zip(scenes, reader.read(made), strict=True):
        digits = {thing.colour: thing.digit for thing in found}
        rows.append([digits.get(thing.colour) == thing.digit for thing in scene.things])
    return {"each": np.array([np.mean(row) for row in rows]), "rows": np.array(rows, object)}


def ink(images: np.ndarray) -> np.ndarray:
    """Where there is ink, `(n, s, s)`."""
    off = images.astype(np.float32) - ground(images)
    return np.asarray(np.linalg.norm(off, axis=1) > INK)


def psnr(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of each image, in decibels."""
    error = ((a.astype(np.float32) - b) ** 2).reshape(len(a), -1).mean(1)
    return np.asarray(20 * np.log10(255) - 10 * np.log10(np.maximum(error, 1e-2)))


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the ink of each image."""
    x, y = ink(a), ink(b)
    return np.asarray((x & y).sum((1, 2)) / np.maximum((x | y).sum((1, 2)), 1))


def found(
    reader: Judge, task: str, work: Work, made: Made, wanted: np.ndarray | None = None
) -> dict[str, Any]:
    """The figures of a row; of several samples of an image those of the first, and of the mean."""
    n, wanted = len(work.pairs), work.targets if wanted is None else wanted
    several = made if made.ndim == 5 else made[:, None]
    scenes = [pair.scene for pair in work.pairs for _ in range(several.shape[1])]
    flat = several.reshape(-1, *several.shape[2:])
    read = scores(reader, flat, scenes)
    digits = sum(len(pair.scene.things) for pair in work.pairs) * several.shape[1]
    right = sum(sum(row) for row in read["rows"])
    shares = {"digits": right / digits, "all": reader.score(flat, scenes)["all"]}
    if task in ("inpaint", "recolour", DIGIT, *SWAPS):
        named = [
            row[pair.changed] for row, pair in zip(read["rows"], work.pairs, strict=True)
        ]  # fmt: skip
        shares["named"] = float(np.mean(named))
    if task == "outpaint":
        flat_left = np.where(right_half(work)[:, None] > 0, work.targets, ground(work.targets))
        there = [{t.colour for t in find(x.astype(np.uint8), reader.palette)} for x in flat_left]
        touched = [
            right
            for row, pair, colours in zip(read["rows"], work.pairs, there, strict=True)
            for right, thing in zip(row, pair.scene.things, strict=True)
            if thing.colour in colours
        ]
        shares["on the right"] = float(np.mean(touched))
    if several.shape[1] > 1:
        mean = several.mean(1).round().astype(np.uint8)
        row = scores(reader, mean, [pair.scene for pair in work.pairs])["rows"]
        shares["digits of the mean"] = sum(map(sum, row)) * several.shape[1] / digits
        means = {"PSNR of the mean": psnr(mean, wanted)}
    else:
        means = {}
    means |= {"PSNR": psnr(several[:, 0], wanted), "ink IoU": iou(several[:, 0], wanted)}
    values: dict[str, Any] = {k: (v, *wilson(v, n)) for k, v in shares.items()}
    values |= {k: (float(v.mean()), *of_mean(v)) for k, v in means.items()}
    if task in MASKS:
        outside = MASKS[task](work) == 0
        changed = (several[:, 0] != work.targets) & outside[:, None]
        values["outside"] = int(changed.sum())
    return values


def parsed(row: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a row such as `inpaint jumps=4`."""
    words = row.split(" ")
    first = next((i for i, word in enumerate(words) if "=" in word), len(words))
    options = dict(word.split("=", 1) for word in words[first:])
    return " ".join(words[:first]), {key: _value(text) for key, text in options.items()}


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def sheet(images: Sequence[np.ndarray], labels: Sequence[str], path: Path) -> None:
    """A picture of columns: an image before, after, and as it should be."""
    rows = np.stack([x[i] for i in range(min(24, len(images[0]))) for x in images])
    words = [label for label in labels[:24] for _ in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(image_grid(rows, labels=words, columns=4 * len(images), scale=2), path, {})


def page(kept: dict[str, Any]) -> str:
    """All tables."""
    lines = ["# Edits of DigitScenes of 64 pixels", "", *__doc__.splitlines()[5:], ""]
    lines += [kept["about"], "", kept["machine"], ""]
    for split, of in (("test", ""), ("train", "; training split, where settings are chosen")):
        for task, title in [*((t, x[1]) for t, x in TASKS.items()),
                            *SWAPS.items()]:  # fmt: skip
            rows = [r for r in kept["rows"] if (r["split"], r["task"]) == (split, task)]
            if not rows:
                continue
            names = list(dict.fromkeys(name for r in rows for name in r["found"]))
            lines += [f"## {task}: {title}{of}", ""]
            lines += ["| row | images | " + " | ".join(names) + " | s per image |"]
            lines += ["|---|" + "---:|" * (len(names) + 2)]
            for r in rows:
                cells = [_cell(name, r["found"].get(name)) for name in names]
                line = [r["row"], str(r["n"]), *cells, f"{r['seconds']:.2f}"]
                lines.append("| " + " | ".join(line) + " |")
            lines.append("")
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value} bytes"
    middle, low, high = value
    if name.startswith("PSNR"):
        return f"{middle:.1f} ± {high - middle:.1f}"
    if "IoU" in name:
        return f"{middle:.3f} ± {high - middle:.3f}"
    return f"{100 * middle:.1f} ({100 * low:.0f} to {100 * high:.0f})"


def run(
    pipeline: Pipeline, reader: Judge, split: str, task: str, row: str, n: int, sheets: Path | None
) -> dict[str, Any]:
    """One row."""
    kind = "recolour" if task in SWAPS else TASKS[task][0]
    pairs = [draw_pair(kind, i, split, seed=SEED, size=SIZE) for i in range(n)]
    if task.startswith(DIGIT):
        pairs = [redigited(pair, i) for i, pair in enumerate(pairs)]
    work, began = Work(pipeline, pairs), time.process_time()
    name, how = parsed(row)
    if task in SWAPS:
        both = _swapped(work, **how)
        made, before, wanted = both.images, both.source, both.source
    else:
        make = {**TASKS[task][2], **CEILINGS}[name]
        made, before, wanted = make(work, **how), work.sources, work.targets
        wanted = before if task == DIGIT else wanted
    seconds = (time.process_time() - began) / n
    if sheets is not None:
        first = made[:, 0] if made.ndim == 5 else made
        label = f"{task}-{row}".replace(" ", "_").replace("/", "_")
        sheet((before, first, wanted), work.prompts, sheets / f"{split}-{label}.png")
    values = found(reader, task, work, made, wanted)
    return {
        "split": split, "task": task, "row": row, "n": n, "seconds": round(seconds, 3),
        "found": values,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--split", choices=["train", "test"], default="test")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--tasks", nargs="+", default=[*TASKS, *SWAPS], choices=[*TASKS, *SWAPS])
    parser.add_argument("--rows", nargs="+", help="of one task; the usual ones if not given")
    parser.add_argument("--sheets", type=Path, help="folder for pictures before and after")
    parser.add_argument("--kept", type=Path, default=KEPT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    pipeline, reader = open_model(a.model), scene_judge(SIZE)
    kept = json.loads(a.kept.read_text()) if a.kept.exists() else {"rows": []}
    kept |= {"machine": machine({"demist": demist.__version__}), "about": about(reader)}
    for task in a.tasks:
        for row in a.rows or USUAL[task]:
            key = (a.split, task, row, a.n)
            if any((r["split"], r["task"], r["row"], r["n"]) == key for r in kept["rows"]):
                continue
            made = run(pipeline, reader, a.split, task, row, a.n, a.sheets)
            print(json.dumps(made), flush=True)
            kept["rows"].append(made)
            write_json(a.kept, kept)
            write_text(a.kept.with_suffix(".md"), page(kept))


def about(reader: Judge) -> str:
    """Who judges."""
    return f"Judge: {reader.classifier.card}."


USUAL: dict[str, list[str]] = {
    "inpaint": [*CEILINGS, "background in the hole", "inpaint", "inpaint jumps=4"],
    "outpaint": [*CEILINGS, "background on the right", "outpaint", "outpaint jumps=4"],
    "recolour": [*CEILINGS, "source unchanged", "drawn anew", "swap looks=1", "swap"],
    **{task: ["swap looks=1", "swap"] for task in (DIGIT, *SWAPS)},
    "upscale": [*CEILINGS, "bicubic", "restore"],
    "vary": ["vary strength=0.3", "vary strength=0.5", "vary strength=0.7"],
}  # fmt: skip
"""The rows of the table."""

if __name__ == "__main__":
    main()
