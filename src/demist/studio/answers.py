"""What the page asks for below `/api/`: models, runs, jobs, events, uploads. Ids, never paths."""

import json
import mimetypes
import re
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.exceptions import HTTPException

from demist.errors import (
    DataError,
    DemistError,
    MissingError,
    RefusedError,
    StorageError,
    TryAgainError,
    UsageError,
)
from demist.io.files import read_json
from demist.studio import kinds, marks, models, one_run, recipes, shown
from demist.studio.app import Studio
from demist.studio.events import Events, Mailbox
from demist.studio.guard import Receive, Scope, Send
from demist.studio.limits import require_short
from demist.studio.uploads import Uploads

STATUS: dict[type[DemistError], int] = {
    UsageError: 422, DataError: 422, MissingError: 404, RefusedError: 403, StorageError: 507,
    TryAgainError: 503,
}  # fmt: skip
"""Errors and how HTTP calls them."""


class Asked(BaseModel):
    """A job that somebody asks for."""

    model_config = ConfigDict(extra="forbid")
    kind: str = Field(max_length=40)
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("settings")
    @classmethod
    def _is_json(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Refuse NaN and infinity, which Python reads and JSON has no word for, and the endless."""
        json.dumps(settings, allow_nan=False)
        for name, value in settings.items():
            require_short("the name of a setting", name)
            require_short(name, value)
        return settings


class Place(BaseModel):
    """Where in the queue a job should be."""

    model_config = ConfigDict(extra="forbid")
    before: str | None = None


class Mark(BaseModel):
    """What is said of a picture of a job."""

    model_config = ConfigDict(extra="forbid")
    favourite: bool | None = None
    binned: bool | None = None


class Stream(StreamingResponse):
    """Events for one page, whose place is free again whatever ends it."""

    def __init__(self, events: Events, box: Mailbox):
        super().__init__(events.listen(box), media_type="text/event-stream")
        self.events, self.box = events, box

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.events.leave(self.box)


def make(studio: Studio) -> FastAPI:
    """The answers, for one studio."""
    # no pages of its own: they load scripts from elsewhere; nor does it tell anybody anything
    app = FastAPI(
        docs_url=None, redoc_url=None, openapi_url=None,
        telemetry={"auto_configure": False, "tracing": False, "metrics": False, "logs": False},
    )  # fmt: skip
    app.add_exception_handler(DemistError, _refuse)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _unknown)
    queue, events = studio.queue, studio.events
    uploads = Uploads(studio.folder, queue.worker)

    @app.get("/api/models")
    def all_models() -> list[dict[str, Any]]:
        return models.all_models(studio.runs)

    @app.get("/api/runs")
    def all_runs() -> list[dict[str, Any]]:
        return shown.table(studio.runs)

    @app.get("/api/runs/{run}")
    def one_run_page(run: str) -> dict[str, Any]:
        found = one_run.locate(run, studio.runs)
        others = one_run.neighbours(found, studio.runs)
        return one_run.page(found) | {"id": run, "others": others}

    @app.get("/api/runs/{run}/metrics")
    def metrics(run: str) -> dict[str, Any]:
        return one_run.metrics(one_run.locate(run, studio.runs))

    @app.get("/api/runs/{run}/samples/{step}")
    def sample(run: str, step: int) -> Response:
        path = one_run.sample(one_run.locate(run, studio.runs), step)
        return FileResponse(path, media_type="image/png")

    @app.get("/api/runs/{run}/against/{other}")
    def against(run: str, other: str) -> dict[str, Any]:
        both = (one_run.locate(name, studio.runs) for name in (run, other))
        return one_run.against(*both)

    @app.post("/api/runs/{run}/ask/{what}", status_code=202)
    def wish(run: str, what: str) -> dict[str, str]:
        one_run.wish(one_run.locate(run, studio.runs), what)
        return {"id": run, "asked": what}

    @app.post("/api/uploads", status_code=201)
    async def upload(request: Request) -> dict[str, Any]:
        return await uploads.take(request.stream())

    @app.get("/api/uploads/{name}")
    def uploaded(name: str) -> dict[str, Any]:
        return uploads.read(name)

    @app.get("/api/uploads/{name}/image")
    def picture(name: str) -> Response:
        return FileResponse(uploads.path(name) / "image.png", media_type="image/png")

    @app.get("/api/uploads/{name}/settings")
    def settings(name: str) -> dict[str, Any]:
        return recipes.restored(uploads.read(name).get("recipe"), models.all_models(studio.runs))

    @app.delete("/api/uploads/{name}")
    def forget(name: str) -> dict[str, str]:
        uploads.remove(name)
        return {"id": name}

    @app.get("/api/kinds")
    def all_kinds() -> list[str]:
        return kinds.names()

    @app.get("/api/schema/{kind}")
    async def schema(kind: str) -> Any:
        kinds.require(kind)
        return await queue.worker.ask({"type": "schema", "kind": kind})

    @app.get("/api/jobs")
    async def jobs() -> list[dict[str, Any]]:
        return await queue.all()

    @app.post("/api/jobs", status_code=201)
    async def add(asked: Asked) -> dict[str, str]:
        kinds.require(asked.kind)
        return {"id": queue.add(asked.kind, asked.settings)}

    @app.get("/api/jobs/{job}")
    async def one(job: str) -> dict[str, Any]:
        return queue.read(job)

    @app.delete("/api/jobs/{job}")
    async def throw_away(job: str) -> dict[str, str]:
        queue.throw_away(job)
        return {"id": job}

    @app.post("/api/jobs/{job}/restore")
    async def bring_back(job: str) -> dict[str, Any]:
        queue.store.bring_back(job)
        return queue.read(job)

    @app.post("/api/jobs/{job}/cancel")
    async def cancel(job: str) -> dict[str, Any]:
        return queue.cancel(job)

    @app.post("/api/jobs/{job}/move")
    async def move(job: str, place: Annotated[Place, Body()]) -> dict[str, Any]:
        return {"order": queue.move(job, place.before)}

    @app.post("/api/jobs/{job}/pictures/{name}")
    async def mark(job: str, name: str, what: Annotated[Mark, Body()]) -> dict[str, Any]:
        marks.mark(queue.store.path(job), name, what.favourite, what.binned)
        events.tell({"type": "marked", "job": job})
        return queue.read(job)

    @app.get("/api/jobs/{job}/pictures/{name}/settings")
    def settings_of(job: str, name: str) -> dict[str, Any]:
        result = read_json(queue.store.file(job, "result.json"))
        return recipes.restored(recipes.of_job(result, name), models.all_models(studio.runs))

    @app.get("/api/bin")
    async def thrown() -> list[dict[str, Any]]:
        return queue.store.thrown()

    @app.get("/api/jobs/{job}/files/{name}")
    async def file(job: str, name: str) -> Response:
        if (kept := queue.previews.get((job, name))) is not None:
            return Response(kept[1], media_type=type_of(name))
        return FileResponse(queue.store.file(job, name), media_type=type_of(name))

    @app.get("/api/events")
    async def listen(request: Request) -> Response:
        return Stream(events, events.enter(request.headers.get("last-event-id")))

    return app


def type_of(name: str) -> str:
    """How a browser should take a file of a job; what could hold a script is only bytes."""
    kind = mimetypes.guess_type(name)[0] or ""
    plain = kind in ("application/json", "text/plain") or re.match(r"(image|audio|video)/", kind)
    return kind if plain and "svg" not in kind else "application/octet-stream"


def _refuse(request: Request, error: Exception) -> Response:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"error": str(error)}, status)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return JSONResponse({"error": f"{where or 'the body'}: {first['msg']}"}, 422)


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is nothing at this address", 405: "this address takes no such method"}
    text = words.get(error.status_code, str(error.detail))
    return JSONResponse({"error": text}, error.status_code)
