"""A project as one HTML page to keep: hypothesis, results, conclusion, figures, settings, versions."""

from lora_lab.grid_report import devices_of, figures_of, settings_of, versions_of
from lora_lab.ledger import percent_above
from lora_lab.project_desk import ProjectDesk, Standing
from study.errors import LearnerError
from study.templates import render


def project_report(desk: ProjectDesk, standing: Standing, *, by: str) -> str:
    """One file that needs nothing else. Raises LearnerError before there is anything to report."""
    if standing.sweep is None or standing.conclusion is None:
        raise LearnerError("This project has no conclusion yet.", do_next="Write it on the project's page.")
    cells = desk.cells(standing)
    return render(
        "lora_lab/project_report.html",
        project=standing.project,
        standing=standing,
        by=by,
        results=desk.results(standing),
        sweep=standing.sweep,
        curves=desk.curves(standing),
        plots=figures_of(cells),
        cells=list(enumerate(cells, start=1)),
        percent_above=percent_above,
        settings=settings_of(standing.sweep),
        devices=devices_of(cells),
        versions=versions_of(cells),
    )
