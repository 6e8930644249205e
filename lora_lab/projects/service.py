"""Service for projects: a learner's hypothesis, the grid that was run for it, results, conclusion."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from lora_lab.charts.live_chart import Series, draw_line_chart
from lora_lab.charts.run_view import list_points
from lora_lab.grids.estimate import estimate_here
from lora_lab.grids.results import GridCell
from lora_lab.lab import Lab
from lora_lab.projects.checks import ProjectEvidence, Result, run_checks
from lora_lab.projects.content import Project, read_projects
from lora_lab.runs.durations import estimate_time_of_all
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid import Grid
from lora_lab.settings.urls import build_xray_address, with_query
from lora_lab.views.comparison import LINE_COLOURS, MOST_RUNS, ComparisonChart
from study.base.errors import LearnerError
from study.ports.context import Visit
from study.ports.learn import ProjectLink
from study.store import Store
from study.store.logs.projects import EntryKind, ProjectEntry

PROJECTS = "/projects"


def build_project_address(project_id: str, *, sweep_id: str = "") -> str:
    """Return the address of a project's page, with the selected grid."""
    return with_query(PROJECTS, {"id": project_id, "sweep": sweep_id})


@dataclass(frozen=True, kw_only=True)
class ProjectProgress:
    """A learner's progress in one project; what is missing is None or empty."""

    project: Project
    entries: Sequence[ProjectEntry]
    sweeps: Sequence[Sweep]
    """Grids that can answer the question and were started after the first hypothesis, newest first."""

    sweep: Sweep | None
    """The selected grid."""

    cells: Sequence[GridCell] = ()

    @cached_property
    def hypothesis(self) -> ProjectEntry | None:
        """The newest hypothesis written before the grid was started; without a grid, the newest."""
        written = [entry for entry in self.entries if entry.kind == "hypothesis"]
        before = [entry for entry in written if self.sweep is None or entry.at <= _started_at(self.sweep)]
        return before[-1] if before else None

    @cached_property
    def later_hypotheses(self) -> list[ProjectEntry]:
        """Hypotheses written after the grid was started; they don't count as predictions of it."""
        return [
            entry
            for entry in self.entries
            if entry.kind == "hypothesis" and self.sweep and entry.at > _started_at(self.sweep)
        ]

    @cached_property
    def conclusion(self) -> ProjectEntry | None:
        """The newest conclusion."""
        return next((entry for entry in reversed(self.entries) if entry.kind == "conclusion"), None)

    @property
    def words(self) -> str:
        if self.conclusion:
            return "Finished: your report is ready."
        if self.sweep:
            return self._words_of_runs
        return "Your hypothesis is written; run a grid." if self.hypothesis else "not begun"

    @property
    def ended(self) -> bool:
        return all(cell.ended for cell in self.cells)

    @property
    def _words_of_runs(self) -> str:
        finished = sum(cell.status == "finished" for cell in self.cells)
        if not self.ended:
            return f"A grid is under way: {finished} of {len(self.cells)} runs have finished."
        if not finished:
            return "No run of the grid has finished; run another grid."
        return "A grid was run; the conclusion is missing."


