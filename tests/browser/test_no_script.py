"""Texts that others wrote never run as a script, whatever field they come in by and wherever they show."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from markupsafe import escape
from playwright.sync_api import Browser, Route, expect

from classroom.reports.export import FILES
from lora_lab.engine.chat import ChatQuestion
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.run_file import run_file
from lora_lab.spec import EMBEDDED_MODEL
from lora_lab.tasks.building import read_builds
from study.base.settings import Settings
from study.text.templates import render
from study.web.security.middleware import COOKIE
from tests.browser.conftest import StartApp, Visit
from tests.browser.events_in import events_in_html
from tests.browser.hostile import (
    BAIT,
    BROWSER,
    HOSTILE,
    PROJECTS,
    RAN,
    SHORT,
    TYPED,
    hostile_files,
    hostile_home,
    runs_of,
)
from tests.lora_lab import run_builders
from tests.visits import opened
from tests.whole_app import WholeApp, whole_app

pytestmark = pytest.mark.browser

READ_AT_ONCE = "html => { document.open(); document.write(html); document.close(); }"
BAITS = f"() => [document.querySelectorAll('[{BAIT}]').length, window.ran ?? 0]"


@dataclass
class Collected:
    """Everything that the app would send to a browser, and where it comes from."""

    pieces: dict[str, str] = field(default_factory=dict)

    def add(self, where: str, html: object) -> None:
        if isinstance(html, str) and html:
            self.pieces.setdefault(html, where)

    def add_reply(self, where: str, reply: Any) -> None:
        self.add(where, reply.get("html"))
        for name, part in (reply.get("parts") or {}).items():
            self.add(f"{where} {name}", part)


def act_of(app: WholeApp, path: str) -> Any:
    """What a press on a page calls."""
    blocks = app.site.routes[-1].app.get_blocks()  # type: ignore[attr-defined]
    [load] = [fn for fn in blocks.fns.values() if fn.name == "load_page" and f"/{fn.page}" == path]
    return load.outputs[-1].server_fns[0]


def press_everything(app: WholeApp, path: str, query: str, found: Collected, *, deep: int = 3) -> None:
    """Open an address, press what is on it, then what came with the answers."""
    act = act_of(app, path)
    seen: set[str] = set()

    def press(html: str, left: int) -> None:
        for event in events_in_html(html, HOSTILE):
            if event["act"] in seen and left < deep:
                continue
            seen.add(event["act"])
            sent = {**event, "query": f"?{query}", "name": f"{SHORT}.csv", "content": ""}
            reply = act(sent, opened(BROWSER, query))
            found.add_reply(f"{path} {event['act']}", reply)
            if left and reply.get("html"):
                press(reply["html"], left - 1)

    shown = app.open(path, BROWSER, **dict(parse_qsl(query)))
    found.add(f"{path}?{query}", shown)
    press(shown, deep)


def addresses(settings: Settings, app: WholeApp) -> Iterator[tuple[str, str]]:
    """Every page, bare, on what the payloads are in, and with a payload in its address."""
    runs = [run.run_id for run in runs_of(settings)]
    sweeps = [path.name for path in settings.sweeps_dir.iterdir()]
    questions = [f"hostile-{kind}-1" for kind in KINDS]
    data = [{"data": path.stem, "model": EMBEDDED_MODEL} for path in (settings.home / "lab/data").iterdir()]
    told = {
        "/cards": [
            {"deck": "hostile", "new": "2"}, {"words": "x", "deck": HOSTILE}, {"cram": "x", "deck": "hostile"}
        ],
        "/browse": [
            {"deck": "hostile"}, {"words": HOSTILE}, {"card": "hostile", "deck": "hostile"}, {"write": "new"}
        ],
        "/quiz": [
            {"topic": "hostile", "n": "30", "seed": "1"}, {"topic": HOSTILE}, {"ids": ",".join(questions)},
            {"write": "new"},
        ],
        "/explain": [{"prompt": "explain-lora"}, {"prompt": "explain-lora", "attempt": "1"}, {"own": "new"}],
        "/lab": [
            *({"run": run} for run in runs[:2]), *data, {"data": HOSTILE, "model": HOSTILE, "name": HOSTILE},
            {"model": SHORT},
        ],
        "/grid": [{"sweep": sweep} for sweep in sweeps] + [{"ranks": HOSTILE}],
        "/compare": [{"runs": ",".join(runs[:2])}, {"runs": HOSTILE}],
        "/xray": [{"run": runs[0]}, {"run": HOSTILE}],
        "/projects": [{"id": project} for project in PROJECTS],
        "/memory": [{"model": HOSTILE, "card": HOSTILE}, {"model": SHORT}],
        "/tasks": [{"id": task} for task in (*list(read_builds())[:2], HOSTILE)],
        "/claims": [{"example": HOSTILE}],
        "/models": [{"model": HOSTILE, "back": HOSTILE}],
        "/microscope": [{"model": HOSTILE, "run": runs[0]}],
        "/concept": [{"id": "lora-rank"}, {"id": HOSTILE}],
        "/figures": [{"id": HOSTILE}],
        "/start": [{"step": HOSTILE}],
    }  # fmt: skip
    for path in app.loads:
        for query in ({}, *told.get(path, ())):
            yield path, urlencode(query)


KINDS = ("choice", "multiple", "true-false", "read-the-chart", "numeric", "short-text", "cloze", "matching",
         "ordering", "find-the-error")  # fmt: skip


def downloads(settings: Settings) -> Iterator[str]:
    """Every file that a browser would show as a page, or that says what it can't do."""
    for sweep in settings.sweeps_dir.iterdir():
        yield f"/lab/sweeps/{sweep.name}/report.html"
        yield f"/lab/sweeps/{sweep.name}/plots/loss-by-rank.svg"
    yield from (f"/projects/{project}/report.html" for project in PROJECTS)
    for name in ("forecast", "retention", "calibration", "reviews"):
        yield f"/progress/plots/{name}.svg"
    yield f"/search?{urlencode({'q': 'hostile'})}"
    yield f"/search?{urlencode({'q': SHORT})}"
    yield f"/{quote(SHORT)}"
    yield f"/docs/{quote(SHORT)}.md"
    yield f"/figure/{quote(SHORT)}"
    yield f"/figure/lora-to-scale?{urlencode({'rank': HOSTILE})}"


