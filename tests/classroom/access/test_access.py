"""Who may do what: a student on the network reaches the student routes of a class and nothing else."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import select

from app import build_app
from classroom.access.addresses import is_own_address, list_lan_addresses
from classroom.access.gate import REFUSAL, ClassGate, is_for_students
from classroom.access.keys import COOKIE, Keys
from classroom.pages.documents import render_refusal
from study.base.settings import ROOT, Settings
from study.ports.context import Context
from study.store.schema import metadata
from study.web.security import middleware
from tests.classroom.rooms import PHONE, School, Streaming, played
from tests.whole_app import routes_of

STUDENT_ROUTES = {
    ("GET", "/class/join"),
    ("GET", "/join/{code}"),
    ("GET", "/class/help"),
    ("POST", "/class/help"),
    ("GET", "/class/help/events"),
    ("GET", "/class/static/{name}"),
    ("GET", "/class/{code}"),
    ("GET", "/class/{code}/events"),
    ("GET", "/class/{code}/state"),
    ("POST", "/class/{code}/join"),
    ("POST", "/class/{code}/answer"),
    ("POST", "/class/{code}/name"),
    ("GET", "/class/{code}/figure"),
    ("GET", "/class/{code}/cards"),
    ("GET", "/class/{code}/cards.apkg"),
    ("POST", "/class/{code}/study"),
}
"""All that a student's device may ask; a new route belongs here only on purpose."""

TEACHER_FILES = ("/class/static/teacher.js", "/class/static/screen.js")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The whole app as `python app.py --class` serves it, but for its worker."""
    home = tmp_path_factory.mktemp("class")
    settings = Settings(home=home, database_url=f"sqlite:///{home / 's.sqlite3'}", models_dir=home / "models")
    site = build_app(settings, hosts=("0.0.0.0",), worker=False, only_class=True)
    yield site
    site.state.close()


def filled(path: str) -> str:
    """A path with something in each of its places."""
    path = path.replace("{code}", "123456").replace("/static/{name}", "/static/student.js")
    return re.sub(r"{[^}]+}", "x", path)


def ask(
    site: Any, method: str, path: str, *, address: str = PHONE, headers: dict[str, str] | None = None
) -> int:
    """The status of an answer; a stream's status comes with its first bytes."""

    async def one_request() -> int:
        status = 0
        gone = asyncio.Event()
        given = {"host": "192.0.2.1:7860"} | (headers or {})
        raw_path, _, query = path.partition("?")

        async def receive() -> dict[str, Any]:
            if not gone.is_set():
                gone.set()
                return {"type": "http.request", "body": b"{}", "more_body": False}
            await asyncio.sleep(0.2)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": raw_path, "raw_path": raw_path.encode(), "query_string": query.encode(),
            "root_path": "", "client": (address, 1), "server": ("192.0.2.1", 7860),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }  # fmt: skip
        await asyncio.wait_for(site(scope, receive, send), 10)
        return status

    return asyncio.run(one_request())


def test_a_student_on_the_network_reaches_the_student_routes_and_nothing_else(served: Any) -> None:
    routes = routes_of(served)
    assert routes >= STUDENT_ROUTES
    assert len(routes) > 120, "Gradio's routes are walked as well"
    assert {"/gradio_api/upload", "/config"} <= {path for _, path in routes}
    for method, path in sorted(routes):
        status = ask(served, method, filled(path))
        asked = ("GET" if method == "HEAD" else method, path)
        if asked in STUDENT_ROUTES:
            assert status in (200, 303, 400, 404), (method, path, status)
        else:
            assert status == 403, (method, path, status)


@pytest.mark.parametrize(
    "path",
    [
        "/", "/class", "/class/", "//class/123456", "/class/123456/", "/class/1234567", "/class/12345a",
        "/class/123456/teach", "/class/123456/screen", "/class/123456/../../lab", "/class/123456/report",
        "/CLASS/123456", "/class/123456\n", "/class/１２３４５６", "/class/static/../../app.py",
        "/lab", "/nothing", "/gradio_api/queue/join", "/class/123456/teach?key=", *TEACHER_FILES,
        "/class/123456/teach?key=guess", "/class/plans", "/class/plans/questions?words=x",
        "/class?edit=opener", "/class/static/plans.js",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_student_route_is_refused(served: Any, path: str) -> None:
    assert ask(served, "GET", path) == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "TRACE"])
def test_other_methods_on_student_routes_are_refused(served: Any, method: str) -> None:
    assert ask(served, method, "/class/123456/answer") == 403


def test_a_forged_header_does_not_make_a_phone_this_machine(served: Any) -> None:
    for name in ("x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip"):
        assert ask(served, "GET", "/class", headers={name: "127.0.0.1"}) == 403
    assert ask(served, "GET", "/class", headers={"host": "127.0.0.1:7860"}) == 403


