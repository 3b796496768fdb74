"""A hub on the loopback address: repositories in memory, and what was asked of it."""

import base64
import hashlib
import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demist.io import hub


class Hub(ThreadingHTTPServer):
    """Repositories by kind and name: commit -> path -> content; the last commit is `main`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos, self.asked, self.tokens, self.closed = {}, [], set(), set()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, name, files, kind="models"):
        """A new commit of a repository; its number."""
        commits = self.repos.setdefault((kind, name), {})
        commit = hashlib.sha1(f"{kind}{name}{len(commits)}".encode()).hexdigest()
        commits[commit] = dict(files)
        return commit

    def got(self, name):
        """The files of which the content was asked for."""
        marks = f"/{name}/resolve/"
        return sorted({path.split(marks)[1].partition("/")[2]
                       for way, path in self.asked if way == "GET" and marks in path})  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        for key, value in {"Content-Type": kind, "Content-Length": len(data), **headers}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def files(self, kind, name, revision):
        commits = self.server.repos.get((kind, name), {})
        if not commits:
            self.answer(404, {"error": "no"}, **{"X-Error-Code": "RepoNotFound"})
            return None, None
        commit = list(commits)[-1] if revision == "main" else revision
        if commit not in commits:
            self.answer(404, {"error": "no"}, **{"X-Error-Code": "RevisionNotFound"})
            return None, None
        return commit, commits[commit]

    def ask(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.server.asked.append((self.command, path))
        self.server.tokens.add(self.headers.get("Authorization"))
        return path

    def do_GET(self):
        path = self.ask()
        words = path.strip("/").split("/")
        if words[0] == "api" and words[1] in ("models", "datasets"):
            kind, name = words[1], "/".join(words[2:4])
            if name in self.server.closed:
                return self.answer(403, {"error": "no"}, **{"X-Error-Code": "GatedRepo"})
            revision = words[5] if len(words) > 5 else "main"
            commit, files = self.files(kind, name, revision)
            if files is None:
                return None
            if words[4:5] == ["tree"]:
                rows = [{"type": "file", "path": n, "size": len(c), "oid": oid(c)}
                        for n, c in files.items()]  # fmt: skip
                return self.answer(200, rows)
            siblings = [{"rfilename": n, "size": len(c), "blobId": oid(c)}
                        for n, c in files.items()]  # fmt: skip
            return self.answer(200, {"id": name, "sha": commit, "siblings": siblings,
                                     "private": False, "tags": [], "downloads": 0})  # fmt: skip
        kind = "models"
        if words[0] == "datasets":
            kind, words = "datasets", words[1:]
        if len(words) > 4 and words[2] == "resolve":
            commit, files = self.files(kind, "/".join(words[:2]), words[3])
            name = "/".join(words[4:])
            if files is None:
                return None
            if name not in files:
                return self.answer(404, {"error": "no"}, **{"X-Error-Code": "EntryNotFound"})
            content = files[name]
            return self.answer(200, content, ETag=f'"{oid(content)}"', **{"X-Repo-Commit": commit})
        return self.answer(404, {"error": path})

    do_HEAD = do_GET

    def do_POST(self):
        path = self.ask()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        words = path.strip("/").split("/")
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            if name in self.server.closed:
                return self.answer(403, {"error": "no"})
            self.server.repos.setdefault(("models", name), {})
            return self.answer(200, {"url": f"{self.server.url}/{name}"})
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        name = "/".join(words[2:4])
        if words[4:5] == ["preupload"]:
            rows = [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for f in json.loads(body)["files"]]  # fmt: skip
            return self.answer(200, {"files": rows})
        if words[4:5] == ["commit"]:
            rows = [json.loads(line) for line in body.splitlines()]
            files = {row["value"]["path"]: base64.b64decode(row["value"]["content"])
                     for row in rows if row["key"] == "file"}  # fmt: skip
            commit = self.server.put(name, files)
            return self.answer(200, {"commitUrl": f"{self.server.url}/{name}/commit/{commit}",
                                     "commitOid": commit, "success": True})  # fmt: skip
        return self.answer(404, {"error": path})


def oid(content):
    """Git's name for a content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    from huggingface_hub import constants

    made = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", made.url)
    files = made.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    hub.fetched.cache_clear()
    yield made
    made.shutdown()
    made.server_close()
    hub.fetched.cache_clear()
