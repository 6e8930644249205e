"""What a start with --host says, and what browsers elsewhere on the network can't see or do."""

import asyncio
import socket
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Scope

from study.base.addresses import build_address, is_loopback
from study.base.errors import LearnerError
from study.io.apply_import import Imports
from study.io.import_jobs import ImportJobs
from study.io.planning import DirectPlanner
from study.pages.inout import InOutPage
from study.pages.settings import SettingsPage
from study.ports.context import Context
from study.store.snapshots import find_snapshots
from study.web.security.access import RoleGate, ServerKeys
from study.web.security.middleware import RequestGuard, list_own_names
from study.web.serving import server
from study.web.serving.server import format_network_notice
from tests.study.web.test_web import ask
from tests.visits import build_event, opened

ELSEWHERE = "192.168.1.77"


def test_a_start_for_the_network_says_what_is_open_and_prints_addresses_that_work() -> None:
    said = format_network_notice("0.0.0.0", 7860, "the-key")
    assert "Everyone who can reach this machine" in said
    assert "0.0.0.0" not in said
    assert "/owner?key=the-key" in said
    name = f"http://{socket.gethostname().lower().removesuffix('.local')}.local:7860"
    # Nothing here announces that name: it works where the system does.
    assert f"  {name}  (on networks that resolve .local names)" in said.splitlines()
    assert (
        format_network_notice("192.168.1.5", 7860, "k").splitlines()[1].strip() == "http://192.168.1.5:7860"
    )


def test_a_start_on_all_addresses_of_ipv6_prints_those_that_a_browser_can_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def at(address: str) -> SimpleNamespace:
        return SimpleNamespace(family=socket.AF_INET6 if ":" in address else socket.AF_INET, address=address)

    found = {"lo": [at("::1"), at("127.0.0.1")],
             "eth0": [at("2001:db8::5"), at("fe80::1%eth0"), at("192.168.1.5")]}  # fmt: skip
    monkeypatch.setattr("psutil.net_if_addrs", lambda: found)
    lines = [line.strip() for line in format_network_notice("::", 7860, "k").splitlines()]
    assert lines[1:3] == ["http://192.168.1.5:7860", "http://[2001:db8::5]:7860"]
    assert not any("fe80" in line or "::1]" in line for line in lines)
    assert "2001" not in format_network_notice("0.0.0.0", 7860, "k")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_start_behind_a_proxy_prints_the_owners_address_under_the_public_name(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(
            state=SimpleNamespace(owner_key="the-key", close=lambda: None, prepare=lambda: None)
        )

    monkeypatch.setattr(server._AnnouncingServer, "run", lambda *_, **__: None)
    options = ["--host", host, "--port", "0", "--data-folder", str(tmp_path)]
    assert server.run(build, [*options, "--public-name", "study.example.org"]) == 0
    assert "  http://study.example.org/owner?key=the-key\n" in capsys.readouterr().out
    server.run(build, ["--port", "0", "--data-folder", str(tmp_path)])
    assert "owner" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "http://localhost:1"), ("::1", "http://[::1]:1"), ("127.0.0.1", "http://127.0.0.1:1")],
)
def test_the_address_can_be_opened_in_a_browser(host: str, address: str) -> None:
    assert build_address(host, 1) == address


def test_only_this_machine_reaches_loopback_addresses() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "192.168.1.5")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_the_names_of_this_machine_are_answered() -> None:
    for name in list_own_names():
        assert ask(host=f"{name}:7860").status_code == 200


@pytest.mark.parametrize("host", ["[::1", "[", "a]b", ""])
def test_a_broken_host_name_is_refused_without_an_error(host: str) -> None:
    assert ask(headers={"host": host}).status_code == 400
    assert ask("POST", headers={"origin": f"http://{host}x["}).status_code == 403


def test_an_address_with_a_zero_byte_does_not_exist() -> None:
    assert ask(path="/docs/a%00b").status_code == 404


