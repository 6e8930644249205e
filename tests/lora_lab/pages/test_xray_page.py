"""The X-ray page's handlers: what is chosen, started, stopped and found, in the address and on the page."""

import html as html_text
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from lora_lab.engine.inspections import Inspection
from lora_lab.lab import Lab
from lora_lab.pages.downloads import register
from lora_lab.pages.xray import PARTS, XrayPage
from lora_lab.runs.folder import RunFolder, delete_run
from lora_lab.xray.result import KIND, build_xray_order
from lora_lab.xray.service import XrayService
from study.base.errors import LearnerError
from study.ports.context import Context
from study.web.frame import Reply
from study.web.security.middleware import COOKIE
from tests.lora_lab import run_builders as runs
from tests.lora_lab import xrays
from tests.visits import words


@dataclass
class Visitor:
    """One browser on the page, whose form holds what the page's last HTML held."""

    page: XrayPage
    cookies: dict[str, str] = field(default_factory=lambda: {COOKIE: "browser-of-ana"})
    query_params: QueryParams = field(default_factory=QueryParams)
    parts: dict[str, str] = field(default_factory=dict)
    html: str = ""
    runs: dict[str, str] = field(default_factory=dict)
    """Chosen in the two selects that no answer replaces."""

    def opens(self, address: str = "/xray") -> str:
        self.query_params = QueryParams(urlsplit(address).query)
        self.html, self.parts, self.runs = self.page.load(self), {}, {}
        return self.html

    def sends(self, act: str, **fields: str) -> Reply:
        self.runs |= {name: value for name, value in fields.items() if name in ("run", "with")}
        event = {
            "act": act,
            "query": f"?{self.query_params}",
            "fields": self.form() | _each(self.runs | fields),
        }
        reply = self.page.act(event, self)
        self.parts |= reply.get("parts", {})
        if "url" in reply:
            self.query_params = QueryParams(urlsplit(reply["url"]).query)
        return reply

    def form(self) -> dict[str, list[str]]:
        """As the browser would fill it from what is shown."""
        shown = self.html
        for name, part in self.parts.items():
            shown = re.sub(
                rf'(<div data-part="{name}">).*?(</div>\n *(?=<div data-part|<span data-then))',
                lambda found, part=part: found[1] + part + found[2],  # type: ignore[misc]
                shown,
                flags=re.DOTALL,
            )
        found: dict[str, list[str]] = {}
        for tag in re.findall(r"<input [^>]*>", shown):
            named = dict(re.findall(r'([a-z]+)="([^"]*)"', tag))
            if "name" in named:
                found.setdefault(named["name"], []).append(html_text.unescape(named.get("value", "")))
        for name, options in re.findall(r'<select[^>]* name="(\w+)">(.*?)</select>', shown, flags=re.DOTALL):
            chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
            found.setdefault(name, []).append(html_text.unescape(chosen[1]) if chosen else "")
        return found


