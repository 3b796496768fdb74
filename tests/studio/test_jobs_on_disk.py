"""Jobs on the disk, events and frames: what a reload and a restart rest on."""

import asyncio
import base64
import io
import json
import os
import threading
import time

import pytest

from demist.errors import DataError, MissingError, RefusedError, UsageError
from demist.io import files
from demist.studio import frames, kinds
from demist.studio.events import BREATH, REMEMBERED, SMALL, Events
from demist.studio.queue import Queue
from demist.studio.store import Store, is_file_name
from demist.studio.supervisor import ending
from demist.studio.telling import Tell


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "studio")


def test_a_job_is_what_the_disk_says(store):
    job = store.add("check", {"steps": 3})
    assert job == "000001-check"
    store.write_state(job, "done", step=3, of=3)
    (store.path(job) / "picture.png").write_bytes(b"x")
    found = Store(store.folder).read(job)
    assert (found["state"], found["step"], found["settings"]) == ("done", 3, {"steps": 3})
    assert found["files"] == ["picture.png"]
    assert store.file(job, "picture.png").read_bytes() == b"x"


def test_numbers_are_never_used_again(store):
    first, second = store.add("check", {}), store.add("check", {})
    store.throw_away(second)
    assert store.ids() == [first]
    assert store.add("check", {}) == "000003-check"
    store.bring_back(second)
    assert len(store.ids()) == 3


@pytest.mark.parametrize(
    "name",
    ["../job.json", "..", ".", "", "job.json", "state.json", "/etc/passwd", "a/b.png", "a\\b.png",
     ".hidden", "a" * 200 + ".png", "a.png\n", "a..png", "%2e%2e.png", "nul\0.png", "-x.png"],
)  # fmt: skip
def test_a_name_leads_nowhere(store, name):
    job = store.add("check", {})
    with pytest.raises(MissingError):
        store.file(job, name)


@pytest.mark.parametrize(
    "job", ["..", "../000001-check", "000001-", "1-check", "000001-check/..", ""]
)
def test_an_id_leads_nowhere(store, job):
    store.add("check", {})
    with pytest.raises(MissingError):
        store.read(job)


def test_a_link_out_is_refused(store, tmp_path):
    job = store.add("check", {})
    (tmp_path / "secret.txt").write_text("secret")
    (store.path(job) / "leak.txt").symlink_to(tmp_path / "secret.txt")
    assert store.read(job)["files"] == []
    with pytest.raises(RefusedError):
        store.file(job, "leak.txt")


def test_a_damaged_job_is_told_and_the_others_shown(store):
    good, bad = store.add("check", {}), store.add("check", {})
    (store.path(bad) / "state.json").write_text("{")
    found = store.all()
    assert [job["id"] for job in found] == [good, bad]
    assert found[1]["state"] == "failed"
    assert "not valid JSON" in found[1]["message"]
    assert not is_file_name("a/b")


@pytest.mark.parametrize("asked", [{"format": 1}, {"format": 1, "kind": 3, "settings": []}])
def test_a_damaged_job_does_not_end_the_queue(store, tmp_path, monkeypatch, asked):
    bad, good = store.add("check", {}), store.add("check", {})
    sent = []

    async def send(header):
        sent.append(header["job"])

    async def work():
        queue = Queue(store, Events(), tmp_path)
        monkeypatch.setattr(queue.worker, "send", send)
        queue.begin()
        (store.path(bad) / "job.json").write_text(json.dumps(asked))  # after it was taken up
        while queue.running != good or not sent:
            await asyncio.sleep(0.01)
        await queue.close()

    asyncio.run(asyncio.wait_for(work(), 10))
    assert sent == [good]
    assert store.all()[0]["message"].endswith("is damaged, or of another version of demist")


def test_what_is_thrown_away_leaves_no_preview(store, tmp_path):
    """Its number may be given again, once somebody has emptied the bin."""
    queue = Queue(store, Events(), tmp_path)
    first, second = store.add("check", {}), store.add("check", {})
    for job in (first, second):
        queue._keep(job, "preview.png", b"x")
    queue.throw_away(second)
    assert list(queue.previews) == [(first, "preview.png")]


def test_a_restart_goes_on_with_the_queue_and_tells_what_was_lost(store, tmp_path):
    running, second, third = (store.add("check", {"steps": n}) for n in (1, 2, 3))
    store.write_state(running, "running", step=1, of=9)
    store.write_order([running, third, second, "gone"])

    async def restart():
        queue = Queue(store, Events(), tmp_path)
        queue.begin()
        assert queue.waiting == [third, second]
        assert queue.move(second, third) == [second, third] == store.order()
        with pytest.raises(UsageError):
            queue.move(running, None)
        assert queue.cancel(third)["state"] == "cancelled"
        assert queue.waiting == [second]
        with pytest.raises(UsageError):
            queue.throw_away(second)
        queue.waiting.clear()
        await queue.close()

    asyncio.run(restart())
    assert store.read(running)["state"] == "failed"
    assert "was closed while this ran" in store.read(running)["message"]


