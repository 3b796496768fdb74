"""What the studio costs, and how soon it shows things, in a real Chromium and through real sockets.

    python benchmarks/studio.py [latency] [slow] [river] [clients] [start] [--against SRC]

Prints rows of Markdown, and the load of the machine before and after each part; all of it takes
about four minutes. `--against` names the folder `src` of another tree of demist, whose latency is
measured in turn with that of this one. Linux only: memory and open files are read from /proc.
"""

import argparse
import contextlib
import os
import platform
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "studio"))
import studio_clients
from opened import TOKEN, studio
from playwright.sync_api import sync_playwright

from demist import runs

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "chromium-browser"
ROUNDS = 3
STEPS = 60
# Which preview a picture is of goes along from the request to what is drawn. It is shown when the
# frame after the drawing is painted: a message that is sent in its callback comes after it.
RECORD = """async () => {
  const api = await import('/lib/api.js');
  const seen = window.seen = new Map(), of = new WeakMap();
  api.events(({ type, version, at }) => {
    if (type === 'preview') seen.set(version, { at, shown: null });
  });
  const handed = (from, to) => {
    const version = from.version ?? of.get(from);
    if (version) of.set(to, version);
    return to;
  };
  const fetched = window.fetch, blob = Response.prototype.blob, bitmap = window.createImageBitmap;
  window.fetch = async (url, ...more) => {
    const answer = await fetched(url, ...more);
    const version = new URL(url, location).searchParams.get('v');
    if (version) of.set(answer, Number(version));
    return answer;
  };
  Response.prototype.blob = async function () { return handed(this, await blob.call(this)); };
  window.createImageBitmap = async (from, ...more) => handed(from, await bitmap(from, ...more));
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (from, ...more) {
    const one = seen.get(of.get(from));
    if (one && one.shown === null) {
      one.shown = 0;
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => { one.shown = performance.now() / 1000; };
        port2.postMessage(0);
      });
    }
    return draw.call(this, from, ...more);
  };
}"""
# The job `check` has no page of its own: it is shown as a page shows previews.
CHECK = """async ([steps, pause]) => {
  const api = await import('/lib/api.js');
  const canvas = document.querySelector('#check') ?? document.createElement('canvas');
  canvas.id = 'check';
  document.body.append(canvas);
  const asked = ({ job, name, version }) => fetch(api.file(job, name, version));
  const preview = api.preview ?? (async (event) => (await asked(event)).blob());
  const show = api.latest(async (event) => {
    const bitmap = await createImageBitmap(await preview(event));
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
  });
  let end;
  const done = new Promise((f) => { end = f; });
  const job = await api.start('check', { steps, pause }, (event) => {
    if (event.type === 'preview') show(event);
    if (['done', 'failed'].includes(event.type)) end();
  });
  await done;
  return job.id;
}"""
REDRAW = """async ([paths, steps, data, times]) => {
  const river = document.querySelector('demist-river'), [computed, painted] = [[], []];
  for (let i = 0; i < times; i++) {
    const scene = { ...river.scene, paths, steps, chosen: 1, data: data.map((x) => x - i / 20) };
    const drawn = new Promise((f) => river.addEventListener('drawn', f, { once: true }));
    river.scene = scene;
    computed.push((await drawn).detail.ms);
    const { port1, port2 } = new MessageChannel(), began = performance.now();
    const after = new Promise((f) => { port1.onmessage = f; });
    port2.postMessage(0);
    await after;
    painted.push(performance.now() - began);
  }
  return [computed.slice(5), painted.slice(5)];
}"""


def main() -> None:
    """Print what was asked for."""
    parts = {"latency": latency, "slow": slow, "river": river, "clients": clients, "start": start}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--against", type=Path, help="folder src of another tree")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(parts):
        parser.error(f"there is no part {min(unknown)!r}; there are {', '.join(parts)}")
    told = runs.environment()
    print(
        f"{told['processor']}, {os.cpu_count()} cores; Python {platform.python_version()}; "
        f"{date.today()}; `python benchmarks/studio.py {' '.join(sys.argv[1:])}`"
    )
    for name, part in parts.items():
        if options.parts and name not in options.parts:
            continue
        before, began = load(), time.monotonic()
        print(f"\n## {name}\n", flush=True)
        part(options)
        print(f"\nLoad {before} before and {load()} after {time.monotonic() - began:.0f} s.")


