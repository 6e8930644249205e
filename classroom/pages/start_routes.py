"""The page /class: starting a class, the plans with a preview of each, and the editor of the teacher's own.

The gate (`classroom/access/gate.py`) lets nobody but the teacher in here.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from http import HTTPStatus
from typing import Any, ParamSpec
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from classroom.access.addresses import list_lan_addresses
from classroom.activities.activity import KIND_NAMES, Activity, shorten_question
from classroom.live.hub import Hub
from classroom.live.opening import KEEP_NAMES_DAYS, TEAM_CHOICES
from classroom.pages import documents
from classroom.pages.requests import parse_fields, parse_form, parse_json_body, tell_trouble
from classroom.plans.on_the_spot import KINDS, is_typed, read_activity, read_typed_minutes, to_entry
from classroom.plans.own_plans import PlanDraft, PlanError, WouldReplaceError, delete_plan, save_plan
from classroom.plans.plan import LARGEST_OWN_BYTES, LONGEST_TITLE, Plan, Plans
from study.base.addresses import OwnAddress
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.content.yaml_reader import Problem
from study.ports.classes import ClassQuestion
from study.ports.context import Context
from study.ports.places import find_place
from study.text.markup import to_plain
from study.text.templates import render

LONGEST_SEARCH = 200
VOTE_MINUTES = 2
"""Suggested for a question of the app that is added to a plan."""

LARGEST_FORM_BYTES = 3 * LARGEST_OWN_BYTES
"""A form has a few characters for each one of a plan's file."""

P = ParamSpec("P")


