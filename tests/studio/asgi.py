"""A client of ASGI applications in thirty lines: what was sent is what is seen."""

import asyncio
import json
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What came back."""

    status: int = 0
    headers: dict = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self):
        return json.loads(self.body)


async def ask(app, method="GET", path="/", headers=(), query=b"", parts=(b"",), pause=0.0):
    """One request. `parts` are those of its body; `pause` seconds pass before each."""
    answer, waiting = Answer(), list(parts)

    async def receive():
        if not waiting:
            await asyncio.sleep(3600)
        await asyncio.sleep(pause)
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    async def send(message):
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            answer.body += message.get("body", b"")

    pairs = headers.items() if isinstance(headers, dict) else headers
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query,
        "root_path": "", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 7860),
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in pairs],
    }  # fmt: skip
    await app(scope, receive, send)
    return answer
