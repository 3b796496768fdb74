"""The worker in this process: whatever a job tells or a server asks, it stays to be heard."""

import dataclasses
import io
import math
import queue
import threading
import types
import warnings

import pytest
import torch

from demist.errors import NotFiniteError, UsageError
from demist.studio import frames, kinds, worker
from demist.studio.jobs import denoise, learn_points
from demist.studio.telling import Tell


class Pipe(io.BufferedIOBase):
    """Where frames go, to be read at the other end."""

    def __init__(self):
        self.frames = queue.Queue()

    def write(self, data):
        self.frames.put(frames.read(io.BytesIO(data))[0])

    def flush(self):
        pass

    def until(self, *types):
        while (header := self.frames.get(timeout=10))["type"] not in types:
            pass
        return header


@dataclasses.dataclass(frozen=True)
class Settings:
    value: float = 0.0


@pytest.fixture
def pipe(monkeypatch):
    def run(settings, folder, tell):
        tell.step(1, 1, value=settings.value * math.nan)

    kind = types.SimpleNamespace(Settings=Settings, run=run)
    monkeypatch.setattr(kinds, "load", lambda name: kind)
    return Pipe()


def test_what_json_has_no_word_for_fails_the_job_and_the_worker_goes_on(pipe, tmp_path):
    one = worker.Worker(pipe)
    threading.Thread(target=one.run, daemon=True).start()
    for job, settings, words in (
        ("a", {}, "JSON"),
        ("b", {"value": "x" * 2_000_000}, "value = 'xxx"),
        ("c", {"y" * 2_000_000: 1}, "there is no setting 'yyy"),
    ):
        asked = {"kind": "k", "settings": settings, "folder": str(tmp_path)}
        one._take({"type": "run", "job": job, **asked})
        end = pipe.until("done", "failed")
        assert (end["type"], end["job"]) == ("failed", job)
        assert words in end["message"]


def test_an_answer_that_cannot_travel_is_an_error(pipe, monkeypatch):
    one = worker.Worker(pipe)
    monkeypatch.setattr(worker, "answer_to", lambda asked: asked["value"])
    threading.Thread(target=one.answer_questions, daemon=True).start()
    for number, value in enumerate((math.nan, "x" * 2**20, 3)):
        one.questions.put({"type": "q", "question": number, "value": value})
    found = [pipe.until("answer") for _ in range(3)]
    assert ["error" in answer for answer in found] == [True, True, False]


def test_a_worker_that_hears_nonsense_ends(pipe, monkeypatch):
    codes = []

    def end(code):
        codes.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(worker.os, "_exit", end)
    for data in (b"x\n", b'{"bytes": 0}\n', b""):
        with pytest.raises(SystemExit):
            worker.Worker(pipe).listen(io.BytesIO(data))
    assert codes == [1, 1, 0]


def test_a_frame_is_no_longer_than_what_is_read():
    header = {"settings": "é" * 400_000}  # less than 1 MiB as UTF-8, more as JSON
    with pytest.raises(UsageError, match="at most 1048576"):
        frames.pack(header)
    longest = {"a": "x" * (frames.LONGEST_LINE - len(frames.pack({"a": ""})))}
    assert len(frames.pack(longest)) == frames.LONGEST_LINE
    assert frames.read(io.BytesIO(frames.pack(longest)))[0] == longest


def test_lengths_that_are_no_numbers_are_told_as_none():
    assert denoise._rms(torch.tensor([[3.0, 3.0], [1.0, math.nan], [1e30, 1e30]])) == [
        3,
        None,
        None,
    ]


def test_a_network_that_learns_nothing_says_so(monkeypatch, tmp_path):
    real = learn_points.denoising_loss
    monkeypatch.setattr(learn_points, "denoising_loss", lambda *a: real(*a) * math.inf)
    with pytest.raises(NotFiniteError, match="not finite at step 1"):
        learn_points.run(
            learn_points.Settings(steps=1), tmp_path, Tell("a", tmp_path, lambda header, data: None)
        )


def test_what_a_job_warns_of_is_told_once_and_anew_for_the_next(
    pipe, monkeypatch, capsys, tmp_path
):
    def run(settings, folder, tell):
        for _ in range(3):
            warnings.warn("the prompt is long", stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    kind = types.SimpleNamespace(Settings=Settings, run=run)
    monkeypatch.setattr(kinds, "load", lambda name: kind)
    one = worker.Worker(pipe)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", one.warned)
        threading.Thread(target=one.run, daemon=True).start()
        for job in "ab":
            asked = {"kind": "k", "settings": {}, "folder": str(tmp_path)}
            one._take({"type": "run", "job": job, **asked})
            found = [pipe.until("warned", "done") for _ in range(2)]
            assert [one["type"] for one in found] == ["warned", "done"]
            assert found[0] == {"type": "warned", "job": job, "message": "the prompt is long"}
    assert "DeprecationWarning: old" in capsys.readouterr().err
    one.warned("nobody asked", UserWarning, "file.py", 1)
    assert pipe.frames.empty()
