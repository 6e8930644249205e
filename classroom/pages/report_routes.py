"""The report of a class, its files, and the deletion of a class. For the teacher only, as the gate says."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from classroom.access.keys import Keys
from classroom.live.hub import Hub
from classroom.pages import documents
from classroom.pages.requests import parse_form
from classroom.reports.export import FILES, export
from classroom.reports.report import FEWEST_FOR_DISCRIMINATION, Report, build_report
from classroom.reports.report_details import list_grids, list_sentences
from study.base.confidence_intervals import format_percent
from study.base.errors import LearnerError
from study.ports.context import Context
from study.web.downloads import answer_not_found, answer_with_file


class ReportRoutes:
    def __init__(self, context: Context, hub: Hub, keys: Keys) -> None:
        self._context = context
        self._hub = hub
        self._keys = keys

    def register(self, site: FastAPI) -> None:
        site.get("/class/{code}/report", response_model=None)(self.show_report)
        site.get("/class/{code}/export/{name}", response_model=None)(self.export)
        site.post("/class/{code}/delete", response_model=None)(self.delete)

    def show_report(self, code: str) -> Response:
        found = self._build_report(code)
        if found is None:
            return answer_not_found(f"There is no class with the code {code}.")
        return documents.render_page(
            "report/report",
            title=f"Report: {found.record.room.title}",
            code=code,
            found=found,
            record=found.record,
            grids=list_grids(found),
            sentences=list_sentences(found),
            files={name: content for name, (_, content) in FILES.items()},
            percent=_as_percent,
            fewest=FEWEST_FOR_DISCRIMINATION,
        )

    def export(self, code: str, name: str) -> Response:
        found = self._build_report(code) if name in FILES else None
        if found is None:
            return answer_not_found("There is no such file.")
        return answer_with_file(export(found, name), FILES[name][0], f"class-{code}-{name}")

    async def delete(self, code: str, request: Request) -> Response:
        if (await parse_form(request)).get("sure") != "yes":
            return RedirectResponse(f"/class/{code}/report", HTTPStatus.SEE_OTHER)
        try:
            await self._hub.delete(await self._hub.find(code))
        except LearnerError as error:
            return answer_not_found(str(error))
        await run_in_threadpool(self._keys.reload)
        return RedirectResponse("/class", HTTPStatus.SEE_OTHER)

    def _build_report(self, code: str) -> Report | None:
        record = self._context.store.classes.read_record(code)
        return build_report(record) if record else None


def _as_percent(share: float | None) -> str:
    return "–" if share is None else format_percent(share)
