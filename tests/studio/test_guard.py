"""Who is let in: every wrong Host, Origin, site, token and body has its status."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from asgi import ask

from demist.studio import guard
from demist.studio.guard import Door, Guard, check_token

TOKEN = "0123456789abcdef"
DOOR = Door(TOKEN, 7860)
COOKIE = f"{DOOR.cookie}={DOOR.secret}"
GOOD = {"host": "127.0.0.1:7860", "cookie": COOKIE}


async def echo(scope, receive, send):
    """Answers with the size of the body it could read."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await guard.answer(send, 200, str(size))


def status(door=DOOR, **given):
    return asyncio.run(ask(Guard(echo, door), **given)).status


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST:7860", "[::1]:7860", "127.9.9.9:7860"]
)
def test_names_of_this_machine(host):
    assert status(headers={**GOOD, "host": host}) == 200


@pytest.mark.parametrize(
    "host",
    ["", "evil.example:7860", "127.0.0.1", "127.0.0.1:80", "localhost:7860.evil.example",
     "127.0.0.1.evil.example:7860", "192.168.1.2:7860", "localhost:7860@evil", "localhost:99999999",
     "[::1", "a b", "localhost:7860/", "２:7860"],
)  # fmt: skip
def test_other_names_are_misdirected(host):
    host = host.encode().decode("latin-1")
    assert status(headers={**GOOD, "host": host}) == 421


def test_a_server_for_others_takes_addresses_but_no_strange_names():
    door = Door(TOKEN, 7860, frozenset({"lab"}), others=True)
    cookie = {"cookie": f"{door.cookie}={door.secret}"}
    assert status(door, headers={"host": "192.168.1.2:7860", **cookie}) == 200
    assert status(door, headers={"host": "lab:7860", **cookie}) == 200
    assert status(door, headers={"host": "evil.example:7860", **cookie}) == 421


@pytest.mark.parametrize(
    ("more", "method", "wanted"),
    [
        ({}, "GET", 200),
        ({"origin": "http://127.0.0.1:7860"}, "POST", 200),
        ({"sec-fetch-site": "same-origin"}, "POST", 200),
        ({"sec-fetch-site": "none"}, "GET", 200),
        ({}, "POST", 403),
        ({}, "DELETE", 403),
        ({"origin": "http://evil.example"}, "GET", 403),
        ({"origin": "http://evil.example"}, "POST", 403),
        ({"origin": "null"}, "POST", 403),
        ({"origin": "https://127.0.0.1:7860"}, "POST", 403),
        ({"origin": "http://localhost:7860"}, "POST", 403),
        ({"origin": "http://127.0.0.1:7861"}, "POST", 403),
        ({"sec-fetch-site": "cross-site"}, "GET", 403),
        ({"sec-fetch-site": "same-site"}, "GET", 403),
        ({"sec-fetch-site": "none"}, "POST", 403),
        ({"origin": "http://127.0.0.1:7860", "sec-fetch-site": "cross-site"}, "POST", 403),
        ({}, "PUT", 405),
        ({}, "OPTIONS", 405),
        ({}, "TRACE", 405),
    ],
)
def test_where_a_request_comes_from(more, method, wanted):
    assert status(method=method, headers={**GOOD, **more}) == wanted


@pytest.mark.parametrize(
    "cookie",
    ["", "x", f"{DOOR.cookie}={TOKEN}", f"{DOOR.cookie}=", f"demist-studio-1={DOOR.secret}",
               f"{DOOR.cookie}={DOOR.secret[:-1]}", "=;=;\x00", f"{DOOR.cookie}=\xe9"],
)  # fmt: skip
def test_without_the_cookie_nothing(cookie):
    assert status(headers={**GOOD, "cookie": cookie}) == 401


@pytest.mark.parametrize(
    "other",
    ['a="', 'a={"b": [1]}', "a b=c", "=", "ключ=1", "x[y]=z", f"{DOOR.cookie}=old", 'q="a,b"', ""],
)
def test_cookies_of_other_servers_lock_nobody_out(other):
    other = other.encode().decode("latin-1")
    for both in (f"{other}; {COOKIE}", f"{COOKIE};{other}", f"{other};{COOKIE}; {other}"):
        assert status(headers={**GOOD, "cookie": both}) == 200


