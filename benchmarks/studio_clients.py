"""Of benchmarks/studio.py: a hundred clients at once, hostile ones, kills, restarts and starts."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from opened import TOKEN, studio

CLIENTS = 100
PAGE = ("/", "/app.js", "/style.css", "/theme.js", "/lib/api.js", "/lib/dom.js", "/pages/runs.js")
ASKED = ("/api/jobs", "/api/models", "/api/runs", "/api/kinds", "/api/bin")


def worker_of(server: int) -> int:
    """The process id of the worker: the only child of the server."""
    (worker,) = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    return int(worker)


def held(pid: int) -> tuple[float, int]:
    """MB of memory, and how many files are open."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000, len(os.listdir(f"/proc/{pid}/fd"))


def processor(pid: int) -> float:
    """Seconds of the processor that a process had."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


class Watch:
    """The most that processes hold while something happens."""

    def __init__(self, **processes: int):
        self.processes = processes
        self.before = {name: held(pid) for name, pid in processes.items()}
        self.peak = dict(self.before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            self._look()

    def _look(self) -> None:
        for name, pid in self.processes.items():
            now = held(pid)
            self.peak[name] = tuple(map(max, zip(self.peak[name], now, strict=True)))

    def rows(self, what: str) -> None:
        """Print before, peak and now, of each process."""
        for name, pid in self.processes.items():
            (mb, files), (most, open_most) = self.before[name], self.peak[name]
            now, open_now = held(pid)
            print(
                f"| {what} | {name} | {mb:.0f} | {most:.0f} | {now:.0f} | {files} | {open_most} | "
                f"{open_now} |",
                flush=True,
            )


def raw(port: int, data: bytes, patience: float = 90, parts=(), pause: float = 0) -> str:
    """What a server says first to these bytes, after seconds; '' if it only closes."""
    try:
        with socket.create_connection(("127.0.0.1", port), patience) as one:
            one.sendall(data)
            begun = time.monotonic()
            for part in parts:
                one.settimeout(pause)
                with contextlib.suppress(TimeoutError):
                    return _status(one.recv(4096))
                if time.monotonic() - begun > patience:
                    return "open"
                one.sendall(part)
            one.settimeout(patience)
            return _status(one.recv(4096))
    except ConnectionError:
        return "closed"
    except TimeoutError:
        return "open"


def _status(answer: bytes) -> str:
    return answer.split(b" ")[1].decode() if answer.startswith(b"HTTP/1.1 ") else "closed"


def request(port: int, line: str, *headers: str, body: bytes = b"", own: bool = True) -> bytes:
    """A request as it travels, with the token and our own host unless others are given."""
    given = {header.partition(":")[0].lower() for header in headers}
    usual = {"host": f"127.0.0.1:{port}"} | ({"authorization": f"Bearer {TOKEN}"} if own else {})
    lines = [f"{name}: {value}" for name, value in usual.items() if name not in given]
    lines += headers
    if body and "content-length" not in given:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join([f"{line} HTTP/1.1", *lines]) + "\r\n\r\n").encode("latin-1") + body


def hostile(port: int) -> list[tuple[str, str, bytes]]:
    """What is tried, the status that is due, and the bytes."""
    form = "content-type: application/json"
    ask, upload = "POST /api/jobs", "POST /api/uploads"
    odd = [
        ("Host of another site", "421", request(port, "GET /", "host: evil.example")),
        ("Host with our name before its own", "421",
         request(port, "GET /", f"host: 127.0.0.1.evil.example:{port}")),
        ("two Hosts", "400", request(port, "GET /", f"host: 127.0.0.1:{port}", "host: evil")),
        ("Origin of another site", "403", request(port, ask, "origin: http://evil.example")),
        ("Origin null", "403", request(port, ask, "origin: null")),
        ("Sec-Fetch-Site: cross-site", "403", request(port, "GET /", "sec-fetch-site: cross-site")),
        ("no token", "401", request(port, "GET /", own=False)),
        ("a wrong token", "401", request(port, "GET /", f"authorization: Bearer {TOKEN[:-1]}x")),
        ("a wrong token in the link", "401", request(port, "GET /?token=x", own=False)),
        ("a wrong cookie", "401",
         request(port, "GET /", f"cookie: demist-studio-{port}=0", own=False)),
        ("a method that is not served", "405", request(port, "PUT /")),
        ("a web socket", "200",
         request(port, "GET /", "upgrade: websocket", "connection: upgrade")),
        ("no HTTP", "400", b"\x16\x03\x01\x02\x00\x01\n\n"),
        ("a head of 200 kB", "400", request(port, "GET /", "a: " + "a" * 200_000)),
        ("a form of 1 MiB and a byte", "413", request(port, ask, form, body=bytes(2**20 + 1))),
        ("a picture said to be of 10 GB", "413",
         request(port, upload, f"content-length: {10**10}")),
        ("a picture of 33 MiB", "413", request(port, upload, body=bytes(33 * 2**20))),
        ("a length that is no number", "400", request(port, ask, "content-length: 1e3", body=b"x")),
        ("a length below zero", "400", request(port, ask, "content-length: -1", body=b"x")),
        ("JSON that ends too soon", "422", request(port, ask, form, body=b'{"kind": "che')),
        ("JSON a hundred thousand deep", "400", request(port, ask, form, body=b"[" * 100_000)),
        ("a kind that is none", "404", request(port, ask, form, body=b'{"kind": "os"}')),
        ("NaN as a setting", "422",
         request(port, ask, form, body=b'{"kind": "check", "settings": {"pause": NaN}}')),
        ("an upload that is no picture", "422",
         request(port, upload, body=b"\x80\x04cos\nsystem\n")),
    ]  # fmt: skip
    for path in (
        "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/..\\app.py",
        "/%00", "/app.js%00.png", "/" + "a" * 20_000, "/%ff%fe", "//etc/passwd",
        "/api/jobs/..%2f..%2fetc", "/api/jobs/000001-check/files/..%2fjob.json",
        "/api/jobs/000001-check/files/job.json", "/api/jobs/" + "a" * 5_000, "/api/runs/..%2f..",
        "/api/jobs/000001-check%00/files/a.png", "/api/uploads/%2e%2e", "/docs", "/openapi.json",
    ):  # fmt: skip
        words = path if len(path) < 60 else f"{path[:12]}… ({len(path):,} letters)"
        odd.append((f"`{words}`", "404", request(port, f"GET {path}")))
    return odd


def report(one) -> None:
    """Print what is held and what was answered."""
    server, worker = one.process.pid, worker_of(one.process.pid)
    print("| | process | MB before | most | after | files before | most | after |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    told = []
    for what in (f"{CLIENTS} clients", "the same again"):
        with Watch(server=server, worker=worker) as watch:
            told.append(crowd(one))
        time.sleep(1)
        watch.rows(what)
    with Watch(server=server, worker=worker) as watch:
        slow = concurrent.futures.ThreadPoolExecutor(40)
        waiting = slow_ones(slow, one.port)  # take up to a minute, beside the rest
        answers = [(what, due, raw(one.port, data, 30)) for what, due, data in hostile(one.port)]
        answers += [(what, due, found.result()) for what, due, found in waiting]
        slow.shutdown()
    time.sleep(1)
    watch.rows("hostile and slow ones")
    print("", *told, sep="\n\n", end="\n\n")
    wrong = [f"{what}: {found} and not {due}" for what, due, found in answers if found not in due]
    print(
        f"{len(answers)} hostile requests: {len(answers) - len(wrong)} answered as they should be."
    )
    print("\n".join(f"WRONG: {line}" for line in wrong), end="\n" if wrong else "")
    kills(one)


def slow_ones(pool, port: int) -> list:
    """Heads and bodies that come a byte at a time or not at all, begun; up to a minute each."""
    begun = request(port, "GET /")[:-2]
    body = request(port, "POST /api/jobs", "content-length: 1000", body=b"{")
    upload = request(port, "POST /api/uploads", "content-length: 1000", body=b"x")
    tricks = [
        ("a connection that says nothing", "closed", (b"",)),
        ("a head that stops", "closed", (begun,)),
        ("a head, a byte a second", "closed", (begun, 90, [b"a"] * 90, 1)),
        ("a body that stops", "408", (body,)),
        ("a picture that stops", "408", (upload,)),
        ("a body, a byte in four seconds", "408", (body, 90, [b" "] * 30, 4)),
    ]
    return [
        (f"{what} ({i + 1} of 6)", due, pool.submit(raw, port, *given))
        for what, due, given in tricks
        for i in range(6)
    ]


def crowd(one) -> str:
    """All at once: each listens to the events, loads the page and asks; while a job runs."""
    asked = {"steps": 60, "pause": 0.05}

    def seconds() -> float:
        return one.wait(one.job(kind="check", settings=asked), "done")["seconds"]

    alone = seconds()
    took, statuses, streams = [], [], []
    ready = threading.Barrier(CLIENTS + 1)

    def client() -> None:
        with socket.create_connection(("127.0.0.1", one.port), 60) as page:
            page.sendall(request(one.port, "GET /api/events"))
            ready.wait()
            for path in PAGE + ASKED * 2:
                began = time.monotonic()
                connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
                with contextlib.closing(connection):
                    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
                    answer = connection.getresponse()
                    answer.read()
                took.append(1000 * (time.monotonic() - began))
                statuses.append(answer.status)
            page.settimeout(20)
            heard = b""
            while b'"done"' not in heard[-20_000:] and (more := page.recv(2**16)):
                heard += more
            streams.append(b'"done"' in heard[-20_000:])

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    ready.wait()
    beside = seconds()
    for thread in threads:
        thread.join()
    good = sum(status == 200 for status in statuses)
    return (
        f"{CLIENTS} clients at once, each with a stream of events and {len(PAGE) + 2 * len(ASKED)} "
        f"requests: {good} of {len(statuses)} answered with 200, median "
        f"{statistics.median(took):.0f} ms, longest {max(took):.0f} ms; {sum(streams)} streams "
        f"heard the end of the job, which took {beside / alone:.3f} of its time alone "
        f"(both {asked['steps']} steps at about 20 a second)."
    )


def kills(one) -> None:
    """A worker and a server that are killed without warning."""
    job = one.job(kind="check", settings={"steps": 1000, "pause": 0.05})
    one.wait(job, "running")
    began = time.monotonic()
    os.kill(worker_of(one.process.pid), signal.SIGKILL)
    found = one.wait(job, "failed")
    told = time.monotonic() - began
    one.wait(one.job(kind="check", settings={"steps": 1}), "done")
    print(
        f"\nWorker killed: told after {1000 * told:.0f} ms ({found['message'].split(';')[0]!r}), "
        f"the next job done after {time.monotonic() - began:.1f} s, with the start of a new worker."
    )
    running = one.job(kind="check", settings={"steps": 1000, "pause": 0.05})
    waiting = one.job(kind="check", settings={"steps": 1})
    one.wait(running, "running")
    worker = worker_of(one.process.pid)
    one.process.kill()
    one.process.wait()
    began = time.monotonic()
    while Path(f"/proc/{worker}").exists():
        time.sleep(0.01)
    orphan = time.monotonic() - began
    with studio(one.folder) as again:
        state = again.ask("GET", f"/api/jobs/{running}")[1]["state"]
        shown = time.monotonic() - began
        done = again.wait(waiting, "done")["state"]
    print(
        f"Server killed: its worker ended {1000 * orphan:.0f} ms later; a new server answered "
        f"after {shown:.1f} s: the job that ran is {state}, the one that waited {done}."
    )


def starts(times: int) -> None:
    """Print how long it takes from the command to the first page, and whether torch is there."""
    took, answers, spent, torch = [], [], [], False
    command = [sys.executable, "-m", "demist", "studio", "--no-browser", "--port", "0"]
    for _ in range(times):
        with tempfile.TemporaryDirectory() as runs:
            began = time.monotonic()
            process = subprocess.Popen(
                [*command, "--token", TOKEN, "--runs", runs], stdout=subprocess.PIPE, text=True
            )
            try:
                port = int(re.search(r":(\d+)/", process.stdout.readline())[1])
                for path, found in (("/", took), ("/api/models", answers)):
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    with contextlib.closing(connection):
                        bearer = {"Authorization": f"Bearer {TOKEN}"}
                        connection.request("GET", path, headers=bearer)
                        answer = connection.getresponse()
                        assert answer.status == 200, answer.status
                        data = answer.read()
                    found.append(time.monotonic() - began)
                    if path == "/":
                        spent.append(processor(process.pid))
                assert json.loads(data)
                torch |= "torch" in Path(f"/proc/{process.pid}/maps").read_text()
            finally:
                process.terminate()
                process.wait(30)
                process.stdout.close()
    print(
        "| starts | first page, s | of the processor, s | models listed, s | torch in the server |"
    )
    print("|---:|---:|---:|---:|---|")
    held_torch = "YES" if torch else "no"
    print(
        f"| {times} | {statistics.median(took):.2f} ({min(took):.2f} to {max(took):.2f}) | "
        f"{statistics.median(spent):.2f} | {statistics.median(answers):.2f} | {held_torch} |"
    )
