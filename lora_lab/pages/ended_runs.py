"""What the Lab page's buttons do with ended runs: another start, a merge, deleting, moving damaged ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_lab.data.datasets import load_saved
from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.pages.train_parts import SettingParts
from lora_lab.settings.run_form import build_address, check_ready, parse_spec_address
from lora_lab.settings.urls import with_origin
from lora_lab.views.run_panel import RunPanel
from study.base.errors import LearnerError
from study.io.set_aside import set_aside
from study.ports.context import Context, Visit
from study.web import form_event
from study.web.frame import Reply


@dataclass(frozen=True)
class EndedRuns:
    """Operations on ended runs, each with the page's answer."""

    _context: Context
    _lab: Lab
    _panel: RunPanel
    _parts: SettingParts

    def start_again(self, event: Mapping[str, Any], visit: Visit, *, learner: str) -> Reply:
        """Start a run with the settings and data of an ended one. A grid's cell is replaced by its new run.

        Raises LearnerError where a learner may not start such a run, and where the ended one has lost its
        data or was replaced before.
        """
        old = self._lab.run(form_event.read_text(event, "run"))
        if not visit.may_use_lab:
            check_ready(old.spec)
        if self._parts.find_too_large(old.spec):  # the form shows the reason, and Start asks to confirm it
            return {"goto": with_origin(build_address(old.spec), visit.query)}
        now, engine = self._context.clock(), self._lab.engine
        if learner:
            run = engine.submit(old.spec, load_saved(old.path), now=now, learner=learner)
        else:
            run = engine.retry(old.run_id, now=now)
        return {"goto": with_origin(build_address(old.spec, run_id=run.run_id), visit.query)}

    def merge(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        """Start merging a run's adapter into its base. Raises LearnerError while a run is training."""
        run = self._lab.run(form_event.read_text(event, "run"))
        current = self._lab.engine.find_current()
        if current and not self._lab.run(current).state().ended:
            raise LearnerError(
                "A run is training, and merging would slow it.", do_next="Merge when it has ended."
            )
        self._lab.merge(run)
        shown = self._panel.find_run(visit.query)
        return {
            "say": "Merging.",
            "parts": self._panel.render_parts(shown, visit, narrow=form_fields.is_narrow(event)),
        }

    def delete(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        """Delete a run with its adapter. Raises LearnerError unless it has ended."""
        run = self._lab.run(form_event.read_text(event, "run"))
        if not run.state().ended:
            raise LearnerError("This run has not ended.", do_next="Stop it first.")
        self._lab.delete_run(run)
        query = dict(visit.query)
        if query.get("run") == run.run_id:
            query.pop("run")
        shown = self._panel.find_run(query)
        return {
            "parts": {
                **self._panel.render_parts(shown, visit, narrow=form_fields.is_narrow(event), whole=True),
                "runs": self._panel.list_part(shown.run_id if shown else ""),
                "stage": self._panel.render_stage(shown, query),
            },
            "url": with_origin(build_address(parse_spec_address(query), run_id=query.get("run", "")), query),
            "say": "Run deleted.",
            "focus": "#runs-title",
            "then": "draw",
        }

    def set_damaged_aside(self, visit: Visit) -> Reply:
        """Move the runs that can't be read out of the folder of runs."""
        set_aside(self._lab.scan_runs()[1], self._lab.settings.home)
        run = self._panel.find_run(visit.query)
        return {
            "parts": {"runs": self._panel.list_part(run.run_id if run else "")},
            "say": "Moved to set-aside/runs in the data folder.",
            "focus": "#runs-title",
        }
