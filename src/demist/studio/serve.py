"""From flags to a server: the address, the token, the browser, and a clean end."""

import asyncio
import ipaddress
import os
import re
import secrets
import socket
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from demist.errors import CannotCreateError, LockedError, UsageError
from demist.machine import locks
from demist.studio.app import Studio
from demist.studio.guard import Door, Guard, check_token

PAGES = ("river", "field", "denoise", "generate", "edit", "runs")
"""Those of `page/app.js`."""
CONNECTIONS = 256
"""At once; more are answered with 503."""
SILENCE = 15.0
"""Seconds in which a connection must have sent the head of its first request."""


class Protocol(H11Protocol):
    """HTTP/1.1, with the end of connections that never say what they want."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See the class."""
        super().connection_made(transport)
        self.loop.call_later(SILENCE, self._end_if_silent)

    def _end_if_silent(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Lets go of the pages first when it should end: they listen without end."""

    def __init__(self, config: uvicorn.Config, studio: Studio):
        super().__init__(config)
        self.studio = studio

    def handle_exit(self, sig: int, frame: Any) -> None:
        """See the class; a second time it ends at once."""
        self.studio.events.close()
        super().handle_exit(sig, frame)


def serve(
    runs: Path,
    folder: Path,
    host: str,
    port: int,
    token: str | None,
    open_browser: bool,
    page: str = "",
) -> None:
    """Serve until interrupted.

    Args:
        runs: Folder in which run folders are.
        folder: Where jobs and pictures of the studio are kept.
        host: Address to listen at.
        port: Port; 0 is a free one.
        token: Of the opening link; None makes one.
        open_browser: Open the link.
        page: That the link leads to, as `river?data=2,8`; "" is the first one.

    Raises:
        UsageError: It should listen to others without a token, the token can be guessed, or there
            is no such page.
        CannotCreateError: The address or the folder cannot be had.
        LockedError: Another studio has the folder.
    """
    if token is not None and (wrong := check_token(token)):
        raise UsageError(f"--token: {wrong}")
    if token is None and not is_loopback(host):
        raise UsageError(
            f"--host {host}: others could reach the studio there; say --token, which they need as "
            f"well, or forward the port: ssh -L {port}:127.0.0.1:{port} this-machine"
        )
    if page and re.split(r"[/?]", page)[0] not in PAGES:
        raise UsageError(f"--page {page}: there is no such page; there are {', '.join(PAGES)}")
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: a port is a number between 0 (a free one) and 65535")
    token = token or secrets.token_urlsafe(24)
    listener = listen_at(host, port)
    port = listener.getsockname()[1]
    handle = lock_folder(folder)
    try:
        door = Door(token, port, names_of(host), not is_loopback(host))
        studio = Studio(runs.absolute(), folder.absolute())
        link = f"http://{shown(host, listener)}:{port}/?token={token}"
        link += f"#/{quote(page, safe='/?=&,.-')}" if page else ""
        config = uvicorn.Config(
            Guard(studio, door), http=Protocol, ws="none", log_level="error", access_log=False,
            server_header=False, date_header=False, proxy_headers=False, lifespan="on",
            limit_concurrency=CONNECTIONS, h11_max_incomplete_event_size=2**16,
            timeout_graceful_shutdown=2, timeout_keep_alive=30, backlog=512,
        )  # fmt: skip
        print(f"The studio is open: {link}", flush=True)
        print(f"Runs: {runs}; jobs and pictures: {folder}. Ctrl-C ends it.", flush=True)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            Server(config, studio).run(sockets=[listener])
    finally:
        os.close(handle)
        listener.close()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def names_of(host: str) -> frozenset[str]:
    """Names that a `Host` header may have, besides localhost."""
    if is_loopback(host):
        return frozenset()
    return frozenset({host.lower(), socket.gethostname().lower()})


def shown(host: str, listener: socket.socket) -> str:
    """The address for the link; of all addresses at once the name of this machine.

    Of localhost, it is the one of its addresses that is listened at.
    """
    host = str(listener.getsockname()[0]) if is_loopback(host) else host
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            return socket.gethostname()
        return f"[{host}]" if address.version == 6 else host
    return host


def listen_at(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        CannotCreateError: The address is taken, or not of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol by name: only of what says TCP does asyncio switch off Nagle's waiting, which
        # holds back the body of every answer until the head is acknowledged, 40 ms later.
        listener = socket.socket(found[0], socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except (OSError, OverflowError) as error:
        raise CannotCreateError(f"cannot listen at {host}, port {port}: {error}") from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[4])
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise CannotCreateError(
            f"cannot listen at {host}, port {port}: {error.strerror}; another studio may be open, "
            f"--port 0 takes a free port"
        ) from None
    listener.setblocking(False)
    return listener


def lock_folder(folder: Path) -> int:
    """Take the studio's folder for this process; the handle keeps it.

    Raises:
        CannotCreateError: It cannot be made.
        LockedError: Another studio has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = locks.CLOSE_ON_EXEC | locks.NO_FOLLOW
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | flags, 0o600)
    except OSError as error:
        raise CannotCreateError(f"cannot write in {folder}: {error.strerror}") from None
    if not locks.lock(handle):
        os.close(handle)
        raise LockedError(
            f"another studio is open on {folder}: use its page, end it, or choose other --runs"
        )
    return handle