def import_previews(app: WholeApp, tmp_path: Path, found: Collected) -> None:
    """Decks and questions in every format, as their preview and their problems show them."""
    act = act_of(app, "/io")
    with app.client(BROWSER) as client:
        for name, content in hostile_files(tmp_path).items():
            asked = client.post(
                f"/io/upload?{urlencode({'name': SHORT + name})}",
                content=content,
                headers={"origin": "http://localhost"},
            )
            assert asked.status_code == 200, name
            reply = act({"act": "uploaded", "query": ""}, opened(BROWSER))
            while "data-poll" in (reply.get("html") or ""):  # the process that reads it is still busy
                Event().wait(0.2)
                polled = act({"act": "poll", "query": ""}, opened(BROWSER))
                reply = polled if "html" in polled else reply
            assert reply.get("html") or reply.get("error"), name
            found.add_reply(f"/io preview of {name}", reply)
            found.add(f"/io problem of {name}", reply.get("error") and str(escape(reply["error"])))


CLASS_VIEWS = ("teach", "teach/state", "screen", "screen/state", "state", "report", "cards", "")


def lab_files(app: WholeApp, settings: Settings, tmp_path: Path, found: Collected) -> None:
    """Data sets and runs that a browser sends to the Lab, with what is said of their problems."""
    run = json.loads(run_file(run_builders.finished(tmp_path / "sent-runs")))
    pairs = [{"prompt": f"{HOSTILE} {number}", "answer": HOSTILE} for number in range(8)]
    lines = "\n".join(map(json.dumps, pairs))
    data = run["data"] | {"label": HOSTILE, "train": pairs[:2]}
    runs = [run | {"data": data}, *(run | {"spec": run["spec"] | {name: HOSTILE}} for name in run["spec"])]
    sent = [
        ("upload", "a.jsonl", lines),
        ("upload", "a.jsonl", f"{lines}\n{HOSTILE}\n" + json.dumps({HOSTILE: HOSTILE})),
        ("upload", "a.csv", f"{HOSTILE}\n"),
        ("upload", "a.exe", HOSTILE),
        ("import", "run.json", HOSTILE),
        *(("import", "run.json", json.dumps(each)) for each in runs),
    ]
    for act, name, content in sent:
        whole = b64encode(content.encode()).decode()
        event = {"act": act, "query": "", "name": SHORT + name, "content": whole}
        for island in ("lab", "grid") if act == "upload" else ("lab",):
            reply = act_of(app, f"/{island}")(event, opened(BROWSER))
            found.add_reply(f"/{island} {act} of {name}", reply)
            found.add(f"/{island} {act} refused", reply.get("error") and str(escape(reply["error"])))


