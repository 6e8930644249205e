"""Projects: `/projects` lists them, `/projects?id=does-rank-matter` is one, from hypothesis to report."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup, escape

from lora_lab.charts.captions import shorten_model_name
from lora_lab.projects.content import read_projects
from lora_lab.projects.service import (
    PROJECTS,
    ProjectProgress,
    ProjectService,
    build_project_address,
    draft_key,
)
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid_form import AXIS_LABELS, build_grid_address
from lora_lab.settings.urls import build_sweep_address
from lora_lab.views.sweep_view import format_title, list_lists
from study.ports.context import Context, Visit
from study.store.logs.projects import TEXT_LIMIT, EntryKind
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

LEARNERS_MAY = ("poll", "draft", "hypothesis", "conclude", "choose")


@dataclass(frozen=True, kw_only=True)
class ProjectsPage:
    place = frame.IslandPlace(
        elem_id="projects",
        title="Projects",
        path=PROJECTS,
        under="/learn",
        look="project",
        learners_may=LEARNERS_MAY,
    )

    context: Context
    service: ProjectService

    def load(self, request: gr.Request) -> Markup:
        """Render the list, or the project that the address names."""
        visit = frame.open_visit(self.context, request)
        project_id = visit.query.get("id", "")
        return (
            self._render_page(visit, self._read_progress(visit, project_id))
            if project_id
            else self._list(visit)
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle one event or one poll of the runs."""
        visit = frame.open_visit(self.context, request, event)
        if event.get("act") == "poll":
            return self._poll(visit)
        progress = self._read_progress(visit, form_event.read_text(event, "project"))
        match event.get("act"):
            case "draft":
                return self._draft(visit, progress, event)
            case "hypothesis":
                text = form_event.read_field(event, "text", limit=TEXT_LIMIT)
                self.service.write(visit, progress.project, "hypothesis", text)
                return self._show(
                    visit, progress, say="Your hypothesis is kept. Now run a grid.", focus="#runs"
                )
            case "conclude":
                self.service.conclude(visit, progress, form_event.read_field(event, "text", limit=TEXT_LIMIT))
                return self._show(visit, progress, say="Your report is ready.", focus="#conclusion")
            case "measure":
                if progress.sweep is not None:
                    self.service.lab.measure_afterwards(progress.sweep)
                return self._show(visit, progress, say="Measuring.", focus="#results")
            case "choose":
                chosen = form_event.read_field(event, "sweep")
                fresh = self.service.read_progress(visit, progress.project, sweep_id=chosen)
                url = build_project_address(progress.project.id, sweep_id=chosen)
                return {"html": self._render_page(visit, fresh), "url": url, "focus": "#results"}
        raise form_event.build_unknown_act_error(event)

    def _read_progress(self, visit: Visit, project_id: str) -> ProjectProgress:
        project = self.service.find(project_id)
        return self.service.read_progress(visit, project, sweep_id=visit.query.get("sweep", ""))

    def _show(self, visit: Visit, progress: ProjectProgress, *, say: str, focus: str) -> Reply:
        html = self._render_page(visit, self._read_progress(visit, progress.project.id))
        return {"html": html, "say": say, "focus": focus}

    def _draft(self, visit: Visit, progress: ProjectProgress, event: dict[str, Any]) -> Reply:
        kind: EntryKind = "hypothesis" if event.get("kind") == "hypothesis" else "conclusion"
        text = form_event.read_text(event, "value", limit=TEXT_LIMIT)
        key = draft_key(progress.project, kind)
        self.context.store.drafts.save(visit.profile.id, key, text, at=visit.now)
        return {}

    def _poll(self, visit: Visit) -> Reply:
        progress = self._read_progress(visit, visit.query.get("id", ""))
        if self._is_running(progress):
            return {"parts": {"words": escape(progress.words), "results": self._render_results(progress)}}
        return {
            "html": self._render_page(visit, progress),
            "say": "Everything is measured. The results are ready.",
        }

    def _is_running(self, progress: ProjectProgress) -> bool:
        """Return whether the results can still change without user action."""
        return not progress.ended or self.service.is_measuring(progress)

    def _render_results(self, progress: ProjectProgress) -> Markup:
        return render(
            "lora_lab/projects/project_shown.html",
            project=progress.project,
            results=self.service.compute_results(progress),
            curves=self.service.draw_curves(progress),
            unmeasured=self.service.count_unmeasured(progress),
            measuring=self.service.is_measuring(progress),
            problems=self.service.list_problems(progress),
            xray=self.service.build_xray_of_ranks(progress),
            done=sum(cell.ended for cell in progress.cells),
            total=len(progress.cells),
        )

    def _render_page(self, visit: Visit, progress: ProjectProgress) -> Markup:
        project, drafts = progress.project, self.context.store.drafts
        kinds: tuple[EntryKind, ...] = ("hypothesis", "conclusion")
        return render(
            "lora_lab/projects/project.html",
            project=project,
            progress=progress,
            concepts=self.context.concepts,
            grids=[
                (
                    each,
                    build_grid_address(each.grid),
                    list_lists(each.grid),
                    self.service.estimate_seconds(each.grid),
                )
                for each in project.grids
            ],
            varies=" and ".join(f"“{AXIS_LABELS[axis]}”" for axis in project.varies),
            address_of_sweep=build_sweep_address,
            titles={sweep.sweep_id: _format_title(sweep) for sweep in progress.sweeps},
            running=self._is_running(progress),
            results=self._render_results(progress) if progress.sweep else "",
            profile=visit.profile.id,
            drafts={kind: drafts.read(visit.profile.id, draft_key(project, kind)) for kind in kinds},
            limit=TEXT_LIMIT,
        )

    def _list(self, visit: Visit) -> Markup:
        all_progress = [self.service.read_progress(visit, project) for project in read_projects().values()]
        return render(
            "lora_lab/projects/projects.html", all_progress=all_progress, address=build_project_address
        )


def _format_title(sweep: Sweep) -> str:
    return format_title(sweep.grid, shorten_model_name(sweep.grid.base.model))
