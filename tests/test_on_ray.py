"""Buckets made by Ray: the same bytes, also when one of its processes is killed."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from demist.cli import main
from demist.errors import MissingError
from demist.measuring import on_ray

SCRIPT = '''
import hashlib, json, os, signal, sys
from pathlib import Path
import ray
from demist.cli import main
from demist.measuring import on_ray
from demist.errors import DataError, DemistError


def stumble(wish):
    """The first time, die as if killed."""
    if not Path(wish["file"]).exists():
        Path(wish["file"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    Path(wish["file"]).write_text("made")


def refuse(wish):
    raise DataError("this cannot be made")


said = {}
ray.init(num_cpus=2, object_store_memory=80 * 2**20, include_dashboard=False, log_to_driver=False)
said["bulk"] = main("bulk 1 there --n 300 --steps 2 --ray".split())
said["evaluate"] = main("evaluate 1 --n 600 --seeds 2 --steps 2 --shard 1/1 --ray".split())
wishes = [{"file": str(Path(str(i)).absolute())} for i in range(3)]
said["done"] = sorted(on_ray.run(stumble, wishes))
said["made"] = [Path(wish["file"]).read_text() for wish in wishes]
try:
    list(on_ray.run(refuse, [{}]))
except DemistError as error:
    said["refused"] = str(error)
Path("said.json").write_text(json.dumps(said))
'''


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
def test_ray_gives_identical_bytes(tmp_path, monkeypatch):
    """In a process of its own, since Ray leaves some behind for a while."""
    monkeypatch.chdir(tmp_path)
    line = "train eight --steps 2 --width 8 --depth 1 --batch-size 8 --sample-count 0"
    assert main(line.split()) == 0
    assert main(["bulk", "1", "here", "--n", "300", "--steps", "2"]) == 0
    assert main(["bulk", "1", "there", "--n", "300", "--steps", "2", "--shard", "1/2"]) == 0
    # The rest is left to Ray.
    evaluate = "evaluate 1 --n 600 --seeds 2 --steps 2 --shard 1/1"
    assert main(evaluate.split()) == 0
    (place,) = Path("runs/0001-eight").glob("evaluation-*")
    alone = {path.name: path.read_bytes() for path in place.glob("*.npy")}
    shutil.rmtree(place)
    quiet = {"RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True,
                          env=os.environ | quiet)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(Path("said.json").read_text())  # Ray writes to stdout too, when it likes
    assert said["bulk"] == said["evaluate"] == 0
    assert Path("here/samples.npy").read_bytes() == Path("there/samples.npy").read_bytes()
    assert {path.name: path.read_bytes() for path in place.glob("*.npy")} == alone
    assert len(alone) == 4
    assert said["done"] == [0, 1, 2]
    assert said["made"] == ["made"] * 3
    assert "this cannot be made" in said["refused"]


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match=r"pip install 'demist\[ray\]'"):
        list(on_ray.run(print, [{}]))