def load() -> str:
    """Programs that wanted a core in the last minute, on average."""
    return f"{os.getloadavg()[0]:.1f}"


def spread(values: list[float], digits: int = 1) -> str:
    """Median, and the tenth and ninetieth of a hundred."""
    low, *_, high = statistics.quantiles(values, n=10)
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


@contextlib.contextmanager
def warm(source: Path | None = None):
    """A studio of this tree or another, whose worker has opened the model of digits."""
    with contextlib.ExitStack() as stack:
        if source is not None:
            os.environ["PYTHONPATH"] = str(source.absolute())
            stack.callback(os.environ.pop, "PYTHONPATH", None)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one = stack.enter_context(studio(folder))
        one.folder = folder
        for kind in ("generate", "denoise"):
            one.wait(one.job(kind=kind, settings={"steps": 2, "n": 1}), "done")
        yield one


def visit(browser, one, where: str):
    """A page of a studio, and what is added to its clock to have that of this machine."""
    page = browser.new_page(viewport={"width": 1200, "height": 860})
    page.set_default_timeout(120_000)
    page.goto(f"http://127.0.0.1:{one.port}/?token={TOKEN}{where}")
    page.wait_for_timeout(500)
    asked = []
    for _ in range(20):
        before = time.monotonic()
        there = page.evaluate("performance.now() / 1000")
        after = time.monotonic()
        asked.append((after - before, (before + after) / 2 - there))
    return page, min(asked)[1]


