"""Gradio's scripts as they are sent: without the libraries and pages in them that no page of the app uses.

A browser fetches them for its first page, and they are most of what that page weighs. Two ways to cut:

- Gradio's script of an HTML component is sent without Handlebars, found by its form. Gradio puts a template
  through Handlebars, and then evaluates what comes out as a template of JavaScript. Our templates have no
  `{{`, and Handlebars returns such a template as it is.
- What else is cut has names that change with every build of Gradio. So `CUTS` knows a script by the hash of
  its whole text; every other script is sent as it came.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LIBRARY = re.compile(
    r"var [\w$]+=[\w$]+\(\(e=>\{e\.__esModule=!0,e\.extend=.+\}\)\)\(\)\),(?=[\w$]+=new Map,)", re.DOTALL
)
"""All of Handlebars, which the bundler has put before the component's own names."""

USE = re.compile(r"\b([\w$]+)\.default\.compile\(e\)\(t\)")

NAMES = re.compile(r"(?<=m\.f=)\[(?:\"[^\"]*\",?)*\]")
"""The files that a script may load, which it names by their place in this list."""

PLACES = re.compile(r"__vite__mapDeps\(\[([\d,]*)\]\)")


@dataclass(frozen=True)
class Cut:
    """Replaces the text from `begin` up to, not including, `end`; each stands in the script once."""

    begin: str
    end: str
    put: str = ""


MESSAGE_FORMAT = (
    "var ot=function(e){this.format=t=>e.replace(/\\{(\\w+)\\}/g,(e,n)=>t[n]??e)};ot.resolveLocale=e=>e;var "
)

CUTS: Mapping[str, Sequence[Cut]] = {
    # Gradio 6.31, runtime-*.js: a library for plurals, dates and numbers in messages. Gradio's messages have
    # at most {names}, and the pages' own texts come from Python.
    "12813fc4612edd8ef2c19f333bbac489d83709c6fde5a413d33327e88e4a4e0c": (
        Cut(
            "function o(e,t){if(typeof t!=`function`&&t!==null)throw TypeError(`Class",
            "st=e(i(),1);",
            MESSAGE_FORMAT,
        ),
    ),
    # core-*.js: where each component's script is, and Gradio's messages in 31 languages. Ours are in English.
    "85f46aad412aa2878d4fdfe21d5c68debdcc24044e259264ff75ae88cf979631": (
        Cut("accordion:{component:", "column:{component:"),
        Cut("core:{component:", "html:{base:"),
        Cut("image:{base:", "row:{component:"),
        Cut(",sidebar:{component:", "},H={},U={},W="),
        Cut("ar:`جاري التحميل`", "},Re=`English`"),
        Cut('"./lang/ar.json":', "});function ft("),
    ),
    # Index-*.js: the header of a hosted app, and the page of a browser's past runs, which the app turns off.
    "05c0e158f604600993f16434456634364df7bf7c5cc4d0ab1711bbeea4f22629": (
        Cut('import{t as he}from"./HistoryStorageControl-', "var Ze=-1;", "var Te=()=>{},Xe=()=>{};"),
    ),
    # index-*.js: the state of a hosted app and copies of it. It would also fetch a part of that page ahead.
    "531992274402035b7cb2f26b8851cc99f036b9dfc5336cde9bbce460e470763a": (
        Cut(
            "async function rt(e,t,n)",
            "function dt(e){let t=e.match(",
            "async function rt(){}var it=async()=>{};async function ut(){}",
        ),
        Cut("6,7,8,9,10,11,12,13,14,15]", "8,9,10,11,12,13,14,15]"),
    ),
}

FIRST_FILES = Path(__file__).with_name("first_files.txt").read_text("utf-8").split()
"""What every page fetches of Gradio 6.31. The files of another one have other names."""


def cut_unused(script: str) -> str:
    """Return a script of Gradio's without what no page of the app uses; one of another form stays whole."""
    cuts = CUTS.get(hashlib.sha256(script.encode()).hexdigest())
    if cuts is None:
        return cut_handlebars(script)
    for cut in cuts:
        begin = script.index(cut.begin)
        script = script[:begin] + cut.put + script[script.index(cut.end, begin) :]
    return _forget_unused_files(script)


def cut_handlebars(script: str) -> str:
    """Replace Handlebars by a function that returns its template; a script in another form stays whole."""
    uses, libraries = USE.findall(script), LIBRARY.findall(script)
    if len(uses) != 1 or len(libraries) != 1:
        return script
    stub = f"var {uses[0]}={{default:{{compile:e=>()=>e}}}},"
    return script.replace(libraries[0], stub)


def _forget_unused_files(script: str) -> str:
    """Empty the names of files that the script no longer asks for. The others keep their places."""
    used = {int(place) for places in PLACES.findall(script) for place in places.split(",") if place}

    def empty_names(found: re.Match[str]) -> str:
        names = json.loads(found[0])
        return json.dumps(
            [name if at in used else "" for at, name in enumerate(names)], separators=(",", ":")
        )

    return NAMES.sub(empty_names, script, count=1)
