"""The Lab page on a server for learners, and files that a browser sends to it."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lora_lab.lab import Lab
from lora_lab.runs import separate_files
from lora_lab.settings.run_form import read_presets
from study.base.errors import LearnerError
from study.io import separate_reading
from study.web.security.middleware import COOKIE
from tests.lora_lab import run_builders
from tests.lora_lab.data.pairs import PAIRS, jsonl
from tests.lora_lab.pages.lab_visits import LIGHT, Form, Visitor, part
from tests.study.io import readers
from tests.visits import words
from tests.waiting import wait_for

# ---- a server for learners


@dataclass
class ServerVisitor(Visitor):
    """A learner's browser on a server that other machines can reach."""

    scope: dict[str, Any] = field(default_factory=lambda: {"role": "learner", "open_lab": False})


def learner_on(ana: Visitor, browser: str = "browser-of-ben") -> ServerVisitor:
    return ServerVisitor(ana.page, cookies={COOKIE: browser})


def test_a_learner_starts_ready_experiments_and_no_others(ana: Visitor, lab: Lab) -> None:
    ben = learner_on(ana)
    assert 'id="share"' not in ana.opens("/lab")
    shown = words(ben.opens("/lab"))
    assert "you can start a ready experiment: Quick demo , A real lesson" in shown
    assert "At most 2 of your runs may be waiting or training at a time. Learners take turns" in shown
    with pytest.raises(LearnerError, match=r"only the owner trains.*Quick demo"):
        ben.sends("start", replace(LIGHT, rank=9))
    for preset in read_presets()[:2]:
        chosen = Form(ben.opens(f"/lab?preset={preset.id}")).values
        reply = ben.page.act({"act": "start", "query": ben.query, "fields": chosen, "sure": "yes"}, ben)
        assert "run=" in reply["url"], preset.id
    with pytest.raises(LearnerError, match="2 experiments of yours"):
        ben.sends("start", read_presets()[2].spec)
    assert len(lab.engine.list_waiting()) == 2


def test_a_learner_stops_own_runs_only(ana: Visitor, lab: Lab) -> None:
    ben, cem = learner_on(ana), learner_on(ana, "browser-of-cem")
    ana.sends("start")
    owners = lab.engine.list_waiting()[0]
    ben.sends("start", read_presets()[0].spec)
    (bens,) = [run_id for run_id in lab.engine.list_waiting() if run_id != owners]
    for other, run_id in ((ben, owners), (cem, bens)):
        with pytest.raises(LearnerError, match="not yours"):
            other.sends("stop", run=run_id)
    ben.sends("stop", run=bens)
    assert lab.engine.list_waiting() == [owners]
    ana.sends("stop", run=owners)


def test_a_learner_starts_a_failed_ready_experiment_again_within_the_share(ana: Visitor, lab: Lab) -> None:
    ready = run_builders.failed(lab.settings.runs_dir, read_presets()[0].spec)
    other = run_builders.failed(lab.settings.runs_dir, replace(LIGHT, rank=9), after_seconds=1)
    ben = learner_on(ana)
    ben.sends("again", run=ready.run_id)
    (fresh,) = lab.engine.list_waiting()
    assert lab.engine.find_learner(fresh)
    with pytest.raises(LearnerError, match="only the owner trains"):
        ben.sends("again", run=other.run_id)


def test_learners_take_turns_where_the_lab_is_open_to_all(ana: Visitor, lab: Lab) -> None:
    ben, cem = learner_on(ana), learner_on(ana, "browser-of-cem")
    ben.scope["open_lab"] = cem.scope["open_lab"] = True
    for learner in (ben, ben, cem):
        learner.sends("start", LIGHT)  # any setting
    whose = [lab.engine.find_learner(run_id) for run_id in lab.engine.list_waiting()]
    assert whose[0] == whose[2] != whose[1]


# ---- files of strangers


@pytest.mark.parametrize("act", ["upload", "import"])
def test_a_file_is_read_in_a_process_of_its_own(
    ana: Visitor, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(reader: Any, name: str, content: bytes, *, profile_id: str) -> Any:
        raise LearnerError(f"{reader.__name__} of {name}: {len(content)} bytes.", do_next="Nowhere else.")

    monkeypatch.setattr(separate_files, "read_apart", refuse)
    reply = ana.sends(act, name="mine.jsonl", content=base64.b64encode(jsonl(PAIRS)).decode())
    said = words("".join(reply["parts"].values()))
    assert f"of mine.jsonl: {len(jsonl(PAIRS))} bytes" in said


def test_what_a_reading_process_gives_is_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate_files, "read_apart", lambda *_, **__: {"label": "x", "train": 5})
    with pytest.raises(LearnerError, match="did not come back whole"):
        separate_files.read_upload_apart("mine.jsonl", b"", profile_id="ana")


@pytest.mark.parametrize(
    ("act", "reader", "answered"),
    [("upload", "read_upload", "data-problem"), ("import", "parse_run_file", "import-problem")],
)
def test_a_file_is_said_to_be_read_and_can_be_stopped(
    ana: Visitor, lab: Lab, act: str, reader: str, answered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = ana.opens("/lab")
    assert re.search(
        rf'data-upload="{act}"[^>]* data-progress-in="{answered}" data-stop="stop-reading"', html
    )
    assert f'data-part="{answered}"' in html
    monkeypatch.setattr(separate_files, reader, readers.take_time)
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(ana.sends, act, name="mine.jsonl", content=base64.b64encode(b"{}").decode())
        wait_for(lambda: separate_reading._readings, seconds=20)
        assert ana.sends("stop-reading") == {}
        reply = sent.result(20)
    assert "Reading mine.jsonl was stopped. Nothing was changed." in part(reply, answered)
    assert lab.uploads.with_damaged()[0] == []
    assert lab.runs() == []
