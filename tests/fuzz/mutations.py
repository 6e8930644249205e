"""Structure-aware mutations: of parsed trees, of lines and tokens, of XML elements, of Anki's tables."""

import io
import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

Mutate = Callable[[bytes, Random], bytes]

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 2**70, -(2**63) - 1, 1e308, 1e-320, float("nan"), float("inf"), "",
    "\x00", "\ud800", "\u2028", "x" * 20_001, [], {}, [[]], {"a": 1}, [None], "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "2026-03-04T10:00:00+00:00", "2026-02-30", "1:1:1", "$\\frac{$", "$\\left($",
    "<img src=x onerror=alert(1)>", "{{c1::", "{{c0::a}}", "%s%n", "../../x", "🙂" * 40, "-0", "1e999",
    "NaN", "true", "null", "a\nb", "~", "=", "{}", "[", "]", "</p>", "<!--", "&#x110000;", "&#xD800;", "\\",
)  # fmt: skip
TOKENS = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n\n", b",", b'"', b"'", b"\t", b";",
    b":", b"::", b"{", b"}", b"[", b"]", b"$", b"$$", b"`", b"```", b"~", b"=", b"#", b"%", b"\\",
    b"<", b">", b"&", b"</", b"<!--", b"<![CDATA[", b"&#x110000;", b"&#0;", b"{{c1::", b"}}", b"Q:",
    b"A:", b"C:", b"---", b"- ", b"? ", b"!!python/object:os.system", b"&a [*a]", b"*a", b"<<:",
    b"1" * 400, b"-1e999", b"nan", b"2**70", b"T", b"->", b"#separator:Comma\n", b"#columns:a\ta\n",
    b"{1:SA:=a~b}", b"{#1:2}", b"{T}", b"$\\frac{$", b"x" * 25_000,
)  # fmt: skip


def text(content: bytes, rng: Random) -> bytes:
    """Change lines, tokens or bytes."""
    lines = content.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            del lines[at]
        case 1:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3 | 4 | 5:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice(TOKENS) + lines[at][place:]
        case 6:
            start, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
            return content[:start] + content[min(end, start + 40) :]
        case 7:
            place = rng.randrange(len(content) + 1)
            return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    return b"".join(lines)


