"""events.jsonl: whatever happens to writer, reader or disk, whole events arrive once and in order."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.runs.events import Event, append_event, read_events

values = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
events = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(("queued", "step", "finished"))},
        optional={
            "loss": st.floats(),
            "text": st.text(),
            "row": st.dictionaries(st.text(), values, max_size=3),
        },
    ),
    max_size=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log that is not there yet."""
    return tmp_path / "events.jsonl"


def log_of(written: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps({"at": 0.0} | event).encode() + b"\n" for event in written)


def told(found: list[Event]) -> list[str]:
    """As text, because a lost number is equal to nothing, itself included."""
    return [repr(event) for event in found]


@given(events, st.lists(st.integers(0, 200)))
def test_events_read_in_any_slices_arrive_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    log = log_of(written)
    arrived: list[Event] = []
    offset = end = 0
    for cut in (*cuts, len(log)):
        end = min(len(log), end + cut)
        path.write_bytes(log[:end])
        fresh, offset = read_events(path, offset_bytes=offset)
        arrived += fresh
    assert told(arrived) == told([{"at": 0.0} | event for event in written])
    assert offset == len(log)


@given(events, st.binary(max_size=40).filter(lambda junk: b"\n" not in junk), st.integers(0, 8))
def test_a_damaged_line_costs_only_itself(
    tmp_path_factory: pytest.TempPathFactory, written: list[dict[str, Any]], junk: bytes, place: int
) -> None:
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    before, after = log_of(written[:place]), log_of(written[place:])
    path.write_bytes(before + junk + b"\n" + after)
    found, offset = read_events(path)
    assert told(found) == told([{"at": 0.0} | event for event in written])
    assert offset == path.stat().st_size


@pytest.mark.parametrize("line", ["[]", "null", "7", "{}", '{"kind": 7}', '{"kind"', "\x00"])
def test_a_line_that_is_no_event_is_passed_over(path: Path, line: str) -> None:
    append_event(path, "queued")
    with path.open("a") as file:
        file.write(line + "\n")
    append_event(path, "finished")
    assert [event["kind"] for event in read_events(path)[0]] == ["queued", "finished"]


def test_half_a_line_waits_for_its_other_half(path: Path) -> None:
    whole = log_of([{"kind": "step", "loss": 1.5}])
    path.write_bytes(whole[:-7])
    assert read_events(path) == ([], 0)
    path.write_bytes(whole)
    assert read_events(path) == ([{"at": 0.0, "kind": "step", "loss": 1.5}], len(whole))


def test_what_follows_a_line_that_was_cut_off_for_good_is_not_lost(path: Path) -> None:
    """A worker killed in the middle of a line must not swallow the line that says so."""
    append_event(path, "queued")
    with path.open("ab") as file:
        file.write(b'{"kind": "step", "lo')
    append_event(path, "failed", cause="killed")
    assert [event["kind"] for event in read_events(path)[0]] == ["queued", "failed"]


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308])
def test_losses_that_are_no_ordinary_number_survive(path: Path, loss: float) -> None:
    append_event(path, "step", loss=loss)
    [event], _ = read_events(path)
    assert repr(event["loss"]) == repr(loss)


@given(st.text(), st.text())
def test_any_text_is_one_line(tmp_path_factory: pytest.TempPathFactory, one: str, other: str) -> None:
    path = tmp_path_factory.mktemp("run") / "events.jsonl"
    for text in (one, other):
        append_event(path, "status", text=text)
    assert [event["text"] for event in read_events(path)[0]] == [one, other]
    assert path.read_bytes().count(b"\n") == 2


def test_an_event_is_returned_as_it_is_read(path: Path) -> None:
    event = append_event(path, "saved", step=3)
    assert event["kind"] == "saved"
    assert event["at"] > 0
    assert read_events(path)[0] == [event]


def test_a_log_that_is_not_there_yet_has_no_events(path: Path) -> None:
    assert read_events(path) == ([], 0)
    assert read_events(path, offset_bytes=12) == ([], 12)