def class_pages(app: WholeApp, found: Collected) -> None:
    """A class on a hostile plan, with questions typed on the spot; its student types payloads everywhere."""
    with app.client(BROWSER) as client:
        client.headers["origin"] = "http://localhost"
        for query in ({}, {"edit": "own-hostile"}, {"plan": HOSTILE}):
            found.add(f"/class?{urlencode(query)}", client.get("/class", params=query).text)
        form = {"plan": "own-hostile", "typed": "yes"}
        started = client.post("/class/open", data=form, follow_redirects=False)
        code = started.headers["location"].split("/")[2]
        client.post(f"/class/{code}/join", json={"name": SHORT})
        refused = client.post(f"/class/{code}/name", json={"name": SHORT})
        assert refused.status_code == 400  # letters and digits only
        client.post(f"/class/{code}/address", data={"address": f"http://{SHORT}"}, follow_redirects=False)
        typed = {"when": "next", "ask": TYPED[4], "value": "1", "unit": SHORT[:20]}
        for kind, options in (("question", ["*right", *TYPED[:3]]), ("poll", TYPED[3:6]), ("text", [])):
            asked = client.post(
                f"/class/{code}/ask", json={**typed, "kind": kind, "options": "\n".join(options)}
            )
            assert asked.status_code == 200, asked.text

        def read() -> None:
            for path in CLASS_VIEWS:
                for html in _html_in(client.get(f"/class/{code}/{path}".rstrip("/"))):
                    found.add(f"/class/{path}", html)

        quotes = 0
        for number in range(40):
            state = client.get(f"/class/{code}/state").json()
            if state["round"]:  # each kind of question takes its own of these
                given = {"text": " ".join(TYPED)[:600], "option": "1", "number": "1"}
                made = {"id": f"answer-{number}", "position": state["position"], "round": state["round"]}
                assert client.post(f"/class/{code}/answer", json=given | made).is_success
            elif state["phase"] == "reveal":
                quotes += client.post(f"/class/{code}/command", json={"do": "show-quote"}).is_success
            read()
            if client.post(f"/class/{code}/command", json={"do": "next"}).is_error:
                break  # the plan is at its end
        assert quotes >= 3, "what the student wrote has to be shown"
        for name in FILES:  # never shown as a page
            sent = client.get(f"/class/{code}/export/{name}")
            assert sent.headers["content-disposition"].startswith("attachment"), name


def _html_in(answer: Any) -> Iterator[str]:
    if not answer.headers["content-type"].startswith("application/json"):
        yield answer.text
        return
    waiting = [answer.json()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):  # `say` is set as text
            waiting += [inside for name, inside in value.items() if name != "say"]
        waiting += value if isinstance(value, list) else []
        if isinstance(value, str):
            yield value


def chat_answers(found: Collected) -> None:
    """What models answer in a chat; the answers are kept in memory, so that no page has any here."""
    runs = (RunFolder(Path(SHORT)),)
    ask = ChatQuestion(
        id="x", runs=runs, prompt=HOSTILE, seed=0, temperature=0.0, texts={"base": HOSTILE}, status="done"
    )
    shown = render("lora_lab/compare/chat.html", ask=ask, columns=[("base", HOSTILE)], most_tokens=96)
    found.add("chat", shown)


@pytest.fixture(scope="module")
def hostile_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, WholeApp]]:
    settings = hostile_home(tmp_path_factory.mktemp("hostile"))
    with whole_app(settings) as app:
        yield settings, app