@dataclass(frozen=True, kw_only=True)
class ProjectService:
    """The service for projects, on the learner's store and the lab's sweeps."""

    store: Store
    lab: Lab

    def find(self, project_id: str) -> Project:
        """Return a project by its id. Raises LearnerError when it is unknown."""
        found = read_projects().get(project_id)
        if found is None:
            raise LearnerError(f"There is no project {project_id!r}.", do_next="Choose one from the list.")
        return found

    def read_progress(self, visit: Visit, project: Project, *, sweep_id: str = "") -> ProjectProgress:
        """Return the progress with the grid `sweep_id`, else the conclusion's grid, else the newest."""
        entries = self.store.projects.entries(visit.profile.id).get(project.id, [])
        first = next((entry for entry in entries if entry.kind == "hypothesis"), None)
        sweeps = [
            sweep
            for sweep in self.lab.sweeps()
            if first and first.at <= _started_at(sweep) and project.is_answered_by(sweep.grid)
        ]
        concluded = next((entry.text for entry in reversed(entries) if entry.kind == "sweep"), "")
        by_id = {sweep.sweep_id: sweep for sweep in sweeps}
        sweep = by_id.get(sweep_id) or by_id.get(concluded) or next(iter(sweeps), None)
        cells = self.lab.cells(sweep) if sweep else ()
        return ProjectProgress(project=project, entries=entries, sweeps=sweeps, sweep=sweep, cells=cells)

    def estimate_seconds(self, grid: Grid) -> float | None:
        """Estimate the time of a grid here; None while no similar run has finished."""
        together = self.lab.count_cells_together(grid, first_seed=grid.seeds[0])
        paces = self.lab.paces.list_newest_first()
        return estimate_time_of_all(grid.list_specs(), paces, together=together).seconds

    def compute_results(self, progress: ProjectProgress) -> list[Result]:
        """Compute the checks on the runs; empty without a grid."""
        if progress.sweep is None:
            return []
        shape = self.lab.find_known_shape(progress.sweep.grid.base.model)  # its first run has kept it
        if shape is None:
            return []
        found = estimate_here(self.lab.home, progress.sweep.grid, progress.sweep.data_digest, [])
        evidence = ProjectEvidence(
            cells=progress.cells,
            shape=shape,
            ledgers=[cell.ledger for cell in found.cells],
            afterwards={
                cell.run_id: self.lab.open_extra_measurements(cell.run_id).values
                for cell in progress.cells
                if cell.run_id
            },
        )
        return run_checks(progress.project.checks, evidence)

    def draw_curves(self, progress: ProjectProgress) -> ComparisonChart | None:
        """Draw the loss curves if the project's question is about them; else None."""
        asked = any(check.check == "broken" for check in progress.project.checks)
        return draw_loss_curves(self.lab, progress.cells) if asked else None

    def build_xray_of_ranks(self, progress: ProjectProgress) -> str:
        """Return the address of an X-ray of lowest and highest rank; empty if only one has finished."""
        finished = [cell for cell in progress.cells if cell.status == "finished"]
        if "ranks" not in progress.project.varies or len({cell.spec.rank for cell in finished}) < 2:
            return ""
        ends = (pick(finished, key=lambda cell: cell.spec.rank).run_id for pick in (min, max))
        return build_xray_address(**dict(zip(("run", "with"), ends, strict=True)))

    def count_unmeasured(self, progress: ProjectProgress) -> int:
        """Count the finished runs that lack the measurement that the project's checks need."""
        if not progress.project.needs_measuring:
            return 0
        finished = [cell.run_id for cell in progress.cells if cell.status == "finished"]
        return sum(self.lab.open_extra_measurements(run_id).can_be_measured for run_id in finished)

    def is_measuring(self, progress: ProjectProgress) -> bool:
        """Return whether a worker measures the grid's runs now."""
        return progress.sweep is not None and self.lab.is_measuring(progress.sweep)

    def list_problems(self, progress: ProjectProgress) -> list[str]:
        """List why runs could not be measured."""
        if not progress.project.needs_measuring:
            return []
        found = (
            self.lab.open_extra_measurements(cell.run_id).problem for cell in progress.cells if cell.run_id
        )
        return sorted(set(filter(None, found)))

    def write(self, visit: Visit, project: Project, kind: EntryKind, text: str) -> None:
        """Store a hypothesis or a conclusion, and clear its draft. Raises LearnerError when it is empty."""
        if not text.strip():
            raise LearnerError("The box is empty.", do_next="Write a sentence or two, in any words you like.")
        self.store.projects.write(visit.profile.id, project.id, kind, text.strip(), at=visit.now)
        self.store.drafts.save(visit.profile.id, draft_key(project, kind), "", at=visit.now)

    def conclude(self, visit: Visit, progress: ProjectProgress, text: str) -> None:
        """Store a conclusion with its grid. Raises LearnerError when no run has ended or it is empty."""
        if progress.sweep is None or not any(cell.ended for cell in progress.cells):
            raise LearnerError("No run of this project has ended yet.", do_next="Run a grid first.")
        self.write(visit, progress.project, "conclusion", text)
        sweep_id = progress.sweep.sweep_id
        self.store.projects.write(visit.profile.id, progress.project.id, "sweep", sweep_id, at=visit.now)

    def build_link(self, visit: Visit, project_id: str) -> ProjectLink:
        """Build the link to the project on a concept's page."""
        project = self.find(project_id)
        progress = self.read_progress(visit, project)
        return ProjectLink(
            name=project.name,
            address=build_project_address(project_id),
            question=project.question,
            progress=progress.words,
            done=progress.conclusion is not None,
        )


def draft_key(project: Project, kind: EntryKind) -> str:
    """Return the key under which an unfinished text is stored."""
    return f"project:{project.id}:{kind}"


def _started_at(sweep: Sweep) -> datetime:
    return datetime.fromtimestamp(sweep.created_at, UTC)


def draw_loss_curves(lab: Lab, cells: Sequence[GridCell]) -> ComparisonChart | None:
    """Draw the curves of the first runs that have stepped; None before one has."""
    begun = [cell for cell in cells if cell.run_id][:MOST_RUNS]
    series = [
        Series(
            label=f"{cell.spec.learning_rate:g}",
            points=list_points(lab.run(cell.run_id).state(), "loss"),
            colour=colour,
        )
        for cell, colour in zip(begun, LINE_COLOURS, strict=False)
    ]
    drawn = [line for line in series if line.points]
    if not drawn:
        return None
    title = _write_title(drawn)
    steps = max(2, *(cell.spec.steps for cell in begun))
    svg = draw_line_chart(
        drawn, title=title, x_label="step", y_label="training loss, one line per learning rate",
        window=(1, steps), y_format="{:.2f}".format,
    )  # fmt: skip
    return ComparisonChart(name="loss", title=title, svg=svg)


def _write_title(drawn: Sequence[Series]) -> str:
    # `not <=` also catches a loss of NaN.
    climbed = [line.label for line in drawn if not line.points[-1][1] <= line.points[0][1]]
    if not climbed:
        return "The training loss ends below its first step at every learning rate"
    return f"The training loss ends above its first step at a learning rate of {', '.join(climbed)}"
