"""The X-ray page's service: its runs, the worker's progress, the results, and the selected matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from lora_lab.charts.run_view import describe_detail, format_title
from lora_lab.engine.inspections import Inspection
from lora_lab.lab import Lab
from lora_lab.runs.folder import RunFolder
from lora_lab.xray.charts import (
    draw_factor_map,
    draw_norm_map,
    draw_overlap_maps,
    draw_used_map,
    plot_spectrum,
)
from lora_lab.xray.result import (
    KIND,
    SIDES,
    Module,
    Overlap,
    RunOverlap,
    Side,
    Xray,
    build_xray_order,
    read_pair,
    read_xray,
)
from study.plots.plot import Plot

LISTED = 60


@dataclass(frozen=True, kw_only=True)
class XrayStatus:
    """What the page shows of one run, and of its overlap with a second one."""

    run: RunFolder
    beside: RunFolder | None
    look: Inspection | None
    """The inspection of the run; None before it is requested."""

    beside_look: Inspection | None
    """The inspection of the second run alone."""

    pair_look: Inspection | None
    """The inspection of both runs' directions."""

    layer: str
    kind: str
    side: Side

    @cached_property
    def xray(self) -> Xray | None:
        """The X-ray; None until it is done."""
        return _read_xray(self.look)

    @cached_property
    def pair(self) -> RunOverlap | None:
        """The overlap of both runs; None until it is done."""
        done = self.pair_look is not None and self.pair_look.status == "done"
        return read_pair(self.pair_look.found) if done and self.pair_look else None

    @property
    def module(self) -> Module | None:
        return self.xray.find(self.layer, self.kind) if self.xray else None

    @property
    def overlap(self) -> Overlap | None:
        """The overlap of that matrix, on the chosen side."""
        return self.pair.find(self.module.name, self.side) if self.pair and self.module else None

    @property
    def beside_module(self) -> Module | None:
        """The same matrix in the second run, if that run was X-rayed too."""
        other = _read_xray(self.beside_look)
        return other.at(self.module.layer, self.module.kind) if other and self.module else None

    @property
    def going(self) -> bool:
        """Whether an inspection of this view is running or queued."""
        looks = (self.look, self.pair_look)
        return any(look is not None and look.status in ("waiting", "working") for look in looks)

    @property
    def conditions(self) -> str:
        detail = describe_detail(self.run, self.run.state())
        return f"{format_title(self.run.spec)}, {detail.replace(' · ', ', ')}"

    def draw_plots(self) -> Iterator[Plot]:
        xray, module = self.xray, self.module
        if xray is None or module is None:
            return
        yield plot_spectrum(module, self.conditions)
        yield draw_used_map(xray, self.conditions)
        yield draw_norm_map(xray, self.conditions)
        if self.overlap and self.beside:
            yield from draw_overlap_maps(
                module, self.overlap, f"this run against {format_title(self.beside.spec)}"
            )
        yield draw_factor_map(xray, self.conditions)


def _read_xray(look: Inspection | None) -> Xray | None:
    return read_xray(look.found) if look is not None and look.status == "done" else None


@dataclass(frozen=True)
class XrayService:
    """Operations of the page on the lab's runs and inspections."""

    lab: Lab

    def runs(self) -> list[RunFolder]:
        """Return the ended runs that have an adapter, newest first."""
        found = filter(_can_be_xrayed, self.lab.runs())
        return [run for run, _ in zip(found, range(LISTED), strict=False)]

    def find_going(self) -> RunFolder | None:
        """Return the run in progress, else the next of the queue, else the oldest one that a command line
        runs; None when none is to come.
        """
        engine = self.lab.engine
        for run_id in (engine.find_current() or "", *engine.list_waiting()):
            if (run := self.lab.find_run(run_id)) is not None:
                return run
        return next((run for run in reversed(self.lab.runs()) if not run.state().ended), None)

    def explain_refusal(self, run_id: str) -> str:
        """Say why a run can't be X-rayed; empty for one that can be, and for one that is gone."""
        run = self.lab.find_run(run_id)
        if run is None or self._find_named(run_id):
            return ""
        if not run.state().ended:
            return f"The run {format_title(run.spec)} has not ended yet; its adapter can be X-rayed then."
        return f"The run {format_title(run.spec)} has no adapter to X-ray."

    def read_status(self, query: Mapping[str, str]) -> XrayStatus | None:
        """Build the view of the named run, else of the newest; None without any run."""
        run = self._find_named(query.get("run", "")) or next(iter(self.runs()), None)
        if run is None:
            return None
        beside = self._find_named(query.get("with", ""))
        beside = None if beside == run else beside
        side = query.get("side", "")
        return XrayStatus(
            run=run,
            beside=beside,
            look=self._find(run),
            beside_look=self._find(beside) if beside else None,
            pair_look=self._find(run, beside) if beside else None,
            layer=query.get("layer", ""),
            kind=query.get("matrix", ""),
            side=side if side in SIDES else "A",
        )

    def start(self, status: XrayStatus, *, learner: str = "") -> None:
        """Queue the inspections that are missing."""
        self.lab.inspections.submit(KIND, build_xray_order(status.run), learner=learner)
        self.compare(status, learner=learner)

    def compare(self, status: XrayStatus, *, learner: str = "") -> None:
        """Queue the inspection of the overlap with the second run."""
        if status.beside is not None:
            self.lab.inspections.submit(KIND, build_xray_order(status.run, status.beside), learner=learner)

    def stop(self, status: XrayStatus) -> None:
        """Stop the running and queued inspections of these runs."""
        for look in (status.pair_look, status.look):
            if look is not None and look.status in ("waiting", "working"):
                self.lab.inspections.stop(look.id)

    def _find(self, run: RunFolder, beside: RunFolder | None = None) -> Inspection | None:
        queue = self.lab.inspections
        return queue.find(queue.derive_id(KIND, build_xray_order(run, beside)))

    def _find_named(self, run_id: str) -> RunFolder | None:
        """Find the run with this id if it can be X-rayed, else None."""
        run = self.lab.find_run(run_id)
        return run if run and _can_be_xrayed(run) else None


def _can_be_xrayed(run: RunFolder) -> bool:
    return run.state().ended and run.has_adapter
