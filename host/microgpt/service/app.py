"""The HTTP service: generate, chat, recorded runs, OpenAI's routes, and the page.

The model computes in a bounded pool of threads, so that the event loop never waits for it. Every
request has its own random numbers and KV cache, so that its answer depends on its seed only.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from microgpt import info, sampling
from microgpt.chat import conversations
from microgpt.chat.session import Chat
from microgpt.engines.base import Model
from microgpt.runs.folder import RUNS
from microgpt.service.events import EVENT, EventStream, event
from microgpt.service.hosts import Hosts
from microgpt.service.middleware import Limits, ServiceMiddleware
from microgpt.service.openai.models import Models
from microgpt.service.openai.routes import openai_routes
from microgpt.service.pool import Pool, check
from microgpt.service.problems import OPENAI, declared, report_errors
from microgpt.service.recordings import Recordings
from microgpt.service.schemas import (
    LARGEST_SEED,
    AnyChatRequest,
    AnyGenerateRequest,
    Health,
    Invalid,
    Problem,
    Reply,
    RunLog,
    Runs,
    Samples,
    chat_request,
    generate_request,
)
from microgpt.system.files import packaged

PAGE = packaged("microgpt.web", "service")
COMMON = packaged("microgpt.web", "common")  # what the site uses too
PREFIX = "/microgpt/v1"
Responses = dict[int | str, dict[str, Any]]  # FastAPI's own type of a route's other answers
INVALID: Responses = {422: {"model": Invalid, "description": "A field is refused"}}
COMPUTED: Responses = INVALID | {
    408: {"model": Problem, "description": "The body did not come in time"},
    413: {"model": Problem, "description": "The body is too large"},
    415: {"model": Problem, "description": "The body is not declared as JSON"},
    503: {"model": Problem, "description": "Out of time, or too busy"},
}


def create_app(
    models: Mapping[str, Model],
    runs: Path = RUNS,
    limits: Limits | None = None,
    hosts: Hosts | None = None,
) -> FastAPI:
    """Return the service of `models`, by name, as an ASGI application.

    The first is that of the page and of the service's own routes; requests below /v1 may name any.
    `runs` is the folder of the runs. Requests may name the `hosts`, by default the loopback names.
    """
    first = next(iter(models.values()))
    limits = limits or Limits()
    pool = Pool(limits.threads, limits.waiting, limits.seconds)
    app = FastAPIOffline(
        title="microgpt",
        summary="Generate names or other documents, chat, and read the logs of recorded runs.",
        redoc_url=None,
    )
    app.state.pool = pool
    report_errors(app)
    app.add_middleware(ServiceMiddleware, limits=limits, hosts=hosts or Hosts())
    app.include_router(_model_routes(first, pool), prefix=PREFIX)
    app.include_router(_run_routes(Recordings(runs)), prefix=PREFIX)
    app.include_router(openai_routes(Models(models), pool), prefix=OPENAI)

    @app.get("/healthz")
    async def health() -> Health:
        """Answer that the service is running."""
        return Health(status="ok")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE), "page")
    app.mount("/common", StaticFiles(directory=COMMON), "common")
    return app


def _model_routes(model: Model, pool: Pool) -> APIRouter:
    router = APIRouter()
    facts = info.about(model)
    generate_body = generate_request(model)
    chat_body = chat_request(model)

    @router.get("/model")
    async def about() -> Mapping[str, object]:
        """Return facts about the model: sizes, vocabulary, memory."""
        return facts

    @router.post("/generate", dependencies=[Depends(declared)], responses=COMPUTED)
    async def generate(
        body: generate_body,  # type: ignore[valid-type] # FastAPI reads this class, made for the model
    ) -> Samples:
        """Generate documents."""
        request: AnyGenerateRequest = body

        def work() -> list[str]:
            return list(
                sampling.generated(
                    model,
                    request.num_samples,
                    request.sampling,
                    request.seed,
                    request.prompt,
                    check,
                )
            )

        return Samples(samples=await pool.run(work))

    async def able() -> None:
        if not facts["can_chat"]:
            raise HTTPException(409, "this model cannot chat: train one with microgpt train --chat")

    @router.post(
        "/chat",
        dependencies=[Depends(declared), Depends(able)],
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
    async def chat(
        body: chat_body,  # type: ignore[valid-type] # FastAPI reads this class, made for the model
    ) -> Reply | Response:
        """Reply to a conversation; if it is longer than the block, its oldest turns are dropped."""
        request: AnyChatRequest = body

        def work() -> Iterator[str]:
            talk = Chat(model, request.sampling, request.seed)
            for message in request.messages:
                talk.say(conversations.Message(message.role, message.content))
            yield from talk.reply(check)

        def events() -> Iterator[str]:
            said = []
            for piece in work():
                said.append(piece)
                yield event({"content": piece})
            yield event({"role": "assistant", "content": "".join(said)}, "done")

        if request.stream:
            return EventStream(pool.stream(events), lambda why: event({"detail": why}, "error"))
        content = await pool.run(lambda: "".join(work()))
        return Reply(role="assistant", content=content)

    return router


def _run_routes(recordings: Recordings) -> APIRouter:
    router = APIRouter()

    @router.get("/runs")
    def list_runs() -> Runs:
        """List the recorded runs, the latest first."""
        return Runs(runs=recordings.list())

    @router.get(
        "/runs/{name}",
        responses=INVALID | {404: {"model": Problem, "description": "There is no such run"}},
    )
    def read_run(name: str, offset: Annotated[int, Query(ge=0, le=LARGEST_SEED)] = 0) -> RunLog:
        """Return the steps and names in a run's log from a byte offset on."""
        found = recordings.read(name, offset)
        if found is None:
            raise HTTPException(404, "there is no such run")
        return found

    return router
