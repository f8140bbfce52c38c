"""Errors as RFC 9457 documents, every one of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from stream_app.api.store import StoreUnavailable

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 1
"""`Retry-After` while the view does not answer."""


class Problem(Exception):
    """An error that becomes the answer.

    Parameters
    ----------
    status
        Of HTTP.
    detail
        The mistake, and the value expected.
    headers
        Sent with it.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def document(self) -> dict[str, str | int]:
        """Return the body."""
        return {
            "type": "about:blank",  # the status says what kind of problem it is (RFC 9457, 4.2.1)
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": self.detail,
        }

    def response(self) -> Response:
        """Return the answer."""
        return Response(msgspec.json.encode(self.document()), self.status, self.headers, MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Have every error of an application answered in this form."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(StoreUnavailable)
    async def _unavailable(_: Request, error: StoreUnavailable) -> Response:
        headers = {"Retry-After": str(RETRY_SECONDS)}
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {first['msg']}").response()

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        detail = error.detail if error.detail != status.phrase else status.description or status.phrase
        return Problem(status, detail, error.headers).response()

    @app.exception_handler(Exception)
    async def _failed(_: Request, error: Exception) -> Response:
        logger.error("a request failed", exc_info=error)
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error; details are in the server log").response()
