"""Texts that try to run a script, in eleven families, and a data folder with them in every field."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from markupsafe import escape
from sqlalchemy import JSON, String, Text, insert, select

from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.entry import CardEntry
from lora_lab.data.batches import Length
from lora_lab.data.datasets import Example, build_dataset
from lora_lab.data.lab_folder import LabHome, ReadExample
from lora_lab.data.uploads import Uploads
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import EMBEDDED_MODEL
from study.base.settings import Settings
from study.base.yaml_loader import load_yaml
from study.store import Store, open_store
from study.store import schema as t
from study.store.rows import list_owned_tables, list_parents
from tests.data_folder import settings_in
from tests.lora_lab import run_builders, sweep_builders
from tests.study.io.test_backup import _value as ordinary_value

ROOT = Path(__file__).parents[2]
RAN = "window.ran"
BAIT = "data-bait"
"""Every element that a payload would make has this attribute."""

OUTSIDE = "https://evil.example"
BROWSER = "browser-of-the-reader"
PROJECTS = ("does-rank-matter", "which-layers")
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)

_IMG = f"<img {BAIT} src=x onerror={RAN}=1>"
FAMILIES: Mapping[str, str] = {
    "formula": (
        rf"$\tag{{{_IMG}}}$ $\text{{&lt;img {BAIT} src=x onerror={RAN}=1&gt;}}$ "
        rf'$\href{{javascript:{RAN}=1}}{{x}}$ $\color{{red" onmouseover="{RAN}=1}}x$ $$\fbox{{{_IMG}}}$$'
    ),
    "html": f"{_IMG}<script {BAIT}>{RAN}=1</script><iframe {BAIT} srcdoc='<script>parent.ran=1</script>'>",
    "svg": (
        f"<svg {BAIT} onload={RAN}=1><animate onbegin={RAN}=1 attributeName=x dur=1s /><foreignObject>{_IMG}"
        f"</foreignObject></svg><math {BAIT}><mtext><style>{_IMG}</style></mtext></math>"
    ),
    "address": f"javascript:{RAN}=1 <a {BAIT} href='javascript:{RAN}=1'>x</a> {OUTSIDE}/a //evil.example/b",
    "markdown": (
        f"![x]({OUTSIDE}/c.png) [x](javascript:{RAN}=1) <{OUTSIDE}/d> [x]: javascript:{RAN}=1 `{_IMG}` "
        f"```html\n{_IMG}\n```"
    ),
    "css": (
        f"<style {BAIT}>*{{background:url({OUTSIDE}/e)}}</style><link {BAIT} rel=stylesheet href={OUTSIDE}/f>"
        f'" style="background:url({OUTSIDE}/g)" {BAIT}="; background:url({OUTSIDE}/h);'
    ),
    "attribute": (
        f'" onmouseover="{RAN}=1" autofocus onfocus="{RAN}=1" {BAIT}="\' onclick=\'{RAN}=1\' {BAIT}=\'>{_IMG}'
    ),
    "unicode": (
        f"\uff1cimg {BAIT} src=x onerror={RAN}=1\uff1e \u202e{_IMG}\u202c %3Cimg {BAIT} onerror={RAN}=1%3E "
        f"&lt;img {BAIT} src=x onerror={RAN}=1&gt; &#60;img {BAIT} onerror={RAN}=1&#62; <\u200bimg {BAIT}>"
    ),
    "template": (
        f"{{{{7*7}}}} {{{{{{{RAN}=1}}}}}} ${{{RAN}=1}} {{% print({RAN}) %}} #{{{RAN}=1}} <%= {RAN}=1 %> "
        f"{{{{constructor.constructor('{RAN}=1')()}}}} [[{RAN}=1]]"
    ),
    "polyglot": (
        f"jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk={RAN}=1 )//%0D%0A//</stYle/</titLe/</teXtarEa/"
        f"</scRipt/--!>\\x3csVg/<sVg/{BAIT}/oNloAd={RAN}=1//>\\x3e"
    ),
    "breaks out": (
        f"</script><script {BAIT}>{RAN}=1</script></textarea></title></select>-->{_IMG}]]>{_IMG}</svg>{_IMG}"
    ),
}
HOSTILE = " ".join(FAMILIES.values())
SHORT = f'"><img {BAIT} src=x onerror=ran=1>'
"""For fields that hold 40 characters."""


TYPED = tuple(f"{text[: 199 - len(_IMG)]} {_IMG}" for text in FAMILIES.values() if "$" not in text)
"""For what a teacher or a student types: at most 200 characters, and no formula that the app refuses."""


def hostile_plan() -> dict[str, Any]:
    """A teacher's own plan with the payloads in each of its texts."""
    every = " ".join(TYPED)
    return {
        "title": SHORT,
        "about": every,
        "minutes": 5,
        "activities": [
            {"kind": "talk", "title": SHORT, "text": every},
            {"kind": "text", "title": SHORT, "ask": TYPED[0]},
            {"kind": "wall", "title": SHORT, "prompt": "explain-rank"},
            {"kind": "poll", "title": SHORT, "ask": TYPED[1], "options": list(TYPED[2:8])},
            {"kind": "number", "title": SHORT, "ask": TYPED[3], "value": 1, "unit": SHORT[:20]},
        ],
    }


