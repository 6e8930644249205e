"""The Lab page's run panel and list of runs, in parts that a poll can replace one by one."""

from collections.abc import Mapping

from lora_lab.charts import run_view
from lora_lab.lab import Lab
from lora_lab.predictions.of_runs import Predictions
from lora_lab.runs.export_script import uncovered
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.merged_model import Merged
from lora_lab.settings.run_form import address_of
from study.base.errors import LearnerError
from study.ports.context import Visit
from study.text.templates import render

RUNS_SHOWN = 30
RUN_PARTS = (
    "run-head", "run-figures", "run-actions", "run-curves", "run-zoom", "run-results", "run-exports"
)  # fmt: skip


class RunPanel:
    """The run panel and the list of runs, rendered from the run folders at every request."""

    def __init__(self, lab: Lab, predictions: Predictions) -> None:
        self._lab = lab
        self._predictions = predictions

    def run_of(self, query: Mapping[str, str]) -> RunFolder | None:
        """Return the run in the address; else the one in progress; else the newest."""
        wanted = query.get("run") or self._lab.engine.current()
        if wanted:
            try:
                return self._lab.run(wanted)
            except LearnerError:
                pass
        return next(iter(self._lab.runs()), None)

    def ahead(self, run: RunFolder) -> int:
        """Return the number of runs queued before this one; 0 when it is in progress."""
        waiting = self._lab.engine.waiting()
        if run.run_id not in waiting:
            return 0
        return waiting.index(run.run_id) + (1 if self._lab.engine.current() else 0)

    def latest_ended(self) -> str:
        """Return the id of the newest run that has ended: when it changes, plots have new points."""
        return next((run.run_id for run in self._lab.runs() if self._lab.state(run).ended), "none")

    def parts(
        self, run: RunFolder | None, visit: Visit, *, narrow: bool, whole: bool = False
    ) -> dict[str, str]:
        """Render the panel in parts, so a poll replaces only what changed and no button during a click.

        `whole` shows all steps, whatever range the address names.
        """
        if run is None:
            empty = dict.fromkeys((*RUN_PARTS, "run-rate", "run-prediction"), "")
            return empty | {"run-head": render("lora_lab/no_run.html")}
        state, spec = self._lab.state(run), run.spec
        window = None if whole else window_of(visit.query)
        curves = run_view.curves(state, spec, window=window, narrow=narrow)
        values = {
            "run": run,
            "state": state,
            "spec": spec,
            "title": run_view.title_of(spec),
            "settings": run_view.settings_of(spec),
            "figures": run_view.progress(state, spec),
            "curves": curves,
            "zoomed": window is not None,
            "ahead": self.ahead(run),
            "stopping": run.stop_path.exists(),
            "samples": run.samples() if state.ended else [],
            "address": address_of(spec, run_id=run.run_id),
            "has_adapter": run.adapter_path.is_dir(),
            "uncovered": uncovered(spec),
            "merged": Merged(run),
            "merged_bytes": 4 * (state.started["total"] - state.started["trainable"]) if state.started else 0,
        }
        parts = {name: render(f"lora_lab/{name.replace('-', '_')}.html", **values) for name in RUN_PARTS}
        prediction = self._predictions.part(visit, run)
        return parts | {"run-rate": curves["rate"] if state.steps else "", "run-prediction": prediction}

    def list_part(self, shown: str) -> str:
        """Render the newest runs, with the one whose id is `shown` marked."""
        rows = [
            {
                "run": run,
                "state": self._lab.state(run),
                "title": run_view.title_of(run.spec),
                "detail": run_view.detail_of(run.spec),
                "address": address_of(run.spec, run_id=run.run_id),
            }
            for run in self._lab.runs()[:RUNS_SHOWN]
        ]
        return render("lora_lab/runs.html", rows=rows, shown=shown)


def last_run(lab: Lab) -> str | None:
    """Render one line about the newest finished run, for the Today page."""
    for run in lab.runs():
        state = lab.state(run)
        if state.ended and state.loss_after is not None:
            return render(
                "lora_lab/last_run.html",
                title=run_view.title_of(run.spec),
                state=state,
                address=address_of(run.spec, run_id=run.run_id),
            )
    return None


def window_of(query: Mapping[str, str]) -> run_view.Window | None:
    """Parse the range of steps that an address names; None for all of them."""
    first, last = query.get("from", ""), query.get("to", "")
    if first.isdecimal() and last.isdecimal() and int(first) < int(last):
        return float(first), float(last)
    return None