@contextlib.contextmanager
def chromium():
    """A browser without a window."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def run_check(page, one) -> str:
    return page.evaluate(CHECK, [STEPS, 0.045])


def run_generate(page, one) -> str:
    page.fill(".generate-form [name=steps]", str(STEPS))
    return _run(page, one, ".make-row button.primary")


def run_denoise(page, one) -> str:
    page.wait_for_selector(".first-card .chip >> nth=5")
    page.fill(".first-card input[name=steps]", str(STEPS))
    return _run(page, one, ".first-card button.primary")


def _run(page, one, button: str) -> str:
    with page.expect_response(lambda one: one.request.method == "POST") as answer:
        page.click(button)
    job = answer.value.json()["id"]
    one.wait(job, "done")
    return job


# Where, how it is begun, and what is there when the last picture is: of `check` the last preview,
# of the pages what was made, which takes the place of the previews.
WAYS = {
    "check": ("#/runs", run_check, "[...window.seen.values()].at(-1).shown"),
    "Generate": (
        "#/generate", run_generate,
        "document.querySelector('.now[data-state=done]')?.dataset.shown === '%s'",
    ),
    "Denoise": (
        "#/denoise", run_denoise,
        f"document.querySelectorAll('.film-cell[data-drawn]').length === {STEPS + 1}",
    ),
}  # fmt: skip


def latency(options) -> None:
    """From the end of a step to pixels: the job `check` at 20 steps/s, and the pages of digits."""
    trees = {"this tree": None} | ({"the other": options.against} if options.against else {})
    print("| job | tree | steps/s | shown of sent | delay, ms | longest, ms | last shown |")
    print("|---|---|---:|---:|---:|---:|---|")
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(warm(source)) for name, source in trees.items()}
        browser = stack.enter_context(chromium())
        for job, (where, ask, end) in WAYS.items():
            found = {name: [[], 0, 0, [], True] for name in trees}
            for turn in range(ROUNDS):
                for name in sorted(trees, reverse=turn % 2 == 1):
                    one, row = opened[name], found[name]
                    page, offset = visit(browser, one, where)
                    page.evaluate(RECORD)
                    asked = ask(page, one)
                    row[4] &= ended(page, end.replace("%s", asked))
                    page.wait_for_timeout(200)
                    seen = page.evaluate("[...window.seen.values()]")
                    page.close()
                    shown = [s for s in seen if s["shown"]]
                    row[0] += [1000 * (s["shown"] + offset - s["at"]) for s in shown]
                    row[1], row[2] = row[1] + len(shown), row[2] + len(seen)
                    times = sorted(s["at"] for s in seen)
                    row[3].append((len(seen) - 1) / (times[-1] - times[0]))
            for name, (delays, shown, sent, rates, last) in found.items():
                always = "always" if last else "NOT ALWAYS"
                print(
                    f"| {job} | {name} | {statistics.median(rates):.0f} | {shown} of {sent} | "
                    f"{spread(delays)} | {max(delays):.0f} | {always} |",
                    flush=True,
                )


def ended(page, sign: str) -> bool:
    """Whether the sign of the last picture comes."""
    for _ in range(100):
        if page.evaluate(f"Boolean({sign})"):
            return True
        page.wait_for_timeout(100)
    return False


class SlowPage:
    """Listens, and reads a hundred bytes, or nothing, ten times a second."""

    def __init__(self, port: int, reads: bool):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        head = f"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        self.socket.sendall(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._read if reads else self.ended.wait)
        self.thread.start()

    def _read(self) -> None:
        while not self.ended.wait(0.1):
            self.socket.recv(100)

    def close(self) -> None:
        self.ended.set()
        self.thread.join()
        self.socket.close()


def slow(options) -> None:
    """Pairs of a job alone and one with a page that reads slowly, in changing order."""
    jobs = {
        "check, 100 steps/s": ("check", {"steps": 100, "pause": 0.01}, 12),
        "Generate, 16 digits": ("generate", {"steps": 30, "n": 16, "batch_size": 16}, 12),
    }
    print("| job | pairs | ms per step alone | time with / alone: median (quartiles) |")
    print("|---|---:|---:|---:|")
    with warm() as one:
        for name, (kind, settings, pairs) in jobs.items():

            def each(kind=kind, settings=settings) -> float:
                found = one.wait(one.job(kind=kind, settings=settings), "done")
                return 1000 * (found["facts"].get("each") or found["seconds"] / found["step"])

            each()
            alone, ratios = [], []
            for pair in range(pairs):
                took = {}
                for with_page in ([False, True], [True, False])[pair % 2]:
                    page = SlowPage(one.port, reads=pair % 4 < 2) if with_page else None
                    took[with_page] = each()
                    if page is not None:
                        page.close()
                alone.append(took[False])
                ratios.append(took[True] / took[False])
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(
                f"| {name} | {pairs} | {spread(alone)} | {middle:.3f} ({low:.3f} to {high:.3f}) |",
                flush=True,
            )


def river(options) -> None:
    """All of a redraw of three data as one drags: the flow, the density and the picture.

    The page goes up to 100 paths and 100 steps.
    """
    print("| paths | steps | redraw, ms | of the processor, ms | until it is painted, ms more |")
    print("|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, studio(folder) as one, chromium() as browser:
        page, _ = visit(browser, one, "#/river")
        page.wait_for_selector("demist-river .handle")
        page.evaluate("document.querySelector('demist-river-page').stop()")
        clock = page.context.new_cdp_session(page)
        clock.send("Performance.enable", {"timeDomain": "threadTicks"})

        def spent() -> float:
            told = clock.send("Performance.getMetrics")["metrics"]
            return next(1000 * one["value"] for one in told if one["name"] == "ScriptDuration")

        for paths in (2, 10, 100, 200):
            for steps in (10, 100, 1000):
                before = spent()
                redraw, painted = page.evaluate(REDRAW, [paths, steps, [8, 3, -2], 30])
                print(
                    f"| {paths} | {steps} | {spread(redraw)} | {(spent() - before) / 30:.1f} | "
                    f"{spread(painted)} |",
                    flush=True,
                )


def clients(options) -> None:
    """A hundred at once, and those that mean no good."""
    with warm() as one:
        studio_clients.report(one)


def start(options) -> None:
    """From the command to the first page, ten times."""
    studio_clients.starts(10)


if __name__ == "__main__":
    main()
