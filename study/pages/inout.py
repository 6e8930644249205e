"""Import and export: downloads of everything, and imports with a preview, a next step and an undo."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from study.base import import_limits
from study.base.errors import LearnerError
from study.content.user_files import key_of
from study.io.apply_import import Imports, Undone
from study.io.exchange import VERDICTS, Exchange, ImportReport
from study.io.import_jobs import ImportJob, ImportJobs
from study.io.pending_upload import Pending, Waiting
from study.io.planning import Planned, Upload
from study.ports.context import Context, Visit
from study.store.logs.imports import ImportRecord
from study.store.snapshots import Snapshots
from study.text.templates import render
from study.web import form_event, frame, middleware
from study.web.access import require_owner, role_of
from study.web.frame import Reply

PATH = "/io"
ANSWERS_AT_ONCE_SECONDS = 2
"""A file of usual size is read within that time; for a larger one the page shows how far it is."""

SHOWN_AT_MOST = 200  # entries of a preview; the counts always include all
STUDY_AT_ONCE = 20
"""New cards in the first session after an import; more than that is no session of a few minutes."""

DECKS_LISTED = 5
CARD_TABLES = {"card_reviews", "card_verbs"}
STAYS = {
    "quiz_sessions": ("quiz", "quizzes"),
    "explain_attempts": ("explanation", "explanations"),
    "predictions": ("prediction", "predictions"),
    "preferences": ("setting", "settings"),
    "drafts": ("draft", "drafts"),
    "reading_places": ("place in a concept", "places in concepts"),
}
"""What a learner can have continued or changed since an import, by table."""

WORDS = {"new": "new", "changed": "changed", "same": "the same", "rejected": "left out"}


def build(app: gr.Blocks, context: Context, page: "InOutPage") -> None:
    with frame.add_page(app, context, title="Import and export", path=PATH):
        frame.add_island(page.act, page.load, "inout", waiting=frame.render_waiting("Import and export"))


@dataclass(frozen=True, kw_only=True)
class InOutPage:
    """Handlers of the page. A pending file is shown again whenever the page opens."""

    context: Context
    exchanges: Mapping[str, Exchange]
    pending: Pending
    jobs: ImportJobs
    """What reads the files."""

    snapshots: Snapshots | None = None
    """The automatic backups; None for a database that has backup tools of its own."""

    _previews: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    """A profile's preview of its pending file, as of its upload. Importing plans it again."""

    def load(self, request: gr.Request) -> Markup:
        """Render the page, with the pending file if one exists."""
        self.jobs.warm_up()
        return self._page(frame.visit_of(self.context, request), is_here=middleware.is_here(request))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.visit_of(self.context, request, event)
        match event.get("act"):
            case "uploaded":
                return self._read(visit, self._waiting(visit), {})
            case "apply":
                shown = {name: form_event.read_text(event, name) for name in ("digest", "report")}
                shown["role"] = role_of(request)
                return self._read(visit, self._waiting(visit), shown)
            case "poll":
                return self._polled(visit)
            case "cancel":
                self.jobs.stop(visit.profile.id)
                self.pending.drop(visit.profile.id)
                return {"html": self._page(visit), "say": "Cancelled. Nothing was changed.", "focus": "#file"}
            case "undo":
                self._refuse_shared(visit, event, request)
                undone = self._imports.undo(
                    visit.profile.id, form_event.read_whole(event, "import"), now=visit.now
                )
                said = _said_of(undone)
                return {"html": self._page(visit, said=said), "say": said, "focus": "#said"}
            case "restore":
                return self._restore(visit, event, request)
        raise form_event.unknown_act(event)

    @property
    def _imports(self) -> Imports:
        return Imports(store=self.context.store, home=self.context.settings.home)

    def _read(self, visit: Visit, waiting: Waiting, shown: dict[str, str]) -> Reply:
        """Read the pending file: to show what it would do, or to import what was `shown` of it."""
        job = self._start(visit, waiting, shown)
        return self._fetched(visit, job, ANSWERS_AT_ONCE_SECONDS) or {
            "html": self._page(visit),
            "say": f"Reading {waiting.file.name}.",
            "focus": "#reading",
        }

    def _start(self, visit: Visit, waiting: Waiting, shown: dict[str, str]) -> ImportJob:
        upload = Upload(
            profile_id=visit.profile.id,
            path=self.pending.path_of(visit.profile.id),
            name=waiting.file.name,
        )
        return self.jobs.start(upload, shown, now=visit.now)

    def _polled(self, visit: Visit) -> Reply:
        """Show how far the reading is, or what it has found."""
        job = self.jobs.of(visit.profile.id)
        if job is None:
            return {"html": self._page(visit)}
        try:
            found = self._fetched(visit, job, 0)
        except LearnerError as error:
            return {"html": self._page(visit), "error": str(error)}
        return found or {"parts": {"reading": render("study/reading.html", job=job)}}

    def _fetched(self, visit: Visit, job: ImportJob, seconds: float) -> Reply | None:
        """Return what to show of a job if it ends within so many seconds. Raises LearnerError."""
        try:
            planned = job.result(seconds)
        except LearnerError:
            self.jobs.fetched(job)
            self.pending.drop(visit.profile.id)
            raise
        if planned is None:
            return None
        self.jobs.fetched(job)
        waiting = self._waiting(visit)
        return (
            self._apply(visit, waiting, planned, job)
            if job.purpose
            else self._preview(visit, waiting, planned)
        )

    def _preview(self, visit: Visit, waiting: Waiting, planned: Planned) -> Reply:
        shown = self._remember(visit, waiting, planned.report)
        report = planned.report
        counts = ", ".join(f"{report.counts[verdict]} {WORDS[verdict]}" for verdict in VERDICTS)
        said = f"{waiting.file.name}: {counts}. Nothing has been changed yet."
        return {"html": self._page(visit, preview=shown), "say": said, "focus": "#preview"}

    def _apply(self, visit: Visit, waiting: Waiting, planned: Planned, job: ImportJob) -> Reply:
        if planned.plan.files and job.purpose["role"] != "owner":
            raise LearnerError(
                "Everyone on this server shares its decks and questions, so only its owner can import them.",
                do_next="Send them the file, or import a backup without decks of your own.",
            )
        shown = job.purpose["digest"], job.purpose["report"]
        if shown != (waiting.digest, _compute_digest(planned.report)):
            error = "Your cards or this file changed since the preview. Nothing was imported: look again."
            preview = self._remember(visit, waiting, planned.report)
            return {"html": self._page(visit, preview=preview), "error": error, "focus": "#preview"}
        if self.snapshots is not None and planned.report.counts["changed"]:
            self.snapshots.make("import", now=visit.now)
        report = self._imports.apply(
            visit.profile.id, planned.plan, file_name=waiting.file.name, now=visit.now
        )
        self.pending.drop(visit.profile.id)
        counts = report.counts
        said = f"{waiting.file.name} is imported: {counts['new']} new, {counts['changed']} changed."
        done = self._imports.store.imports.list_undoable(visit.profile.id)[0]
        return {"html": self._page(visit, said=said, done=done), "say": said, "focus": "#said"}

    def _refuse_shared(self, visit: Visit, event: Mapping[str, Any], request: gr.Request) -> None:
        """Refuse a learner who would undo what the owner imported into decks and questions for everyone."""
        wanted = form_event.read_whole(event, "import")
        record = self.context.store.imports.find_undoable(visit.profile.id, wanted)
        if record and record.changes.get("files"):
            require_owner(request)

    def _restore(self, visit: Visit, event: Mapping[str, Any], request: gr.Request) -> Reply:
        if self.snapshots is None or not middleware.is_here(request):
            raise LearnerError(
                "Backups are restored at the machine that runs the app.", do_next="Ask the person there."
            )
        snapshot = self.snapshots.restore(form_event.read_text(event, "backup"), now=visit.now)
        self.context.store.database.forget_all()
        return {"goto": PATH, "say": f"The backup of {snapshot.made} is restored."}

    def _waiting(self, visit: Visit) -> Waiting:
        waiting = self.pending.of(visit.profile.id)
        if waiting is None:
            raise LearnerError("No file is waiting to be imported.", do_next="Choose one first.")
        return waiting

    def _page(
        self,
        visit: Visit,
        *,
        said: str = "",
        preview: dict[str, Any] | None = None,
        done: ImportRecord | None = None,
        is_here: bool = False,
    ) -> Markup:
        preview = preview or self._still_waiting(visit)
        undoable = self._imports.store.imports.list_undoable(visit.profile.id)
        begins = visit.days.start(visit.now)
        new_today = sum(r.new for r in self.context.store.cards.history(visit.profile.id, since=begins))
        return render(
            "study/inout.html",
            said=said,
            done=done,
            links={record.id: study_links(record, new_today=new_today) for record in undoable},
            preview=preview,
            job=self.jobs.of(visit.profile.id),
            exchanges=self.exchanges,
            imports=[one for one in undoable if not done or one.id != done.id],
            limits=import_limits,
            data_folder=str(self.context.settings.home),
            own_problems=[
                problem for exchange in self.exchanges.values() for problem in exchange.own_problems()
            ],
            profile=visit.profile,
            words=WORDS,
            verdicts=VERDICTS,
            snapshots=self.snapshots.listed() if self.snapshots is not None and is_here else [],
        )

    def _still_waiting(self, visit: Visit) -> dict[str, Any] | None:
        waiting = self.pending.of(visit.profile.id)
        if waiting is None:
            return None
        known = self._previews.get(visit.profile.id)
        if known is not None and known["digest"] == waiting.digest:
            return known
        if self.jobs.of(visit.profile.id) is None:  # the app was started again since
            self._start(visit, waiting, {})
        return None

    def _remember(self, visit: Visit, waiting: Waiting, report: ImportReport) -> dict[str, Any]:
        preview = {
            "file": waiting.file.name,
            "digest": waiting.digest,
            "report": report,
            "report_digest": _compute_digest(report),
            "at_most": SHOWN_AT_MOST,
        }
        self._previews[visit.profile.id] = preview
        return preview