def test_no_payload_in_any_field_runs_where_nothing_but_the_escaping_stands(
    hostile_app: tuple[Settings, WholeApp], chromium: Browser, tmp_path: Path
) -> None:
    """Eleven families in every field; the HTML is read by a browser without the pages' policy."""
    settings, app = hostile_app
    found = Collected()
    for path, query in addresses(settings, app):
        press_everything(app, path, query, found)
    for path, query in addresses(settings, app):  # what the presses have left there
        found.add(f"{path}?{query} later", app.open(path, BROWSER, **dict(parse_qsl(query))))
    with app.client(BROWSER) as client:
        for address in downloads(settings):
            answer = client.get(address, headers={"accept": "text/html"})
            if answer.headers["content-type"].startswith(("text/html", "image/svg", "application/json")):
                found.add(address, answer.text)
    import_previews(app, tmp_path, found)
    lab_files(app, settings, tmp_path, found)
    class_pages(app, found)
    chat_answers(found)
    showing = [where for html, where in found.pieces.items() if BAIT in html]
    assert len(showing) > 80, "the payloads have to be on the pages"
    places = {where.split("?")[0].split(" ")[0] for where in showing}
    assert places >= SHOWS_STRANGERS | SHOWN_IN_CLASS, (SHOWS_STRANGERS | SHOWN_IN_CLASS) - places

    page = chromium.new_context().new_page()
    outside: list[str] = []

    def refuse(route: Route) -> None:
        outside.append(route.request.url)
        route.abort()

    page.goto("about:blank")
    page.route("**/*", refuse)
    harmed = []
    for html, where in found.pieces.items():
        if BAIT in html or RAN in html:
            page.evaluate(READ_AT_ONCE, html)
            made, ran = page.evaluate(BAITS)
            if made or ran or any("evil.example" in url for url in outside):
                harmed.append((where, made, ran, [*outside]))
                outside.clear()
    assert harmed == []


SHOWS_STRANGERS = {"/", "/settings", "/io", "/cards", "/browse", "/quiz", "/explain", "/lab", "/grid",
                   "/compare", "/projects", "/memory", "/class", "/models", "/tasks", "chat"}  # fmt: skip
"""Pages that show what others wrote."""

SHOWN_IN_CLASS = {f"/class/{view}" for view in ("teach", "screen", "state", "report")}

IN_THE_APP = ("/", "/cards?deck=hostile&new=2", "/browse?deck=hostile", "/quiz", "/explain", "/settings",
              "/io", "/lab", "/grid", "/projects?id=does-rank-matter", "/progress", "/review", "/compare",
              "/memory", "/models", "/tasks", "/learn", "/concept?id=lora-rank")  # fmt: skip


def test_no_payload_runs_in_the_app(visit: Visit, start_app: StartApp, tmp_path: Path) -> None:
    """The same folder in the app itself, with its own scripts: islands, search, and the policy's reports."""
    settings = hostile_home(tmp_path)
    visitor = visit(address=start_app("--no-worker", folder=tmp_path))
    visitor.page.context.add_cookies([{"name": COOKIE, "value": BROWSER, "url": visitor.address}])
    run_id = runs_of(settings)[0].run_id
    for address in (*IN_THE_APP, f"/lab?run={run_id}", f"/xray?run={run_id}"):
        page = visitor.page
        page.goto(visitor.address + address)
        visitor.settled()
        assert page.evaluate(BAITS) == [0, 0], address
    for address in ("/class?edit=own-hostile", f"/search?{urlencode({'q': 'hostile'})}"):
        page.goto(visitor.address + address)  # pages beside the frame's
        assert page.evaluate(BAITS) == [0, 0], address
    page = visitor.open("/cards?deck=hostile&new=2")
    page.keyboard.press("Space")
    expect(page.locator("#answer")).to_be_visible()
    assert page.evaluate(BAITS) == [0, 0]
    visitor.open("/quiz?topic=hostile&n=1&seed=1")
    page.get_by_role("button", name="Start this quiz").click()
    expect(page.locator("#stem")).to_be_visible()
    assert page.evaluate(BAITS) == [0, 0]


WALL = [
    f"<img src=x onerror='{RAN}=1'>",
    f"<svg onload='{RAN}=1'></svg>",
    f"<a id=bait href='javascript:{RAN}=1'>x</a>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    f"<details open ontoggle='{RAN}=1'></details>",
]


def test_markup_that_gets_past_every_escape_runs_nothing_either(visit: Visit) -> None:
    """The second wall: the page's policy refuses event attributes, script addresses and inline scripts."""
    visitor = visit()
    page = visitor.open("/cards")
    for payload in WALL:
        page.evaluate(
            "html => document.querySelector('#main').insertAdjacentHTML('beforeend', html)", payload
        )
    page.evaluate("document.querySelector('#bait').click()")
    page.evaluate(
        "const made = document.createElement('script'); made.textContent = 'window.ran = 1';"
        " document.body.append(made)"
    )
    page.evaluate(
        "const made = document.createElement('script'); made.src = 'https://example.org/x.js';"
        " document.body.append(made)"
    )
    page.wait_for_timeout(500)
    assert page.evaluate(RAN) is None
    refused = [problem for problem in visitor.problems if "Content Security Policy" in problem]
    assert len(refused) >= 5
    visitor.forgive("Content Security Policy", "ERR_", "404", "400", "https://example.org/x.js")
