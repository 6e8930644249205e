"""The answer of a route when the disk or the database refuses: a sentence, and a status of the 500s."""

import errno

from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from study.base.errors import StorageError, StorageKind
from study.store.storage_errors import classify_storage_error
from study.web.downloads import answer_not_found

STATUS: dict[StorageKind, int] = {"full": 507}
UNAVAILABLE = 503


def register(site: FastAPI) -> None:
    """Answer in words on every route; a page answers by itself."""
    site.add_exception_handler(OSError, _answer)
    site.add_exception_handler(DBAPIError, _answer)
    site.add_exception_handler(StorageError, _answer)


async def _answer(_request: Request, error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # no file has such a name
        return answer_not_found("There is nothing at that address.")
    kind = error.kind if isinstance(error, StorageError) else classify_storage_error(error)
    if kind is None:
        raise error
    return PlainTextResponse(str(StorageError(kind)), STATUS.get(kind, UNAVAILABLE))