def test_a_move_is_one_small_file_however_many_wait(store, tmp_path, monkeypatch):
    jobs = [store.add("check", {}) for _ in range(4)]

    async def move():
        queue = Queue(store, Events(), tmp_path)
        queue.waiting = list(jobs)
        written, real = [], files.write_json
        monkeypatch.setattr(files, "write_json", lambda *a: written.append(a[0].name) or real(*a))
        wanted = [jobs[3], jobs[0], jobs[1], jobs[2]]
        assert queue.move(jobs[3], jobs[0]) == queue.waiting == wanted
        assert written == ["order.json"]
        places = {one["id"]: one["place"] for one in await queue.all()}
        assert sorted(places, key=places.get) == wanted  # what the page sorts by
        with pytest.raises(UsageError):
            queue.move(jobs[0], "000009-check")
        late = store.add("check", {})
        again = Queue(store, Events(), tmp_path)
        again.begin()
        assert again.waiting == [*wanted, late]
        again.waiting.clear()
        await again.close()

    asyncio.run(move())
    for text in ("{", '{"waiting": 3}', '{"waiting": [[], 3]}'):
        (store.folder / "order.json").write_text(text)
        assert store.order() == []


def test_all_jobs_are_read_beside_the_event_loop(store, tmp_path, monkeypatch):
    job, real = store.add("check", {}), Store.all
    threads = []
    monkeypatch.setattr(Store, "all", lambda s: threads.append(threading.get_ident()) or real(s))
    found = asyncio.run(Queue(store, Events(), tmp_path).all())
    assert [one["id"] for one in found] == [job]
    assert threads != [threading.get_ident()]


def test_a_list_of_jobs_has_nothing_long(store, tmp_path):
    job = store.add("denoise", {"keep": ["1" * 900] * 9, "n": 3})
    facts = {"each": 0.5, "x": [1.0] * 2000, "window": {"x": 1}}
    store.write_state(job, "done", step=2, of=2, facts=facts)
    queue = Queue(store, Events(), tmp_path)
    queue._keep(job, "preview.png", bytes(5000))
    (found,) = asyncio.run(queue.all())
    assert found["facts"] == {"each": 0.5}
    assert (found["settings"], found["long"]) == ({"n": 3}, ["keep"])
    assert found["previews"] == {"preview.png": 1}
    assert queue.read(job)["facts"] == facts
    assert len(json.dumps(found)) < 500


def test_a_job_that_is_thrown_away_while_all_are_read_is_none(store, monkeypatch):
    job, gone = store.add("check", {}), store.add("check", {})
    real = Store.ids
    monkeypatch.setattr(Store, "ids", lambda s: [*real(s), gone] if s.jobs.is_dir() else [])
    store.throw_away(gone)
    assert [one["id"] for one in store.all()] == [job]


def test_the_worker_fetches_nothing_unless_it_is_allowed(store, tmp_path, monkeypatch):
    """A run folder that was sent to somebody may name data of the hub."""
    for said, wanted in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        if said:
            monkeypatch.setenv("HF_HUB_OFFLINE", said)
        assert Queue(store, Events(), tmp_path).worker._told["HF_HUB_OFFLINE"] == wanted


def heard(parts):
    """Events of a stream as (number, event)."""
    lines = [part for part in b"".join(parts).decode().split("\n\n") if part.startswith("id:")]
    split = [line.split("\ndata: ") for line in lines]
    return [(number.removeprefix("id: "), json.loads(data)) for number, data in split]


async def first(stream, parts=2):
    return heard([await anext(stream) for _ in range(parts)])


def test_who_listens_slowly_hears_the_latest():
    async def listen():
        events = Events()
        box = events.enter()
        stream = events.listen(box)
        await anext(stream)
        for step in range(5000):
            events.tell({"type": "step", "job": "a", "step": step})
            events.tell({"type": "preview", "job": "a", "name": "p.png", "version": step})
        assert len(box) == 2
        events.tell({"type": "done", "job": "a"})
        found = heard([await anext(stream)])
        assert [event["type"] for _, event in found] == ["step", "preview", "done"]
        assert found[0][1]["step"] == found[1][1]["version"] == 4999
        events.leave(box)
        assert not events.boxes

    asyncio.run(listen())


def test_a_small_preview_comes_with_its_event_if_it_is_the_newest(store, tmp_path):
    async def listen():
        queue = Queue(store, events := Events(), tmp_path)
        queue.running = job = store.add("check", {})
        stream = events.listen(events.enter())
        await anext(stream)
        tell = Tell(job, store.path(job), queue._heard)
        for data in (b"old", b"small", b"x" * (SMALL + 1)):
            tell.preview("a.png" if len(data) < SMALL else "b.png", data)
        a, b = (event for _, event in heard([await anext(stream)]))
        assert (a["name"], base64.b64decode(a["data"])) == ("a.png", b"small")
        assert (b["name"], "data" in b) == ("b.png", False)
        # Nothing is kept beside the newest, for a page that hears of an older one.
        events.tell({"type": "preview", "job": job, "name": "a.png", "version": 1})
        assert "data" not in heard([await anext(stream)])[0][1]
        assert [len(data) for _, data in queue.previews.values()] == [5, SMALL + 1]

    asyncio.run(listen())