def fill_store(store: Store, profile_id: str, text: str) -> None:
    """Rows in every table that a profile owns, the text in every column that holds one."""
    with store.database.write() as connection:
        for table in list_owned_tables():
            values = {
                c.name: _value(c, text) for c in table.c if c.name not in ("profile_id", "concept_id", "mode")
            }
            values |= {
                c.name: ordinary_value(c, "x", 0, 0) for c in table.c if c.name in ("concept_id", "mode")
            }
            values |= {"profile_id": profile_id} if "profile_id" in table.c else {}
            for key in list_parents(table):
                newest = select(key.column).order_by(key.column.desc()).limit(1)
                values[key.parent.name] = connection.scalar(newest)
            if table.primary_key.columns[0].type.python_type is int:
                values.pop("id", None)
            if table is not t.preferences:  # the pages' settings; a backup can't bring in others
                connection.execute(insert(table).values(**values))


def _value(column: Any, text: str) -> Any:
    ordinary = ordinary_value(column, "x", 0, 0)
    if column.name in ("verb", "by", "verdict", "confidence") or isinstance(ordinary, int | float | datetime):
        return ordinary
    if column.table.name == "own_prompts" and column.name == "concepts":
        return [f"Idea {number}: {text}" for number in range(4)]
    if isinstance(column.type, JSON):
        return (
            ordinary
            if column.name in ("before", "after", "parameters", "evidence")
            else {text: [text, {"of": text}]}
        )
    if isinstance(column.type, String | Text):
        return text[: column.type.length] if column.type.length else text
    return ordinary


def write_own_files(home: Path, text: str, *, name: str = "hostile") -> None:
    """A deck with cards of each kind, and questions of every kind that the app has."""
    card = {
        "front": f"Front {text}",
        "back": f"Back {text}",
        "why": f"Why {text}",
        "source": text,
        "tags": ["x"],
    }
    cloze = {"id": f"{name}-cloze", "kind": "cloze", "text": f"{{{{c1::gap::hint}}}} {text}", "why": text}
    _write(home / "decks" / f"{name}.yaml", {"deck": f"Deck {text}", "cards": [{"id": name, **card}, cloze]})
    _write(
        home / "questions" / f"{name}.yaml",
        {"topic": f"Topic {text}", "questions": list(_questions(text, name))},
    )


def _questions(text: str, name: str) -> Iterator[dict[str, Any]]:
    """The app's own questions, two of each kind, with the text in all their words."""
    seen: dict[str, int] = {}
    for path in sorted((ROOT / "quizzes" / "questions").glob("*.yaml")):
        for question in load_yaml(path.read_text("utf-8"))["questions"]:
            kind = question.get("kind", "choice")
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] <= 2:
                yield {**_in_words(question, text), "id": f"{name}-{kind}-{seen[kind]}"}


WORDS = {
    "stem",
    "hint",
    "keep",
    "feedback",
    "source",
    "text",
    "misconception",
    "label",
    "title",
    "alt",
    "why",
}


def _in_words(value: Any, text: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _in_words(inside, text, name) for name, inside in value.items()}
    if isinstance(value, list):
        return [_in_words(inside, text, key if key in WORDS else "") for inside in value]
    if isinstance(value, str) and key in WORDS:
        blanks = "{{" in value  # of a cloze, which the text must not add to
        one_line = " ".join(text.split()).replace("{{", "{ {")
        return f"{value} {one_line if blanks or key == 'misconception' else text}"
    return value


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


STRUCTURE = {"kind", "status", "type", "model", "bits", "compute_dtype", "optimizer", "schedule", "at",
             "variant", "targets", "target", "digest", "data", "quantization", "run_id", "runs", "id",
             "sweep"}  # fmt: skip
"""Names of lab fields whose values are chosen from a list; any other text may be a stranger's."""


