"""Damage checkpoints in every way that comes to mind; none may be loaded wrongly.

    python tests/faults/damage.py [COUNT] [SEED]

Three checkpoints lie in a folder and one to three of them are damaged: bits flipped, bytes
overwritten, cut, padded, emptied; files removed, exchanged, replaced by folders, links, pickles or
text. What is then loaded must be, to the last bit, the newest of the three that is undamaged, or
one newer still whose damage changes nothing, such as a space more in its manifest. Or there must be
an error that explains itself. Prints counts as JSON, and exits 1 for anything else.
"""

import json
import os
import pickle
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from demist.errors import DataError
from demist.runs import checkpoint
from demist.runs.checkpoint import Checkpoint

STEPS = (10, 20, 30)


def make(step):
    """A small checkpoint whose content says which it is."""
    rng = np.random.default_rng(step)
    weights = {
        "a": torch.from_numpy(rng.normal(size=(4, 3)).astype("f4")),
        "b": torch.tensor(float(step)),
    }
    parts = {"weights": weights, "ema": weights, "optimizer": {"m": weights["a"] * 2}}
    return Checkpoint(step, parts, {"images": 7 * step, "seconds": 0.5, "broken": []})


def equal(a, b):
    names = [(part, name) for part in a.parts for name in a.parts[part]]
    same = all(torch.equal(a.parts[part][name], b.parts[part][name]) for part, name in names)
    return same and (a.step, a.state) == (b.step, b.state)


def rewrite(file, change):
    data = bytearray(file.read_bytes())
    file.write_bytes(bytes(change(data)))


def flip(file, rng, folder):
    def change(data):
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        return data

    rewrite(file, change)


def overwrite(file, rng, folder):
    def change(data):
        begin, length = rng.integers(len(data)), int(rng.integers(1, 64))
        data[begin : begin + length] = rng.bytes(min(length, len(data) - begin))
        return data

    rewrite(file, change)


def zeros(file, rng, folder):
    rewrite(file, lambda data: bytes(len(data)))


def cut(file, rng, folder):
    rewrite(file, lambda data: data[: rng.integers(len(data))])


def pad(file, rng, folder):
    rewrite(file, lambda data: data + rng.bytes(int(rng.integers(1, 100))))


def insert(file, rng, folder):
    def change(data):
        place = rng.integers(len(data))
        return data[:place] + rng.bytes(int(rng.integers(1, 9))) + data[place:]

    rewrite(file, change)


def remove(file, rng, folder):
    file.unlink()


def remove_all(file, rng, folder):
    for one in file.parent.iterdir():
        one.unlink()


def exchange(file, rng, folder):
    """The same file of another checkpoint, whole and valid by itself."""
    good = folder.with_name("good")
    others = [p for p in sorted(good.glob("step-*")) if p.name != file.parent.name]
    shutil.copy(rng.choice(others) / file.name, file)


def other_name(file, rng, folder):
    """Another file of the same checkpoint."""
    shutil.copy(rng.choice(sorted(file.parent.iterdir())), file.with_name("x"))
    os.replace(file.with_name("x"), file)


def folder_instead(file, rng, folder):
    file.unlink()
    file.mkdir()


def dangling_link(file, rng, folder):
    file.unlink()
    file.symlink_to("nowhere")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def pickled(file, rng, folder):
    file.write_bytes(pickle.dumps(Trap(), int(rng.integers(6))))


def text(file, rng, folder):
    choices = [
        "",
        "null",
        "[]",
        "{}",
        "[" * 5000,
        '{"format": 1}',
        "NaN",
        "\ufeff{}",
        '{"a": 1e999}',
    ]
    file.write_text(str(rng.choice(choices)))


def retyped(file, rng, folder):
    """One value of the manifest or the state becomes another type."""
    file = file.with_name(str(rng.choice(["manifest.json", "state.json"])))
    values = json.loads(file.read_bytes())
    key = str(rng.choice(sorted(values)))
    values[key] = [None, -1, 1e99, "x", [], {}, True][int(rng.integers(7))]
    file.write_text(json.dumps(values))


DAMAGES = [
    flip, flip, flip, overwrite, zeros, cut, pad, insert, remove, remove_all, exchange, other_name,
    folder_instead, dangling_link, pickled, text, retyped,
]  # fmt: skip


def fingerprint(folder):
    """The content of a checkpoint's files, to tell whether a damage changed anything."""
    return {file.name: file.read_bytes() if file.is_file() else None for file in folder.iterdir()}


def main(count=500, seed=0):
    """Damage so often; what happened, as a dictionary."""
    rng = np.random.default_rng(seed)
    begun = time.monotonic()
    facts = dict.fromkeys(("newest", "fell_back", "refused", "harmless", "wrong", "tracebacks"), 0)
    whole = {step: make(step) for step in STEPS}
    with tempfile.TemporaryDirectory() as place:
        good, here = Path(place, "good"), Path(place, "here")
        good.mkdir()
        for step in STEPS:
            checkpoint.save(good, whole[step], keep=3)
        before = {step: fingerprint(good / checkpoint.folder_name(step)) for step in STEPS}
        for case in range(count):
            shutil.copytree(good, here)
            for step in STEPS[-int(rng.choice([1, 1, 1, 2, 3])) :]:
                folder = here / checkpoint.folder_name(step)
                file = rng.choice(sorted(folder.iterdir()))
                DAMAGES[int(rng.integers(len(DAMAGES)))](file, rng, here)
            names = [checkpoint.folder_name(step) for step in STEPS]
            intact = [
                s for s, n in zip(STEPS, names, strict=True) if fingerprint(here / n) == before[s]
            ]
            try:
                found = checkpoint.load_newest(here, lambda message: None, repair=True)
            except DataError:
                facts["refused"] += 1
                facts["wrong"] += bool(intact)
            except Exception as error:
                facts["tracebacks"] += 1
                print(f"case {case}: {type(error).__name__}: {error}", file=sys.stderr)
            else:
                facts["newest" if found.step == STEPS[-1] else "fell_back"] += 1
                right = found.step >= max(intact, default=0) and equal(found, whole[found.step])
                facts["wrong"] += not right
                facts["harmless"] += right and found.step not in intact
            shutil.rmtree(here)
        facts["trapped"] = int(Path("trapped").exists())
    return facts | {"count": count, "seconds": round(time.monotonic() - begun, 1)}


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    print(json.dumps(result))
    sys.exit(bool(result["wrong"] or result["tracebacks"] or result["trapped"]))
