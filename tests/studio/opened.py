"""A studio as people start it: a process of its own, spoken to through real sockets."""

import contextlib
import http.client
import io
import json
import os
import re
import subprocess
import sys
import time

import numpy as np
from PIL import Image

TOKEN = "0123456789abcdef"
PIXELS = """canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    return [canvas.width, canvas.height, ...data];
}"""
"""In a page: width, height and all numbers of a canvas."""


class Opened:
    """One that runs.

    Attributes:
        port: Where it listens.
        process: The server.
    """

    def __init__(self, process, port):
        self.process, self.port = process, port

    def ask(self, method, path, value=None, headers=(), body=None, timeout=60):
        """(status, value) of one request that bears the token."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"Authorization": f"Bearer {TOKEN}", **dict(headers)}
        if value is not None:
            body, sent["Content-Type"] = json.dumps(value), "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            data = answer.read()
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(data) if "json" in kind else data

    def job(self, **asked):
        """The id of a new job."""
        status, found = self.ask("POST", "/api/jobs", asked)
        assert status == 201, found
        return found["id"]

    def wait(self, job, *states, patience=120):
        """The job, as soon as it is in one of the states."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            found = self.ask("GET", f"/api/jobs/{job}")[1]
            if found["state"] in states:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{job} is still {found['state']}")

    def file(self, job, name):
        """The bytes of a file of a job."""
        status, found = self.ask("GET", f"/api/jobs/{job}/files/{name}")
        assert status == 200, found
        return found

    def memory(self):
        """MB that the server holds."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1]) / 1000


@contextlib.contextmanager
def studio(runs, *more):
    """Open one on a free port."""
    command = [sys.executable, "-m", "demist", "studio", "--no-browser", "--port", "0"]
    command += ["--token", TOKEN, "--runs", str(runs), *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    try:
        line = process.stdout.readline()
        yield Opened(process, int(re.search(r":(\d+)/", line)[1]))
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def pixels(found):
    """Of a picture as bytes."""
    return np.asarray(Image.open(io.BytesIO(found)))


def until(check, patience=60):
    """The first value that is true; the page's policy forbids playwright's own way."""
    end = time.monotonic() + patience
    while not (found := check()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.03)
    return found
