"""Cut the power at every moment of a save, on a simulated disk that loses what was not flushed.

    python tests/faults/power.py [STATES_PER_MOMENT] [SEED]

A disk keeps what was flushed. What was written but not flushed may be there, be cut, be zeros or
not be there; a file's name or a folder's new name counts as written when the folder around it was
flushed. While checkpoint 3 is saved beside 1 and 2, the folder is recorded before every flush,
rename and removal; from each record many such disks are made, and loading must give checkpoint 3
or 2, whole. Prints counts as JSON, and exits 1 if anything else was loaded, or nothing.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from damage import equal, make

from demist.errors import DataError
from demist.io import files, folders
from demist.io.folders import TEMPORARY
from demist.runs import checkpoint


class Disk:
    """Records, for one folder, what it holds at each moment and what of it has been flushed."""

    def __init__(self, folder):
        self.folder = folder
        self.flushed = set(self.names())  # what was there before is on the disk
        self.renames = []  # (old, new) not yet flushed
        self.removed = {}  # name -> content, not yet flushed
        self.moments = []

    def names(self):
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def record(self):
        content = {
            name: (self.folder / name).read_bytes() if (self.folder / name).is_file() else None
            for name in self.names()
        }
        self.moments.append((content, set(self.flushed), list(self.renames), dict(self.removed)))

    def sync(self, path):
        self.record()
        path = Path(path)
        if path == self.folder:
            self.renames.clear()
            self.removed.clear()
            self.flushed |= {n for n in self.names() if (self.folder / n).is_dir()}
        else:
            self.flushed.add(str(path.relative_to(self.folder)))

    def rename(self, old, new):
        self.record()
        os_rename(old, new)
        old, new = (str(Path(p).relative_to(self.folder)) for p in (old, new))
        self.flushed = {new + n[len(old) :] if n.startswith(old) else n for n in self.flushed}
        self.renames.append((old, new))

    def rmtree(self, path, ignore_errors=False):
        path = Path(path)
        for file in sorted(path.rglob("*"), reverse=True) if path.exists() else []:
            if file.is_dir():
                file.rmdir()
                continue
            self.removed[str(file.relative_to(self.folder))] = file.read_bytes()
            file.unlink()
            self.record()
        if path.exists():
            path.rmdir()


os_rename = os.rename


def lose(data, rng):
    """What a disk may hold of bytes that were written but not flushed."""
    how = rng.integers(4)
    if how == 0:
        return data
    if how == 1:
        return data[: rng.integers(len(data) + 1)]
    return bytes(len(data)) if how == 2 else b""


def after_the_cut(moment, target, rng):
    """Make in `target` one of the folders that may be found after the power is back."""
    content, flushed, renames, removed = moment
    undone = [pair for pair in renames if rng.integers(2)]
    back = {name: data for name, data in removed.items() if rng.integers(2)}
    for name, data in {**content, **back}.items():
        place = name
        for old, new in undone:
            if place == new or place.startswith(new + "/"):
                place = old + place[len(new) :]
        if name not in flushed and name not in back:
            if data is not None and rng.integers(4) == 0:
                continue  # not even its name is there
            data = data if data is None else lose(data, rng)
        if data is None:
            (target / place).mkdir(parents=True, exist_ok=True)
        else:
            (target / place).parent.mkdir(parents=True, exist_ok=True)
            (target / place).write_bytes(data)


def record_a_save(folder):
    """The moments of saving checkpoint 3 beside 1 and 2, which prunes 1."""
    for step in (1, 2):
        checkpoint.save(folder, make(step))
    disk = Disk(folder)
    patches = [
        mock.patch.object(folders, "sync", disk.sync),
        mock.patch.object(files, "sync", disk.sync),
        mock.patch.object(os, "rename", disk.rename),
        mock.patch.object(shutil, "rmtree", disk.rmtree),
    ]
    for patch in patches:
        patch.start()
    try:
        checkpoint.save(folder, make(3))
        disk.record()
    finally:
        for patch in patches:
            patch.stop()
    return disk.moments


def main(count=30, seed=0):
    """Cut the power so often at each moment; what was found, as a dictionary."""
    rng = np.random.default_rng(seed)
    whole = {step: make(step) for step in (1, 2, 3)}
    facts = dict.fromkeys(("moments", "cuts", "new", "old", "wrong"), 0)
    with tempfile.TemporaryDirectory() as place:
        folder, target = Path(place, "disk"), Path(place, "after")
        folder.mkdir()
        moments = record_a_save(folder)
        facts["moments"] = len(moments)
        for moment in moments:
            for _ in range(count):
                target.mkdir()
                after_the_cut(moment, target, rng)
                facts["cuts"] += 1
                try:
                    folders.sweep(target)
                    found = checkpoint.load_newest(target, lambda message: None, repair=True)
                except DataError as error:
                    print(error, file=sys.stderr)
                    found = None
                good = found is not None and found.step >= 2 and equal(found, whole[found.step])
                lasting = moment is moments[-1]  # once `save` has returned
                facts["wrong"] += not good or (lasting and found.step != 3)
                facts["new" if found is not None and found.step == 3 else "old"] += good
                left = [p for p in target.iterdir() if p.name.startswith(TEMPORARY)]
                facts["wrong"] += bool(left)
                shutil.rmtree(target)
    return facts


if __name__ == "__main__":
    result = main(*map(int, sys.argv[1:]))
    print(json.dumps(result))
    sys.exit(bool(result["wrong"]))
