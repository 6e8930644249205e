"""A server for learners: every route and every press, asked by a stranger, a learner and the owner."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import QueryParams
from starlette.routing import Route
from starlette.testclient import TestClient
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from lora_lab.engine.shape_jobs import ShapeJobs
from lora_lab.pages import compare, grid, microscope, models, projects, train, xray
from study.base.owner_log import FILE
from study.base.settings import Settings
from study.web.security.access import KEY_FILE, ServerKeys
from study.web.security.middleware import COOKIE
from tests.visits import build_event
from tests.whole_app import WholeApp, server_for_learners, whole_app

HOST = "192.168.1.20:7860"
ELSEWHERE = "192.168.1.77"
SAMPLES = {"code": "123456", "exchange": "backup", "name": "json", "ending": "svg", "path": "traps.md",
           "run_id": "x", "sweep_id": "x", "project_id": "x", "figure_id": "lora-to-scale",
           "island": "cards"}  # fmt: skip

STATIC = ("static/{name}", "static/class.css")

FOR_EVERYONE = re.compile(
    r"/(act|docs|fonts|look|assets|theme\.css$|static|figure|search|progress/plots|io|lab|projects|devices/join|join/\{code\}$|class/(join|help|static|\{code\}$"
    r"|\{code\}/(join|answer|name|events|state|study|cards|cards\.apkg|figure)$))"
)
FOR_THE_OWNER = re.compile(
    r"/class($|/open|/plans|/\{code\}/(ask|teach|screen|command|address|key|report|export|delete))"
)
STREAMS = re.compile(r"/events$")
"""Routes that don't end by themselves."""

EVENTS = {  # by the island's name: a press of the owner, and one that a learner may make
    "lab": ("delete", "poll"),
    "grid": ("delete", "poll"),
    "compare": ("ask", "tick"),
    "microscope": ("look", "poll"),
    "xray": ("start", "poll"),
    "models": ("add", None),
    "projects": ("measure", "poll"),
}
LISTS = {"lab": train, "grid": grid, "compare": compare, "microscope": microscope, "xray": xray,
         "models": models, "projects": projects}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[WholeApp]:
    with server_for_learners(home) as served:
        yield served


def client(served: WholeApp, address: str = ELSEWHERE, host: str = HOST, **cookies: str) -> TestClient:
    return TestClient(
        served.site,
        cookies=cookies,
        base_url=f"http://{host}",
        client=(address, 50_000),
        follow_redirects=False,
        headers={"origin": f"http://{host}"},
    )


@pytest.fixture
def asking(served: WholeApp) -> dict[str, TestClient]:
    key = served.site.state.owner_key
    return {
        "stranger": client(served),
        "learner": client(served, **{COOKIE: "browser-of-lea"}),
        "owner": client(served, **{COOKIE: "browser-of-ola", "owner": key}),
        "at the machine": client(served, "127.0.0.1", "localhost:7860", **{COOKIE: "browser-here"}),
    }


def routes_of(served: WholeApp) -> list[tuple[str, str]]:
    found = [route for route in served.site.routes if isinstance(route, Route)]
    return [
        (method, route.path) for route in found for method in sorted(route.methods or ()) if method != "HEAD"
    ]


def test_every_route_answers_each_role_as_it_should(served: WholeApp, asking: dict[str, TestClient]) -> None:
    routes = routes_of(served)
    assert len(routes) > 40
    for method, path in routes:
        owners = bool(FOR_THE_OWNER.match(path))
        assert owners or FOR_EVERYONE.match(path), f"{method} {path}: whose is it?"
        if STREAMS.search(path) and not owners:
            continue
        address = re.sub(r"\{(\w+)(:\w+)?\}", lambda name: SAMPLES[name[1]], path.replace(*STATIC))
        for role, browser in asking.items():
            if STREAMS.search(path) and role in ("owner", "at the machine"):
                continue
            status = browser.request(method, address).status_code
            refused = owners and role in ("stranger", "learner")
            assert (status == 403) == refused or (status == 403 and not owners and role == "stranger"), (
                role, method, address, status,
            )  # fmt: skip
            assert status < 500, (role, method, address, status)