class StartRoutes:
    def __init__(self, context: Context, hub: Hub, plans: Plans, *, reachable: bool) -> None:
        self._context = context
        self._hub = hub
        self._plans = plans
        self._reachable = reachable

    def register(self, site: FastAPI) -> None:
        """Add the routes; they stand before the pages and before `/class/{code}`."""
        site.get("/class", response_model=None)(self.show_trouble(self.show_classes))
        site.post("/class/open", response_model=None)(self.show_trouble(self.open))
        site.post("/class/plans", response_model=None)(self.show_trouble(self.save))
        site.post("/class/plans/delete", response_model=None)(self.show_trouble(self.delete))
        site.post("/class/plans/typed", response_model=None)(self.send_typed)
        site.post("/class/plans/quiz", response_model=None)(self.send_quiz)
        site.get("/class/plans/questions", response_model=None)(self.send_questions)
        site.get("/class/plans/twins", response_model=None)(self.send_twins)

    def show_trouble(self, route: Callable[P, Awaitable[Response]]) -> Callable[P, Awaitable[Response]]:
        """A route that answers with the page /class and its sentence where it raises LearnerError."""

        @wraps(route)
        async def show(*given: P.args, **named: P.kwargs) -> Response:
            try:
                return await route(*given, **named)
            except LearnerError as error:
                return await self.show_page(str(error))

        return show

    async def show_classes(self, request: Request) -> Response:
        """Show the page; `edit` names the plan that the editor begins with, `plan` the one that is chosen."""
        asked = request.query_params
        edited = await run_in_threadpool(self._plans.find, asked["edit"]) if "edit" in asked else None
        draft = _build_draft(edited) if edited else None
        return await self.show_page(chosen=asked.get("plan", ""), saved=asked.get("saved", ""), draft=draft)

    async def show_page(
        self,
        error: str = "",
        *,
        chosen: str = "",
        saved: str = "",
        draft: PlanDraft | None = None,
        problems: Sequence[str] = (),
        would_replace: WouldReplaceError | None = None,
    ) -> HTMLResponse:
        """Show the page with what went wrong, and with the editor if there is a draft."""
        broken: list[Problem] = []
        plans = await run_in_threadpool(self._plans.list_all, broken)
        classes = self._context.store.classes
        return documents.render_page(
            "start/classes",
            title="Class",
            places=self._context.places,
            here=find_place(self._context.places, "/class"),
            plans=plans,
            chosen=chosen or plans[0].id,
            saved=next((plan.title for plan in plans if plan.id == saved), ""),
            broken=broken,
            own_folder=self._plans.own_folder,
            draft=draft,
            draft_entries=_list_draft_entries(draft) if draft else [],
            others=[
                (plan.title, _list_plan_entries(plan)) for plan in plans if draft and plan.id != draft.plan_id
            ],
            problems=problems,
            would_replace=would_replace,
            longest_title=LONGEST_TITLE,
            kinds=KINDS,
            kind_names=KIND_NAMES,
            rooms=await run_in_threadpool(classes.rooms),
            ended=await run_in_threadpool(classes.list_ended_rooms),
            addresses=list_lan_addresses(),
            keep_days=KEEP_NAMES_DAYS,
            team_choices=TEAM_CHOICES,
            reachable=self._reachable,
            error=error,
        )

    async def open(self, request: Request) -> Response:
        form = await parse_form(request)
        plan = await run_in_threadpool(self._plans.find, form.get("plan", ""))
        days = form.get("days", "30")
        live = await self._hub.open(
            plan,
            names_typed=form.get("typed") == "yes",
            keep_names_days=int(days) if days.isdecimal() else 0,
            address=choose_known_address(form.get("address", ""), list_lan_addresses()),
            teams=int(teams) if (teams := form.get("teams", "0")).isdecimal() else 0,
            leaderboard=form.get("leaderboard") == "yes",
        )
        return RedirectResponse(f"/class/{live.room.code}/teach", HTTPStatus.SEE_OTHER)

    async def save(self, request: Request) -> Response:
        """Save a teacher's plan, or show the editor again with everything that is wrong."""
        draft = _read_draft(await parse_fields(request, at_most=LARGEST_FORM_BYTES))
        try:
            plan = await run_in_threadpool(save_plan, self._plans, draft)
        except PlanError as error:
            return await self.show_page(draft=draft, problems=error.problems)
        except WouldReplaceError as error:
            return await self.show_page(draft=draft, would_replace=error)
        except LearnerError as error:
            return await self.show_page(str(error), draft=draft)
        asked = urlencode({"plan": plan.id, "saved": plan.id})
        return RedirectResponse(f"/class?{asked}#start", HTTPStatus.SEE_OTHER)

    async def delete(self, request: Request) -> Response:
        """Delete a teacher's plan; classes that were held with it keep what they had."""
        form = await parse_form(request)
        if form.get("sure") == "yes":
            await run_in_threadpool(delete_plan, self._plans, form.get("plan", ""))
        return RedirectResponse("/class", HTTPStatus.SEE_OTHER)

    @tell_trouble
    async def send_typed(self, request: Request) -> Response:
        """Send a typed question as an entry of the editor."""
        form = {name: str(value) for name, value in (await parse_json_body(request)).items()}
        entry = to_entry(form)
        return _answer_with([_build_activity_entry(entry, read_activity(form))])

    @tell_trouble
    async def send_quiz(self, request: Request) -> Response:
        """Send a self-paced quiz as an entry of the editor."""
        form = await parse_json_body(request)
        title, questions = str(form.get("title", "")).strip(), form.get("questions")
        entry: dict[str, Any] = {"kind": "quiz", "title": title or "A quiz", "questions": questions}
        if minutes := read_typed_minutes({"minutes": str(form.get("minutes", ""))}):
            entry["minutes"] = minutes
        activity = await run_in_threadpool(self._plans.read_entry, entry)
        return _answer_with([_build_activity_entry(entry, activity)])

    def send_questions(self, words: str = "", asks: str = "") -> Response:
        """Send the app's questions that have every word, as entries of the editor, or to ask at once."""
        found = self._plans.search_questions(words[:LONGEST_SEARCH])
        return _answer_with([_build_question_entry(each) for each in found], asks=bool(asks))

    def send_twins(self, question: str = "") -> Response:
        """Send questions that ask for the same, as options of a choice."""
        found = self._plans.find_twins(question[:LONGEST_SEARCH])
        named = [(each.id, f"{to_plain(each.text)} ({each.id})") for each in found]
        return HTMLResponse(render("classroom/start/twins.html", twins=named))


def choose_known_address(asked: str, addresses: Sequence[OwnAddress]) -> str:
    """One of this machine's own addresses; anything else falls back to the preferred one."""
    known = [each.address for each in addresses]
    if asked in known or asked == "127.0.0.1":
        return asked
    return known[0] if known else "127.0.0.1"


