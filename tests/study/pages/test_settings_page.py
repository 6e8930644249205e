"""Settings as functions: profiles and their devices, and what one prefers."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from study.pages import settings
from study.pages.settings import SettingsPage
from study.ports.context import Context
from study.web.device_routes import Devices
from study.web.security.access import ServerKeys
from tests.visits import build_event, opened, words


def test_profiles_are_added_renamed_switched_and_deleted(context: Context) -> None:
    page = SettingsPage(context=context)
    page.load(opened("b1"))
    page.act({"act": "rename", "fields": {"name": ["Ana"]}}, opened("b1"))
    page.act({"act": "add", "fields": {"name": ["Ben <b>"]}}, opened("b1"))
    html = page.load(opened("b1"))
    assert 'value="Ben &lt;b&gt;"' in html
    assert page.act(build_event(html, "switch"), opened("b1")) == {"goto": "/settings?saved=1"}
    assert 'value="Ana"' in page.load(opened("b1", "saved=1"))
    asked = page.act({"act": "ask-delete"}, opened("b1"))["html"]
    assert "Delete Ana with 0 card ratings" in words(asked)
    page.act(build_event(asked, "delete"), opened("b1"))
    assert [profile.name for profile in context.store.profiles.all()] == ["Ben <b>"]


def test_preferences_are_saved_and_checked(context: Context) -> None:
    page = SettingsPage(context=context)
    page.act({"act": "prefer", "fields": {"new_cards_a_day": ["4"]}}, opened("b1"))
    [profile] = context.store.profiles.all()
    chosen = context.store.preferences.read(profile.id)
    assert (chosen.shortcuts, chosen.new_cards_a_day) == (False, 4)
    with pytest.raises(Exception, match="'many' isn't a number"):
        page.act({"act": "prefer", "fields": {"new_cards_a_day": ["many"]}}, opened("b1"))


def test_settings_say_where_the_data_is(context: Context) -> None:
    assert str(context.settings.home) in words(SettingsPage(context=context).load(opened("b1")))


def test_the_rules_of_studying_are_saved_together(context: Context) -> None:
    page = SettingsPage(context=context)
    html = page.load(opened("b1"))
    chosen = {"reviews_a_day": "30", "session_minutes": "15", "learn_ahead_minutes": "5"}
    chosen |= {"day_begins_hour": "3", "card_order": "weakest", "time_zone": "Asia/Tokyo"}
    form = build_event(html, "prefer", fields={name: [text] for name, text in chosen.items()})
    page.act(form, opened("b1"))
    [profile] = context.store.profiles.all()
    saved = context.store.preferences.read(profile.id)
    assert {name: str(getattr(saved, name)) for name in chosen} == chosen
    again = page.load(opened("b1"))
    assert '<option value="weakest" selected>' in again
    assert 'value="Asia/Tokyo"' in again
    with pytest.raises(Exception, match="No time zone is called 'Moon'"):
        page.act({**form, "fields": {"time_zone": ["Moon"]}}, opened("b1"))


@pytest.mark.parametrize(
    ("asked", "linked"),
    [
        ("[::1]:7860", "192.0.2.1:7860"),
        ("[::1]", "192.0.2.1"),
        ("127.0.0.1:7860", "192.0.2.1:7860"),
        ("localhost", "192.0.2.1"),
        ("[2001:db8::1]:7860", "[2001:db8::1]:7860"),
        ("study.example.org", "study.example.org"),
    ],
)
def test_a_device_is_linked_to_an_address_that_it_can_reach(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, linked: str
) -> None:
    monkeypatch.setattr(settings, "list_reachable_addresses", lambda: ["192.0.2.1"])
    page = SettingsPage(context=context, devices=Devices(context=context, keys=ServerKeys(tmp_path)))
    request = opened("b1")
    request.headers["host"] = asked
    made = page.act({"act": "add-device"}, request)["parts"]["device"]
    [link] = [word for word in words(made).split() if "token=" in word]
    assert urlsplit(link).netloc == linked
