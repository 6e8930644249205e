"""What students take home: a page with their cards, a link to it, the Anki package, the way into the app."""

from dataclasses import dataclass, field
from hmac import compare_digest
from http import HTTPStatus

from fastapi import FastAPI
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from classroom.access.addresses import is_own_address
from classroom.live.hub import Hub
from classroom.live.live_room import LiveRoom
from classroom.pages import documents
from classroom.pages.requests import refuse_rate, tell_trouble
from classroom.reports.take_home import take_home, take_home_key
from study.base.errors import LearnerError
from study.ports.classes import ClassCard, WriteClassCards
from study.ports.context import Context, find_visit
from study.ports.review import AskForCards
from study.store.class_records import ClassStudent
from study.text.markup import to_html
from study.web.downloads import answer_not_found, answer_with_file
from study.web.security.middleware import find_browser
from study.web.security.rates import Rates


@dataclass(frozen=True)
class TakeHomeRoutes:
    """One method per route."""

    context: Context
    hub: Hub
    write_cards: WriteClassCards
    ask_for_cards: AskForCards | None
    """None in a process that has no other pages."""

    only_class: bool
    """Whether students' devices reach no page of the app but the class."""

    _asking: Rates = field(default_factory=lambda: Rates(burst=20, per_second=1))

    def register(self, site: FastAPI) -> None:
        site.get("/class/{code}/cards", response_model=None)(self.show_page)
        site.get("/class/{code}/cards.apkg", response_model=None)(self.send_package)
        site.post("/class/{code}/study", response_model=None)(self.study)

    async def show_page(self, code: str, request: Request) -> Response:
        try:
            live, student, cards = await self._find_cards(code, request)
        except LearnerError as error:
            return documents.render_page("student/join", title="Join a class", status=404, error=str(error))
        is_own = "take" not in request.query_params
        query = f"take={take_home_key(student)}"
        link = str(request.url.replace(query=query)) if is_own and cards else ""
        return documents.render_page(
            "student/cards",
            title=f"Your cards: {live.room.title}",
            code=code,
            cards=[(to_html(card.front), to_html(card.back), to_html(card.why)) for card in cards],
            opens_here=self._opens_here(request) and any(card.concepts for card in cards),
            with_key="" if is_own else f"?{query}",
            link=link,
            qr=documents.draw_link(link) if link else "",
            is_own=is_own,
        )

    @tell_trouble
    async def send_package(self, code: str, request: Request) -> Response:
        live, _, cards = await self._find_cards(code, request)
        if not self._asking.allows(find_browser(request.cookies)):
            return refuse_rate()
        if not cards:
            return answer_not_found("There are no cards for you in this class.")
        day = f"{live.room.opened_at:%Y-%m-%d}"
        content = await run_in_threadpool(
            self.write_cards,
            cards,
            deck=f"{live.room.title} {day} {code}",
            source=f"your class of {day}",
            now=self.context.clock(),
        )
        return answer_with_file(content, "application/octet-stream", f"class-{code}-cards.apkg")

    @tell_trouble
    async def study(self, code: str, request: Request) -> Response:
        """Make the app's cards about what was missed due in the profile of this browser, and open them."""
        _, _, cards = await self._find_cards(code, request)
        if not self._asking.allows(find_browser(request.cookies)):
            return refuse_rate()
        if self.ask_for_cards is None or not self._opens_here(request):
            return answer_not_found("The app's cards are not open to this device.")
        visit = await run_in_threadpool(
            find_visit, self.context, browser_id=find_browser(request.cookies), query={}
        )
        for concepts in dict.fromkeys(card.concepts for card in cards if card.concepts):
            await run_in_threadpool(self.ask_for_cards, visit, concepts, because="class")
        return RedirectResponse("/cards", HTTPStatus.SEE_OTHER)

    def _opens_here(self, request: Request) -> bool:
        address = request.client.host if request.client else ""
        return self.ask_for_cards is not None and (not self.only_class or is_own_address(address))

    async def _find_cards(
        self, code: str, request: Request
    ) -> tuple[LiveRoom, ClassStudent, list[ClassCard]]:
        """Find the cards of the student of this browser, or of the one whose link it has opened.

        Raises LearnerError for a code, a browser or a link that the app does not know.
        """
        live = await self.hub.find_newest(code)
        key = request.query_params.get("take")
        if key is None:
            student = await self.hub.require_student(live, find_browser(request.cookies))
        else:
            student = _find_by_key(live, key)
        cards = take_home(
            live.plan, live.events, live.state, live.list_answers_by(student.id), joined_at=student.joined_at
        )
        return live, student, cards


def _find_by_key(live: LiveRoom, key: str) -> ClassStudent:
    for student in live.students.values():
        if compare_digest(take_home_key(student).encode(), key.encode()):
            return student
    raise LearnerError("This link leads to no cards.", do_next="Open it on the phone that was in class.")