@pytest.mark.parametrize("through_gradio", [False, True])
def test_every_press_in_the_lab_is_the_owners_or_named_as_a_learners(
    served: WholeApp, asking: dict[str, TestClient], *, through_gradio: bool
) -> None:
    config = asking["learner"].get("/config").json()
    numbers = {made["props"].get("elem_id"): made["id"] for made in config["components"]}
    for island, (owners, learners) in EVENTS.items():
        number = numbers[island] if through_gradio else None
        assert owners not in LISTS[island].LEARNERS_MAY
        for role, browser in asking.items():
            said = _send_event(browser, island, owners, number)
            belongs = "belongs to the owner" in str(said.get("error", said))
            assert belongs == (role in ("stranger", "learner")), (role, island, owners, said)
        if learners:
            said = _send_event(asking["learner"], island, learners, number)
            assert "belongs to the owner" not in str(said), (island, learners)


def _send_event(browser: TestClient, island: str, act: str, number: int | None = None) -> dict[str, Any]:
    """Press over the app's own route, or over Gradio's where the island's number is given."""
    event = {"act": act, "query": ""}
    if number is None:
        answer = browser.post(f"/act/{island}", json=event)
    else:
        body = {"data": event, "fn_name": "act", "component_id": number, "session_hash": "s"}
        answer = browser.post("/gradio_api/component_server", json=body)
    try:
        found = answer.json()
    except ValueError:
        return {"status": answer.status_code}
    return found if isinstance(found, dict) else {"status": answer.status_code}


def test_a_learner_is_refused_settings_and_runs_of_others_in_words(asking: dict[str, TestClient]) -> None:
    own = {"rank": ["9"], "model": ["tiny-random"]}
    for role in ("stranger", "learner"):
        started = asking[role].post("/act/lab", json={"act": "start", "query": "", "fields": own}).json()
        stopped = asking[role].post("/act/lab", json={"act": "stop", "query": "", "run": "x"}).json()
        if role == "learner":
            assert "Choose a ready experiment" in started["error"]
            assert "This run is not yours" in stopped["error"]
        else:
            assert "error" in started
            assert "error" in stopped


def test_only_the_owner_sets_damaged_folders_aside(
    served: WholeApp, home: Path, asking: dict[str, TestClient]
) -> None:
    for folder, island in (("runs", "lab"), ("sweeps", "grid")):
        middle = "tiny-random-r8-nf4" if folder == "runs" else "sweep"
        damaged = home / folder / f"20260304-100000000-{middle}-abcdef"
        damaged.mkdir(parents=True)
        for role in ("stranger", "learner"):
            asking[role].post(f"/act/{island}", json={"act": "set-aside", "query": ""})
            assert damaged.is_dir(), role
        asking["owner"].post(f"/act/{island}", json={"act": "set-aside", "query": ""})
        assert not damaged.exists()
        assert (home / "set-aside" / folder / damaged.name).is_dir()


def test_the_owners_link_makes_a_browser_the_owners(served: WholeApp, home: Path) -> None:
    assert client(served).get("/owner?key=wrong").status_code == 403
    browser = client(served)
    opened = browser.get(f"/owner?key={served.site.state.owner_key}")
    assert opened.status_code == 303
    assert "httponly" in opened.headers["set-cookie"].lower()
    assert "secure" not in opened.headers["set-cookie"].lower()  # a browser would not send it back
    # As uvicorn has it; its types of a scope are narrower than those of Starlette.
    site: Any = served.site
    passed_on: Any = ProxyHeadersMiddleware(site, trusted_hosts="127.0.0.1")
    for proxy, believed in (("127.0.0.1", True), (ELSEWHERE, False)):
        there = TestClient(passed_on, base_url=f"http://{HOST}", client=(proxy, 1), follow_redirects=False)
        answer = there.get(
            f"/owner?key={served.site.state.owner_key}", headers={"x-forwarded-proto": "https"}
        )
        assert ("secure" in answer.headers["set-cookie"].lower()) == believed
    assert browser.get("/class").status_code == 200
    assert (home / KEY_FILE).stat().st_mode & 0o077 == 0
    assert ServerKeys(home).owner == served.site.state.owner_key  # the same after a restart


def test_nobody_uploads_through_gradio(asking: dict[str, TestClient]) -> None:
    for role in ("stranger", "learner"):
        assert asking[role].post("/gradio_api/upload", files={"files": b"x"}).status_code == 403


