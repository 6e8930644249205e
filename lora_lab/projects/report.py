"""Report of a project as one HTML page: hypothesis, results, conclusion, figures, settings, versions."""

from markupsafe import Markup

from lora_lab.projects.service import ProjectProgress, ProjectService
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.views.grid_report import devices_of, figures_of, list_grid_settings, versions_of
from study.base.errors import LearnerError
from study.text.templates import render


def project_report(service: ProjectService, progress: ProjectProgress, *, by: str) -> Markup:
    """Render the report as one self-contained file. Raises LearnerError without a conclusion."""
    if progress.sweep is None or progress.conclusion is None:
        raise LearnerError("This project has no conclusion yet.", do_next="Write it on the project's page.")
    return render(
        "lora_lab/projects/project_report.html",
        project=progress.project,
        progress=progress,
        by=by,
        results=service.results(progress),
        sweep=progress.sweep,
        curves=service.curves(progress),
        plots=figures_of(progress.cells),
        cells=list(enumerate(progress.cells, start=1)),
        percent_above=percent_above,
        settings=list_grid_settings(progress.sweep),
        devices=devices_of(progress.cells),
        versions=versions_of(progress.cells),
    )