def test_the_token_becomes_a_cookie_and_leaves_the_address():
    headers = {"host": "127.0.0.1:7860"}
    found = asyncio.run(ask(Guard(echo, DOOR), headers=headers, query=f"token={TOKEN}".encode()))
    assert found.status == 303
    assert found.headers["location"] == "/"
    assert found.headers["set-cookie"] == f"{COOKIE}; Path=/; HttpOnly; SameSite=Strict"
    assert TOKEN not in found.headers["set-cookie"]
    for wrong in (b"token=", b"token=0123456789abcdeX", b"token=%ff", b"token=" + b"a&" * 50):
        found = asyncio.run(ask(Guard(echo, DOOR), headers=headers, query=wrong))
        assert found.status == 401


def test_a_program_may_bear_the_token():
    bearer = {"host": "127.0.0.1:7860", "authorization": f"Bearer {TOKEN}"}
    assert status(method="POST", headers=bearer) == 200
    assert status(headers={**bearer, "authorization": f"Bearer {TOKEN}x"}) == 401
    assert status(headers={**bearer, "authorization": f"Basic {TOKEN}"}) == 401
    assert status(headers={**bearer, "authorization": "Bearer \xe9"}) == 401


def test_headers_that_decide_are_there_once():
    twice = [*GOOD.items(), ("host", "evil.example:7860")]
    assert status(headers=twice) == 400
    assert status(headers=[*GOOD.items(), ("content-length", "1"), ("content-length", "2")]) == 400


def test_bodies_have_a_size():
    own = {**GOOD, "origin": "http://127.0.0.1:7860"}
    parts = [bytes(2**18)] * 5
    assert status(method="POST", headers=own, path="/api/jobs", parts=parts[:4]) == 200
    assert status(method="POST", headers=own, path="/api/jobs", parts=parts) == 413
    assert status(method="POST", headers=own, path="/api/uploads", parts=parts) == 200
    for length, wanted in (("2000000", 413), ("-1", 400), ("1e3", 400), ("9" * 400, 413)):
        more = {"content-length": length}
        assert status(method="POST", headers={**own, **more}, path="/api/jobs") == wanted


def test_bodies_come_in_time(monkeypatch):
    monkeypatch.setattr(guard, "BETWEEN", 0.05)
    own = {**GOOD, "origin": "http://127.0.0.1:7860"}
    assert status(method="POST", headers=own, parts=[b"a", b"b"], pause=0.2) == 408
    monkeypatch.setattr(guard, "BETWEEN", 10.0)
    monkeypatch.setattr(guard, "ALTOGETHER", 0.1)
    assert status(method="POST", headers=own, parts=[b"a"] * 9, pause=0.02) == 408


def test_a_body_that_is_refused_is_so_whatever_the_application_makes_of_it(monkeypatch):
    """FastAPI turns what its reading of a body raises into a 400 of its own."""

    async def with_words_of_its_own(scope, receive, send):
        try:
            await echo(scope, receive, send)
        except Exception:
            await guard.answer(send, 400, "There was an error parsing the body")

    own = {**GOOD, "origin": "http://127.0.0.1:7860"}
    app = Guard(with_words_of_its_own, DOOR)
    large = asyncio.run(ask(app, "POST", "/api/jobs", own, parts=[bytes(2**19)] * 3))
    assert (large.status, large.json["error"]) == (413, "more than 1 MiB are not taken here")
    monkeypatch.setattr(guard, "BETWEEN", 0.05)
    late = asyncio.run(ask(app, "POST", "/api/jobs", own, parts=[b"a", b"b"], pause=0.2))
    assert (late.status, late.json["error"]) == (
        408, "the rest of this request did not come in time",
    )  # fmt: skip
    assert "content-security-policy" in late.headers


def test_who_is_refused_keeps_no_connection():
    """The next head on it may never come, and there is room for a few hundred of them."""
    for headers in ({**GOOD, "cookie": ""}, {**GOOD, "host": "evil.example"}):
        assert asyncio.run(ask(Guard(echo, DOOR), headers=headers)).headers["connection"] == "close"
    large = {**GOOD, "content-length": "2000000"}  # else the sender would not read why
    for headers in (GOOD, large):
        assert "connection" not in asyncio.run(ask(Guard(echo, DOOR), headers=headers)).headers


def test_every_answer_says_what_a_page_may_do():
    for headers in (GOOD, {**GOOD, "cookie": ""}, {"host": "evil.example"}):
        found = asyncio.run(ask(Guard(echo, DOOR), headers=headers))
        policy = found.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "no-store"


def test_there_is_no_web_socket():
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    async def never(scope, receive, send):
        raise AssertionError

    asyncio.run(Guard(never, DOOR)({"type": "websocket", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_tokens_cannot_be_guessed():
    assert check_token("secret") != ""
    assert check_token("sixteen letters!") != ""
    assert check_token(TOKEN) == ""