def test_a_proxy_on_this_machine_makes_nobody_the_teacher(served: Any) -> None:
    for name in ("x-forwarded-proto", "x-real-ip", "via", "cf-connecting-ip"):
        assert ask(served, "GET", "/class", address="127.0.0.1", headers={name: "203.0.113.9"}) == 403


def test_this_machine_reaches_everything_through_any_of_its_addresses(served: Any) -> None:
    for address in ("127.0.0.1", "::1", "::ffff:127.0.0.1", *(each.address for each in list_lan_addresses())):
        assert is_own_address(address)
        assert ask(served, "GET", "/class", address=address) == 200
        assert ask(served, "GET", "/docs/traps.md", address=address) == 200


def test_other_addresses_are_not_this_machine() -> None:
    for address in (PHONE, "198.51.100.7", "::ffff:192.0.2.50", "testclient", "", "fe80::1%eth9"):
        assert not is_own_address(address)


def test_every_interface_that_phones_may_reach_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    from types import SimpleNamespace

    def at(address: str, family: int = socket.AF_INET) -> Any:
        return SimpleNamespace(family=family, address=address)

    interfaces = {
        "lo": [at("127.0.0.1")],
        "wlan0": [at("192.168.1.20"), at("fe80::1", socket.AF_INET6)],
        "eth0": [at("10.0.0.4")],
        "down0": [at("169.254.3.4")],
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: interfaces)
    assert {(each.interface, each.address) for each in list_lan_addresses()} == {
        ("wlan0", "192.168.1.20"),
        ("eth0", "10.0.0.4"),
    }


