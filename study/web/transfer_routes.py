"""The routes of Import and export: downloads by exchange and format, and the upload of one file."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import PurePosixPath

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect, Request

from study.base.errors import LearnerError
from study.base.import_limits import PACKAGE_BYTES
from study.io.exchange import Exchange, File
from study.io.pending_upload import PendingUploads
from study.ports.context import Context
from study.web import form_event, frame
from study.web.downloads import answer_not_found, answer_with_file

UPLOAD_PATH = "/io/upload"
LARGER_BODIES = {UPLOAD_PATH: PACKAGE_BYTES}

MEDIA = {
    "apkg": "application/octet-stream",
    "csv": "text/csv; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
    "xml": "application/xml",
    "gift": "text/plain; charset=utf-8",
    "zip": "application/zip",
}


def register(
    site: FastAPI, context: Context, exchanges: Mapping[str, Exchange], pending: PendingUploads
) -> None:
    files = Transfer(context, exchanges, pending)
    site.get("/io/{exchange}/{name}")(files.download)
    site.post(UPLOAD_PATH)(files.upload)


class Transfer:
    """One method per route; what can't be done is answered with a sentence."""

    def __init__(self, context: Context, exchanges: Mapping[str, Exchange], pending: PendingUploads) -> None:
        self._context = context
        self._exchanges = exchanges
        self._pending = pending

    def download(self, exchange: str, name: str, request: Request) -> Response:
        """The files of one format; several come in a zip."""
        found = self._exchanges.get(exchange)
        if found is None or name not in [offered.name for offered in found.formats]:
            return answer_not_found("There is no such download.")
        try:
            visit = frame.open_visit(self._context, request)
            files = found.export(visit.profile.id, name, now=visit.now)
        except LearnerError as error:
            return PlainTextResponse(str(error), HTTPStatus.FORBIDDEN)
        file = files[0] if len(files) == 1 else _pack_files(f"lora-study-{exchange}-{name}.zip", files)
        return answer_with_file(
            file.content, MEDIA.get(file.extension, "application/octet-stream"), file.name
        )

    async def upload(self, request: Request) -> Response:
        """One file; it waits until the learner has seen what it would do."""
        given = form_event.clean(request.query_params.get("name", ""))
        name = PurePosixPath(given.replace("\\", "/")).name or "file"
        try:
            # In a thread: a new browser is written down, which may have to wait for another write.
            profile = (await run_in_threadpool(frame.open_visit, self._context, request)).profile
            await self._pending.receive(profile.id, name, request.stream())
        except LearnerError as error:
            return JSONResponse({"error": str(error)}, HTTPStatus.OK)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        return JSONResponse({})


def _pack_files(name: str, files: Sequence[File]) -> File:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file.name, file.content)
    return File(name=name, content=packed.getvalue())
