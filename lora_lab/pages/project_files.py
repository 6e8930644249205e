"""A project's report as a file, for the learner whose browser requests it."""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from lora_lab.projects.report import project_report
from lora_lab.projects.service import ProjectService
from study.base.errors import LearnerError
from study.ports.context import Context, find_visit
from study.web.downloads import not_found
from study.web.middleware import browser_of


def register(site: FastAPI, context: Context, service: ProjectService) -> None:
    """Add the route; it must precede the pages."""
    site.get("/projects/{project_id}/report.html")(ProjectFiles(context, service).report)


class ProjectFiles:
    """Route handlers, one method per route."""

    def __init__(self, context: Context, service: ProjectService) -> None:
        self._context = context
        self._service = service

    def report(self, project_id: str, request: Request) -> Response:
        """Return the report, to open in the browser and save from there."""
        try:
            browser_id = browser_of(request.cookies)
            visitor = find_visit(self._context, browser_id=browser_id, query=dict(request.query_params))
            progress = self._service.read_progress(visitor, self._service.find(project_id))
            html = project_report(self._service, progress, by=visitor.profile.name)
        except LearnerError as error:
            return not_found(str(error))
        named = {"Content-Disposition": f'inline; filename="{project_id}.html"', "Cache-Control": "no-store"}
        return Response(html, media_type="text/html; charset=utf-8", headers=named)
