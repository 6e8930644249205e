"""A project's report as a file, for the learner whose browser requests it."""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from markupsafe import Markup

from lora_lab.projects.service import ProjectProgress, ProjectService
from lora_lab.views.grid_report import build_report_variables
from study.base.errors import LearnerError
from study.ports.context import Context, find_visit
from study.text.templates import render
from study.web.security.middleware import find_browser


def render_project_report(service: ProjectService, progress: ProjectProgress, *, by: str) -> Markup:
    """Render the report as one self-contained file. Raises LearnerError without a conclusion."""
    if progress.sweep is None or progress.conclusion is None:
        raise LearnerError("This project has no conclusion yet.", do_next="Write it on the project's page.")
    return render(
        "lora_lab/projects/project_report.html",
        project=progress.project,
        progress=progress,
        by=by,
        results=service.compute_results(progress),
        sweep=progress.sweep,
        curves=service.draw_curves(progress),
        **build_report_variables(progress.sweep, progress.cells),
    )


def register(site: FastAPI, context: Context, service: ProjectService) -> None:
    """Add the route; it must precede the pages."""

    @site.get("/projects/{project_id}/report.html")
    def send_report(project_id: str, request: Request) -> Response:
        """Send the report, to open in the browser and save from there."""
        browser_id = find_browser(request.cookies)
        visitor = find_visit(context, browser_id=browser_id, query=dict(request.query_params))
        progress = service.read_progress(visitor, service.find(project_id))
        html = render_project_report(service, progress, by=visitor.profile.name)
        named = {"Content-Disposition": f'inline; filename="{project_id}.html"', "Cache-Control": "no-store"}
        return Response(html, media_type="text/html; charset=utf-8", headers=named)
