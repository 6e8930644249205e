"""The Lab page's run panel and list of runs, in parts that a poll can replace one by one."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from markupsafe import Markup

from lora_lab.charts import run_view
from lora_lab.engine.queue import count_ahead
from lora_lab.lab import Lab
from lora_lab.memory.frameworks.forecast import CONTEXT_BYTES, RESERVED_SHARE, compute_unused_bytes
from lora_lab.parameters.json_fields import parse_digits
from lora_lab.predictions.judging import FACTOR, LOSS_TIE
from lora_lab.predictions.run_predictions import Predictions, say_guess
from lora_lab.runs.failures import TRANSIENT_CAUSES
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.predicted_vs_measured import heaviest_came_first, may_have_met_heaviest
from lora_lab.runs.state import RunState
from lora_lab.settings.run_form import build_address
from lora_lab.settings.urls import MICROSCOPE, build_sweep_address
from lora_lab.spec import RunSpec
from lora_lab.views.held_out import did_harm, trains_on_same_rows
from lora_lab.views.outcome import Outcome, describe_outcome, suggest_experiment
from study.base.html import NO_HTML
from study.ports.context import Visit
from study.ports.today import LastRun
from study.text.templates import render

RUNS_SHOWN = 30
LIVE_PARTS = ("run-head", "run-figures", "run-curves", "run-zoom")  # new with every step
SETTLED_PARTS = ("run-actions", "run-results", "run-exports")  # new when the run goes into another state
RUN_PARTS = (*LIVE_PARTS, "run-outcome", *SETTLED_PARTS)

Stage = Literal["setup", "run", "failed"]
"""What stands at the top of the page: the form, a run in its place, or a failed run above the form."""

PANELS_KEPT = 100
ZOOM = "steps_shown"
"""The query parameter of the range of steps in the curves: `10-20`."""

_Rendered = tuple[tuple[Any, ...], dict[str, Markup]]
"""What parts are made of, and the parts."""


class RunPanel:
    """The run panel and the list of runs, rendered from the run folders at every request."""

    def __init__(self, lab: Lab, predictions: Predictions) -> None:
        self._lab = lab
        self._predictions = predictions
        self._rendered: OrderedDict[tuple[Any, ...], _Rendered] = OrderedDict()

    def find_run(self, query: Mapping[str, str]) -> RunFolder | None:
        """Find the run in the address; else the one in progress; else the newest."""
        wanted = query.get("run") or self._lab.engine.find_current() or ""
        return self._lab.find_run(wanted) or next(iter(self._lab.runs()), None)

    def count_ahead(self, run: RunFolder) -> int:
        """Return the number of runs in progress or queued before this one; 0 when it doesn't wait."""
        return count_ahead([run.run_id], self._lab.engine.list_waiting(), self._lab.engine.find_current())

    def find_latest_ended(self) -> str:
        """Return the id of the newest run that has ended: when it changes, plots have new points."""
        return next((run.run_id for run in self._lab.runs() if run.state().ended), "none")

    def render_parts(
        self, run: RunFolder | None, visit: Visit, *, narrow: bool, whole: bool = False
    ) -> dict[str, Markup]:
        """Render the panel in parts, so a poll replaces only what changed and no button during a click.

        `whole` shows all steps, whatever range the address names.
        """
        if run is None:
            empty = dict.fromkeys((*RUN_PARTS, "run-rate", "run-prediction"), NO_HTML)
            return empty | {"run-head": render("lora_lab/lab/no_run.html")}
        state = run.state()
        window = None if whole else parse_window(visit.query)
        merged = Merged(run).state
        settled = (
            state.status,
            state.started is not None,
            state.loss_after,
            run.stop_path.exists(),
            run.has_adapter,
            repr(merged),
            len(state.steps) if state.ended else bool(state.steps),
        )
        view = (run.run_id, window, narrow)
        tried = {each.run_id: each.spec for each in self._lab.runs()}
        parts = self._render_once(
            ("live", *view),
            (_Same([state]), self.count_ahead(run), *settled[3:5]),
            lambda: self._render_live(run, state, window=window, narrow=narrow),
        )
        parts |= self._render_once(("settled", run.run_id), settled, lambda: self._render_settled(run, state))
        parts |= self._render_once(
            ("outcome", run.run_id),
            (*settled, *tried),
            lambda: {"run-outcome": self._render_outcome(run, state, tried.values())},
        )
        return parts | {"run-prediction": self._render_prediction(visit, run)}

    def _render_prediction(self, visit: Visit, run: RunFolder) -> Markup:
        """Render guesses next to results; empty when this learner has none about the run."""
        judged = self._predictions.judge_run(visit, run)
        if judged is None:
            return NO_HTML
        guess, verdicts = judged
        return render(
            "lora_lab/lab/prediction_verdicts.html",
            verdicts=verdicts,
            guessed=say_guess(guess),
            ended=run.state().ended,
            concepts=self._predictions.context.concepts,
            factor=FACTOR,
            tie=LOSS_TIE,
        )

    def _render_once(
        self, what: tuple[Any, ...], made_of: tuple[Any, ...], make: Callable[[], dict[str, Markup]]
    ) -> dict[str, Markup]:
        """Render parts as they were last, unless what they are made of has changed since."""
        known = self._rendered.get(what)
        if known is not None and known[0] == made_of:
            return dict(known[1])
        parts = make()
        self._rendered.pop(what, None)  # its old place may be the first, which another poll drops next
        self._rendered[what] = (made_of, parts)
        while len(self._rendered) > PANELS_KEPT:
            self._rendered.popitem(last=False)
        return dict(parts)

    def _render_live(
        self, run: RunFolder, state: RunState, *, window: run_view.Window | None, narrow: bool
    ) -> dict[str, Markup]:
        spec = run.spec
        curves = run_view.render_curves(state, spec, window=window, narrow=narrow)
        values = {
            "run": run,
            "title": run_view.format_title(spec),
            "state": state,
            "spec": spec,
            "figures": run_view.read_progress(state, spec, stopping=run.stop_path.exists()),
            "curves": curves,
            "zoomed": window is not None,
            "same_rows": trains_on_same_rows(spec, state),
            "harm": state.ended and did_harm(spec, state),
            "ahead": self.count_ahead(run),
            "has_adapter": run.has_adapter,
        }
        parts = {name: _render_part(name, values) for name in LIVE_PARTS}
        return parts | {"run-rate": curves["rate"] if state.steps else NO_HTML}

    def _render_settled(self, run: RunFolder, state: RunState) -> dict[str, Markup]:
        spec = run.spec
        values = {
            "run": run,
            "state": state,
            "spec": spec,
            "data_label": run.data_label,
            "settings": run_view.list_setting_rows(spec),
            "stopping": run.stop_path.exists(),
            "again": build_address(spec),
            "samples": run.samples() if state.ended else [],
            "has_adapter": run.has_adapter,
            "gpu_rows": list_gpu_rows(state),
            "unused_percent": 100 * RESERVED_SHARE,
            "context_bytes": CONTEXT_BYTES,
            "merged": Merged(run),
            "merged_bytes": 4 * (state.started["total"] - state.started["trainable"]) if state.started else 0,
        }
        return {name: _render_part(name, values) for name in SETTLED_PARTS}

    def _render_outcome(self, run: RunFolder, state: RunState, tried: Iterable[RunSpec]) -> Markup:
        """Render what the run means, predicted against measured, and what to do next."""
        spec = run.spec
        return render(
            "lora_lab/lab/run_outcome.html",
            run=run,
            state=state,
            spec=spec,
            may_go_well=state.failure is not None and state.failure.get("cause") in TRANSIENT_CAUSES,
            met_heaviest=may_have_met_heaviest(state),
            heaviest_came_first=heaviest_came_first(state),
            outcome=self._describe_outcome(run, state) if state.ended else None,
            next=suggest_experiment(spec, state, run.run_id, tuple(tried)) if state.ended else None,
            again=build_address(spec),
            has_adapter=run.has_adapter,
            grid=build_sweep_address(state.sweep) if state.sweep else "",
            microscope=f"{MICROSCOPE}?{urlencode({'model': spec.model, 'run': run.run_id})}",
        )

    def _describe_outcome(self, run: RunFolder, state: RunState) -> Outcome | None:
        shape = self._lab.find_known_shape(run.spec.model)
        return describe_outcome(run.spec, state, run.samples(), vocab=shape.vocab if shape else 0)

    def say_end(self, run: RunFolder) -> str:
        """Say for a screen reader how a run ended; empty for a failure, which is an alert on the page."""
        state = run.state()
        if state.failure:
            return ""
        how = "finished" if state.status == "finished" else f"stopped after step {len(state.steps)}"
        outcome = self._describe_outcome(run, state)
        return f"The run has {how}. {outcome.sentence if outcome else ''}".strip()

    def choose_stage(self, run: RunFolder | None, query: Mapping[str, str]) -> Stage:
        """Choose what stands at the top for an address: a run takes the form's place when it is named."""
        if run is None or query.get("run") != run.run_id:
            return "setup"
        return "failed" if run.state().status == "failed" else "run"

    def render_stage(self, run: RunFolder | None, query: Mapping[str, str]) -> Markup:
        """Render the stage; above the form, also a line about a run that is going on elsewhere."""
        stage = self.choose_stage(run, query)
        state = run.state() if run is not None else RunState()
        going = run is not None and stage == "setup" and not state.ended

        def make() -> dict[str, Markup]:
            elsewhere = describe_going(run) if run is not None and going else None
            return {"stage": render("lora_lab/lab/stage.html", stage=stage, elsewhere=elsewhere)}

        key = ("stage", stage, run.run_id if run else "")
        return self._render_once(key, (going, _Same([state])), make)["stage"]

    def list_part(self, shown: str) -> Markup:
        """Render the newest runs, with the one whose id is `shown` marked."""
        runs, damaged = self._lab.scan_runs()
        runs = runs[:RUNS_SHOWN]
        states = [run.state() for run in runs]
        adapters = [run.has_adapter for run in runs]

        def make() -> dict[str, Markup]:
            rows = [
                {
                    "run": run,
                    "state": state,
                    "title": run_view.format_title(run.spec),
                    "detail": f"{run.started_at} · {run_view.describe_detail(run, state)}",
                    "address": build_address(run.spec, run_id=run.run_id),
                }
                for run, state in zip(runs, states, strict=True)
            ]
            return {"runs": render("lora_lab/lab/runs.html", rows=rows, shown=shown, damaged=damaged)}

        made_of = ([run.run_id for run in runs], _Same(states), adapters, damaged)
        return self._render_once(("runs", shown), made_of, make)["runs"]


