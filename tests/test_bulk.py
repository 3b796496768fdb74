"""Many samples by several processes: the same bytes as by one, and nothing is made twice."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from demist.cli import main
from demist.model.pipeline import Pipeline

LINE = "bulk 1 {} --n 200 --steps 2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bulk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        line = "train eight --steps 2 --width 8 --depth 1 --batch-size 8 --sample-count 0"
        assert main(line.split()) == 0
    return place


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)


def sum_of(path):
    return hashlib.sha256(Path(path, "samples.npy").read_bytes()).hexdigest()


@pytest.mark.slow
def test_the_same_bytes_on_one_two_and_three_processes(capsys):
    assert main(LINE.format("one").split()) == 0
    assert capsys.readouterr().out == "one/samples.npy\n"
    x = np.load("one/samples.npy", allow_pickle=False)
    np.testing.assert_array_equal(x, Pipeline.from_run("1").sample(200, steps=2))
    for count in (2, 3):
        place = f"by-{count}"
        command = [sys.executable, "-m", "demist", *LINE.format(place).split()]
        shards = [subprocess.Popen([*command, "--shard", f"{i}/{count}"]) for i in range(1, count)]
        assert [shard.wait(300) for shard in shards] == [0] * (count - 1)
        assert main([*LINE.format(place).split(), "--shard", f"{count}/{count}"]) == 0
        assert sum_of(place) == sum_of("one")


def test_what_is_there_is_not_made_again(capsys, monkeypatch):
    assert main([*LINE.format("again").split(), "--shard", "1/2"]) == 0
    assert "2 of 4 buckets are still to be made by others" in capsys.readouterr().out
    Path("again/bucket-00002.npy").write_bytes(Path("again/bucket-00002.npy").read_bytes()[:200])
    made, real = [], Pipeline.sample

    def sample(self, n, rows, **more):
        made.append(rows)
        return real(self, n, rows=rows, **more)

    monkeypatch.setattr(Pipeline, "sample", sample)
    assert main(LINE.format("again").split()) == 0
    assert made == [range(64, 128), range(128, 192), range(192, 200)]  # one was cut short
    x = np.load("again/samples.npy", allow_pickle=False)
    np.testing.assert_array_equal(x, real(Pipeline.from_run("1"), 200, steps=2))


def test_other_samples_go_elsewhere(capsys):
    assert main(LINE.format("mine").split()) == 0
    assert main([*LINE.format("mine").split(), "--seed", "1"]) == 73
    assert "made otherwise (sampling differ" in capsys.readouterr().err
    Path("full").mkdir()
    Path("full/x.npy").touch()
    assert main(LINE.format("full").split()) == 73


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_shards_that_are_none(shard):
    assert main([*LINE.format("none").split(), f"--shard={shard}"]) == 64
