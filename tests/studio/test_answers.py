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
