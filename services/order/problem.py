"""Answers API errors as `application/problem+json` (RFC 9457), each with its remedy."""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from sagakit.web.encoded_slash import EncodedSlashRoute
from schemas.rules import printable


class FieldProblem(BaseModel):
    """An error in one field of a request, with its remedy."""

    field: str
    reason: str
    remedy: str


_NO_JSON = FieldProblem(field="body", reason="is not JSON", remedy="send a JSON object")


class Problem(BaseModel):
    """An error: `code` for programs, `title` and `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    order_id: str | None = None
    order_status: str | None = None
    problems: list[FieldProblem] | None = None


class ProblemError(Exception):
    """Raised to answer a request with `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class ProblemRoute(EncodedSlashRoute):
    """A route that answers its errors, validation errors included, as problems."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler so that its errors become problem responses."""
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except ProblemError as refused:
                problem = refused.problem
            except RequestValidationError as error:
                problem = invalid_request(_field_problem(e) for e in error.errors())
            except HTTPException as error:
                if error.status_code != 400:
                    raise
                # FastAPI raises 400 for a body that Python cannot parse: bad bytes, depth, digits
                problem = invalid_request([_NO_JSON])
            return JSONResponse(
                problem.model_dump(exclude_none=True),
                problem.status,
                media_type="application/problem+json",
            )

        return handle_or_explain


def invalid_request(problems: Iterable[FieldProblem]) -> Problem:
    """Return a 422 problem with every invalid field, the reason and the remedy."""
    found = list(problems)
    detail = "; ".join(f"{p.field} {p.reason}: {p.remedy}" for p in found)
    return Problem(
        title="The request is not valid",
        status=422,
        code="invalid",
        detail=printable(detail, 2000),
        problems=found,
    )


def field_problems(texts: Sequence[str]) -> list[FieldProblem]:
    """Parse the texts of `schemas.rules.problems`, each `<field> <reason>: <remedy>`."""
    found = []
    for text in texts:
        field, _, rest = text.partition(" ")
        reason, _, remedy = rest.rpartition(": ")
        found.append(FieldProblem(field=field, reason=reason, remedy=remedy))
    return found


def validation_problem(errors: Iterable[Any]) -> Problem:
    """Return a 422 problem for pydantic's errors in a part of the body."""
    return invalid_request(
        _field_problem({**error, "loc": ("body", *error["loc"])}) for error in errors
    )


def _field_problem(error: dict[str, Any]) -> FieldProblem:
    where = ""
    for part in error["loc"][1:] or error["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    field = printable(where.lstrip("."), 200)
    match error["type"]:
        case "missing":
            return FieldProblem(field=field, reason="is missing", remedy="add it")
        case "extra_forbidden":
            return FieldProblem(
                field=field, reason="is not a field of this request", remedy="remove it"
            )
        case "json_invalid":
            return _NO_JSON
        case "model_attributes_type" if field == "body":
            return _NO_JSON
    got = ascii(error["input"])
    shown = got if len(got) <= 80 else f"{got[:80]}..."
    return FieldProblem(field=field, reason=f"is {shown}", remedy=str(error["msg"]))
