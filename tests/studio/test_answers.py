"""The answers below `/api/`, in this process: behind the guard, without a worker or a socket."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from asgi import ask

from demist.studio import app
from demist.studio.guard import Door

DOOR = Door("0123456789abcdef", 7860)
OWN = {
    "host": "localhost:7860", "authorization": f"Bearer {DOOR.token}",
    "content-type": "application/json",
}  # fmt: skip


@pytest.fixture
def asked(tmp_path):
    """Ask a studio that runs nothing: its queue is not taken up."""

    def one(method, path, *parts):
        made = app.build(tmp_path, tmp_path / "studio", DOOR)
        return asyncio.run(ask(made, method, path, OWN, parts=parts or (b"",)))

    return one


def test_a_body_in_parts_that_is_too_large_is_so_behind_fastapi(asked):
    found = asked("POST", "/api/jobs", *[bytes(2**19)] * 3)
    assert (found.status, found.json["error"]) == (413, "more than 1 MiB are not taken here")


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "[1e999]"])
def test_numbers_that_json_has_no_word_for_make_no_job(asked, tmp_path, value):
    text = f'{{"kind": "check", "settings": {{"pause": {value}}}}}'
    found = asked("POST", "/api/jobs", text.encode())
    assert found.status == 422
    assert "not JSON compliant" in found.json["error"]
    assert not (tmp_path / "studio" / "jobs").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1" + "0" * 400, "steps is about 10 to the 400; 9223372036854775807 is the most"),
        ("[-1" + "0" * 400 + "]", "steps is about 10 to the 400"),
        ('"' + "9" * 30_000 + '"', "steps has 30000 characters; 20000 are the most"),
        ("[" * 9 + "]" * 9, "steps is too deep"),
        ('"\\ud800"', "half a character"),
        ("1" + "0" * 5000, ""),
        ("[" * 5000 + "]" * 5000, ""),
    ],
)
def test_what_is_endless_makes_no_job(asked, tmp_path, value, words):
    text = f'{{"kind": "check", "settings": {{"steps": {value}}}}}'
    found = asked("POST", "/api/jobs", text.encode())
    assert found.status in (400, 422)
    assert words in found.json["error"]
    assert not (tmp_path / "studio" / "jobs").exists()
