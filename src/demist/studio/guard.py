"""One guard before everything: who may ask, from where, how much, and how slowly.

A page of another site cannot use this server in the name of who runs it: `Host` must be a name of
this machine (a site cannot point its own name here), `Origin` and `Sec-Fetch-Site` must be ours,
and the cookie that the token of the opening link becomes goes to no request that another site
begins.
It is plain ASGI and sees every scope, so that no route, file or socket can be forgotten.
docs/studio-security.md has the threats one by one.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST, LARGEST_UPLOAD = 2**20, 2**25
"""Bytes of a body: of a form, and of a picture."""
BETWEEN, ALTOGETHER = 10.0, 60.0
"""Seconds to wait for the next part of a body, and for all of it."""
METHODS = ("GET", "HEAD", "POST", "DELETE")
UPLOADS = "/api/uploads"
_SHORTEST_TOKEN = 16
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; worker-src 'self'; font-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""With every answer. A page can only use what this server sends it, and nobody can frame it."""


class RefusedRequest(Exception):
    """A request that is answered here, with a status and a sentence."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True)
class Door:
    """Who is let in.

    Attributes:
        token: What the opening link holds.
        port: Where the server listens.
        names: Names of this machine besides localhost, in small letters.
        others: Whether a literal address of any machine is a good `Host`: it listens to others too.
    """

    token: str
    port: int
    names: frozenset[str] = field(default_factory=frozenset)
    others: bool = False

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers keep cookies of all ports together."""
        return f"demist-studio-{self.port}"

    @property
    def secret(self) -> str:
        """Value of the cookie: made from the token, which cannot be made from it."""
        return hmac.new(self.token.encode(), b"cookie of the studio", hashlib.sha256).hexdigest()

    def knows_host(self, host: str) -> bool:
        """Whether a `Host` header names this server."""
        match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?", host.lower())
        if match is None or int(match[2] or 80) != self.port:
            return False
        name = match[1].strip("[]")
        if name == "localhost" or name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self.others  # no site can make its name a literal address