class _Same(list[RunState]):
    """States that are equal when they are the very same ones: comparing all steps would take longer."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Same)
            and len(self) == len(other)
            and all(ours is theirs for ours, theirs in zip(self, other, strict=True))
        )

    __hash__ = None


def _render_part(name: str, values: Mapping[str, Any]) -> Markup:
    return render(f"lora_lab/lab/{name.replace('-', '_')}.html", **values)


def list_gpu_rows(state: RunState) -> list[tuple[str, int | None, int]]:
    """List the figures of a GPU's memory at the peak, each with what is computed for it; empty on a CPU.

    Where no workspaces are predicted (in runs of an earlier version, on GPUs without cuBLAS), the figures
    below them are computed with the measured ones.
    """
    gpu, started = state.gpu_memory, state.started
    if gpu is None or started is None:
        return []
    tensors = started.get("group_predicted_bytes", started["predicted_bytes"])
    workspaces = gpu.get("predicted_workspaces")
    allocated = tensors + (gpu["workspaces"] if workspaces is None else workspaces)
    reserved = allocated + compute_unused_bytes(allocated)
    return [
        ("asked for by tensors", tensors, gpu["requested"] - gpu["workspaces"]),
        ("workspaces of the matrix products", workspaces, gpu["workspaces"]),
        ("both, in blocks of 512 bytes", allocated, gpu["allocated"]),
        ("reserved by PyTorch", reserved, gpu["reserved"]),
        ("CUDA’s context and libraries, and other programs", CONTEXT_BYTES, gpu["device"] - gpu["reserved"]),
        ("in use on the device, by every program", reserved + CONTEXT_BYTES, gpu["device"]),
    ]


def describe_going(run: RunFolder) -> dict[str, Any]:
    """Return what lab/going.html says of a run in progress: its title, how far it is, and its address."""
    state = run.state()
    done, steps = len(state.steps), run.spec.steps
    trained = f"its {steps} steps" if done == steps else f"{done} of its {steps} steps"
    return {
        "title": run_view.format_title(run.spec),
        "trained": trained if state.status == "finishing" else "",
        "doing": state.doing,
        "step": done,
        "steps": steps,
        "address": build_address(run.spec, run_id=run.run_id),
    }


def render_last_run(lab: Lab, predictions: Predictions, visit: Visit) -> LastRun | None:
    """Render one line for the Today page: on the newest run that this learner guessed about, else on any."""
    runs = lab.runs()
    guessed = predictions.context.store.predictions.run_ids(visit.profile.id)
    mine = [run for run in runs if run.run_id in guessed]
    for run in (*mine, *runs):
        state = run.state()
        if not state.ended or state.loss_after is None:
            continue
        guess = predictions.read_guess_about(visit, run.run_id)
        html = render(
            "lora_lab/lab/last_run.html",
            title=run_view.format_title(run.spec),
            state=state,
            address=build_address(run.spec, run_id=run.run_id),
            guessed=say_guess(guess) if guess else "",
            next=suggest_experiment(run.spec, state, run.run_id, [each.spec for each in runs])
            if guess
            else None,
        )
        return LastRun(html=html, is_own=guess is not None)
    return None


def parse_window(query: Mapping[str, str]) -> run_view.Window | None:
    """Parse the range of steps that an address names; None for all of them."""
    first, _, last = query.get(ZOOM, "").partition("-")
    start, end = parse_digits(first), parse_digits(last)
    return None if start is None or end is None or start >= end else (float(start), float(end))