def test_a_websocket_from_a_phone_is_closed(context: Context) -> None:
    sent: list[Any] = []

    async def never(*_: object) -> None:
        raise AssertionError("refused before it gets here")

    async def send(message: Any) -> None:
        sent.append(message)

    gate = ClassGate(
        never, keys=Keys(log=context.store.classes), only_class=True, render_refusal=render_refusal
    )
    scope = {"type": "websocket", "path": "/class/123456", "client": (PHONE, 1), "headers": []}
    asyncio.run(gate(scope, never, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close", "code": 1008, "reason": REFUSAL}]


def test_a_server_for_learners_keeps_only_the_teachers_pages_for_this_machine(context: Context) -> None:
    school = School(context, only_class=False)

    async def play() -> None:
        live = await school.start()
        async with school.client(browser="ana") as ana:
            for path in ("/class", f"/class/{live.room.code}/teach", f"/class/{live.room.code}/screen/state"):
                assert (await ana.get(path)).status_code == 403
            refused = await ana.post(f"/class/{live.room.code}/command", json={"do": "next"})
            assert (refused.status_code, refused.text) == (403, REFUSAL)
            assert (await ana.get("/lab")).status_code == 404  # let through; this site has no such page

    played(play)


def test_a_key_lets_the_teachers_phone_in_until_it_is_revoked(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        code = live.room.code
        async with school.teacher() as laptop, school.client(browser="tablet") as tablet:
            page = await laptop.post(f"/class/{code}/key")
            found = re.search(rf"http://[\d.:]+(/class/{code}/teach\?key=[\w-]+)", page.text)
            assert found is not None
            fold = page.text[: page.text.index(found[0])].rpartition("<details")[2]
            assert fold.startswith(' class="sheet" open>')
            again = await laptop.get(f"/class/{code}/key")  # a tab that is reopened
            assert (again.status_code, again.headers["location"]) == (303, f"/class/{code}/teach")
            opened = await tablet.get(found[1])
            assert (opened.status_code, opened.headers["location"]) == (303, f"/class/{code}/teach")
            cookie = opened.headers["set-cookie"]
            assert cookie.startswith(f"{COOKIE}=")
            assert "HttpOnly" in cookie
            assert (await tablet.get(f"/class/{code}/teach")).status_code == 200
            done = await tablet.post(f"/class/{code}/command", json={"do": "next"})
            assert (done.status_code, live.state.position) == (200, 0)
            assert "key=" not in (await laptop.get(f"/class/{code}/teach")).text  # shown once
            await laptop.post(f"/class/{code}/key/revoke")
            assert (await tablet.get(f"/class/{code}/teach")).status_code == 403
            assert (await tablet.get(found[1])).status_code == 403

    played(play)


def test_a_key_survives_a_restart_and_goes_with_its_class(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        async with school.teacher() as laptop:
            page = await laptop.post(f"/class/{live.room.code}/key")
        found = re.search(r"key=([\w-]+)", page.text)
        assert found is not None
        again = School(context)
        assert again.keys.holds(found[1])
        await again.hub.delete(await again.hub.find(live.room.code))
        again.keys.reload()
        assert not again.keys.holds(found[1])

    played(play)


def test_a_command_from_another_site_in_the_teachers_browser_is_refused(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        async with school.teacher() as laptop:
            refused = await laptop.post(
                f"/class/{live.room.code}/command",
                json={"do": "end"},
                headers={"origin": "http://evil.example"},
            )
            assert (refused.status_code, live.state.ended) == (403, False)

    played(play)


def test_the_student_routes_are_exactly_those_of_the_gate() -> None:
    for method, path in STUDENT_ROUTES:
        assert is_for_students(method, filled(path)), path
    assert is_for_students("GET", "/class/static/class.css")


def test_a_student_gets_the_font_of_formulas(served: Any) -> None:
    assert ask(served, "GET", "/fonts/stix-two-math-subset.woff2") == 200
    assert ask(served, "GET", "/fonts/another.woff2") == 403
    assert "/fonts/stix-two-math-subset.woff2" in (ROOT / "study" / "static" / "page.css").read_text("utf-8")


def test_a_students_page_is_small_and_asks_nothing_of_other_sites(context: Context) -> None:
    school = School(context)

    async def play() -> int:
        live = await school.start()
        async with school.client(browser="ana") as ana:
            page = await ana.get(f"/class/{live.room.code}", headers={"accept": "text/html"})
            assert middleware.COOKIE in page.headers.get("set-cookie", middleware.COOKIE)
            parts: list[httpx.Response] = [page]
            for part in ("class.css", "student.js"):
                parts.append(await ana.get(f"/class/static/{part}"))
            assert all(each.status_code == 200 for each in parts)
            text = "".join(each.text for each in parts)
            assert not re.search(r"""(src|href|url\()\s*=?\s*["']?(https?:)?//""", text)
            assert text.count("<script src") == 1
            return sum(len(each.content) for each in parts)

    assert played(play) < 60_000


def test_a_short_address_leads_to_the_class(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        async with school.client() as student:
            led = await student.get(f"/join/{live.room.code}")
            assert (led.status_code, led.headers["location"]) == (303, f"/class/{live.room.code}")
            assert (await student.get("/join/12345", headers={"accept": "text/html"})).status_code == 403

    played(play)


def test_the_self_test_has_its_address_here_and_tests_on_a_phone(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        async with school.teacher() as laptop, school.client() as student:
            here, there = (await laptop.get("/class/help")).text, (await student.get("/class/help")).text
            assert "<svg" in here
            assert f"http://{list_lan_addresses()[0].address}" in here
            assert "help.js" not in here
            assert "help.js" in there
            assert "<svg" not in there
            assert (await student.post("/class/help")).status_code == 200
            assert (await student.get("/class/static/help.js")).status_code == 200
            assert (await student.get("/class/static/join.js")).status_code == 200
        async with Streaming(school.site, "/class/help/events", "ana") as stream:
            assert (await stream.next())["event"] == "beat"

    played(play)


def test_the_teachers_list_of_addresses_shows_the_one_that_the_link_has(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        async with school.teacher() as laptop:
            for chosen in ("127.0.0.1", list_lan_addresses()[0].address):
                await laptop.post(f"/class/{live.room.code}/address", data={"address": chosen})
                shown = (await laptop.get(f"/class/{live.room.code}/teach")).text
                assert f'<option value="{chosen}" selected>' in shown
                assert f"<strong>{chosen}" in shown

    played(play)


def test_no_address_of_a_student_is_stored(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        async with school.client(browser="browser-of-ana") as ana:
            await ana.post(f"/class/{live.room.code}/join", json={})

    played(play)
    with context.store.database.read() as connection:
        written = {
            table.name: str(connection.execute(select(table)).all()) for table in metadata.sorted_tables
        }
    assert len(written["class_students"]) > 100
    assert not any(PHONE in rows or "browser-of-ana" in rows for rows in written.values())


@pytest.mark.parametrize("path", ["/", "/class", "/join", "/class/123456/teach", "/learn"])
def test_who_types_the_address_alone_gets_the_form_for_the_six_digits(context: Context, path: str) -> None:
    school = School(context)

    async def play() -> None:
        async with school.client() as student:
            refused = await student.get(path, headers={"accept": "text/html,*/*"})
            assert refused.status_code == 403
            assert 'action="/class/join"' in refused.text
            assert refused.text.count("Only the teacher&#39;s computer opens this page: ") == 1
            assert "viewport" in refused.text
            plain = await student.get(path, headers={"accept": "application/json"})
            assert (plain.status_code, plain.text) == (403, REFUSAL)

    played(play)


@pytest.mark.parametrize("path", ["/class/open", "/class/plans/delete", "/class/{code}/address"])
def test_a_form_that_is_too_long_is_told_so_on_the_start_page(school: School, path: str) -> None:
    async def play() -> None:
        live = await school.start()
        async with school.teacher() as teacher:
            sent = await teacher.post(path.format(code=live.room.code), data={"plan": "x" * 10_000})
            assert sent.status_code == 200
            assert "That is too long. Shorten it, then send it again." in sent.text

    played(play)