def test_a_page_is_told_no_more_often_than_a_screen_draws():
    """A preview and its step come as one piece of news, however fast the steps are."""

    async def listen():
        events = Events()
        stream, told, over = events.listen(events.enter()), [], asyncio.Event()
        await anext(stream)

        async def hear():
            async for part in stream:
                told.append(heard([part]))
                if over.is_set():
                    return

        hearing = asyncio.create_task(hear())
        begun = time.monotonic()
        for step in range(100):
            events.tell({"type": "preview", "job": "a", "name": "p.png", "version": step})
            events.tell({"type": "step", "job": "a", "step": step})
            await asyncio.sleep(0.001)
        over.set()
        events.tell({"type": "done", "job": "a"})
        await hearing
        assert len(told) <= 2 + (time.monotonic() - begun) / BREATH
        assert all(len(part) == 2 for part in told[:-1])
        assert told[-1][-1][1]["type"] == "done"

    asyncio.run(listen())


def test_who_hears_nothing_for_long_is_told_to_read_again():
    """A sheet for each step has a name of its own: what waits is bounded all the same."""

    async def listen():
        events = Events()
        box = events.enter()
        stream = events.listen(box)
        await anext(stream)
        for step in range(5 * REMEMBERED):
            events.tell({"type": "preview", "job": "a", "name": f"moment-{step}.png"})
        events.tell({"type": "done", "job": "a"})
        assert len(box) <= REMEMBERED
        found = [event for _, event in heard([await anext(stream)])]
        assert [event["type"] for event in found].count("reset") == 1
        assert (found[0]["type"], found[-1]["type"]) == ("reset", "done")
        assert found[-2]["name"] == f"moment-{5 * REMEMBERED - 1}.png"

    asyncio.run(listen())


def test_steps_and_previews_wait_for_no_disk(store, tmp_path, monkeypatch):
    """A wait of the disk holds the server's loop, and the end of a job, back by 8 ms each."""
    queue = Queue(store, Events(), tmp_path)
    queue.running = job = store.add("check", {})
    box, waits, clock = queue.events.enter(), [], [0.0]
    monkeypatch.setattr(os, "fsync", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    tell = Tell(job, store.path(job), queue._heard)
    for step in range(20):
        clock[0] += 10
        tell.preview(f"moment-{step:03d}.png", b"x", clock[0] - 1)
        tell.step(step, 20)
    tell.keep()
    assert waits == []
    monkeypatch.undo()
    assert queue.read(job)["step"] == 19
    assert store.read(job)["files"] == [f"moment-{step:03d}.png" for step in range(20)]
    shown = [event for _, event in asyncio.run(box.get(1)) if event["type"] == "preview"]
    assert [event["at"] for event in shown] == [10 * step + 9 for step in range(20)]


def test_who_comes_back_hears_what_was_missed():
    async def come_back():
        events = Events()
        stream = events.listen(events.enter())
        await anext(stream)
        events.tell({"type": "queued", "job": "a"})
        ((number, _),) = heard([await anext(stream)])
        events.tell({"type": "done", "job": "a"})
        again = events.listen(events.enter(number))
        assert [event["type"] for _, event in await first(again)] == ["done"]
        for stranger in ("ffffffff-1", "x", "-", f"{number}²"):
            other = events.listen(events.enter(stranger))
            assert [event["type"] for _, event in await first(other)] == ["reset"]
        for _ in range(REMEMBERED + 1):
            events.tell({"type": "queued", "job": "b"})
        late = events.listen(events.enter(number))
        assert [event["type"] for _, event in await first(late)] == ["reset"]

    asyncio.run(come_back())


def test_frames_come_out_as_they_went_in():
    file = io.BytesIO(frames.pack({"type": "a", "n": 1}, b"\n\0x") + frames.pack({"type": "b"}))
    assert frames.read(file) == ({"type": "a", "n": 1}, b"\n\0x")
    assert frames.read(file) == ({"type": "b"}, b"")
    assert frames.read(file) is None
    for wrong in (b"x\n", b"[]\n", b'{"bytes": -1}\n', b'{"bytes": "1"}\n', b'{"bytes": 9}\nabc'):
        with pytest.raises(DataError):
            frames.read(io.BytesIO(wrong))


def test_an_end_in_words(tmp_path):
    log = tmp_path / "worker.log"
    log.write_text("Traceback\nImportError: no torch\n")
    assert "memory runs out" in ending(-9, log)
    assert "no torch" in ending(1, log)
    assert "crashed (Segmentation fault)" in ending(-11, log)


def test_kinds_are_files():
    assert "check" in kinds.names()
    with pytest.raises(MissingError, match="there is no kind of job 'os'"):
        kinds.load("os")
    with pytest.raises(MissingError):
        kinds.load("../worker")