def write_lab(settings: Settings, text: str) -> None:
    """A run that ended, a comparison, a sweep, an upload with its tokens, an added model: in each word."""
    home = settings.home
    run_builders.finished(settings.runs_dir)
    run_builders.side_by_side(settings.runs_dir)
    sweep_builders.finished_sweep(settings)
    rows = tuple(Example(prompt=f"{text} {number}", answer=text) for number in range(8))
    data = Uploads(home / "lab" / "data").adopt(build_dataset(text[:100], train=rows[:6], held_out=rows[6:]))
    lab = LabHome(home)
    lab.save_shape(replace(find_shape(EMBEDDED_MODEL), name=SHORT, hub_id=SHORT))  # as Models adds one
    lab.save_lengths(EMBEDDED_MODEL, data.digest, [Length(tokens=9, answer_tokens=3)] * 6)
    lab.save_read_examples(EMBEDDED_MODEL, data.digest, [ReadExample(pieces=(text, text), answer_tokens=1)])
    lab.save_unreadable(SHORT, data.digest, text)
    for folder in (settings.runs_dir, settings.sweeps_dir):
        for path in sorted(folder.rglob("*.json*")):
            lines = (
                path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
            )
            changed = [json.dumps(_in_lab(json.loads(line), text)) for line in lines if line.strip()]
            path.write_text("\n".join(changed) + "\n", encoding="utf-8")


def _in_lab(value: Any, text: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _in_lab(inside, text, name) for name, inside in value.items()}
    if isinstance(value, list):
        return [_in_lab(inside, text, key) for inside in value]
    return f"{value} {text}" if isinstance(value, str) and key not in STRUCTURE else value


def runs_of(settings: Settings) -> list[RunFolder]:
    """The runs, oldest first."""
    return [RunFolder(path) for path in sorted(settings.runs_dir.iterdir()) if not path.name.startswith(".")]


def hostile_home(home: Path) -> Settings:
    """A data folder that holds the payloads everywhere, with one profile for `BROWSER`."""
    settings = settings_in(home)
    store = open_store(settings.database_url)
    reader = store.profiles.add(BROWSER, SHORT, now=NOW)
    store.profiles.add("another", SHORT[::-1], now=NOW)
    fill_store(store, reader.id, HOSTILE)
    store.explains.submit(reader.id, "explain-lora", HOSTILE, at=NOW)
    for project in PROJECTS:
        store.projects.write(reader.id, project, "hypothesis", HOSTILE[:4000], at=NOW)
        store.projects.write(reader.id, project, "conclusion", HOSTILE[:4000], at=NOW)
    store.close()
    write_own_files(home, HOSTILE)
    _write(home / "plans" / "hostile.yaml", hostile_plan())
    write_lab(settings, HOSTILE)
    return settings


def hostile_files(folder: Path) -> dict[str, bytes]:
    """The same words in a file of every format that can be imported."""
    text = HOSTILE.replace("\n", " ")
    write_own_files(folder, HOSTILE, name="another")
    deck = (folder / "decks" / "another.yaml").read_bytes()
    questions = (folder / "questions" / "another.yaml").read_bytes()
    entry = CardEntry(id="other", deck=text[:80], front=text, back=text, why=text, tags=("x",))
    plain = text.replace('"', '""')
    gift = re.sub(r"([~=#{}:])", r"\\\1", text)
    xml = escape(text)
    return {
        "deck.yaml": deck,
        "deck.json": json.dumps(load_yaml(deck)).encode(),
        "deck.csv": f'"{plain}","{plain}"\n'.encode(),
        "deck.txt": f"#separator:Tab\n#html:true\n{text}\t{text}\n".encode(),
        "deck.md": f"Q: {text}\nA: {text}\n".encode(),
        "deck.apkg": write_apkg([entry], now=NOW),
        "questions.yaml": questions,
        "questions.json": json.dumps(load_yaml(questions)).encode(),
        "questions.gift": f"::{gift}::{gift} {{={gift} ~{gift}#{gift}}}".encode(),
        "questions.xml": (
            f'<quiz><question type="multichoice"><name><text>{xml}</text></name>'
            f'<questiontext format="html"><text>{xml}</text></questiontext>'
            f'<answer fraction="100"><text>{xml}</text></answer>'
            f'<answer fraction="0"><text>{xml} 2</text></answer></question></quiz>'
        ).encode(),
        "backup.json": json.dumps(
            {
                "format": "lora-study-backup",
                "version": 1,
                "step": 1,
                "made_at": text,
                "profile": text,
                "tables": {text: [], "drafts": [{"key": text, "text": text, "saved_at": text}]},
                "files": {text: text, "decks/hostile-too.json": text},
            }
        ).encode(),
        "questions.csv": f'stem,option,correct\n"{plain}","{plain}",1\n'.encode(),
        "broken.yaml": f"deck: [{text}".encode(),
        "unknown.xyz": text.encode(),
    }