def _each(fields: dict[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in fields.items()}


@pytest.fixture
def lab(context: Context) -> Iterator[Lab]:
    opened = Lab(context.settings, xrays.BusyEngine(context.settings, warm=False))
    yield opened
    opened.inspections.close()


@pytest.fixture
def asked() -> xrays.AskedFor:
    return xrays.AskedFor()


@pytest.fixture
def ana(context: Context, lab: Lab, asked: xrays.AskedFor) -> Visitor:
    return Visitor(XrayPage(context, XrayService(lab), ask_for_cards=asked))


@pytest.fixture
def run(lab: Lab) -> RunFolder:
    return runs.finished(lab.settings.runs_dir, replace(runs.TINY, rank=4))


@pytest.fixture
def other(lab: Lab) -> RunFolder:
    return runs.finished(lab.settings.runs_dir, replace(runs.TINY, rank=8, seed=1), after_seconds=9)


def looking(lab: Lab, run: RunFolder, beside: RunFolder | None = None) -> Inspection:
    found = lab.inspections.find(lab.inspections.derive_id(KIND, build_xray_order(run, beside)))
    assert found is not None
    return found


# ---- which run


def test_without_a_finished_run_the_page_leads_to_one(ana: Visitor, lab: Lab) -> None:
    runs.training(lab.settings.runs_dir)
    runs.failed(lab.settings.runs_dir, after_seconds=3)
    html = ana.opens()
    assert "There is no finished run with an adapter yet" in words(html)
    assert 'href="/lab?preset=demo"' in html
    assert "data-poll" not in html  # a poll would be refused, and the page would show that as a fault


def test_the_newest_finished_run_is_chosen_and_any_other_can_be(
    ana: Visitor, run: RunFolder, other: RunFolder
) -> None:
    ana.opens()
    assert ana.form()["run"] == [other.run_id]
    ana.opens(f"/xray?run={run.run_id}")
    assert ana.form()["run"] == [run.run_id]
    for strange in ("../../etc", "nothing", "20260101-000000000-x-000000"):
        ana.opens(f"/xray?run={strange}&with={strange}&layer=99&matrix=%3Cb%3E&side=C")
        assert ana.form()["run"] == [other.run_id]


def test_the_way_back_is_to_the_chosen_run(ana: Visitor, run: RunFolder, other: RunFolder) -> None:
    ana.opens()
    assert f'href="/lab?run={other.run_id}">← Back to the run r=8' in ana.html
    back = ana.sends("choose", run=run.run_id)["parts"]["back"]
    assert f'href="/lab?run={run.run_id}">← Back to the run r=4' in back


def test_a_run_is_named_by_its_settings_and_equal_runs_are_told_apart_by_their_time(
    ana: Visitor, lab: Lab
) -> None:
    again = [runs.finished(lab.settings.runs_dir, after_seconds=seconds) for seconds in (0, 120)]
    ana.opens()
    for run in again:
        assert f'value="{run.run_id}"' in ana.html
        assert re.search(
            rf">r=\d+ [^·<]*· [\d of]*20 steps · lr [\d.]+ · seed \d+ · {run.started_at}<", ana.html
        )
    assert len({run.started_at for run in again}) == 2


def test_a_run_is_never_compared_with_itself(ana: Visitor, run: RunFolder) -> None:
    ana.opens(f"/xray?run={run.run_id}&with={run.run_id}")
    assert ana.form()["with"] == [""]


# ---- from the press to the panels


def test_a_press_puts_it_in_line_and_what_was_found_replaces_the_progress(
    ana: Visitor, lab: Lab, run: RunFolder
) -> None:
    ana.opens("/xray?layer=1&matrix=mlp.down_proj")
    assert "X-ray this adapter" in words(ana.html)
    reply = ana.sends("start")
    assert reply["focus"] == "#stop-xray"
    assert looking(lab, run).status == "waiting"
    assert "a training run, or another look, comes first" in words(reply["parts"]["state"])
    xrays.looked_at(lab, run, status="working", doing="Looking into q_proj", done=3, total=14)
    shown = ana.sends("poll")["parts"]
    assert set(shown) == {"state"}
    assert "Looking into q_proj …" in words(shown["state"])
    assert 'max="14" value="3"' in shown["state"]
    xrays.looked_at(lab, run)
    reply = ana.sends("poll")
    assert reply["say"] == "The X-ray is ready."
    assert set(reply["parts"]) == set(PARTS)
    assert "the update of down_proj in layer 1" in words(reply["parts"]["values"])
    assert ana.sends("poll") == {}


def test_a_kept_xray_is_there_when_the_page_opens_and_every_panel_says_its_limit(
    ana: Visitor, lab: Lab, run: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    html = ana.opens()
    shown = words(html)
    assert "X-ray this adapter" not in shown
    assert shown.count("Limit. It can't show") == 4
    assert "2 of 4 directions carry 90 % of the update of q_proj in layer 0" in shown
    assert (
        "In its 4 directions, the update of q_proj in layer 0 has a norm of 4.61 and W one of 2.00" in shown
    )
    assert "6.91" in shown
    assert html.count("</svg>") == 4


def test_another_matrix_changes_columns_and_table_and_the_address(
    ana: Visitor, lab: Lab, run: RunFolder
) -> None:
    xrays.looked_at(lab, run, found=xrays.found([xrays.module(), xrays.module(layer=1, values=(3.0, 3.0))]))
    ana.opens()
    reply = ana.sends("choose", layer="1")
    assert "2 of 2 directions carry 90 % of the update of q_proj in layer 1" in words(
        reply["parts"]["values"]
    )
    assert reply["url"] == f"/xray?run={run.run_id}&layer=1&matrix=self_attn.q_proj"
    assert f"/lab/xray/plots/xray-values.svg?run={run.run_id}&amp;layer=1" in reply["parts"]["values"]


def test_what_may_be_typed_in_is_not_replaced_while_the_runs_stay(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    ana.opens(f"/xray?run={run.run_id}")
    drawn, around = {"values", "norms", "overlap", "factors"}, {"back", "second", "trouble"}
    assert set(ana.sends("draw")["parts"]) == drawn
    assert set(ana.sends("choose", matrix="mlp.down_proj")["parts"]) == drawn | around
    assert set(ana.sends("choose", **{"with": other.run_id})["parts"]) == {*PARTS, *around}


def test_stopping_ends_it_and_it_can_be_started_anew(ana: Visitor, lab: Lab, run: RunFolder) -> None:
    ana.opens()
    ana.sends("start")
    reply = ana.sends("stop")
    assert looking(lab, run).status == "stopped"
    assert "Stopped. Nothing was kept of it." in words(reply["parts"]["state"])
    ana.sends("start")
    assert looking(lab, run).status == "waiting"


def test_a_failure_says_why_and_offers_another_try(ana: Visitor, lab: Lab, run: RunFolder) -> None:
    xrays.looked_at(lab, run, status="failed", problem="The run's adapter can't be read (cut off).", found={})
    shown = words(ana.opens())
    assert "The run's adapter can't be read (cut off)." in shown
    assert "Try again" in shown


def test_a_deleted_run_is_told(ana: Visitor, run: RunFolder) -> None:
    ana.opens()
    delete_run(run)
    with pytest.raises(LearnerError, match="no finished run now"):
        ana.sends("start")
    with pytest.raises(LearnerError, match="no finished run now"):
        ana.sends("dance")


def test_an_unknown_press_is_told(ana: Visitor, run: RunFolder) -> None:
    ana.opens()
    with pytest.raises(LearnerError, match="the action 'dance'"):
        ana.sends("dance")


# ---- a second run


def test_choosing_a_second_run_asks_for_the_overlap_and_shows_it_beside_chance(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    ana.opens(f"/xray?run={run.run_id}")
    assert "Choose a second run above" in words(ana.html)
    reply = ana.sends("choose", **{"with": other.run_id})
    assert looking(lab, run, other).status == "waiting"
    assert f"with={other.run_id}" in reply["url"]
    xrays.looked_at(lab, run, other)
    shown = words(ana.sends("poll")["parts"]["overlap"])
    assert "All 4 and 8 directions overlap by 50 %, 8.0 times what chance gives on average" in shown
    assert (
        "By chance, 4 and 8 directions in 128 dimensions overlap by 6.0 % in one drawn pair, 6.2 % on average"
        in shown
    )
    shown = words(ana.sends("choose", side="outputs")["parts"]["overlap"])
    assert "4 and 8 directions in 64 dimensions" in shown


def test_an_address_with_two_runs_waits_for_a_press(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    ana.opens(f"/xray?run={run.run_id}&with={other.run_id}")
    assert "Compare the directions of both runs" in words(ana.html)
    assert lab.inspections.find(lab.inspections.derive_id(KIND, build_xray_order(run, other))) is None
    ana.sends("start")
    assert looking(lab, run, other).status == "waiting"


def test_the_second_runs_own_xray_stands_in_the_table_where_there_is_one(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    address = f"/xray?run={run.run_id}&with={other.run_id}"
    assert f'href="/xray?run={other.run_id}"' in ana.opens(address)
    xrays.looked_at(lab, other, found=xrays.found([xrays.module(values=(8.0, 1.0))]))
    shown = words(ana.opens(address))
    assert "second run, r = 8" in shown
    assert "8.06" in shown


def test_a_matrix_that_the_second_run_lacks_is_told(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    xrays.looked_at(lab, run, other, found=xrays.pair_found() | {"modules": [], "only_one": ["a", "b"]})
    shown = words(ana.opens(f"/xray?run={run.run_id}&with={other.run_id}"))
    assert "Only one of the two runs adapts q_proj in layer 0" in shown


def test_runs_that_cannot_be_compared_say_why(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    xrays.looked_at(
        lab, run, other, status="failed", problem="The two runs adapt different models.", found={}
    )
    html = ana.opens(f"/xray?run={run.run_id}&with={other.run_id}")
    assert "The two runs adapt different models." in words(html)
    assert "2 of 4 directions" in words(html)


# ---- a guess first


def test_a_guess_is_judged_when_the_xray_is_there_and_a_wrong_one_makes_cards_due_once(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder, asked: xrays.AskedFor
) -> None:
    ana.opens(f"/xray?run={run.run_id}")
    ana.sends("start", guess="4")
    xrays.looked_at(lab, run)
    shown = words(ana.sends("poll")["parts"]["state"])
    assert "✗ Not quite. You guessed 4; in the median matrix, 2 of 4 directions carry 90 %" in shown
    assert asked.concepts == [("svd-truncation", "lora-rank")]
    ana.sends("choose", **{"with": other.run_id})
    xrays.looked_at(lab, run, other)
    ana.sends("poll")
    assert len(asked.concepts) == 1


def test_a_right_guess_asks_for_nothing(
    ana: Visitor, lab: Lab, run: RunFolder, asked: xrays.AskedFor
) -> None:
    ana.opens()
    ana.sends("start", guess="2")
    xrays.looked_at(lab, run)
    assert "✓ Right" in words(ana.sends("poll")["parts"]["state"])
    assert asked.concepts == []


def test_a_slip_in_the_guess_starts_nothing(ana: Visitor, lab: Lab, run: RunFolder) -> None:
    ana.opens()
    with pytest.raises(LearnerError, match="number of directions"):
        ana.sends("start", guess="lots")
    assert lab.inspections.find(lab.inspections.derive_id(KIND, build_xray_order(run))) is None


def test_a_guess_does_not_follow_to_another_run(
    ana: Visitor, lab: Lab, run: RunFolder, other: RunFolder
) -> None:
    xrays.looked_at(lab, run)
    xrays.looked_at(lab, other)
    ana.opens(f"/xray?run={run.run_id}&guess=4")
    assert "You guessed 4" in words(ana.html)
    assert "You guessed" not in words(ana.sends("choose", run=other.run_id)["parts"]["state"])


def test_an_address_with_a_senseless_guess_still_opens(ana: Visitor, lab: Lab, run: RunFolder) -> None:
    xrays.looked_at(lab, run)
    assert "2 of 4 directions" in words(ana.opens("/xray?guess=lots"))


# ---- what can be kept


def test_every_chart_can_be_kept(lab: Lab, run: RunFolder, other: RunFolder) -> None:
    app = FastAPI()
    register(app, lab)
    site = TestClient(app)
    folder, query = "/lab/xray/plots", f"run={run.run_id}&with={other.run_id}&layer=1"
    assert site.get(f"{folder}/xray-values.svg?{query}").status_code == 404
    xrays.looked_at(lab, run)
    xrays.looked_at(lab, run, other)
    for name in ("values", "used", "norms", "overlap", "random", "factors"):
        for ending in ("svg", "csv"):
            assert site.get(f"{folder}/xray-{name}.{ending}?{query}").status_code == 200
    assert site.get(f"{folder}/xray-dance.svg?{query}").status_code == 404
