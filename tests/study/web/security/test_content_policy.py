"""Which scripts a page may run: its own by nonce and hash, and nothing inline besides."""

import re

import pytest
from starlette.testclient import TestClient

from study.base.settings import Settings
from study.web.security.content_policy import HEADER, build_content_policy, hash_script
from tests.whole_app import whole_app

PAGE = {"accept": "text/html"}


def script_sources(policy: str) -> list[str]:
    [rule] = [rule.split() for rule in policy.split("; ") if rule.startswith("script-src ")]
    return rule[1:]


def nonces(client: TestClient, path: str) -> str:
    answer = client.get(path, headers=PAGE)
    sources = script_sources(answer.headers[HEADER])
    assert "'unsafe-inline'" not in sources
    assert "*" not in " ".join(sources)
    [nonce] = [source[7:-1] for source in sources if source.startswith("'nonce-")]
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts
    assert all(f'nonce="{nonce}"' in script for script in scripts)
    return nonce


def test_every_page_names_its_scripts_anew(settings: Settings) -> None:
    with whole_app(settings) as app, app.client() as client:
        given = {nonces(client, path) for path in (*app.loads, "/cards")}
        assert len(given) == len(app.loads) + 1, "no nonce is used twice"
        lost = client.get("/nowhere", headers=PAGE)
        assert "No such page" in lost.text
        for other in (lost, client.get("/docs/traps.md"), client.get("/io/backup/json")):
            sources = script_sources(other.headers[HEADER])
            assert not {"'unsafe-inline'", "'unsafe-eval'"}.intersection(sources)
        named = "window.gradio_config"  # what tells a page of Gradio's template
        asked = (f"/search?q={named}", f"/search?q=</head>{named}", f"/{named}", f"/docs/{named}.md")
        for answer in (client.get(path, headers=PAGE) for path in asked):
            assert "nonce" not in answer.text
            assert "'unsafe-eval'" not in script_sources(answer.headers[HEADER])
        [inline] = re.findall(r"<script>(.*?)</script>", lost.text, re.DOTALL)
        assert hash_script(inline) in script_sources(lost.headers[HEADER])


@pytest.mark.parametrize("may_compile", [True, False])
def test_event_attributes_and_plugins_are_never_allowed(may_compile: bool) -> None:
    policy = build_content_policy(may_compile=may_compile)
    assert "script-src-attr 'none'" in policy
    assert "object-src 'none'" in policy
    assert ("'unsafe-eval'" in policy) == may_compile
