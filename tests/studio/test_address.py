"""The address in the opening link."""

import asyncio
import contextlib
import socket

import pytest

from demist.errors import CannotCreateError
from demist.studio.guard import Door
from demist.studio.serve import is_loopback, listen_at, shown


@pytest.mark.parametrize(
    ("host", "wanted"),
    [("127.0.0.1", ("127.0.0.1",)), ("127.0.0.2", ("127.0.0.2",)), ("::1", ("[::1]",)),
     ("localhost", ("127.0.0.1", "[::1]"))],
)  # fmt: skip
def test_the_link_names_the_address_that_is_listened_at(host, wanted):
    try:
        listener = listen_at(host, 0)
    except CannotCreateError:
        pytest.skip(f"this machine has no {host}")
    with contextlib.closing(listener):
        port = listener.getsockname()[1]
        link = shown(host, listener)
        assert link in wanted
        assert Door("0" * 16, port).knows_host(f"{link}:{port}")
        socket.create_connection((link.strip("[]"), port), 5).close()


def test_of_an_address_for_others_it_is_what_was_said():
    with contextlib.closing(listen_at("127.0.0.1", 0)) as listener:
        assert not is_loopback("192.0.2.1")
        assert shown("192.0.2.1", listener) == "192.0.2.1"
        assert shown("2001:db8::1", listener) == "[2001:db8::1]"
        assert shown("0.0.0.0", listener) == socket.gethostname()


def test_what_is_sent_goes_at_once():
    """Else the body of an answer waits 40 ms for the page to acknowledge its head."""

    async def told():
        accepted = asyncio.get_running_loop().create_future()

        def come(reader, writer):
            accepted.set_result(writer)

        with listen_at("127.0.0.1", 0) as listener:
            server = await asyncio.start_server(come, sock=listener)
            _, mine = await asyncio.open_connection(*listener.getsockname())
            its = await accepted
            found = its.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            its.close()
            mine.close()
            server.close()
            return found

    assert asyncio.run(told())
