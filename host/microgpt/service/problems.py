"""How an error is answered: {"detail"} on the service's own routes, OpenAI's shape below /v1."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from microgpt.sampling import SamplingError
from microgpt.service.pool import OUT_OF_TIME, OverloadError
from microgpt.service.schemas import encodable

JSON = "application/json"
OPENAI = "/v1"  # the prefix of the routes in OpenAI's shape
OPENAI_ROUTES = f"GET {OPENAI}/models, POST {OPENAI}/chat/completions and POST {OPENAI}/completions"
# What clients ask for whose base URL lacks the prefix, or who are made for another API.
ELSEWHERE = ("/models", "/chat/completions", "/completions", "/responses", "/api/")
# What to do below /v1 about an error of pydantic's, by its type; the others have sentences of ours.
ADVICE = {
    "missing": "this field is required",
    "bool_type": "give true or false",
    "int_type": "give a whole number",
    "float_type": "give a finite number",
    "finite_number": "give a finite number",
    "greater_than_equal": "give at least {ge}",
    "less_than_equal": "give at most {le}",
    "string_type": "give a string",
    "string_too_short": "give a string that is not empty",
    "string_unicode": "give whole characters, no half of a surrogate pair",
    "literal_error": "give {expected}",
    "model_attributes_type": "give an object",
    "too_short": "give at least {min_length}",
    "too_long": "give at most {max_length}, not {actual_length}",
}


class Refusal(Exception):
    """A request below /v1 is refused: the field and a code that programs can tell apart."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code
        self.status = status


def openai_error(
    message: str, param: str | None = None, code: str | None = None, status: int = 400
) -> dict[str, dict[str, str | None]]:
    """Return an error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def is_openai(path: str) -> bool:
    """Return whether what is at a path is answered in OpenAI's shape."""
    return path == OPENAI or path.startswith((f"{OPENAI}/", *ELSEWHERE))


def answer(
    path: str, status: int, detail: Any, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer that says why the request for `path` failed; `detail` becomes JSON."""
    shape = openai_error(detail, status=status) if is_openai(path) else {"detail": detail}
    return JSONResponse(shape, status, headers)


async def declared(request: Request) -> None:
    """Refuse a body that is not declared as JSON, which a page elsewhere can send unasked."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise HTTPException(415, f"send JSON, with the header Content-Type: {JSON}")


def report_errors(app: FastAPI) -> None:
    """Answer every error as JSON that shows no path and no code of this computer."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _invalid(request.url.path, error.errors())

    @app.exception_handler(Refusal)
    async def refusal(_: Request, error: Refusal) -> JSONResponse:
        shape = openai_error(str(error), error.param, error.code, error.status)
        return JSONResponse(shape, error.status)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path
        if error.status_code == 400:  # FastAPI's, for a body that is not JSON
            where = {"loc": ["body"], "msg": "not JSON that can be read", "type": "json_invalid"}
            return _invalid(path, [where])
        detail = error.detail
        if is_openai(path) and error.status_code in (404, 405):
            detail = f"no {request.method} {path} here: there are {OPENAI_ROUTES}"
        return answer(path, error.status_code, encodable(detail), error.headers)

    @app.exception_handler(TimeoutError)
    async def too_late(request: Request, _: object) -> JSONResponse:
        return answer(request.url.path, 503, OUT_OF_TIME)

    @app.exception_handler(SamplingError)
    async def not_finite(request: Request, error: SamplingError) -> JSONResponse:
        return answer(request.url.path, 500, str(error))

    @app.exception_handler(OverloadError)
    async def too_busy(request: Request, _: object) -> JSONResponse:
        return answer(request.url.path, 503, "too busy: again later", {"Retry-After": "1"})

    @app.exception_handler(Exception)
    async def failed(request: Request, _: object) -> JSONResponse:
        return answer(request.url.path, 500, "internal error")


def _invalid(path: str, errors: Sequence[dict[str, Any]]) -> JSONResponse:
    """Return the answer to a request whose body has these errors, as pydantic describes them.

    The values that were refused are not in it.
    """
    if is_openai(path):
        return JSONResponse(_first_problem(errors[0]), 400)
    detail = [
        {
            "loc": [
                part if isinstance(part, int) else encodable(str(part)) for part in item["loc"]
            ],
            "msg": encodable(item["msg"]),
            "type": item["type"],
        }
        for item in errors
    ]
    return JSONResponse({"detail": detail}, 422)


def _first_problem(error: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    """Return an error in a body in OpenAI's shape, with the field as in messages[0].content."""
    if error["type"] == "json_invalid":
        return openai_error("the body is not JSON that can be read")
    context = error.get("ctx", {})
    param = ""
    for part in (*error["loc"][1:], *context.get("path", ())):
        param += f"[{part}]" if isinstance(part, int) else f".{part}"
    param = encodable(param.removeprefix("."))
    advice = ADVICE.get(error["type"], "").format(**context)
    message = encodable(advice or error["msg"].removeprefix("Value error, "))
    if not param:
        return openai_error("the body is not a JSON object")
    return openai_error(f"{param}: {message}", param, context.get("code"))