@pytest.mark.parametrize("length", ["-1", "x", "1e9"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    assert ask("POST", headers={"content-length": length.encode().decode("latin-1")}).status_code == 400


def test_a_body_whose_end_can_be_read_in_two_ways_is_refused_and_the_connection_ends() -> None:
    """A proxy in front may read it in the other way, and take what follows for somebody else's request."""
    answer = ask("POST", headers={"content-length": "0", "transfer-encoding": "chunked"})
    assert answer.status_code == 400
    assert answer.headers["connection"] == "close"


OWN_NAME = sorted(list_own_names())[0]


def is_owner(headers: dict[str, str], keys: ServerKeys, *, client: str = "127.0.0.1") -> bool:
    """Ask a server behind the proxy `study.example.org` who asks: the owner or a learner."""
    found: list[str] = []

    async def app(scope: Scope, *_: object) -> None:
        found.append(scope["role"])

    guard = RequestGuard(
        RoleGate(app, keys=keys),
        hosts=["0.0.0.0", "bound.lan"],
        public_names=["study.example.org", "Study.Lan"],
    )
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": encoded,
                    "client": (client, 1)}  # fmt: skip

    async def nothing(*_: object) -> Any: ...

    asyncio.run(guard(scope, nothing, nothing))
    return found == ["owner"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:7860", "127.0.0.1:7860", "127.0.0.1", "[::1]:7860", f"{OWN_NAME}:7860"]
)
def test_a_browser_on_this_machine_is_the_owners(host: str, tmp_path: Path) -> None:
    keys = ServerKeys(tmp_path)
    assert is_owner({"host": host}, keys)
    assert is_owner({"host": host}, keys, client="::1")
    assert is_owner({"host": host}, keys, client="::ffff:127.0.0.1")  # of a server that listens on ::
    for client in (ELSEWHERE, "", "testclient"):
        assert not is_owner({"host": host}, keys, client=client)


@pytest.mark.parametrize(
    "passed_on",
    [{}, *({name: "203.0.113.9"} for name in (
        "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via", "X-Real-IP",
        "CF-Connecting-IP"))],
)  # fmt: skip
def test_whoever_comes_through_a_proxy_on_this_machine_is_the_owner_by_the_key_alone(
    passed_on: dict[str, str], tmp_path: Path
) -> None:
    keys = ServerKeys(tmp_path)
    for host in ("study.example.org", "study.lan:443", "192.168.1.20:7860"):
        assert not is_owner({"host": host, **passed_on}, keys)
        assert is_owner({"host": host, **passed_on, "cookie": f"owner={keys.owner}"}, keys)
    assert is_owner({"host": "localhost", **passed_on}, keys) == (not passed_on)


def test_a_name_that_the_app_was_bound_to_is_no_proxys() -> None:
    asked: list[Scope] = []

    async def app(scope: Scope, *_: object) -> None:
        asked.append(scope)

    async def nothing(*_: object) -> Any: ...

    guard = RequestGuard(app, hosts=["bound.lan"], public_names=["study.example.org"])
    for host in (b"bound.lan:7860", b"study.example.org"):
        scope: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
                        "headers": [(b"host", host)], "client": ("192.168.1.5", 1)}  # fmt: skip
        asyncio.run(guard(scope, nothing, nothing))
    assert [scope["by_proxy"] for scope in asked] == [False, True]


def test_a_public_name_is_not_this_machine_even_where_the_machine_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "study.example.org")
    assert not is_owner({"host": "study.example.org"}, ServerKeys(tmp_path))


def test_a_browser_elsewhere_sees_and_chooses_no_other_profile(context: Context, now: datetime) -> None:
    ana = context.store.profiles.add("browser-of-ana", "Ana", now=now)
    page = SettingsPage(context=context)
    here, elsewhere = opened("b"), opened("c", client=ELSEWHERE)
    assert "Switch to Ana" in page.load(here)
    assert "Switch to Ana" not in page.load(elsewhere)
    with pytest.raises(LearnerError):
        page.act({"act": "switch", "profile": ana.id}, elsewhere)
    page.act({"act": "switch", "profile": ana.id}, here)
    assert context.store.profiles.open_for_browser("c", now=now).id != ana.id
    assert context.store.profiles.open_for_browser("b", now=now).id == ana.id


def test_backups_are_seen_and_restored_at_this_machine_only(context: Context, now: datetime) -> None:
    settings, store = context.settings, context.store
    from study.io.pending_upload import PendingUploads

    snapshots = find_snapshots(settings.database_url, settings.home)
    assert snapshots is not None
    store.profiles.add("browser-of-ana", "Ana", now=now)
    snapshots.make("daily", now=now)
    store.profiles.add("browser-of-ben", "Ben", now=now)
    page = InOutPage(
        context=context,
        exchanges={},
        pending=PendingUploads(folder=settings.imports_dir),
        jobs=ImportJobs(DirectPlanner(exchanges=[], imports=Imports(store=store, home=settings.home))),
        snapshots=snapshots,
    )
    shown = page.load(opened("browser-of-ana"))
    assert "The newest backup was made today, 4 March 2026, 10:00 UTC." in shown
    assert "failed" not in shown
    snapshots.problem = "The disk is full."
    assert "The last automatic backup failed. The disk is full." in page.load(opened("browser-of-ana"))
    snapshots.problem = ""
    elsewhere = opened("browser-of-ana", client=ELSEWHERE)
    assert "The newest backup was made today" in page.load(elsewhere)  # the owner, by the owner's address
    assert "Restore" not in page.load(elsewhere)
    elsewhere.scope["role"] = "learner"
    assert "Automatic backups" not in page.load(elsewhere)
    with pytest.raises(LearnerError, match="at the machine that runs the app"):
        page.act(build_event(shown, "restore"), elsewhere)
    reply = page.act(build_event(shown, "restore"), opened("browser-of-ana"))
    assert reply["goto"] == "/io"
    assert [profile.name for profile in store.profiles.all()] == ["Ana"]