def _build_draft(plan: Plan) -> PlanDraft:
    """Build what the editor begins with: a teacher's plan to change, or a shipped one to make one's own."""
    return PlanDraft(
        title=plan.title if plan.is_own else f"{plan.title} (mine)",
        about=plan.about,
        minutes=str(plan.minutes),
        entries=tuple(json.dumps(entry, ensure_ascii=False) for entry in plan.entries),
        plan_id=plan.id if plan.is_own else "",
        version=plan.version,
    )


def _read_draft(fields: Sequence[tuple[str, str]]) -> PlanDraft:
    form = dict(fields)
    entries: list[str] = []
    kept = set()
    for name, value in fields:
        if name == "entry":
            entries.append(value)
        elif name == "kept":  # the tick of the entry before it
            kept.add(len(entries) - 1)
    return PlanDraft(
        title=form.get("title", ""),
        about=form.get("about", ""),
        minutes=form.get("minutes", ""),
        entries=tuple(entries),
        left_out=frozenset(range(len(entries))) - kept,
        plan_id=form.get("plan", ""),
        version=form.get("version", ""),
        replace=form.get("replace") == "yes",
    )


@dataclass(frozen=True, kw_only=True)
class EditorEntry:
    """An activity of a plan as the editor lists it."""

    written: str
    """Its entry in a plan's file, as JSON; what the form sends."""

    title: str
    kind: str
    html: Markup = NO_HTML
    """What students see as the task."""

    question: str = ""
    """The id of the question of the app that it asks."""

    twin: str = ""
    """The id of its twin question."""

    asks_its_title: bool = False
    """As in an activity."""

    is_typed: bool = False
    """Whether the form of typed questions can change it."""

    is_kept: bool = True
    """Whether it is ticked."""


def _describe_entry(
    written: Mapping[str, Any], html: Markup = NO_HTML, *, asks_its_title: bool = False
) -> EditorEntry:
    said = [KIND_NAMES.get(written.get("kind"), "")]  # type: ignore[arg-type]
    said += [f"{len(written['questions'])} questions"] if "questions" in written else []
    said += [f"{written.get('minutes')} min"] if "minutes" in written else []
    return EditorEntry(
        written=json.dumps(written, ensure_ascii=False),
        title=str(written.get("title", "")) or "Without a title",
        kind=" · ".join(filter(None, said)),
        html=html,
        question=str(written.get("question", "")),
        twin=str(written.get("twin", "")),
        asks_its_title=asks_its_title,
        is_typed=is_typed(written),
    )


def _build_question_entry(found: ClassQuestion) -> EditorEntry:
    twin = {"twin": found.fresh} if found.fresh else {}
    named = {"kind": "question", "title": shorten_question(found.text), "question": found.id}
    entry = _describe_entry(named | {"minutes": VOTE_MINUTES} | twin, found.html, asks_its_title=True)
    how = [found.kind.replace("-", " ")] + ["numbers drawn for you"] * bool(found.fresh)
    return replace(entry, kind=" · ".join([entry.kind, *how]))


def _list_plan_entries(plan: Plan) -> list[EditorEntry]:
    return [_build_activity_entry(*each) for each in zip(plan.entries, plan.activities, strict=True)]


def _build_activity_entry(written: Mapping[str, Any], activity: Activity) -> EditorEntry:
    return _describe_entry(written, activity.html_asked, asks_its_title=activity.asks_its_title)


def _list_draft_entries(draft: PlanDraft) -> list[EditorEntry]:
    each = enumerate(draft.entries)
    return [replace(_rebuild_entry(entry), is_kept=place not in draft.left_out) for place, entry in each]


def _rebuild_entry(written: str) -> EditorEntry:
    """Rebuild an entry as the form sent it, to show it again even if it isn't valid."""
    try:
        read = json.loads(written)
        return replace(_describe_entry(read), written=written)
    except (ValueError, RecursionError, AttributeError, TypeError):
        return EditorEntry(written=written, title="Not readable", kind="")


def _answer_with(entries: Sequence[EditorEntry], *, asks: bool = False) -> Response:
    return HTMLResponse(render("classroom/start/plan_entries.html", entries=entries, asks=asks))