def _settings(browser: TestClient) -> tuple[int, str]:
    assert browser.get("/settings", headers={"accept": "text/html"}).status_code == 200
    config: dict[str, Any] = browser.get("/config").json()
    island = next(made["id"] for made in config["components"] if made["props"].get("elem_id") == "settings")
    load = next(
        made["id"] for made in config["dependencies"] if made["targets"] and made["outputs"][-1:] == [island]
    )
    body = {"data": [], "fn_index": load, "session_hash": "s"}
    return island, browser.post("/gradio_api/run/predict", json=body).json()["data"][-1]


def _send(browser: TestClient, island: int, event: dict[str, Any]) -> dict[str, Any]:
    body = {"data": {**event, "query": ""}, "fn_name": "act", "component_id": island, "session_hash": "s"}
    found: dict[str, Any] = browser.post("/gradio_api/component_server", json=body).json()
    return found


def test_a_second_device_joins_by_a_link_that_works_once_and_can_be_removed(served: WholeApp) -> None:
    first, second = client(served, **{COOKIE: "phone-one"}), client(served, **{COOKIE: "phone-two"})
    island, shown = _settings(first)
    _send(first, island, {"act": "rename", "fields": {"name": ["Lea of two"]}})
    made = _send(first, island, build_event(shown, "add-device"))["parts"]["device"]
    assert "<svg" in made
    address = re.search(r"/devices/join\?token=[\w-]+", made)
    assert address
    asked = second.get(address[0])
    assert "Study here as Lea of two" in asked.text
    assert second.get(address[0]).status_code == 200  # looking at it does not use it up
    token = address[0].partition("=")[2]
    assert second.post("/devices/join", data={"token": token}).status_code == 303
    assert "Lea of two" in _settings(second)[1]
    assert (
        client(served, **{COOKIE: "phone-three"}).post("/devices/join", data={"token": token}).status_code
        == 410
    )

    island, shown = _settings(first)
    _send(first, island, build_event(shown, "remove-device"))
    assert "Lea of two" not in _settings(second)[1]
    assert "Lea of two" in _settings(first)[1]


def test_a_lost_profile_comes_back_by_its_phrase(served: WholeApp) -> None:
    lost, found = client(served, **{COOKIE: "lost"}), client(served, **{COOKIE: "found"})
    island, _ = _settings(lost)
    _send(lost, island, {"act": "rename", "fields": {"name": ["Mia"]}})
    phrase = re.search(r"<code>((?:\w{4}-){4}\w{4})</code>", _settings(lost)[1])
    assert phrase
    wrong = _send(found, island, {"act": "recover", "fields": {"phrase": ["aaaa-bbbb-cccc-dddd-eeee"]}})
    assert "No profile has this phrase" in wrong["error"]
    typed = f"  {phrase[1].upper().replace('-', ' ')} "
    assert _send(found, island, {"act": "recover", "fields": {"phrase": [typed]}})["goto"] == "/"
    assert "Mia" in _settings(found)[1]


def test_nobody_learns_from_a_name_who_else_studies_here(served: WholeApp) -> None:
    pages = {browser: client(served, **{COOKIE: browser}) for browser in ("of-maria", "of-a-snoop")}
    for act, browser in (("rename", "of-maria"), ("rename", "of-a-snoop"), ("add", "of-a-snoop")):
        island, _ = _settings(pages[browser])
        said = _send(pages[browser], island, {"act": act, "fields": {"name": ["Maria Muster"]}})
        assert "error" not in said
        assert "Maria Muster" in _settings(pages[browser])[1]


def test_a_browser_that_asks_too_often_is_told_so_and_others_are_not(served: WholeApp) -> None:
    flood, other = client(served, **{COOKIE: "flood"}), client(served, **{COOKIE: "calm"})
    answers = (flood.get("/fonts/none") for _ in range(5_000))  # a slow machine earns tokens meanwhile
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert "Wait a moment" in refused.text
    assert other.get("/fonts/none").status_code == 404


def test_on_ones_own_machine_everything_is_open(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, database_url=f"sqlite:///{tmp_path / 's.sqlite3'}", models_dir=tmp_path / "models"
    )
    with whole_app(settings, hosts=("127.0.0.1",)) as served:
        browser = served.client("me")
        assert not (tmp_path / KEY_FILE).exists()
        assert "Your devices" not in _settings(browser)[1]
        assert browser.get("/class").status_code == 200