class Guard:
    """Answers what it refuses, and hands on the rest with headers, limits and patience."""

    def __init__(self, app: App, door: Door):
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the module."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":  # there is no web socket here
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, refusals = False, list[RefusedRequest]()

        async def dressed(message: Message) -> None:
            nonlocal begun
            if refusals:  # of the body, for which the application has words of its own
                if not begun:
                    begun = True
                    await _refuse(bare, refusals[0])
                return
            await bare(message)

        async def bare(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                named = {name.lower() for name, _ in message.get("headers", ())}
                more = _HEADERS | {"cache-control": "no-store"}
                extra = [
                    (k.encode(), v.encode()) for k, v in more.items() if k.encode() not in named
                ]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        try:
            headers = _headers_of(scope)
            self._check(scope, headers)
            if scope["path"] == "/" and b"token=" in scope.get("query_string", b""):
                await self._open(scope, dressed)
                return
            if not self._is_known(headers):
                raise RefusedRequest(
                    401,
                    "this page needs the link that `demist studio` has printed in its terminal; "
                    "open that one",
                )
            patient = self._patient(scope, headers, receive, refusals)
            await self.app(scope, patient, dressed)
        except RefusedRequest as refused:
            if not begun:
                await _refuse(bare, refused)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        """Where the request comes from.

        Raises:
            RefusedRequest: From elsewhere.
        """
        host = headers.get("host", "")
        if not self.door.knows_host(host):
            raise RefusedRequest(
                421, "this server goes by another name; use the address that it printed"
            )
        if scope["method"] not in METHODS:
            raise RefusedRequest(405, f"there is only {', '.join(METHODS)} here")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        own = f"{scope.get('scheme', 'http')}://{host}".lower()
        if origin is not None and origin.lower() != own:
            raise RefusedRequest(403, "a page of another site asked for this, and it is refused")
        if site is not None and site not in ("same-origin", "none"):
            raise RefusedRequest(
                403,
                "another site led here, and that is refused; type the address, or copy the link "
                "that `demist studio` printed",
            )
        safe = scope["method"] in ("GET", "HEAD")
        if not safe and origin is None and site != "same-origin" and not self._bears(headers):
            raise RefusedRequest(403, "a change needs the header Origin, or the token as Bearer")

    async def _open(self, scope: Scope, send: Send) -> None:
        """The token becomes a cookie, and leaves the address.

        Raises:
            RefusedRequest: It is not the token.
        """
        match = re.search(r"(?:^|&)token=([^&]*)", scope["query_string"].decode("latin-1"))
        given = match[1] if match else ""
        if not hmac.compare_digest(given.encode(), self.door.token.encode()):
            raise RefusedRequest(
                401, "this token is not of this studio; open the link that it printed last"
            )
        cookie = f"{self.door.cookie}={self.door.secret}; Path=/; HttpOnly; SameSite=Strict"
        headers = {"location": "/", "set-cookie": cookie}
        await answer(send, 303, "the studio is open", headers)

    def _is_known(self, headers: dict[str, str]) -> bool:
        if self._bears(headers):
            return True
        # By hand: SimpleCookie drops all of them at one, of any server here, that it cannot parse.
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        own = [value for name, _, value in pairs if name == self.door.cookie]
        return any(hmac.compare_digest(v.encode(), self.door.secret.encode()) for v in own)

    def _bears(self, headers: dict[str, str]) -> bool:
        """Whether a program, which is no browser, has the token itself."""
        kind, _, value = headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(value.strip().encode(), self.door.token.encode())
        return kind.lower() == "bearer" and right

    def _patient(
        self,
        scope: Scope,
        headers: dict[str, str],
        receive: Receive,
        refusals: list[RefusedRequest],
    ) -> Receive:
        """Reads a body of a limited size in a limited time; else raises, and notes it.

        Raises:
            RefusedRequest: It says that it is larger.
        """
        most = LARGEST_UPLOAD if scope["path"] == UPLOADS else LARGEST
        stated = headers.get("content-length", "0")
        too_large = RefusedRequest(413, f"more than {most / 2**20:.0f} MiB are not taken here")
        if not (stated.isascii() and stated.isdigit()):
            raise RefusedRequest(400, "the header Content-Length is no number")
        if int(stated[:20]) > most:
            raise too_large
        clock = asyncio.get_running_loop().time
        size, end, whole = 0, clock() + ALTOGETHER, False

        async def limited() -> Message:
            nonlocal size, whole
            if whole:  # all is read: the next message says that the client has gone
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), min(BETWEEN, end - clock()))
            except TimeoutError:
                late = RefusedRequest(408, "the rest of this request did not come in time")
                refusals.append(late)
                raise late from None
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > most:
                refusals.append(too_large)
                raise too_large
            return message

        return limited


def _headers_of(scope: Scope) -> dict[str, str]:
    """Headers by name.

    Raises:
        RefusedRequest: One on which the decision rests is there twice.
    """
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        once = key in ("host", "origin", "sec-fetch-site", "authorization", "content-length")
        if once and key in found:
            raise RefusedRequest(400, f"the header {key} is there twice")
        text = value.decode("latin-1")
        found[key] = f"{found[key]}; {text}" if key in found else text
    return found


async def _refuse(send: Send, refused: RefusedRequest) -> None:
    # The connection goes, too: else those without the token could keep all of them, silently.
    # Not of who has it and still sends a body: the answer would be lost with the connection.
    more = {} if refused.status in (408, 413) else {"connection": "close"}
    await answer(send, refused.status, refused.message, more)


async def answer(
    send: Send, status: int, message: str, headers: MutableMapping[str, str] | None = None
) -> None:
    """Answer with one sentence, as JSON, which a browser shows as it is."""
    body = json.dumps({"error": message}).encode() + b"\n"
    more = {
        "content-type": "application/json", "content-length": str(len(body)), **(headers or {})
    }  # fmt: skip
    pairs = [(key.encode(), value.encode()) for key, value in more.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def check_token(token: str) -> str:
    """What is wrong with a token that somebody chose; empty if nothing."""
    if len(token) < _SHORTEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9_-]+", token):
        return (
            f"a token has {_SHORTEST_TOKEN} or more letters, digits, - and _, that nobody guesses; "
            f"`openssl rand -hex 16` makes one"
        )
    return ""