def study_links(record: ImportRecord, *, new_today: int) -> list[tuple[str, str]]:
    """Return the links under which an import is studied, the first one first: label and URL.

    `new_today` counts the new cards of today: a URL raises the day's limit to fit in the imported ones.
    """
    added = record.changes.get("added", {})
    if added.keys() - CARD_TABLES:
        return [("Open Today", "/")]  # a backup
    names = [PurePosixPath(name) for name in record.changes.get("files", {})]
    new = new_today + min(STUDY_AT_ONCE, record.counts["new"])
    links = []
    for name in names[:DECKS_LISTED]:
        key = key_of(Path(name.name))
        quiz = name.parent.name == "questions"
        query = {"topic": key} if quiz else {"deck": key, "new": new}
        label = "Study these" if len(names) == 1 else f"Study {key}"
        links.append((label, f"{'/quiz' if quiz else '/cards'}?{urlencode(query)}"))
    return links or [("Study these", "/cards")]


def _said_of(undone: Undone) -> str:
    """Say that an import is undone, and what stays and why."""
    sentences = [f"The import of {undone.record.file_name} is undone."]
    stays = [
        f"{number} {one if number == 1 else many}"
        for table, (one, many) in STAYS.items()
        if (number := undone.stays.get(table, 0))
    ]
    if stays:
        listed = " and ".join(filter(None, (", ".join(stays[:-1]), stays[-1])))
        sentences.append(f"What you have continued or changed since then stays: {listed}.")
    if undone.answered:
        answers = "1 answer" if undone.answered == 1 else f"{undone.answered} answers"
        sentences.append(
            f"{answers} that you have given to its cards or questions since then "
            f"{'stays' if undone.answered == 1 else 'stay'} in your log, and will count again if you import "
            "the file again."
        )
    return " ".join(sentences)


def _compute_digest(report: ImportReport) -> str:
    return hashlib.sha256(repr(report.groups).encode()).hexdigest()[:16]
