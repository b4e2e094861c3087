"""The routes below /v1, for clients of OpenAI's API; a client's Authorization is not looked at."""

from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel

from microgpt.service.events import EventStream
from microgpt.service.openai.answer import Answer, Json, failed
from microgpt.service.openai.chat import ChatAnswer, ChatCompletion
from microgpt.service.openai.completions import Completion, CompletionAnswer
from microgpt.service.openai.models import ModelList, ModelObject, Models
from microgpt.service.openai.requests import ChatCompletionRequest, CompletionRequest
from microgpt.service.pool import Pool
from microgpt.service.problems import declared


class Problem(BaseModel):
    """Why a request is not answered: a sentence, the field, a code that programs can tell apart."""

    class Error(BaseModel):
        """What went wrong."""

        message: str
        type: str
        param: str | None
        code: str | None

    error: Error


Responses = dict[int | str, dict[str, Any]]  # FastAPI's own type of a route's answers
UNKNOWN: Responses = {404: {"model": Problem, "description": "There is no such model"}}
EVENT = {  # the schema of an event
    "type": "object",
    "properties": {"data": {"type": "string", "description": "JSON, in the last event [DONE]"}},
    "required": ["data"],
}
EVENTS = {
    "content": {"text/event-stream": {"schema": EVENT}},
    "description": "The answer; with `stream` its parts as events",
}
COMPUTED: Responses = UNKNOWN | {
    400: {"model": Problem, "description": "A field is refused"},
    408: {"model": Problem, "description": "The body did not come in time"},
    413: {"model": Problem, "description": "The body is too large"},
    415: {"model": Problem, "description": "The body is not declared as JSON"},
    503: {"model": Problem, "description": "Out of time, or too busy"},
}


def openai_routes(models: Models, pool: Pool) -> APIRouter:
    """Return the routes, without their prefix."""
    router = APIRouter(tags=["OpenAI-compatible"])

    async def computed(answer: Answer, stream: bool) -> Response:
        if stream:
            return EventStream(pool.stream(answer.events), failed)
        return Json(await pool.run(answer.whole))

    @router.get("/models")
    async def list_models() -> ModelList:
        """List the models; a request that names none gets the first."""
        return models.list()

    @router.get("/models/{name}", responses=UNKNOWN)
    async def retrieve_model(name: str) -> ModelObject:
        """Return a model of the list."""
        return models.describe(models.find(name))

    @router.post(
        "/chat/completions",
        dependencies=[Depends(declared)],
        responses=COMPUTED | {200: EVENTS | {"model": ChatCompletion}},
    )
    async def chat_completions(body: ChatCompletionRequest) -> Response:
        """Reply to a conversation."""
        return await computed(ChatAnswer(models.find(body.model), body), body.stream)

    @router.post(
        "/completions",
        dependencies=[Depends(declared)],
        responses=COMPUTED | {200: EVENTS | {"model": Completion}},
    )
    async def completions(body: CompletionRequest) -> Response:
        """Continue prompts as documents."""
        return await computed(CompletionAnswer(models.find(body.model), body), body.stream)

    return router
