"""The HTTP service: generate, chat, the runs that are recorded, and the page that shows them.

The model computes in a bounded pool of threads, so that the event loop never waits for it. Every
request has a generator and a KV cache of its own: the seed alone fixes its answer.
"""

import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from microgpt import conversations, info
from microgpt.chat.session import Chat
from microgpt.engines.base import Model
from microgpt.runs.folder import RUNS
from microgpt.sampling import stream_document
from microgpt.service import recordings
from microgpt.service.middleware import Guard, Limits
from microgpt.service.pool import Job, OverloadError, Pool
from microgpt.service.schemas import (
    LARGEST_SEED,
    GenerateRequest,
    Health,
    Invalid,
    Problem,
    Reply,
    RunLog,
    Runs,
    Samples,
    chat_request,
)

PAGE = Path(str(files("microgpt.web") / "service"))
PREFIX = "/microgpt/v1"
OUT_OF_TIME = "out of time: ask for less, or again later"
EVENT = {  # of a streamed reply
    "type": "object",
    "properties": {
        "event": {"enum": ["message", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["data"],
}
INVALID: dict[int | str, Any] = {422: {"model": Invalid, "description": "A field is refused"}}
COMPUTED = INVALID | {
    413: {"model": Problem, "description": "The body is too large"},
    503: {"model": Problem, "description": "Out of time, or too busy"},
}


def create_app(model: Model, runs: Path = RUNS, limits: Limits | None = None) -> FastAPI:
    """Return the service of `model`, an ASGI application; `runs` is the folder of recorded runs."""
    limits = limits or Limits()
    pool = Pool(limits.threads, limits.waiting, limits.seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()

    app = FastAPIOffline(
        title="microgpt",
        summary="A model that makes up names, or chats; and the runs that are recorded.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.pool = pool
    _report_errors(app)
    app.add_middleware(Guard, limits=limits)
    app.include_router(_model_routes(model, pool), prefix=PREFIX)
    app.include_router(_run_routes(runs), prefix=PREFIX)

    @app.get("/healthz")
    async def health() -> Health:
        """Say that the service is up."""
        return Health(status="ok")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), "page")
    return app


def _model_routes(model: Model, pool: Pool) -> APIRouter:
    router = APIRouter()
    facts = info.about(model)
    chat_body = chat_request(model)

    @router.get("/model")
    async def about() -> dict[str, Any]:
        """Say what the model is: sizes, vocabulary, memory."""
        return facts

    @router.post("/generate", responses=COMPUTED)
    async def generate(request: GenerateRequest) -> Samples:
        """Make up documents."""

        def work(job: Job) -> list[str]:
            rng = random.Random(request.seed)
            return [
                "".join(stream_document(model, request.temperature, rng, check=job.check))
                for _ in range(request.num_samples)
            ]

        return Samples(samples=await pool.run(work))

    def able() -> None:
        if not facts["can_chat"]:
            raise HTTPException(409, "this model cannot chat: train one with microgpt train --chat")

    @router.post(
        "/chat",
        dependencies=[Depends(able)],
        response_model=Reply,
        responses=COMPUTED
        | {
            200: {
                "content": {"text/event-stream": {"schema": EVENT}},
                "description": "The reply; with `stream` an event for each piece, then `done`",
            },
            409: {"model": Problem, "description": "The model cannot chat"},
        },
    )
    async def chat(request: chat_body) -> Any:  # type: ignore[valid-type]
        """Reply to a conversation; the oldest turns are left out if it is longer than the block."""

        def work(job: Job) -> Iterator[str]:
            talk = Chat(model, request.temperature, request.seed)
            for message in request.messages:
                talk.say(conversations.Message(message.role, message.content))
            yield from talk.reply(job.check)

        if not request.stream:
            content = await pool.run(lambda job: "".join(work(job)))
            return Reply(role="assistant", content=content)
        pieces = pool.stream(work)
        first = await anext(pieces, None)  # what fails before the first piece has a status
        return StreamingResponse(
            _events(first, pieces),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    return router


async def _events(first: str | None, pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield a reply as server-sent events; what goes wrong now can only be an event, too."""
    content = []
    try:
        while first is not None:
            content.append(first)
            yield _event({"content": first})
            first = await anext(pieces, None)
        yield _event({"role": "assistant", "content": "".join(content)}, "done")
    except TimeoutError:
        yield _event({"detail": OUT_OF_TIME}, "error")
    finally:
        await pieces.aclose()  # type: ignore[attr-defined]


def _event(data: dict[str, str], name: str = "") -> str:
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n"


def _run_routes(runs: Path) -> APIRouter:
    router = APIRouter()

    @router.get("/runs")
    def list_runs() -> Runs:
        """List the recorded runs, the latest first."""
        return Runs.model_validate({"runs": recordings.list_runs(runs)})

    @router.get(
        "/runs/{name}",
        responses=INVALID | {404: {"model": Problem, "description": "There is no such run"}},
    )
    def read_run(name: str, offset: Annotated[int, Query(ge=0, le=LARGEST_SEED)] = 0) -> RunLog:
        """Return what a run recorded, from a byte of its log on."""
        found = recordings.read_from(runs, name, offset)
        if found is None:
            raise HTTPException(404, "there is no such run")
        return RunLog.model_validate(found)

    return router


def _report_errors(app: FastAPI) -> None:
    """Answer every error as JSON that names no path and no code."""

    def problem(status: int, detail: object, headers: Any = None) -> JSONResponse:
        return JSONResponse({"detail": detail}, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: object, error: RequestValidationError) -> JSONResponse:
        return problem(422, [_field_problem(item) for item in error.errors()])

    @app.exception_handler(HTTPException)
    async def refused(_: object, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's, for bytes that are no JSON at all
            where = {"loc": ["body"], "msg": "not JSON that can be read", "type": "json_invalid"}
            return problem(422, [where])
        return problem(error.status_code, error.detail, error.headers)

    @app.exception_handler(TimeoutError)
    async def too_late(*_: object) -> JSONResponse:
        return problem(503, OUT_OF_TIME)

    @app.exception_handler(OverloadError)
    async def too_busy(*_: object) -> JSONResponse:
        return problem(503, "too busy: again later", {"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def failed(*_: object) -> JSONResponse:
        return problem(500, "internal error")


def _field_problem(error: dict[str, Any]) -> dict[str, Any]:
    """Return what is wrong with a field, without its value, which may be anything."""
    loc = [part if isinstance(part, int) else _printable(str(part)) for part in error["loc"]]
    return {"loc": loc, "msg": _printable(error["msg"]), "type": error["type"]}


def _printable(text: str) -> str:
    """Return `text` without halves of characters, which UTF-8 has no bytes for."""
    return text.encode("utf-8", "replace").decode("utf-8")