def test_the_owner_reads_what_was_refused_and_nobody_else_does(
    served: WholeApp, home: Path, asking: dict[str, TestClient]
) -> None:
    client(served).get("/owner?key=wrong")
    asking["learner"].post("/act/lab", json={"act": "delete", "run": "secret-run"})
    asking["learner"].post("/act/lab", json={"act": "poll"}, headers={"origin": "http://evil.example"})
    flood = client(served, **{COOKIE: "flooding-browser"})
    assert any(flood.get("/fonts/none").status_code == 429 for _ in range(5_000))
    shown = _settings(asking["owner"])[1]
    for line in ("wrong key", "owner&#39;s on lab", "comes from another site", "asked too often"):
        assert line in shown, line
    assert str(home) in shown
    for role in ("learner", "stranger"):
        other = _settings(asking[role])[1]
        assert 'id="log"' not in other
        assert str(home) not in other
    kept = (home / FILE).read_text("utf-8")
    for private in ("secret-run", "flooding-browser", "browser-of", ELSEWHERE, "evil.example"):
        assert private not in kept, private


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models for which a worker was started."""
    asked: list[str] = []

    def note(jobs: ShapeJobs, model: str, *, browser_id: str) -> bool:
        asked.append(model)
        return True

    monkeypatch.setattr(ShapeJobs, "is_working", note)
    return asked


MODEL_PRESSES = {
    "lab": {"act": "change", "fields": {"rank": ["8"]}},
    "grid": {
        "act": "change",
        "fields": {
            "ranks": ["8"],
            "seeds": ["0"],
            "bits": ["nf4"],
            "targets": ["q+v"],
            "variants": ["lora"],
            "learning_rates": ["0.001"],
        },
    },
    "microscope": {"act": "change", "fields": {}},
}


@pytest.mark.parametrize("island", MODEL_PRESSES)
def test_a_learners_model_is_one_that_the_server_knows(
    served: WholeApp, asking: dict[str, TestClient], reading: list[str], tmp_path: Path, island: str
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    said = {}
    for model in (str(tmp_path), str(tmp_path / "none"), "owner/some-model"):
        said[model] = _press_with(asking["learner"], island, model)
        assert "ask the owner to add it on the Models page" in said[model], said[model]
    there, missing = (said[str(path)] for path in (tmp_path, tmp_path / "none"))
    assert there.replace(str(tmp_path), "") == missing.replace(str(tmp_path / "none"), "")
    assert reading == []
    assert "ask the owner" not in _press_with(asking["learner"], island, "smollm2-135m")
    for role in ("owner", "at the machine"):
        assert "ask the owner" not in _press_with(asking[role], island, str(tmp_path))
    assert set(reading) == {str(tmp_path)}


@pytest.mark.parametrize("path", ["/lab", "/grid", "/microscope"])
def test_a_learners_address_starts_no_worker_either(
    served: WholeApp, reading: list[str], tmp_path: Path, path: str
) -> None:
    for role, started in (("learner", []), ("owner", [str(tmp_path)])):
        request = SimpleNamespace(
            cookies={COOKIE: "browser-of-lea"},
            query_params=QueryParams({"model": str(tmp_path)}),
            scope={"role": role},
        )
        shown = str(served.loads[path](request))
        assert ("ask the owner to add it" in shown) == (role == "learner")
        assert sorted(set(reading)) == started


def test_an_open_lab_reads_every_model_for_everyone(reading: list[str], tmp_path: Path) -> None:
    with server_for_learners(tmp_path, open_lab=True) as served:
        learner = client(served, **{COOKIE: "browser-of-lea"})
        assert "ask the owner" not in _press_with(learner, "lab", "owner/some-model")
        assert reading == ["owner/some-model"]


def _press_with(browser: TestClient, island: str, model: str) -> str:
    press: dict[str, Any] = MODEL_PRESSES[island]
    event = {**press, "query": "", "fields": {**press["fields"], "model": [model]}}
    answer = browser.post(f"/act/{island}", json=event)
    assert answer.status_code == 200
    return html.unescape(answer.json().get("error", "") + " ".join(answer.json().get("parts", {}).values()))
