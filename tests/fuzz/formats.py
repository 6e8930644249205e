"""Every format that the app reads: a small file of it, how to change it, and what reads it."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import yaml

from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.markdown import write_markdown
from flashcards.interchange.schema import write_deck
from flashcards.interchange.table import write_csv
from lora_lab.runs.run_file import run_file
from study.base.yaml_loader import load_yaml
from study.io.backup import build_backup
from study.io.exchange import Exchange, File
from study.store import Store
from tests.flashcards.anki_cards import CARDS
from tests.flashcards.builders import NOW
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutate
from tests.lora_lab import run_builders
from tests.study.io.test_backup import fill

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format: the name of its files, and what changes them."""

    name: str
    mutate: Mutate


FORMATS: Mapping[str, Format] = {
    "apkg": Format(name="a.apkg", mutate=mutations.package),
    "cards-csv": Format(name="a.csv", mutate=mutations.text),
    "cards-txt": Format(name="a.txt", mutate=mutations.text),
    "cards-md": Format(name="a.md", mutate=mutations.text),
    "cards-json": Format(name="a.json", mutate=mutations.json_tree),
    "cards-yaml": Format(name="a.yaml", mutate=mutations.yaml_tree),
    "moodle": Format(name="a.xml", mutate=mutations.xml_tree),
    "gift": Format(name="a.gift", mutate=mutations.text),
    "questions-csv": Format(name="q.csv", mutate=mutations.text),
    "questions-yaml": Format(name="q.yaml", mutate=mutations.yaml_tree),
    "questions-json": Format(name="q.json", mutate=mutations.json_tree),
    "backup": Format(name="b.json", mutate=mutations.json_tree),
    "run": Format(name="run.json", mutate=mutations.json_tree),
    "data-jsonl": Format(name="data.jsonl", mutate=mutations.json_lines),
    "data-csv": Format(name="data.csv", mutate=mutations.text),
}


def first_files(store: Store, home: Path, questions: Exchange) -> dict[str, bytes]:
    """A small valid file of each format."""
    ana = store.profiles.add("browser-of-fuzz", "Seed", now=NOW)
    fill(store, ana.id)
    run = run_builders.finished(home / "runs")
    table = write_csv(CARDS)
    return {
        "apkg": write_apkg(CARDS, now=NOW),
        "cards-csv": table,
        "cards-txt": b"#separator:Tab\n#html:true\nWhat is $r$?\t<b>the rank</b>\nNF4\t16 levels\n",
        "cards-md": next(iter(write_markdown(CARDS).values())) + b"\nC: [NF4] has [16] levels.\n",
        "cards-json": write_deck("LoRA basics", CARDS).encode(),
        "cards-yaml": _yaml_deck(),
        **_questions(questions),
        "backup": json.dumps(build_backup(store, home, ana.id, now=NOW)).encode(),
        "run": run_file(run).encode(),
        "data-jsonl": b"".join(
            json.dumps({"prompt": f"What is {number}?", "answer": str(number)}).encode() + b"\n"
            for number in range(8)
        ),
        "data-csv": b"prompt,answer\n" + b"".join(b"a%d,b\n" % number for number in range(8)),
    }


def _yaml_deck() -> bytes:
    return (
        b"deck: Mine\ncards:\n"
        b"- id: own-rank\n  concepts: [lora-rank]\n  level: beginner\n"
        b"  front: What is $r$?\n  back: The rank\n"
        b"  why: It is the inner size.\n  source: a book\n"
        b"- id: own-gap\n  kind: cloze\n  concepts: [nf4]\n  level: beginner\n"
        b"  text: NF4 has {{c1::16}} levels.\n  source: a book\n"
    )


def _questions(exchange: Exchange) -> dict[str, bytes]:
    """A few questions of each kind, from the app's own."""
    written = {name: exchange.export("", name, now=NOW)[0].content for name in ("moodle-xml", "gift", "csv")}
    own = load_yaml((ROOT / "quizzes" / "questions" / "kinds-words.yaml").read_text("utf-8"))
    few = own | {"questions": own["questions"][:3]}
    for other in ("kinds-arranging", "kinds-choices", "kinds-numbers"):
        found = load_yaml((ROOT / "quizzes" / "questions" / f"{other}.yaml").read_text("utf-8"))
        few["questions"] = [*few["questions"], *found["questions"][:3]]
    for number, question in enumerate(few["questions"]):
        question["id"] = f"own-{number}"
    return {
        "moodle": _few_elements(written["moodle-xml"]),
        "gift": b"\n\n".join(written["gift"].split(b"\n\n")[:14]),
        "questions-csv": _few_rows(written["csv"]),
        "questions-yaml": yaml.safe_dump(few, allow_unicode=True).encode(),
        "questions-json": json.dumps(few, default=str).encode(),
    }


def _few_elements(content: bytes) -> bytes:
    root = ElementTree.fromstring(content)
    seen: dict[str, int] = {}
    for element in list(root):
        kind = element.get("type", "")
        seen[kind] = seen.get(kind, 0) + 1
        if seen[kind] > 2:
            root.remove(element)
    return ElementTree.tostring(root)


def _few_rows(content: bytes) -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    kept = io.StringIO()
    csv.writer(kept).writerows([rows[0], *rows[1 :: max(1, len(rows) // 10)]])
    return kept.getvalue().encode()


def file_of(format_name: str, content: bytes) -> File:
    """A file of a format, as an upload."""
    return File(name=FORMATS[format_name].name, content=content)