def tree(value: Any, rng: Random) -> Any:
    """Change one node of a tree of lists, mappings and scalars."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.05:
        return rng.choice(JUNK)
    if isinstance(value, dict):
        name = rng.choice(list(value))
        match rng.randrange(10):
            case 0:
                return {key: kept for key, kept in value.items() if key != name}
            case 1:
                return {str(rng.choice(JUNK))[:60] if key == name else key: v for key, v in value.items()}
            case 2:
                return value | {"unknown": rng.choice(JUNK)}
        return value | {name: tree(value[name], rng)}
    at = rng.randrange(len(value))
    match rng.randrange(10):
        case 0:
            return value[:at] + value[at + 1 :]
        case 1:
            return [*value, value[at]]
        case 2:
            return [*value, rng.choice(JUNK)]
    return [*value[:at], tree(value[at], rng), *value[at + 1 :]]


def json_tree(content: bytes, rng: Random) -> bytes:
    """Change a node of a JSON document, or its text."""
    if rng.random() < 0.15:
        return text(content, rng)
    try:
        return json.dumps(tree(json.loads(content), rng)).encode()
    except (ValueError, RecursionError):
        return text(content, rng)


def json_lines(content: bytes, rng: Random) -> bytes:
    """Change a node of one line of JSON."""
    lines = content.splitlines()
    if not lines or rng.random() < 0.3:
        return text(content, rng)
    at = rng.randrange(len(lines))
    lines[at] = json_tree(lines[at], rng)
    return b"\n".join(lines) + b"\n"


def yaml_tree(content: bytes, rng: Random) -> bytes:
    """Change the text of YAML, or write a changed tree as JSON, which YAML reads as well."""
    import yaml

    from study.base.yaml_loader import load_yaml

    if rng.random() < 0.5:
        return text(content, rng)
    try:
        return json.dumps(tree(load_yaml(content), rng), default=str).encode()
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError):
        return text(content, rng)


def xml_tree(content: bytes, rng: Random) -> bytes:
    """Change an element, an attribute or a text of XML, or its characters."""
    if rng.random() < 0.4:
        return text(content, rng)
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError):
        return text(content, rng)
    elements = list(root.iter())
    element, other = rng.choice(elements), rng.choice(elements)
    match rng.randrange(6):
        case 0:
            element.text = _words(rng)
        case 1:
            element.tag = other.tag
        case 2:
            for name in element.attrib:
                element.set(name, _words(rng))
        case 3 if other not in element.iter() and element not in other.iter():
            element.append(other)
        case 4:
            for child in list(element)[:1]:
                element.remove(child)
        case _:
            element.set(
                "type", rng.choice(("cloze", "matching", "numerical", "essay", "x", "", "shortanswer"))
            )
    try:
        return ElementTree.tostring(root)
    except (UnicodeEncodeError, TypeError, ValueError):
        return text(content, rng)


def _words(rng: Random) -> str:
    written = str(rng.choice(JUNK))
    return "".join(
        character for character in written if character >= " " and not "\ud800" <= character < "\ue000"
    )


def package(content: bytes, rng: Random) -> bytes:
    """Change a row or a table of the database in an Anki package, or a file in it, or the package's bytes."""
    if rng.random() < 0.1:
        return text(content, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError):
        return text(content, rng)
    databases = [name for name in files if "anki2" in name or "anki21" in name]
    if databases and rng.random() < 0.85:
        name = rng.choice(databases)
        files[name] = _database(files[name], rng)
    elif files:
        name = rng.choice(list(files))
        match rng.randrange(3):
            case 0:
                files[name] = text(files[name], rng)
            case 1:
                del files[name]
            case 2:
                files[rng.choice(("media", "../x", "collection.anki21b", "meta", "a/b"))] = files[name]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, inside in files.items():
            archive.writestr(name, inside)
    return packed.getvalue()


def _database(content: bytes, rng: Random) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "collection"
        path.write_bytes(content)
        with (
            suppress(sqlite3.Error, UnicodeEncodeError, OverflowError),
            closing(sqlite3.connect(path)) as opened,
        ):
            _change_row(opened, rng)
            opened.commit()
        return path.read_bytes()


def _change_row(opened: sqlite3.Connection, rng: Random) -> None:
    tables = [row[0] for row in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    if not tables:  # an earlier change has dropped the last one, or emptied the file
        return
    table = rng.choice(tables)
    columns = [row[1] for row in opened.execute(f'PRAGMA table_info("{table}")')]
    column = rng.choice(columns)
    rows = [row[0] for row in opened.execute(f'SELECT rowid FROM "{table}"')] or [0]
    match rng.randrange(12):
        case 0:
            opened.execute(f'DROP TABLE "{table}"')
        case 1:
            opened.execute(f'DELETE FROM "{table}"')
        case 2:
            opened.execute(f'ALTER TABLE "{table}" RENAME COLUMN "{column}" TO "renamed"')
        case _:
            row = rng.choice(rows)
            old = opened.execute(f'SELECT "{column}" FROM "{table}" WHERE rowid = ?', (row,)).fetchone()
            opened.execute(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', (_cell(old, rng), row))


def _cell(old: Sequence[Any] | None, rng: Random) -> Any:
    value = old[0] if old else None
    if isinstance(value, str) and value.startswith(("{", "[")) and rng.random() < 0.8:
        return json_tree(value.encode(), rng).decode("utf-8", "replace")
    if isinstance(value, str) and rng.random() < 0.4:
        return text(value.encode(), rng).decode("utf-8", "replace")
    junk = rng.choice(JUNK)
    return str(junk) if isinstance(junk, list | dict) else junk
