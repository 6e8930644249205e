"""Files that are small and made to be expensive, in every format that can be imported."""

import gzip
import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from study.base.import_limits import HTML_CHARACTERS, HTML_TAGS
from study.io.backup import STEP


def fill(piece: str, end: str = "") -> str:
    """As many of a piece as one text may have."""
    by_tags = HTML_TAGS // piece.count("<") if "<" in piece else HTML_CHARACTERS
    return piece * min(HTML_CHARACTERS // len(piece) - len(end), by_tags) + end


HTML = ("[latex]", "<anki-mathjax ", r"\(", "[$]", "<p>", "<br>", "<!--", "<a ", "<a '", "</a ", "<!", "<?",
        "<![CDATA[", "<pre>", "<code>x</code>", "&", "&#x", " ")  # fmt: skip
MARKUP = (
    "$",
    "$$a ",
    "`",
    "```a ",
    r"$\frac{",
    r"$\left(",
    "$x^{",
    r"$\sqrt{",
    r"$a_b^c$ ",
    r"$\begin{matrix}",
)
TABLE = "#separator:Tab\n#html:true\n"


def text(content: str) -> Callable[[], bytes]:
    return lambda: content.encode()


def moodle(inside: str, kind: str = "cloze") -> Callable[[], bytes]:
    words = inside.replace("&", "&amp;").replace("<", "&lt;")
    return text(
        f'<quiz><question type="{kind}"><questiontext><text>{words}</text></questiontext></question></quiz>'
    )


def deck(front: str) -> Callable[[], bytes]:
    return lambda: json.dumps({"deck": "x", "cards": [{"front": front, "back": "b"}]}).encode()


def backup(**values: object) -> bytes:
    whole = {"format": "lora-study-backup", "version": 1, "step": STEP, "profile": "x", "tables": {},
             "files": {},
             "made_at": "2026-03-04T10:00:00+00:00"}  # fmt: skip
    return json.dumps(whole | values).encode()


def zipped(name: str, size: int, *, times: int = 1) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(times):
            archive.writestr(name if times == 1 else f"{number}{name}", b"\0" * size)
    return made.getvalue()


def apkg(statement: str, *, notes: int = 1, field: str = "x") -> bytes:
    """An old Anki package whose collection is made by SQL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.anki2"
        connection = sqlite3.connect(path)
        connection.executescript(
            "create table col (id, crt, mod, scm, ver, dty, usn, ls, conf, models, decks, dconf, tags);"
            "create table notes (id, guid, mid, mod, usn, tags, flds, sfld, csum, flags, data);"
            "create table cards (id, nid, did, ord, mod, usn, type, queue, due, ivl, factor, reps, lapses,"
            " left, odue, odid, flags, data);"
            "create table revlog (id, cid, usn, ease, ivl, lastIvl, factor, time, type);" + statement
        )
        row = ("g", 1, 0, 0, "", f"{field}\x1f{field}", "", 0, 0, "")
        connection.executemany(
            "insert into notes values (?,?,?,?,?,?,?,?,?,?,?)", [(number, *row) for number in range(notes)]
        )
        connection.commit()
        connection.close()
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("collection.anki2", path.read_bytes())
        return made.getvalue()


XML_HEAD = '<?xml version="1.0"?>'
FILES: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    **{f"html {piece!r} in a table": ("a.txt", text(f"{TABLE}{fill(piece)}\tb\n")) for piece in HTML},
    **{f"html {piece!r} in Moodle": ("a.xml", moodle(fill(piece), "essay")) for piece in HTML[:9]},
    **{f"markup {piece!r}": ("a.json", deck((piece * 20_000)[:19_000])) for piece in MARKUP},
    "cloze": ("a.json", lambda: json.dumps(
        {"deck": "x", "cards": [{"kind": "cloze", "text": "{{c1::a}}" * 2_000}]}).encode()),
    "cloze with hints": ("a.json", lambda: json.dumps(
        {"deck": "x", "cards": [{"kind": "cloze", "text": "{{c1" + "::a" * 6_000}]}).encode()),
    "moodle gaps": ("a.xml", moodle(fill("{1:SA:"))),
    "moodle escapes": ("a.xml", moodle("{1:SA:=" + fill("\\~"))),
    "moodle elements": ("a.xml", text("<quiz>" + "<a>" * 100_000)),
    "moodle attributes": ("a.xml", text(
        "<quiz " + " ".join(f'a{n}="x"' for n in range(100_000)) + "></quiz>")),
    "moodle entities": ("a.xml", text(
        f'{XML_HEAD}<!DOCTYPE q [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY a{n} "{("&a" + (str(n - 1) if n else "") + ";") * 10}">' for n in range(9))
        + "]><quiz>&a8;</quiz>")),
    "moodle from a file": ("a.xml", text(
        f'{XML_HEAD}<!DOCTYPE q [<!ENTITY a SYSTEM "file:///dev/zero">]><quiz>&a;</quiz>')),
    "moodle questions": ("a.xml", text("<quiz>" + '<question type="x"></question>' * 100_000 + "</quiz>")),
    "gift options": ("a.gift", text("x {" + "~a" * 300_000 + "=b}")),
    "gift words": ("a.gift", text("x {" + "=a" * 300_000 + "}")),
    "gift tags": ("a.gift", text("// " + "[id:" * 300_000 + "\nx {=a}")),
    "gift titles": ("a.gift", text("::" + "::a" * 300_000)),
    "gift braces": ("a.gift", text("x {" * 200_000)),
    "gift questions": ("a.gift", text("x {=a}\n\n" * 100_000)),
    "gift escapes": ("a.gift", text("x {=" + "\\=" * 300_000 + "}")),
    "yaml to the base of 60": ("a.yaml", text("deck: " + "1:" * 300_000 + "1")),
    "yaml floats to the base of 60": ("a.yaml", text("deck: " + "1:" * 300_000 + "1.5")),
    "yaml nested": ("a.yaml", text("deck: " + "[" * 100_000)),
    "yaml aliases": ("a.yaml", text(
        "deck: &a0 [x,x]\n" + "".join(
            f"b{n}: &a{n} [*a{n - 1},*a{n - 1},*a{n - 1}]\n" for n in range(1, 40)))),
    "yaml anchors": ("a.yaml", text("deck: x\ncards:\n" + "- &a x\n" * 100_000)),
    "yaml keys": ("a.yaml", text("deck: x\n" + "".join(f"k{n}: 1\n" for n in range(100_000)))),
    "json nested": ("a.json", text('{"deck": ' + "[" * 1_000_000)),
    "json digits": ("a.json", text('{"deck": ' + "1" * 1_000_000 + "}")),
    "json cards": ("a.json", text(
        '{"deck": "x", "cards": [' + '{"front":"a","back":"b"},' * 300_000 + "{}]}")),
    "json keys": ("a.json", text('{"deck": "x", ' + ",".join(f'"k{n}":1' for n in range(300_000)) + "}")),
    "markdown cards": ("a.md", text("Q: a\nA: b\n" * 100_000)),
    "markdown lines": ("a.md", text("Q: a\nA: b\n" + "c\n" * 1_000_000)),
    "markdown gaps": ("a.md", text("C: " + "[" * 200_000)),
    "markdown escapes": ("a.md", text("Q: " + "\\" * 500_000 + "\nA: b\n")),
    "table of 100,000 cards": ("a.csv", text("a,b\n" * 100_000)),
    "table of one name": ("a.csv", text("a,b\n" * 5_000)),
    "table of columns": ("a.csv", text("," * 1_000_000)),
    "table whose header repeats": ("a.csv", text("#separator:Comma\n" * 100_000 + "a,b\n")),
    "table of quotes": ("a.csv", text('"' * 1_000_000)),
    "table of one field": ("a.csv", text("x" * 5_000_000)),
    "backup that unpacks": ("a.json.gz", lambda: gzip.compress(
        b'{"format": "lora-study-backup", "x": "' + b"a" * 300_000_000, compresslevel=1)),
    "backup in a backup": ("a.json.gz", lambda: gzip.compress(gzip.compress(b"\0" * 50_000_000))),
    "backup of rows": ("a.json", lambda: backup(tables={"card_reviews": [{}] * 300_000})),
    "backup of tables": ("a.json", lambda: backup(tables={str(n): [] for n in range(100_000)})),
    "backup of files": ("a.json", lambda: backup(files={f"decks/{n}.yaml": "x" for n in range(20_000)})),
    "backup of strange rows": ("a.json", lambda: backup(
        tables={"card_verbs": [{"verb": "flag", "value": [[[1]]]}] * 50_000})),
    "package that unpacks": ("a.apkg", partial(zipped, "collection.anki2", 300_000_000)),
    "package of 10,000 files": ("a.apkg", partial(zipped, "x", 10, times=10_000)),
    "package with a zstd bomb": ("a.apkg", partial(zipped, "collection.anki21b", 1_000_000)),
    "package with a view that never ends": ("a.apkg", lambda: apkg(
        "drop table cards; create view cards as with recursive c(x) as (select 1 union all select x + 1"
        " from c) select x as id, 1 as nid, 1 as did, 0 as o"
        "rd, 0 as mod, 0 as usn, 0 as type, 0 as queue, 0 as due,"
        " 0 as ivl, 0 as factor, 0 as reps, 0 as lapses, 0 as left, 0 as odue, 0 as odid, 0 as flags,"
        " '' as data from c;")),
    "package of 50,000 notes": ("a.apkg", lambda: apkg("", notes=50_000)),
    "package of one long field": ("a.apkg", lambda: apkg("", field="<p>" * 60_000)),
}  # fmt: skip
